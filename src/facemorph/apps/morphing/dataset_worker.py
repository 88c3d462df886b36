"""The worker of a data set of morphs: it keeps the faces it has prepared and makes one pair after
the other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from facemorph.apps.morphing.morph_options import CLOSED_FORMS
from facemorph.apps.morphing.warp_fitting import (
    STACKED,
    fit_stack,
    fit_warp,
    smoothing_of,
    warp_config,
)
from facemorph.config.build import build
from facemorph.errors import DataError, FacemorphError
from facemorph.faces.detection import make_detector
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.pair_lists import ListedPair, points_of
from facemorph.faces.pair import FacePair, PreparedFace, pair_faces, prepare_faces
from facemorph.faces.types import LandmarkDetector
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.warps.choices import BLENDS
from facemorph.fields.warps.flow_batch import fit_flows
from facemorph.jobs.records import Row
from facemorph.metrics.warp_quality import landmark_errors, map_quality
from facemorph.ops.blending import FaceAutoencoder
from facemorph.systems.ifmorph.morphed_pair import MorphedPair, load_autoencoder

CACHE_BYTES = 512 * 2**20  # of prepared pictures, in each process
PNG_COMPRESSION = 2


@dataclass(frozen=True)
class DatasetOptions:
    """What every pair of a data set has in common.

    See the arguments of ``morph_dataset``.
    """

    size: int = 512
    times: tuple[float, ...] = (0.5,)
    warp: str = "thin_plate_flow"
    smoothing: float | None = None
    blend: str = "multiband"
    outside: str = "source"
    mask: str = "face"
    points: str | None = None
    detector: str = "embedded"
    min_score: float | None = None
    align: str = "portrait"
    suffix: str = "png"
    quality: bool = False


@dataclass
class KeptFace:
    """A face ready for any pair: cut, with landmarks, and its picture as a spline."""

    face: PreparedFace
    field: SplineImage


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
    _kept: OrderedDict[Path, KeptFace | FacemorphError] = field(
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
        system.source_field, system.target_field = self.face(pair.a).field, self.face(pair.b).field
        files = []
        for time in self.options.times:
            name = file_name(pair.name, time, self.options)
            picture = system.render(
                time, blend=self._blend, outside=self.options.outside, mask=self.options.mask
            )
            save_image(picture, self.folder / name, synthetic=True, compression=PNG_COMPRESSION)
            files.append(name)
        return {"files": files, "metrics": self._measure(system)}

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
        return pair_faces(self.face(pair.a).face, self.face(pair.b).face, str(pair.a), str(pair.b))

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
        found = landmark_errors(system.warp, source, target)
        if self.options.quality:
            found |= map_quality(system.warp, system.frame)
        return {name: round(value, 6) for name, value in found.items()}

    def face(self, path: Path) -> KeptFace:
        """A face ready for any pair; of the last ones, about half a gigabyte is kept.

        Raises:
            FacemorphError: The picture or its landmarks are at fault, for each of its pairs alike.
        """
        kept = self._kept.get(path)
        if kept is None:
            kept = self._kept[path] = self._prepared(path)
            bytes_each = 6 * 4 * self.options.size**2  # picture and spline coefficients
            while len(self._kept) * bytes_each > CACHE_BYTES and len(self._kept) > 2:
                self._kept.popitem(last=False)
        self._kept.move_to_end(path)
        if isinstance(kept, FacemorphError):
            raise kept
        return kept

    def _prepared(self, path: Path) -> KeptFace | FacemorphError:
        options = self.options
        try:
            if not path.is_file():
                raise DataError(
                    "there is no such picture", where=path, remedy="Check the list and --images."
                )
            points = None if options.points is None else points_of(path, options.points)
            face = prepare_faces(
                [path],
                size=options.size,
                points=[points],
                align=options.align,
                detector=self._detector,
            )[0]
        except FacemorphError as error:
            return error
        return KeptFace(face, SplineImage(face.image).to(self.device))


def file_name(name: str, time: float, options: DatasetOptions) -> str:
    """Name of a picture: the pair's, with the time where there are several."""
    return (
        f"{name}.{options.suffix}"
        if len(options.times) == 1
        else f"{name}_t{time:.3f}.{options.suffix}"
    )


def settings_of(options: DatasetOptions) -> dict[str, object]:
    """The options as plain values, for ``settings.json``."""
    points = None if options.points is None else str(Path(options.points).resolve())
    return {**vars(options), "times": list(options.times), "points": points}
