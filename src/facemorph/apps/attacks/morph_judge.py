"""Measures of a folder of morphs: identities, picture quality, and distances between sets."""

from __future__ import annotations

import csv
import io
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemorph import console
from facemorph.errors import DataError, FacemorphError
from facemorph.faces.detection import find_face, make_detector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.identity import IdentityEmbedding, identity_distance
from facemorph.jobs.input_files import picture_files
from facemorph.jobs.records import DONE, REPORT
from facemorph.metrics.frechet import feature_distances
from facemorph.metrics.picture_quality import PictureQuality
from facemorph.metrics.vulnerability import acceptance_rate, mmpmr, prodavg_mmpmr, rmmr
from facemorph.networks.lpips import LPIPS
from facemorph.storage.files import read_json

UNPUBLISHED = ("fd_inception_unpublished", "kd_inception_unpublished")
logger = logging.getLogger(__name__)
Figures = dict[str, float | str | bool]  # of a morph, or of the whole folder, by name


@dataclass(frozen=True)
class Morph:
    """One picture to judge.

    Attributes:
        name: What it is called.
        file: Where it is.
        sources: The two photographs that it is made of.
        known: Figures that are known already.
    """

    name: str
    file: Path
    sources: tuple[Path, ...] = ()
    known: Mapping[str, float] = field(default_factory=dict)


def check_comparable(
    folder: Path, morphs: Sequence[Morph], people: Mapping[str, list[Path]], reference: Path | None
) -> None:
    """See, before any work, that what is to be compared is there.

    Raises:
        DataError: A morph, or the picture that it is to be compared with, is gone; or no probe is
            of its people.
    """
    sources = sorted({source for morph in morphs for source in morph.sources})
    for what, wanted, remedy in (
        (
            "a morph of the report",
            [one.file for one in morphs],
            "Make it again with `facemorph morph-dataset`.",
        ),
        (
            "the reference of a morph",
            [] if reference is None else [reference / one.file.name for one in morphs],
            "Give a folder with pictures of the morphs' names.",
        ),
    ):
        gone = [path for path in wanted if not path.is_file()]
        if gone:
            raise DataError(
                f"{what} is not there",
                where=gone[0],
                expected=f"{len(wanted)} pictures",
                found=f"{len(wanted) - len(gone)}",
                remedy=remedy,
            )
    if people and not any(subject_of(source) in people for source in sources):
        raise DataError(
            "no probe is a photograph of somebody in the morphs"
            if sources
            else "it is not known who is in the morphs",
            where=folder / REPORT,
            found=f"probes of {', '.join(list(people)[:3])}",
            expected=f"probes of {', '.join(sorted(map(subject_of, sources))[:3])}"
            if sources
            else REPORT,
            remedy="Name probes SUBJECT_..., as the sources are, and evaluate the folder of "
            "`facemorph morph-dataset`.",
        )
    lost = [source for source in sources if not source.is_file()]
    if lost:
        logger.warning(
            "%d of %d photographs that the morphs are made of are not there, and not compared; "
            "the first: "
            "%s. Run this in the folder where morph-dataset ran.",
            len(lost),
            len(sources),
            lost[0],
        )


