"""Two faces and a warp between them, and the morph that they give.

No training and no Lightning, which takes seconds to load: a closed-form morph needs neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from facemorph.errors import CheckpointError, ConfigError
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.video_io import write_frames
from facemorph.faces.masks import carried_mask, held_face, read_mask_shape
from facemorph.faces.pair import FacePair
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.lazy_buffers import LazyBuffers
from facemorph.fields.warps.blended_pairs import (
    WEIGHTED,
    WHOLE_FRAME,
    blend_by_autoencoder,
    blend_pair,
    warp_pair,
)
from facemorph.fields.warps.choices import BLENDS
from facemorph.fields.warps.dense_refinement import RefinedWarp, refine_warp
from facemorph.fields.warps.time_curves import curve_value
from facemorph.metrics.warp_quality import landmark_errors, map_quality
from facemorph.ops.blending import FaceAutoencoder
from facemorph.ops.frames import Frame
from facemorph.storage.checkpoint import load_system
from facemorph.storage.runs import names_a_checkpoint
from facemorph.systems.ifmorph.skin_tone import match_skin_tone


class MorphedPair(LazyBuffers):
    """A warp between two pictures, and their morph at any time.

    Args:
        warp: The warp: a network, or a closed form that is fitted.
        source_field: The first picture as a network; the exact spline through its pixels when None.
        target_field: The second picture.
    """

    warp: Any  # a module that is a Warp
    source: Tensor
    target: Tensor
    frame_size: Tensor

    def __init__(
        self,
        warp: nn.Module,
        source_field: nn.Module | None = None,
        target_field: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.warp = warp
        self.source_field = SplineImage() if source_field is None else source_field
        self.target_field = SplineImage() if target_field is None else target_field
        self.source_alpha: SplineImage | None = None
        self.target_alpha: SplineImage | None = None
        # The pictures are given: only the warp is trained.
        self.source_field.requires_grad_(False)
        self.target_field.requires_grad_(False)
        self.declare_buffers("source", "target", "frame_size")
        # Autoencoders by their checkpoint, and a warp in a list: neither is trained or stored.
        self._autoencoders: dict[str, FaceAutoencoder] = {}
        self._refined: list[RefinedWarp] = []

    def _restored(self) -> None:
        self._refined.clear()

    def take_faces(self, pair: FacePair) -> None:
        """Take over landmarks and pictures of two prepared faces."""
        self.take_landmarks(pair.source, pair.target, pair.frame)
        self.source_field, self.target_field = SplineImage(pair.image_a), SplineImage(pair.image_b)
        self.take_alphas(pair.alpha_a, pair.alpha_b)

    def take_alphas(self, source: Tensor | None, target: Tensor | None) -> None:
        """Take over how opaque both pictures are, ``(1, H, W)`` each; None for an opaque one."""
        self.source_alpha = self.target_alpha = None
        some = target if source is None else source
        if some is None:
            return
        first, second = (
            SplineImage((torch.ones_like(some) if one is None else one).expand(3, -1, -1))
            for one in (source, target)
        )
        self.source_alpha = first.to(self.source.device)
        self.target_alpha = second.to(self.source.device)

    def take_landmarks(self, source: Tensor, target: Tensor, frame: Frame) -> None:
        """Take over landmarks ``(P, 2)`` in field coordinates and their frame; the pictures stay as
        they are.
        """
        self.source, self.target = source.float(), target.float()
        self.frame_size = torch.tensor([frame.height, frame.width])
        self._refined.clear()

    @property
    def frame(self) -> Frame:
        """The common frame of both faces.

        Raises:
            ConfigError: The system has seen no pair yet.
        """
        if self.frame_size is None:
            raise ConfigError(
                "this system has not been fitted to a pair of faces yet",
                remedy="Train it, call fit_closed_form, or load a checkpoint.",
            )
        height, width = (int(side) for side in self.frame_size)
        return Frame(height, width)

    @torch.no_grad()
    def warp_to_render(self, refine: bool = False) -> Any:
        """The warp; with ``refine`` also aligned densely outside the face, which is computed once
        for a pair.
        """
        if not refine:
            return self.warp
        if not self._refined or self._refined[0].velocity.device != self.source.device:
            self._refined.clear()
            frame = self.frame
            points = frame.to_pixels(
                self.warp(self.source.to(self._warp_dtype()), 0.0, 0.5).double()
            )
            keep = held_face(points.cpu(), frame).to(self.source)
            self._refined.append(refine_warp(self.warp, *self.warped(0.5), keep))
        return self._refined[0]

    @torch.no_grad()
    def quality(self, coarse: bool = False, refine: bool = False) -> dict[str, float]:
        """Landmark errors and quality of the half-way maps, see ``facemorph.metrics.warp_quality``.

        Args:
            coarse: Measure maps on a lattice of 65 nodes instead of the frame's pixels: fast enough
                for every epoch.
            refine: Measure the refined warp.
        """
        frame, warp = (
            self.frame.scaled_to(65) if coarse else self.frame,
            self.warp_to_render(refine),
        )
        source, target = (
            points.double().to(self._warp_dtype()) for points in (self.source, self.target)
        )
        return landmark_errors(warp, source, target) | map_quality(warp, frame)

    def _warp_dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.warp.parameters()), torch.float64)

    @torch.no_grad()
    def render(
        self,
        time: float,
        *,
        blend: str | FaceAutoencoder = "multiband",
        outside: str = "source",
        mask: str | Path | Tensor = "face",
        size: int | None = None,
        shape_time: float | str | None = None,
        texture_time: float | str | None = None,
        refine: bool = False,
        match_skin: bool = True,
    ) -> Tensor:
        """The morph at ``time``: ``(3, H, W)`` in [0, 1].

        Args:
            time: 0 is the source, 1 the target.
            blend: ``multiband`` inside a soft mask, ``linear`` over the whole frame, as in the
                paper, or another of ``facemorph.fields.warps.blended_pairs.blend_pair``; or, for
                generative blending, an autoencoder: an object, or the checkpoint of a
                ``FaceAutoencoder``.
            outside: With a mask, whose hair, clothes and background: ``source``, ``target`` or
                ``mix``.
            mask: ``face``, ``lower_face``, ``left_half``, ``right_half``, ``frame``; or a polygon,
                see ``facemorph.faces.masks.read_mask_shape``.
            size: Longer side in pixels; that of the pictures when None.
            shape_time: How far the shape has come: a number, or a curve of
                ``facemorph.fields.warps.time_curves``; ``time`` when None. Shape and texture apart
                are the decoupled warping and blending of Ferrara, Franco and Maltoni (2019).
            texture_time: The same for the share of the target's colours, outside the face too.
            refine: Align hair, ears and clothes densely, see
                ``facemorph.fields.warps.dense_refinement``; of use with ``outside="mix"`` or
                ``blend="linear"``, which show both pictures there.
            match_skin: Whether neck and ears of the one picture that ``outside`` names take the
                tone of the face, see ``facemorph.systems.ifmorph.skin_tone``; with ``multiband``
                and the mask ``face`` only.

        Raises:
            ConfigError: ``time``, ``blend``, ``outside``, ``mask`` or a curve is none of the
                possible ones.
            DataError: The polygon's file is malformed, or the landmarks do not show that part of
                the face.
            GeometryError: The polygon has no area in the frame.
            CheckpointError: The autoencoder's checkpoint cannot be read, or holds none.
        """
        if not 0 <= time <= 1:
            raise ConfigError(
                "a morph has no such time", where="time", expected="0 to 1", found=time
            )
        frame = self.frame if size is None else self.frame.scaled_to(size)
        shape = curve_value(shape_time, time, "shape_time")
        texture = curve_value(texture_time, time, "texture_time")
        first, second = self.warped(shape, frame, refine)
        soft = None if blend in WHOLE_FRAME else self.mask(shape, frame, mask, refine).to(first)
        if soft is not None and blend not in BLENDS:
            return blend_by_autoencoder(
                first, second, soft, texture, self._autoencoder(blend), outside
            )
        if match_skin and soft is not None and blend == "multiband" and mask == "face":
            face = torch.lerp(first, second, texture)
            if outside == "source":
                first = match_skin_tone(first, face, soft)
            elif outside == "target":
                second = match_skin_tone(second, face, soft)
        return blend_pair(first, second, soft, texture, str(blend), outside)

    @torch.no_grad()
    def alpha(
        self,
        time: float,
        *,
        blend: str | FaceAutoencoder = "multiband",
        outside: str = "source",
        mask: str | Path | Tensor = "face",
        shape_time: float | str | None = None,
        texture_time: float | str | None = None,
        refine: bool = False,
        **_others: object,
    ) -> Tensor | None:
        """How opaque the morph is at ``time``: ``(1, H, W)`` in [0, 1]; None where both pictures
        are opaque.

        It is carried and blended as the colours are; blends that are no weighted mean of both
        pictures have that of ``linear_masked``.

        Args:
            time: 0 is the source, 1 the target.
            blend: Of ``render``, as all others; those that only colours have change nothing.
            outside: Likewise.
            mask: Likewise.
            shape_time: Likewise.
            texture_time: Likewise.
            refine: Likewise.
        """
        if self.source_alpha is None or self.target_alpha is None:
            return None
        frame, warp = self.frame, self.warp_to_render(refine)
        shape = curve_value(shape_time, time, "shape_time")
        texture = curve_value(texture_time, time, "texture_time")
        first, second = warp_pair(warp, self.source_alpha, self.target_alpha, frame, shape)
        kind = blend if blend in WEIGHTED else "linear_masked"
        soft = None if kind in WHOLE_FRAME else self.mask(shape, frame, mask, refine).to(first)
        return blend_pair(first, second, soft, texture, str(kind), outside)[:1]

    def _autoencoder(self, blend: str | FaceAutoencoder) -> FaceAutoencoder:
        """The autoencoder itself, or the one of a checkpoint, which is read once."""
        if not isinstance(blend, (str, Path)):
            return blend
        if str(blend) not in self._autoencoders:
            self._autoencoders[str(blend)] = load_autoencoder(blend, self.source.device)
        return self._autoencoders[str(blend)]

    @torch.no_grad()
    def warped(
        self, time: float, frame: Frame | None = None, refine: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Both pictures carried to ``time``: two ``(3, H, W)``."""
        warp = self.warp_to_render(refine)
        return warp_pair(warp, self.source_field, self.target_field, frame or self.frame, time)

    @torch.no_grad()
    def mask(
        self, time: float, frame: Frame, shape: str | Path | Tensor = "face", refine: bool = False
    ) -> Tensor:
        """Soft mask ``(1, H, W)`` at ``time``, carried there with the warp; ``shape`` as ``mask``
        of ``render``.
        """
        warp = self.warp_to_render(refine)

        def carry(points: Tensor) -> Tensor:
            return warp(points.to(self.source.device, self._warp_dtype()), 0.0, time).double().cpu()

        return carried_mask(shape, self.source, carry, self.frame, frame)

    def infer(
        self,
        output: Path,
        *,
        times: Sequence[float] | None = None,
        frames: int = 24,
        blend: str | FaceAutoencoder = "multiband",
        outside: str = "source",
        mask: str | Path | Tensor = "face",
        size: int | None = None,
        frames_per_second: float = 24.0,
        refine: bool = False,
    ) -> list[Path]:
        """Write the morph: video, GIF, folder of PNG files, or one picture by its suffix and one
        time.

        Args:
            output: ``.mp4``, ``.gif``, ``.png``, ``.jpg`` or a folder.
            times: Times in [0, 1]; ``frames`` equally spaced ones when None.
            frames: Number of frames.
            blend: See ``render``.
            outside: See ``render``.
            mask: See ``render``.
            size: See ``render``.
            frames_per_second: Speed of a video.
            refine: See ``render``.

        Raises:
            ConfigError: A time or option is none of the possible ones.
            OutputError: The output cannot be written.
        """
        output, shape = Path(output), read_mask_shape(mask)
        if times is None:
            if frames < 1:
                raise ConfigError("a morph needs a frame", where="frames", found=frames)
            times = [index / max(frames - 1, 1) for index in range(frames)]

        def rendered() -> Iterator[Tensor]:
            for time in times:
                yield self.render(
                    float(time), blend=blend, outside=outside, mask=shape, size=size, refine=refine
                )

        if output.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
            if len(times) != 1:
                raise ConfigError(
                    "one picture shows one time",
                    where="times",
                    expected="one",
                    found=len(times),
                    remedy="Give times=[0.5], or a folder or video as output.",
                )
            return [save_image(next(rendered()), output, synthetic=True)]
        return write_frames(rendered(), output, frames_per_second)


def load_autoencoder(blend: str | Path, device: torch.device | str = "cpu") -> FaceAutoencoder:
    """The autoencoder of a checkpoint, for ``blend`` of ``MorphedPair.render``.

    Raises:
        ConfigError: ``blend`` names neither a blending nor a checkpoint.
        CheckpointError: The checkpoint cannot be read, or holds no autoencoder.
    """
    if not names_a_checkpoint(blend):
        raise ConfigError(
            "unknown blending",
            where="blend",
            found=blend,
            expected=" | ".join(BLENDS) + ", or the checkpoint of an autoencoder",
        )
    found = load_system(blend)
    if not all(
        callable(getattr(found, name, None)) for name in ("encode", "interpolate", "decode")
    ):
        raise CheckpointError(
            "this checkpoint holds no autoencoder",
            where=blend,
            found=type(found).__name__,
            remedy="Train one: train experiment=ifmorph/autoencoder data.folder=DIR",
        )
    autoencoder: Any = found.eval().to(device)
    return cast(FaceAutoencoder, autoencoder)
