"""A warp between two faces and the morph that it gives: ifmorph, and its closed-form relatives.

Source: Schardong et al., Neural Implicit Morphing of Face Images (CVPR 2024), and its successor
FLOWING (NeurIPS 2025).

| paper | here |
|---|---|
| T: R^2 x R -> R^2 | ``warp`` (``facemorph.fields``: siren, siren_residual, or a closed form) |
| flows of FLOWING | ``warp``: neural_ode, conjugate_flow |
| L = l1 W + l2 D + l3 T (section 3.2) | ``loss`` (``facemorph.losses``: neural_morphing; FLOWING's: flowing) |
| I_0 o T_-t and I_1 o T_{1-t}, blended with weight t (section 3.3) | ``render`` |

Departures: a closed-form warp is fitted to the landmarks in one step and needs no training loop;
the quality logged after each epoch is measured in pixels (landmarks, folds) instead of the noisy
loss; blending is in frequency bands inside a soft face mask unless ``blend="linear"``; pictures may
be exact splines instead of networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from facemorph.engine.optimizers import adam_with_schedule
from facemorph.errors import CheckpointError, ConfigError
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.video_io import write_frames
from facemorph.faces.masks import carried_mask, held_face, read_mask_shape
from facemorph.fields.image_fields import SirenImage, SplineImage
from facemorph.fields.lazy_buffers import LazyBuffers
from facemorph.fields.warps.blended_pairs import (
    WHOLE_FRAME,
    blend_by_autoencoder,
    blend_pair,
    warp_pair,
)
from facemorph.fields.warps.choices import BLENDS
from facemorph.fields.warps.dense_refinement import RefinedWarp, refine_warp
from facemorph.fields.warps.ifmorph_files import read_ifmorph_network
from facemorph.fields.warps.time_curves import curve_value
from facemorph.fields.warps.warp import ClosedFormWarp
from facemorph.metrics.warp_quality import landmark_errors, map_quality
from facemorph.ops.blending import FaceAutoencoder
from facemorph.ops.frames import Frame
from facemorph.storage.checkpoint import load_system
from facemorph.storage.runs import names_a_checkpoint
from facemorph.systems.ifmorph.losses import NeuralMorphingLoss, WarpBatch


class NeuralWarp(LazyBuffers, LightningModule):
    """Trains or fits a warp between two faces, and renders their morph.

    Its checkpoint holds landmarks and pictures, so it renders without the input files.

    Args:
        warp: The warp: a network, or a closed form with ``fit``.
        loss: Loss of a trained warp, one that fits it; ifmorph's when None.
        source_field: The first picture as a network; the exact spline through its pixels when None.
        target_field: The second picture.
        source_checkpoint: Checkpoint of an ``ImageField``, or ``.pth`` of the authors' project,
            whose network fills ``source_field`` before training. Nothing is read before that.
        target_checkpoint: The same for ``target_field``.
        border_anchors: Fixed points on each side of the frame, trained like landmarks: they keep
            the background in place. None in the paper.
        learning_rate: Step size of Adam.
        schedule: ``constant``, or ``cosine`` down to a hundredth over the whole run.
    """

    warp: Any  # a module that is a Warp
    source: Tensor
    target: Tensor
    frame_size: Tensor

    def __init__(
        self,
        warp: nn.Module,
        loss: nn.Module | None = None,
        source_field: nn.Module | None = None,
        target_field: nn.Module | None = None,
        source_checkpoint: str | Path | None = None,
        target_checkpoint: str | Path | None = None,
        border_anchors: int = 4,
        learning_rate: float = 2e-3,
        schedule: str = "cosine",
    ) -> None:
        super().__init__()
        self.warp = warp
        self.loss = NeuralMorphingLoss() if loss is None else loss
        self.source_field = SplineImage() if source_field is None else source_field
        self.target_field = SplineImage() if target_field is None else target_field
        self.checkpoints = {"source_field": source_checkpoint, "target_field": target_checkpoint}
        self.border_anchors, self.learning_rate, self.schedule = (
            border_anchors,
            learning_rate,
            schedule,
        )
        for name, checkpoint in self.checkpoints.items():
            if checkpoint is not None and isinstance(getattr(self, name), SplineImage):
                raise ConfigError(
                    "a checkpoint needs a network to fill",
                    where=f"system.{name}",
                    found="a spline",
                    remedy=f"Add +field@system.{name}=siren.",
                )
        # The pictures are given: only the warp is trained.
        self.source_field.requires_grad_(False)
        self.target_field.requires_grad_(False)
        self.declare_buffers("source", "target", "frame_size")
        # Autoencoders by their checkpoint, and a warp in a list: neither is trained or stored.
        self._autoencoders: dict[str, FaceAutoencoder] = {}
        self._refined: list[RefinedWarp] = []

    # ------------------------------------------------------------
    # training
    @property
    def requires_training(self) -> bool:
        """False for a closed-form warp, which ``fit_closed_form`` determines at once."""
        return not isinstance(self.warp, ClosedFormWarp)

    def _restored(self) -> None:
        self._refined.clear()

    def setup(self, stage: str) -> None:
        """Take over the pair before training."""
        if stage == "fit":
            self.take_pair(self.trainer.datamodule)  # type: ignore[attr-defined]

    def take_pair(self, datamodule: object) -> None:
        """Take over landmarks and pictures of a ``LandmarkPair`` that is set up.

        Raises:
            CheckpointError: A field's checkpoint does not fit the field.
        """
        datamodule.setup("fit")  # type: ignore[attr-defined]
        self.take_landmarks(*datamodule.landmarks())  # type: ignore[attr-defined]
        images = {"source_field": datamodule.pair.image_a, "target_field": datamodule.pair.image_b}  # type: ignore[attr-defined]
        for name, image in images.items():
            field, checkpoint = getattr(self, name), self.checkpoints[name]
            if isinstance(field, SplineImage):
                setattr(self, name, SplineImage(image))
            elif checkpoint is not None:
                _fill(field, checkpoint, f"system.{name}", Frame.of(image))

    def take_landmarks(self, source: Tensor, target: Tensor, frame: Frame) -> None:
        """Take over landmarks ``(P, 2)`` in field coordinates and their frame; the pictures stay as
        they are.
        """
        self.source, self.target = source.float(), target.float()
        self.frame_size = torch.tensor([frame.height, frame.width])
        self._refined.clear()

    def fit_closed_form(self, datamodule: object) -> dict[str, float]:
        """``solve``, and measure: what a sweep over a closed form's settings looks at.

        Returns:
            ``quality/NAME`` for everything in ``quality()``.

        Raises:
            GeometryError: The landmarks do not determine a warp without folds.
        """
        self.solve(datamodule)
        return {f"quality/{name}": value for name, value in self.quality().items()}

    def solve(self, datamodule: object) -> None:
        """Determine a closed-form warp by the landmarks of a ``LandmarkPair`` that is set up.

        Raises:
            GeometryError: The landmarks do not determine a warp without folds.
        """
        self.take_pair(datamodule)
        if isinstance(self.warp, ClosedFormWarp):
            source, target, frame = datamodule.landmarks()  # type: ignore[attr-defined]
            self.warp.fit(source, target, frame)

    def training_step(self, batch: WarpBatch, batch_idx: int) -> Tensor:
        """The weighted sum of the loss's terms."""
        terms = self.loss(self.warp, batch["still"], batch["moving"], *self.points_to_meet())
        self.log_dict({f"train/{name}": value for name, value in terms.items()})
        total: Tensor = terms["total"]
        return total

    def points_to_meet(self) -> tuple[Tensor, Tensor]:
        """Landmarks and border anchors of the source and of the target: two ``(P, 2)``, in field
        coordinates.
        """
        anchors = self.frame.border_anchors(self.border_anchors).to(self.source)[
            : 4 * self.border_anchors
        ]
        return torch.cat([self.source, anchors]), torch.cat([self.target, anchors])

    def on_train_epoch_end(self) -> None:
        """Measure landmarks and folds in pixels."""
        self._refined.clear()
        for name, value in self.quality(coarse=True).items():
            self.log(f"quality/{name}", value, prog_bar=name == "alignment_px", sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam on the warp."""
        return adam_with_schedule(
            self.warp.parameters(),
            self.learning_rate,
            self.schedule,
            int(self.trainer.estimated_stepping_batches),
        )

    # ------------------------------------------------------------
    # rendering
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
        return blend_pair(first, second, soft, texture, str(blend), outside)

    def _autoencoder(self, blend: str | FaceAutoencoder) -> FaceAutoencoder:
        """The autoencoder itself, or the one of a checkpoint, which is read once."""
        if not isinstance(blend, (str, Path)):
            return blend
        if str(blend) not in self._autoencoders:
            self._autoencoders[str(blend)] = load_autoencoder(blend, self.device)
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
    """The autoencoder of a checkpoint, for ``blend`` of ``NeuralWarp.render``.

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


def _fill(field: nn.Module, checkpoint: str | Path, key: str, frame: Frame) -> None:
    """Load a trained network into ``field``: one of ours, or a ``.pth`` of the authors, for this
    frame.
    """
    try:
        if Path(checkpoint).suffix == ".pth" and isinstance(field, SirenImage):
            network: Any = read_ifmorph_network(
                checkpoint, omega_0=field.omegas[0], omega_hidden=field.omegas[-1], frame=frame
            )
        else:
            network = load_system(checkpoint).field
        field.load_state_dict(network.state_dict())
    except (RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"this checkpoint holds no network for {key}",
            where=checkpoint,
            found=str(error).splitlines()[0],
            remedy="Give a checkpoint of an image field with the same network.",
        ) from error
