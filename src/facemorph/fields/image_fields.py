"""Pictures as continuous functions of field coordinates: exact spline, sine network,
multiresolution grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError, DataError, FacemorphError, GeometryError
from facemorph.fields.lazy_buffers import LazyBuffers
from facemorph.fields.siren import Siren
from facemorph.ops.frames import Frame
from facemorph.ops.jets import Jet
from facemorph.ops.memory import is_out_of_memory
from facemorph.ops.shapes import check_shape
from facemorph.ops.splines import evaluate_spline, sample_spline, spline_coefficients


class ImageField(Protocol):
    """A picture: field coordinates ``xy`` (N, 2) to sRGB colours (N, 3); at order 1 also d colour /
    d xy.
    """

    def __call__(self, xy: Tensor, *, order: int = 0) -> Jet:
        """Jet with value ``(N, 3)`` and, at order 1, Jacobian ``(N, 3, 2)``."""
        ...


class SplineImage(LazyBuffers):
    """The cubic B-spline through all pixels of an image: exact at pixel centres, C2 between, not
    trained.

    Args:
        image: ``(3, H, W)`` in [0, 1]; None for a picture that a state dict will bring.

    Raises:
        DataError: ``image`` has another shape.
    """

    image: Tensor
    coefficients: Tensor

    def __init__(self, image: Tensor | None = None) -> None:
        super().__init__()
        self.declare_buffers("image")
        self.register_buffer("coefficients", None, persistent=False)
        if image is not None:
            check_shape(image, "3 H W", "image")
            self.image = image
            self._restored()

    def _restored(self) -> None:
        self.coefficients = spline_coefficients(self.image[None])[0]

    @property
    def frame(self) -> Frame:
        """The picture's own frame."""
        if self.image is None:
            raise DataError(
                "there is no picture yet",
                where="SplineImage",
                remedy="Give one to the constructor, or load a state dict that has one.",
            )
        return Frame.of(self.image)

    def forward(self, xy: Tensor, *, order: int = 0) -> Jet:
        """Jet at ``xy`` (N, 2); the colour of the border goes on outside the frame.

        Raises:
            GeometryError: ``order`` is above 1.
        """
        _check_order(order)
        check_shape(xy, "N 2", "xy")
        pixels = self.frame.to_pixels(xy)
        value = evaluate_spline(self.coefficients, pixels)
        if order == 0:
            return Jet(value)
        partial = [evaluate_spline(self.coefficients, pixels, axis) for axis in ((1, 0), (0, 1))]
        return Jet(value, torch.stack(partial, -1) * self.frame.half_extent)

    def sample(self, positions: Tensor) -> Tensor:
        """Colours ``(3, h, w)`` at a dense map ``(h, w, 2)`` of field coordinates.

        The fast path of ``forward``. At its own pixel centres it is the image itself, to the last
        bit.
        """
        frame = self.frame
        if positions.shape[:2] == (frame.height, frame.width) and torch.equal(
            positions, frame.pixel_centres(positions.dtype, positions.device)
        ):
            return self.image
        pixels = frame.to_pixels(positions).to(self.coefficients.dtype)
        return sample_spline(self.coefficients[None], pixels[None])[0]


class SirenImage(Siren):
    """A picture in the weights of a sine network, as the paper has it.

    Args:
        hidden_features: Width of each hidden layer.
        omega_0: Angular frequency of the first layer.
        omega_hidden: Angular frequency of the other hidden layers; ``omega_0`` when None.
    """

    def __init__(
        self,
        hidden_features: Sequence[int] = (256, 256, 256),
        omega_0: float = 100.0,
        omega_hidden: float | None = None,
    ) -> None:
        super().__init__(2, 3, hidden_features, omega_0, omega_hidden)