def read_morphs(folder: Path) -> list[Morph]:
    """The morphs of a folder: those of its ``report.json`` that are done, or all its pictures.

    Raises:
        DataError: There is none, or the report cannot be read.
    """
    if not (folder / REPORT).is_file():
        return [Morph(path.stem, path) for path in picture_files([folder])]
    try:
        report = read_json(folder / REPORT)
        found = [
            Morph(
                Path(file).stem,
                folder / file,
                (Path(row["a"]), Path(row["b"])),
                row.get("metrics", {}),
            )
            for row in report["rows"]
            if row["status"] == DONE
            for file in row["files"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "this report cannot be read",
            where=folder / REPORT,
            found=type(error).__name__,
            remedy="Make it anew with `facemorph morph-dataset`.",
        ) from error
    if not found:
        raise DataError("no morph of this data set is done", where=folder / REPORT)
    return found


@dataclass
class Judge:
    """Measures morphs, and keeps the descriptors of all pictures seen."""

    detector: str
    min_score: float | None
    device: str
    lpips: LPIPS | None
    threshold: float
    # half a kilobyte for each picture
    _kept: dict[Path, Tensor | None] = field(default_factory=dict)

    @cached_property
    def _find(self) -> Any:
        device = self.device if self.detector == "embedded" else None
        return make_detector(self.detector, device=device, min_score=self.min_score)

    @cached_property
    def _embedding(self) -> IdentityEmbedding:
        return IdentityEmbedding(self.device)

    @cached_property
    def _quality(self) -> PictureQuality:
        return PictureQuality(self.lpips)

    def descriptor(self, path: Path) -> Tensor | None:
        """Descriptor ``(128,)`` of the face in a picture; None without a picture or face."""
        if path not in self._kept:
            try:
                image = load_image(path)
                face = find_face(image, self._find, name=path)
            except FacemorphError:
                self._kept[path] = None
            else:
                self._kept[path] = self._embedding(image.to(self.device), face.points.float())[
                    0
                ].cpu()
        return self._kept[path]

    def row(
        self, morph: Morph, people: Mapping[str, list[Path]], reference: Path | None
    ) -> tuple[Figures, list[list[float]]]:
        """Figures of one morph, and its distances to the probes of each contributing subject."""
        row: Figures = {"name": morph.name, "file": str(morph.file), **morph.known}
        own = self.descriptor(morph.file)
        row["no_face"] = own is None
        distances: list[list[float]] = []
        if own is not None and morph.sources:
            to_sources = [self._distances(own, [source]) for source in morph.sources]
            for letter, found in zip("ab", to_sources, strict=False):
                if found:
                    row[f"identity_distance_{letter}"] = found[0]
            if all(to_sources):
                row["identity_imbalance"] = abs(to_sources[0][0] - to_sources[-1][0])
            distances = [
                self._distances(own, people.get(subject_of(source), [])) if people else found
                for source, found in zip(morph.sources, to_sources, strict=True)
            ]
            if not all(distances):
                distances = []  # a subject without a probe says nothing
        if reference is not None:
            row |= self._quality(
                load_image(morph.file), load_image(reference / morph.file.name), morph.file
            )
        return row, distances

    def _distances(self, own: Tensor, probes: Sequence[Path]) -> list[float]:
        found = (self.descriptor(probe) for probe in probes)
        return [float(identity_distance(own, other)) for other in found if other is not None]

    def vulnerability(
        self,
        comparisons: Sequence[list[list[float]]],
        people: Mapping[str, list[Path]],
        sources: Sequence[Path],
    ) -> Figures:
        """MMPMR and its relatives, where morphs could be compared with their people."""
        if not comparisons:
            return {}
        rate = mmpmr(comparisons, self.threshold)
        accepted = acceptance_rate(comparisons, self.threshold)
        found: Figures = {
            "compared": len(comparisons),
            "mmpmr": rate,
            "acceptance_rate": accepted,
        }
        if people:
            found["prodavg_mmpmr"] = prodavg_mmpmr(comparisons, self.threshold)
            misses = self._false_non_matches(people, sources)
            if misses is not None:
                found |= {"false_non_match_rate": misses, "rmmr": rmmr(rate, misses)}
        return {**found, "probes": "further photographs" if people else "the sources themselves"}

    def _false_non_matches(
        self, people: Mapping[str, list[Path]], sources: Sequence[Path]
    ) -> float | None:
        """Share of comparisons of a source with a probe of the same subject that do not match."""
        mated: list[float] = []
        for source in sources:
            own = self.descriptor(source)
            if own is not None:
                mated += self._distances(own, people.get(subject_of(source), []))
        return sum(distance >= self.threshold for distance in mated) / len(mated) if mated else None

    def distances_to_real(self, morphs: Sequence[Path], real: Sequence[Path]) -> dict[str, float]:
        """Frechet and kernel distance of the identity descriptors: never called FID."""
        features = [
            [one for one in map(self.descriptor, files) if one is not None]
            for files in (real, morphs)
        ]
        if min(len(part) for part in features) < 2:
            return {}
        real_features, made = (torch.stack(part) for part in features)
        return {
            "real_pictures": len(features[0]),
            "real_pictures_without_a_face": len(real) - len(features[0]),
            **feature_distances(real_features, made, "fd_descriptor128", "kd_descriptor128"),
        }


def subject_of(path: Path) -> str:
    """The subject in a file name: what stands before the first ``_``."""
    return path.stem.partition("_")[0]


def by_subject(folder: str | Path) -> dict[str, list[Path]]:
    """The photographs of a folder by their subject.

    Raises:
        DataError: The folder is missing or holds no picture.
    """
    people: dict[str, list[Path]] = defaultdict(list)
    for path in picture_files([folder]):
        people[subject_of(path)].append(path)
    return dict(people)


def inception_distances(
    network: Any, morphs: Sequence[Path], real: Sequence[Path], names: tuple[str, str]
) -> dict[str, float]:
    """Frechet and kernel distance of Inception features, under the given names."""

    def features(files: Sequence[Path]) -> Tensor:
        device = next(network.parameters()).device
        pictures = (load_image(path)[None].to(device) for path in console.track(files, "features"))
        return torch.cat([network(picture).cpu() for picture in pictures])

    if min(len(morphs), len(real)) < 2:
        return {}
    return feature_distances(features(real), features(morphs), *names)


def means_of(rows: Sequence[Figures]) -> dict[str, float]:
    """Mean of every figure over the rows that have it."""
    numbers: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for key, value in row.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                numbers[key].append(float(value))
    return {f"mean_{key}": sum(values) / len(values) for key, values in numbers.items()}


def table_of(rows: Sequence[Figures]) -> str:
    """The rows as CSV."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
