"""What ``facemorph morph-dataset`` does with many pairs: a worker keeps the faces it has prepared
and makes one pair after the other; records and the report.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from facemorph.apps.morphing.morph_options import (
    CLOSED_FORMS,
    DatasetOptions,
    file_name,
    settings_of,
)
from facemorph.apps.morphing.warp_fitting import (
    STACKED,
    fit_stack,
    fit_warp,
    smoothing_of,
    warp_config,
)
from facemorph.config.build import build
from facemorph.errors import DataError, FacemorphError
from facemorph.faces.agreement import say_disagreements
from facemorph.faces.alignment import PortraitCut
from facemorph.faces.checks.common_cut import FacePlace, common_cut, say_tight_cut
from facemorph.faces.checks.face_cut import cut_face
from facemorph.faces.detection import make_detector
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.pair_lists import ListedPair, points_of, read_pair_list
from facemorph.faces.pair import (
    FacePair,
    PreparedFace,
    cut_again,
    locate_face,
    pair_faces,
)
from facemorph.faces.types import LandmarkDetector
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.warps.choices import BLENDS
from facemorph.fields.warps.flow_batch import fit_flows
from facemorph.jobs.batch import Batch, run, stamp_of
from facemorph.jobs.outputs import check_writable, torch_devices
from facemorph.jobs.pool import count_workers, parse_shard
from facemorph.jobs.records import (
    DONE,
    FAILED,
    MISSING,
    REPORT,
    SKIPPED,
    Header,
    Row,
    Settings,
    counts_of,
    header,
    write_json,
)
from facemorph.metrics import warp_quality
from facemorph.ops.blending import FaceAutoencoder
from facemorph.ops.frames import Frame
from facemorph.systems.ifmorph.morphed_pair import MorphedPair, load_autoencoder

CACHE_BYTES = 512 * 2**20  # of prepared pictures, in each process
PNG_COMPRESSION = 2
CHUNK = 8  # pairs that a process takes at a time; trained warps are trained together


@dataclass
class KeptFace:
    """A face ready for any pair, its picture as a spline, and where it is in its photograph."""

    face: PreparedFace
    field: SplineImage
    place: FacePlace


class MorphRow(Row, total=False):
    """What became of one pair.

    Attributes:
        line: Number of its line in the list, from 1.
        a: First picture.
        b: Second picture.
        stamp: Of pictures and landmark files.
        metrics: Figures of the warp.
    """

    line: int
    a: str
    b: str
    stamp: str
    metrics: dict[str, float]


@dataclass
class DatasetWorker:
    """Makes pairs.

    Args:
        options: What all pairs have in common.
        folder: Where the pictures go.
        device: Device of the warps and pictures.
    """

    options: DatasetOptions
    folder: Path
    device: str = "cpu"
    _fitted: dict[str, MorphedPair] = field(default_factory=dict, repr=False)
    _kept: OrderedDict[tuple[Path, PortraitCut | None], KeptFace | FacemorphError] = field(
        default_factory=OrderedDict, repr=False
    )

    @cached_property
    def _detector(self) -> LandmarkDetector:
        return make_detector(self.options.detector, min_score=self.options.min_score)

    @cached_property
    def _blend(self) -> str | FaceAutoencoder:
        """The blending; an autoencoder is read once for all pairs."""
        blend = self.options.blend
        return blend if blend in BLENDS else load_autoencoder(blend, self.device)

    def make(self, pair: ListedPair) -> MorphRow:
        """Make a pair and write its pictures.

        Returns:
            Its row, with files and figures.

        Raises:
            FacemorphError: A picture is at fault, or the two do not fit each other.
            OutputError: The pictures cannot be written.
        """
        system = self._fitted.pop(pair.name, None)
        if system is None:
            faces, warp = self.faces(pair), self.options.warp
            closed = warp in CLOSED_FORMS
            system = self.fit(faces) if closed else fit_warp(faces, warp, device=self.device)
        a, b = self._beside(pair)
        labels = str(pair.a), str(pair.b)
        if self.options.align == "portrait":
            say_tight_cut([a.place, b.place], labels)
        say_disagreements([(one.face.points, one.face.scheme) for one in (a, b)], labels)
        system.source_field, system.target_field = a.field, b.field
        files = []
        for time in self.options.times:
            name = file_name(pair.name, time, self.options)
            picture = system.render(
                time, blend=self._blend, outside=self.options.outside, mask=self.options.mask
            )
            save_image(picture, self.folder / name, synthetic=True, compression=PNG_COMPRESSION)
            files.append(name)
        metrics = self._measure(system)
        warp_quality.say_missed_landmarks(metrics["landmark_error_px"], pair.name)
        warp_quality.say_gave_way(system.warp, a.face.scheme, pair.name)
        return {"files": files, "metrics": metrics}

    def fit_together(self, pairs: Sequence[ListedPair]) -> None:
        """Fit the warps of several pairs in one batch; what fails is tried alone, which says
        why.
        """
        groups: dict[object, dict[str, FacePair]] = {}
        for pair in pairs:
            with suppress(FacemorphError):
                faces = self.faces(pair)
                alike = (faces.frame, faces.scheme, len(faces.points_a))
                groups.setdefault(alike, {})[pair.name] = faces
        for group in groups.values():
            with suppress(Exception):  # one pair may spoil the others
                stack = list(group.values())
                systems = (
                    fit_stack(stack, self.options.warp, device=self.device)
                    if self.options.warp in STACKED
                    else self._fit_flows(stack)
                )
                self._fitted |= dict(zip(group, systems, strict=True))

    def faces(self, pair: ListedPair) -> FacePair:
        """Both faces of a pair.

        Raises:
            FacemorphError: A picture is at fault, or they do not fit each other.
        """
        a, b = self._beside(pair)
        return pair_faces(a.face, b.face, str(pair.a), str(pair.b))

    def _beside(self, pair: ListedPair) -> tuple[KeptFace, KeptFace]:
        """Both faces of a pair, cut alike."""
        a, b = self.face(pair.a), self.face(pair.b)
        common = common_cut([a.place, b.place]) if self.options.align == "portrait" else None
        if common is None:
            return a, b
        return self._cut(pair.a, a.place, common), self._cut(pair.b, b.place, common)

    def _cut(self, path: Path, place: FacePlace, common: PortraitCut) -> KeptFace:
        """A face cut as another one beside it demands."""
        kept = self._kept.get((path, common))
        if not isinstance(kept, KeptFace):
            face = cut_again(path, place, self.options.size, common)[0]
            kept = KeptFace(face, SplineImage(face.image).to(self.device), place)
            self._keep((path, common), kept)
        return kept

    @property
    def batched(self) -> bool:
        """Whether warps are fitted several at a time: on a GPU, whose kernels are too short for
        one.
        """
        return self.options.warp == "thin_plate_flow" and self.device.startswith("cuda")

    def _fit_flows(self, pairs: Sequence[FacePair]) -> list[MorphedPair]:
        """Systems of pairs with one frame and scheme, fitted in one batch."""
        systems, frame = (
            [MorphedPair(build(self._warp(pair.scheme))) for pair in pairs],
            pairs[0].frame,
        )
        landmarks = [(pair.source, pair.target) for pair in pairs]
        fit_flows([system.warp for system in systems], landmarks, frame, self.device)
        for system, (source, target) in zip(systems, landmarks, strict=True):
            system.take_landmarks(source, target, frame)
            system.eval().to(self.device)
        return systems

    def fit(self, pair: FacePair) -> MorphedPair:
        """The pair's warp, fitted; the pictures are still to be given."""
        system = MorphedPair(build(self._warp(pair.scheme)))
        system.take_landmarks(pair.source, pair.target, pair.frame)
        system.warp.fit(pair.source, pair.target, pair.frame)
        return system.eval().to(self.device)

    def _warp(self, scheme: str) -> dict[str, Any]:
        smoothing = self.options.smoothing
        if smoothing is None:
            smoothing = smoothing_of(scheme)
        if smoothing not in self._warps:
            self._warps[smoothing] = warp_config(self.options.warp, smoothing)["system"]["warp"]
        return self._warps[smoothing]

    @cached_property
    def _warps(self) -> dict[float, dict[str, Any]]:
        """Configs of the warp by its smoothing; composing one takes longer than a fit."""
        return {}

    @torch.no_grad()
    def _measure(self, system: MorphedPair) -> dict[str, float]:
        kind = next((one.dtype for one in system.warp.parameters()), torch.float64)
        source, target = system.source.to(kind), system.target.to(kind)
        found = warp_quality.landmark_errors(system.warp, source, target)
        if self.options.quality:
            found |= warp_quality.map_quality(system.warp, system.frame)
        return {name: round(value, 6) for name, value in found.items()}

    def face(self, path: Path) -> KeptFace:
        """A face ready for any pair; of the last ones, about half a gigabyte is kept.

        Raises:
            FacemorphError: The picture or its landmarks are at fault, for each of its pairs alike.
        """
        key: tuple[Path, PortraitCut | None] = path, None
        kept = self._kept.get(key)
        if kept is None:
            kept = self._prepared(path)
            self._keep(key, kept)
        self._kept.move_to_end(key)
        if isinstance(kept, FacemorphError):
            raise kept
        return kept

    def _keep(self, key: tuple[Path, PortraitCut | None], kept: KeptFace | FacemorphError) -> None:
        self._kept[key] = kept
        bytes_each = 6 * 4 * self.options.size**2  # picture and spline coefficients
        while len(self._kept) * bytes_each > CACHE_BYTES and len(self._kept) > 2:
            self._kept.popitem(last=False)

    def _prepared(self, path: Path) -> KeptFace | FacemorphError:
        options = self.options
        try:
            if not path.is_file():
                raise DataError(
                    "there is no such picture", where=path, remedy="Check the list and --images."
                )
            points = None if options.points is None else points_of(path, options.points)
            find = self._detector if points is None else None
            image, marks, scheme = locate_face(path, points, find, str(path))
            cut = cut_face(options.align, image, marks, scheme, options.size)
        except FacemorphError as error:
            return error
        face = PreparedFace(cut.image, cut.points.double(), scheme)
        place = FacePlace(Frame.of(image), marks, scheme)
        return KeptFace(face, SplineImage(face.image).to(self.device), place)