class MultiresGrid(nn.Module):
    """Dense feature grids of several resolutions, decoded linearly and by a small network.

    They are read bilinearly. The dense relative of the hash grids of Mueller et al., Instant Neural
    Graphics Primitives (2022). The linear path, which starts as the sum of the levels, makes it
    train like a multigrid solver: seconds to 40 dB.

    Args:
        resolutions: Nodes along the longer side, level by level; 512 puts one on every pixel of
            such a picture.
        features: Features of each node, at least 3.
        hidden_features: Width of the decoder's hidden layer.
    """

    def __init__(
        self, resolutions: Sequence[int] = (64, 512), features: int = 3, hidden_features: int = 16
    ) -> None:
        super().__init__()
        if features < 3 or not resolutions or min(resolutions) < 2:
            raise ConfigError(
                "this grid cannot hold a colour",
                where="field",
                expected="features >= 3 and resolutions >= 2",
                found=f"features {features}, resolutions {list(resolutions)}",
            )
        total = features * len(resolutions)
        self.grids = nn.ParameterList(
            nn.Parameter(torch.empty(features, size, size).uniform_(-0.01, 0.01))
            for size in resolutions
        )
        self.direct = nn.Linear(total, 3)
        self.encode = nn.Linear(total, hidden_features)
        self.decode = nn.Linear(hidden_features, 3)
        with torch.no_grad():
            for level in range(len(resolutions)):
                self.direct.weight[:, level * features : level * features + 3] += torch.eye(3)
            self.decode.weight *= 0.1

    def forward(self, xy: Tensor, *, order: int = 0) -> Jet:
        """Jet at ``xy`` (N, 2); the Jacobian is that inside the grid cells, which meet with kinks.

        Raises:
            GeometryError: ``order`` is above 1.
        """
        _check_order(order)
        check_shape(xy, "N 2", "xy")
        if order == 0:
            features = torch.cat(
                [
                    F.grid_sample(
                        grid[None], xy[None, None], padding_mode="border", align_corners=False
                    )[0, :, 0]
                    for grid in self.grids
                ]
            ).t()
            return Jet(self.direct(features) + self.decode(F.silu(self.encode(features))))
        levels = [_bilinear_jet(grid, xy) for grid in self.grids]
        features = torch.cat([value for value, _ in levels], 1)
        slopes = torch.cat([slope for _, slope in levels], 1)  # (N, F, 2)
        hidden = self.encode(features)
        gate = torch.sigmoid(hidden)
        bend = gate * (1 + hidden * (1 - gate))  # derivative of silu
        jacobian = self.decode.weight @ (bend[..., None] * (self.encode.weight @ slopes))
        value = self.direct(features) + self.decode(F.silu(hidden))
        return Jet(value, self.direct.weight @ slopes + jacobian)


def _bilinear_jet(grid: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
    """Bilinear value ``(N, F)`` and derivative ``(N, F, 2)`` of ``grid`` (F, S, S), nodes at cell
    centres.
    """
    size = grid.shape[-1]
    exact = ((xy + 1) * size - 1) / 2
    index = exact.clamp(0, size - 1)
    whole = index.detach().floor().clamp(max=size - 2)
    x, y = (index - whole).unbind(-1)
    column, row = whole.long().unbind(-1)
    upper_left, upper_right, lower_left, lower_right = (
        grid[:, row + down, column + right].t() for down, right in ((0, 0), (0, 1), (1, 0), (1, 1))
    )
    x, y = x[:, None], y[:, None]
    upper, lower = torch.lerp(upper_left, upper_right, x), torch.lerp(lower_left, lower_right, x)
    slope_x = torch.lerp(upper_right - upper_left, lower_right - lower_left, y)
    slope = torch.stack([slope_x, lower - upper], -1) * (size / 2) * (exact == index)[:, None]
    return torch.lerp(upper, lower, y), slope


def _check_order(order: int) -> None:
    if order not in (0, 1):
        raise GeometryError(
            "an image field gives the colour and its gradient", expected="order 0 or 1", found=order
        )


def render_field(field: ImageField, positions: Tensor, chunk: int = 65536) -> Tensor:
    """Colours of ``field`` at a dense map: ``(3, h, w)``.

    Args:
        field: The picture.
        positions: ``(h, w, 2)`` field coordinates.
        chunk: Points evaluated at a time, which bounds the memory; halved once when that runs out.

    Raises:
        FacemorphError: The memory does not suffice for half of ``chunk`` either.
    """
    if isinstance(field, SplineImage):
        return field.sample(positions)
    flat = positions.reshape(-1, 2)
    for size in (chunk, max(1, chunk // 2)):
        try:
            colours = torch.cat([field(part).value for part in flat.split(size)])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return colours.t().reshape(3, *positions.shape[:2])
    raise FacemorphError(
        "out of memory while rendering a picture",
        where="chunk",
        found=f"{len(flat)} pixels in parts of {chunk} and of {chunk // 2}",
        remedy="Render a smaller picture (size), smaller parts, or on another device.",
    )
