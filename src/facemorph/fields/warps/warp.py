"""The protocol of all warps, and its two kinds: trained networks, and closed forms fitted to
landmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.fields.lazy_buffers import LazyBuffers
from facemorph.ops.frames import Frame
from facemorph.ops.jets import Jet
from facemorph.ops.shapes import check_shape


@runtime_checkable
class Warp(Protocol):
    """Carries points from time ``t0`` to time ``t1``; the identity where the two are equal.

    Time 0 is the source picture, time 1 the target. Points are field coordinates of
    ``facemorph.ops.frames``.

    Attributes:
        lattice_nodes: Nodes along the longer side on which a dense map may be evaluated and then
            interpolated by splines; None for warps that are not smooth enough for that.
    """

    lattice_nodes: int | None

    def __call__(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) of time ``t0`` at time ``t1``."""
        ...


@runtime_checkable
class TrainableWarp(Protocol):
    """A warp by a network of (x, y, duration), trained with
    ``facemorph.systems.ifmorph.losses``.
    """

    lattice_nodes: int | None

    def __call__(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) of time ``t0`` at time ``t1``."""
        ...

    def advance(self, xyt: Tensor, *, order: int = 0) -> Jet:
        """Jet of the moved points for rows (x, y, duration) (N, 3), derivatives with respect to all
        three.
        """
        ...


class ClosedFormWarp(LazyBuffers):
    """Base of the warps that two landmark sets determine without training.

    ``fit`` keeps the landmarks and the frame as buffers, so that a checkpoint holds them whatever
    their number.
    """

    source: Tensor
    target: Tensor
    frame_size: Tensor
    lattice_nodes: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.declare_buffers("source", "target", "frame_size")

    def fit(self, source: Tensor, target: Tensor, frame: Frame) -> ClosedFormWarp:
        """Determine the warp by landmarks ``(P, 2)`` in field coordinates of ``frame``; returns
        itself.

        Raises:
            GeometryError: There are no landmarks, their numbers differ, or they do not determine
                the warp.
        """
        self._keep(source, target, frame)
        self._prepare(frame)
        return self

    def _keep(self, source: Tensor, target: Tensor, frame: Frame) -> None:
        """Check the landmarks and keep them."""
        sizes = check_shape(source, "P 2", "source landmarks")
        if sizes["P"] == 0 or source.shape != target.shape:
            raise GeometryError(
                "a warp needs as many target as source landmarks, and at least one",
                expected=tuple(source.shape),
                found=tuple(target.shape),
            )
        for name, points in (("source", source), ("target", target)):
            bad = (~points.isfinite()).any(-1).nonzero().flatten().tolist()
            if bad:
                raise GeometryError(
                    f"{name} landmarks are not finite numbers",
                    found=f"indices {bad}",
                    remedy="Detect them again or correct these points.",
                )
        self.source, self.target = source.double(), target.double()
        self.frame_size = torch.tensor([frame.height, frame.width])

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> ClosedFormWarp:
        # Landmarks move between devices, but stay in double precision whatever dtype is asked for.
        before = dict(self._buffers)
        super()._apply(function, recurse)
        for name, buffer in before.items():
            moved = self._buffers[name]
            if buffer is not None and moved is not None and moved.dtype != buffer.dtype:
                self._buffers[name] = buffer.to(moved.device)
        return self

    def _prepare(self, frame: Frame) -> None:
        """Hook: solve what depends on the landmarks only."""

    def _restored(self) -> None:
        height, width = (int(size) for size in self.frame_size)
        self._prepare(Frame(height, width))

    def _require_fit(self) -> None:
        if self.source is None:
            raise GeometryError(
                f"{type(self).__name__} has no landmarks yet",
                remedy="Call fit(source, target, frame) first.",
            )
