"""What a folder of morphs is worth: how alike the people are, how good the pictures, how dangerous
the attack.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemorph import console
from facemorph.errors import ConfigError, DataError, FacemorphError
from facemorph.faces.detection import find_face, make_detector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.choices import SAME_PERSON_DISTANCE
from facemorph.faces.identity import IdentityEmbedding, identity_distance
from facemorph.jobs.input_files import picture_files
from facemorph.jobs.outputs import check_writable, torch_device
from facemorph.jobs.pages.gallery import write_gallery
from facemorph.jobs.records import DONE, REPORT
from facemorph.metrics.frechet import feature_distances
from facemorph.metrics.picture_quality import PictureQuality
from facemorph.metrics.vulnerability import acceptance_rate, mmpmr, prodavg_mmpmr, rmmr
from facemorph.networks.inception import load_fid_inception
from facemorph.networks.lpips import LPIPS
from facemorph.storage.files import write_whole

EVALUATION, TABLE, GALLERY = "evaluation.json", "evaluation.csv", "gallery.html"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Morph:
    """One picture to judge: its name, its file, the two photographs it is made of, and what is
    known already.
    """

    name: str
    file: Path
    sources: tuple[Path, ...] = ()
    known: Mapping[str, float] = field(default_factory=dict)


def evaluate(
    folder: str | Path,
    *,
    probes: str | Path | None = None,
    reference: str | Path | None = None,
    bona_fide: str | Path | None = None,
    threshold: float = SAME_PERSON_DISTANCE,
    inception: str | Path | None = None,
    lpips: tuple[str | Path, str | Path] | None = None,
    detector: str = "embedded",
    device: str = "auto",
    output: str | Path | None = None,
) -> dict[str, Any]:
    """Judge the morphs of a folder.

    With the ``report.json`` of ``morph-dataset`` it is known which photographs each morph is made
    of, so identities are compared; any other folder of pictures can be compared with a reference
    and with bona fide pictures.

    Args:
        folder: The morphs.
        probes: Folder of further photographs of the same people, called ``SUBJECT_...`` as the
            sources are; the sources themselves are the probes when None, which flatters the attack.
        reference: Folder of pictures with the same names: PSNR, SSIM and, with its weights, LPIPS.
        bona_fide: Folder of real photographs for the Frechet and kernel distances; the sources when
            None.
        threshold: Largest identity distance that is one person.
        inception: The published Inception weights: true FID and KID.
        lpips: Files of AlexNet and of the linear weights of LPIPS.
        detector: Finds the faces of morphs and photographs.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
        output: Folder of ``evaluation.json``, ``evaluation.csv`` and ``gallery.html``; the morphs'
            own when None.

    Returns:
        ``summary`` and ``rows``, as in ``evaluation.json``.

    Raises:
        DataError: There is no morph, the report cannot be read, or pictures that are to be compared
            are not there.
        ConfigError: The threshold is no distance.
        CheckpointError: A file of weights is another.
        OutputError: The results cannot be written.
    """
    folder, where = Path(folder), torch_device(device)
    if not 0 <= threshold < math.inf:
        raise ConfigError(
            "not an identity distance", where="threshold", expected="0 or more", found=threshold
        )
    target = folder if output is None else Path(output)
    check_writable(target / EVALUATION)
    judge = _Judge(
        detector, str(where), None if lpips is None else LPIPS.load(*lpips).to(where), threshold
    )
    network, published = (None, False) if inception is None else load_fid_inception(inception)
    morphs = read_morphs(folder)
    people = _by_subject(probes) if probes is not None else {}
    sources = sorted({source for morph in morphs for source in morph.sources})
    _check_comparable(folder, morphs, people, None if reference is None else Path(reference))
    real = picture_files([bona_fide]) if bona_fide is not None else sources
    rows, comparisons = [], []
    with torch.no_grad():
        for morph in console.track(morphs, "morphs"):
            row, distances = judge.row(
                morph, people, None if reference is None else Path(reference)
            )
            rows.append(row)
            if distances:
                comparisons.append(distances)
        summary: dict[str, Any] = {
            "morphs": len(rows),
            "without_a_face": sum(row["no_face"] for row in rows),
        }
        summary |= _means(rows) | judge.vulnerability(comparisons, people, sources)
        files = [morph.file for morph in morphs]
        summary |= judge.distances_to_real(files, real)
        if network is not None:
            names = (
                ("fid", "kid")
                if published
                else ("fd_inception_unpublished", "kd_inception_unpublished")
            )
            summary |= _inception_distances(network.to(where), files, real, names)
    result = {"folder": str(folder), "threshold": threshold, "summary": summary, "rows": rows}
    write_whole(target / EVALUATION, (json.dumps(result, indent=1) + "\n").encode())
    write_whole(target / TABLE, _table(rows).encode())
    pictures = [{**row, "file": Path(row["file"]).resolve()} for row in rows]
    write_gallery(pictures, target.resolve() / GALLERY, f"Morphs of {folder.name}", summary)
    return result


def _check_comparable(
    folder: Path, morphs: Sequence[Morph], people: Mapping[str, list[Path]], reference: Path | None
) -> None:
    """See, before any work, that what is to be compared is there.

    Raises:
        DataError: A morph, or the picture that it is to be compared with, is gone; or no probe is
            of its people.
    """
    sources = sorted({source for morph in morphs for source in morph.sources})
    if reference is not None and not reference.is_dir():
        raise DataError("there is no such folder", where=reference, remedy="Check the path.")
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
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
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
class _Judge:
    detector: str
    device: str
    lpips: LPIPS | None
    threshold: float
    # half a kilobyte for each picture
    _kept: dict[Path, Tensor | None] = field(default_factory=dict)

    @cached_property
    def _find(self) -> Any:
        return make_detector(
            self.detector, device=self.device if self.detector == "embedded" else None
        )

    @cached_property
    def _embedding(self) -> IdentityEmbedding:
        return IdentityEmbedding(self.device)

    @cached_property
    def _quality(self) -> PictureQuality:
        return PictureQuality(self.lpips)

    def descriptor(self, path: Path) -> Tensor | None:
        """Descriptor ``(128,)`` of the face in a picture, or None where there is no picture or
        face.
        """
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
    ) -> tuple[dict[str, Any], list[list[float]]]:
        """Figures of one morph, and its distances to the probes of each contributing subject."""
        row: dict[str, Any] = {"name": morph.name, "file": str(morph.file), **morph.known}
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
    ) -> dict[str, Any]:
        """MMPMR and its relatives, where morphs could be compared with their people."""
        if not comparisons:
            return {}
        rate = mmpmr(comparisons, self.threshold)
        accepted = acceptance_rate(comparisons, self.threshold)
        found: dict[str, Any] = {
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


def _by_subject(folder: str | Path) -> dict[str, list[Path]]:
    people: dict[str, list[Path]] = defaultdict(list)
    for path in picture_files([folder]):
        people[subject_of(path)].append(path)
    return dict(people)


def _inception_distances(
    network: Any, morphs: Sequence[Path], real: Sequence[Path], names: tuple[str, str]
) -> dict[str, float]:
    def features(files: Sequence[Path]) -> Tensor:
        device = next(network.parameters()).device
        pictures = (load_image(path)[None].to(device) for path in console.track(files, "features"))
        return torch.cat([network(picture).cpu() for picture in pictures])

    if min(len(morphs), len(real)) < 2:
        return {}
    return feature_distances(features(real), features(morphs), *names)


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    numbers: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for key, value in row.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                numbers[key].append(float(value))
    return {f"mean_{key}": sum(values) / len(values) for key, values in numbers.items()}


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def say(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines that sum a result up."""
    for key, value in result["summary"].items():
        yield f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}"