class DatasetReport(Header):
    """The content of ``report.json``.

    Attributes:
        counts: How many pairs are done, failed, skipped and missing.
        seconds: Spent on them.
        rows: One for each line of the list.
    """

    counts: dict[str, int]
    seconds: float
    rows: list[MorphRow]


def morph_pairs(
    pairs: str | Path,
    images: Path,
    output: Path,
    made: DatasetOptions,
    name: str,
    workers: int | None,
    shard: str,
    device: str,
) -> DatasetReport:
    """Morph every pair of a list; see ``morph_dataset``."""
    part, parts = parse_shard(shard)
    folder = images.resolve()  # the same from wherever the next call comes
    listed = read_pair_list(pairs, folder, name)
    devices = torch_devices(device)
    count = _workers(workers, devices)
    check_writable(output / REPORT)
    settings = {**settings_of(made), "images": str(folder), "name": name}
    # In this order faces are prepared once.
    mine = sorted(listed[part::parts], key=lambda pair: (pair.a, pair.b))
    worker = DatasetWorker(made, output, devices[0])
    return run(
        Batch(
            output,
            "pairs",
            {pair.name: pair for pair in mine if pair.skip is None},
            partial(_start, made, output, devices),
            DatasetWorker.make,
            partial(_report, output, listed, settings),
            settings=settings,
            given=lambda pair: {"stamp": _stamp(pair, made)},
            same=("stamp",),
            here=worker,
            together=DatasetWorker.fit_together if worker.batched or made.warp in STACKED else None,
            chunk=CHUNK,
            workers=count,
            shard=(part, parts),
            quiet=True,
        )
    )


