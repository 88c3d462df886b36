"""What ``facemorph morph-dataset`` does with many pairs: a worker keeps the faces it has prepared
and makes one pair after the other; records and the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from facemorph.apps.morphing.dataset.kept_faces import KeptFaces
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
from facemorph.faces.checks.common_cut import say_tight_cut
from facemorph.faces.files.image_output import save_image, uncovered
from facemorph.faces.files.pair_lists import ListedPair, points_of, read_pair_list
from facemorph.faces.pair import (
    FacePair,
    pair_faces,
)
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
from facemorph.systems.ifmorph.morphed_pair import MorphedPair, load_autoencoder

PNG_COMPRESSION = 2
CHUNK = 8  # pairs that a process takes at a time; trained warps are trained together


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

    @cached_property
    def kept(self) -> KeptFaces:
        """The faces of the last pairs."""
        return KeptFaces(self.options, self.device)

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
        a, b = self.kept.beside(pair)
        labels = str(pair.a), str(pair.b)
        if self.options.align == "portrait":
            say_tight_cut([a.place, b.place], labels)
        say_disagreements([(one.face.points, one.face.scheme) for one in (a, b)], labels)
        system.source_field, system.target_field = a.field, b.field
        system.take_alphas(a.face.alpha, b.face.alpha)
        files = []
        for time in self.options.times:
            name = file_name(pair.name, time, self.options)
            drawn: dict[str, Any] = {
                "blend": self._blend,
                "outside": self.options.outside,
                "mask": self.options.mask,
            }
            picture = system.render(time, **drawn, match_skin=self.options.match_skin)
            picture = uncovered(picture, system.alpha(time, **drawn))
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
        a, b = self.kept.beside(pair)
        return pair_faces(a.face, b.face, str(pair.a), str(pair.b))

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