def _start(
    options: DatasetOptions, output: Path, devices: Sequence[str], number: int
) -> DatasetWorker:
    return DatasetWorker(options, output, devices[number % len(devices)])


def _stamp(pair: ListedPair, options: DatasetOptions) -> str:
    files = [pair.a, pair.b]
    if options.points is not None:
        with suppress(DataError):  # a missing one is the failure of its pairs
            files += [points_of(picture, options.points) for picture in files]
    return stamp_of(*files)


def _report(
    output: Path,
    listed: Sequence[ListedPair],
    settings: Settings,
    known: Mapping[str, MorphRow],
) -> DatasetReport:
    """Write the report: how many pairs ended how, and a row for each."""
    rows: list[MorphRow] = []
    for pair in listed:
        row = MorphRow(name=pair.name, line=pair.line, a=str(pair.a), b=str(pair.b))
        if pair.skip is not None:
            row |= MorphRow(status=SKIPPED, reason=pair.skip)
        elif pair.name in known:
            row |= known[pair.name]
        else:
            row |= MorphRow(status=MISSING, reason="not made yet, or its files are gone")
        rows.append(row)
    report: DatasetReport = {
        **header(settings),
        "counts": counts_of(rows, (DONE, FAILED, SKIPPED, MISSING)),
        "seconds": sum(row.get("seconds", 0.0) for row in rows),
        "rows": rows,
    }
    write_json(output / REPORT, report)
    return report


def _workers(wanted: int | None, devices: Sequence[str]) -> int:
    return (
        len(devices) if wanted is None and devices[0].startswith("cuda") else count_workers(wanted)
    )
