"""A linear model of the colours of real faces' skin in a texture map, and its file.

Texels of the face are statistics of photographs; ears, neck and scalp follow from them smoothly, as
bare skin; eyes and mouth are the same for everybody. Photographs' hair, clothes and teeth are not
in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.errors import DataError
from facemorph.geometry.models.morphable_model import FaceTopology
from facemorph.geometry.textures.texture_completion import push_pull
from facemorph.geometry.textures.texture_statistics import ridge_coefficients
from facemorph.ops.shapes import check_shape
from facemorph.storage.files import ASSETS, write_atomic

OPEN = "open"  # name of the model that comes with facemorph
FILE = ASSETS / "textures" / "open.safetensors"
FORMAT = "facemorph texture model 1"
STEPS = 127  # of a stored basis, to each side of 0


@dataclass(frozen=True)
class TextureModel:
    """A texture is ``mean + sum coefficient * std * basis``, the coefficients standard normal.

    Attributes:
        mean: ``(3, S, S)`` in [0, 1].
        basis: ``(K, 3, S, S)``, orthonormal on the face.
        std: ``(K,)`` standard deviation of people along each, falling.
        odd: ``(K,)`` bool: whether a component changes its sign in the mirror. Lamps leave such
            differences more often than skins have them.
        face: ``(S, S)`` 1 on the texels that statistics describe, 0 on those that follow from them.
        gain: ``(3, S, S)`` how strongly each texel off the face follows the face next to it.
        noise: Standard deviation of what the components do not say of a texel.
        model: Name of the face model whose map it is.
    """

    mean: Tensor
    basis: Tensor
    std: Tensor
    odd: Tensor
    face: Tensor
    gain: Tensor
    noise: float
    model: str

    def __post_init__(self) -> None:
        sizes = check_shape(self.basis, "K 3 S S", "basis")
        check_shape(self.mean, f"3 {sizes['S']} {sizes['S']}", "mean")
        check_shape(self.face, f"{sizes['S']} {sizes['S']}", "face")
        check_shape(self.std, f"{sizes['K']}", "std")
        check_shape(self.odd, f"{sizes['K']}", "odd")

    @property
    def size(self) -> int:
        """S, texels along each side."""
        return self.mean.shape[-1]

    def __len__(self) -> int:
        """K, the number of components."""
        return len(self.std)

    @classmethod
    def load(cls, source: str | Path = OPEN) -> Self:
        """Read a model.

        Args:
            source: A file, or ``open``, the one that comes with facemorph.

        Raises:
            DataError: The file is missing or is no texture model.
        """
        path = FILE if str(source) == OPEN else Path(source)
        found = _read(path, path.stat().st_mtime_ns if path.is_file() else 0)
        return cls(*found)

    def save(self, path: str | Path, facts: dict[str, Any] | None = None) -> None:
        """Write the model, its basis in steps of a 127th of each component's largest value.

        Only the texels of the face are kept, and of them the left half, since each component is
        symmetrical.

        Args:
            path: A ``.safetensors`` file.
            facts: What else to write into its header, such as sources and figures.

        Raises:
            CheckpointError: The file cannot be written.
        """
        from safetensors.torch import save

        half = self.size // 2
        chosen = (self.face > 0)[:, :half]
        values = self.basis[..., :half][:, :, chosen]
        scale = values.abs().amax((1, 2)).clamp(min=1e-12) / STEPS
        tensors = {
            "mean": self.mean.half(),
            "basis": (values / scale[:, None, None]).round().to(torch.int8),
            "scale": scale,
            "std": self.std,
            "odd": self.odd.to(torch.uint8),
            "face": (self.face * 255).round().to(torch.uint8),
            "gain": self.gain.half(),
        }
        header = {
            "format": FORMAT,
            "model": self.model,
            "noise": str(self.noise),
            "facts": json.dumps(facts or {}),
        }
        content = save({name: one.contiguous() for name, one in tensors.items()}, header)
        write_atomic(path, lambda target: target.write(content))

    def decode(self, coefficients: Tensor) -> Tensor:
        """Textures ``(B, 3, S, S)`` in [0, 1] of coefficients ``(B, K)``.

        Raises:
            DataError: K is another number.
        """
        check_shape(coefficients, f"B {len(self)}", "coefficients")
        offset = (coefficients * self.std) @ self.basis.flatten(1)
        return (self.mean + offset.view(-1, *self.mean.shape)).clamp(0, 1)

    def encode(self, texture: Tensor, seen: Tensor) -> Tensor:
        """The most probable coefficients ``(B, K)`` of textures of which only some is seen.

        Args:
            texture: ``(B, 3, S, S)`` without light.
            seen: ``(B, S, S)`` how far each texel is to be believed, 0 to 1.

        Raises:
            DataError: A shape does not fit.
        """
        count = check_shape(texture, f"B 3 {self.size} {self.size}", "texture")["B"]
        check_shape(seen, f"{count} {self.size} {self.size}", "seen")
        chosen = self.face > 0.5
        return ridge_coefficients(
            texture[:, :, chosen],
            seen[:, chosen],
            self.mean[:, chosen],
            self.basis[:, :, chosen] * self.std[:, None, None],
            self.noise,
        )

    def sample(self, count: int, generator: torch.Generator, std: float = 1.0) -> Tensor:
        """Coefficients ``(count, K)`` of random people, the same on both sides of the face.

        Args:
            count: How many.
            generator: The random numbers.
            std: How much they differ from the mean: 1 as much as real people.
        """
        drawn = torch.randn(count, len(self), generator=generator).clamp(-2.5, 2.5)
        return drawn * std * ~self.odd

    def at_vertices(self, topology: FaceTopology) -> tuple[Tensor, Tensor]:
        """Colours at the vertices of the face model: mean ``(V, 3)`` and basis ``(K, V, 3)``, one
        standard deviation each, as ``refine_by_picture`` takes them.
        """
        place = topology.uv.new_zeros(int(topology.faces.max()) + 1, 2)
        place[topology.faces.flatten()] = topology.uv[topology.faces_uv.flatten()]
        grid = (place * 2 - 1)[None, None]
        maps = torch.cat([self.mean[None], self.basis * self.std[:, None, None, None]])
        found = functional.grid_sample(
            maps.flatten(0, 1)[None], grid.to(maps), padding_mode="border", align_corners=False
        )
        found = found[0, :, 0].unflatten(0, (-1, 3)).transpose(1, 2)
        return found[0], found[1:]

    def first(self, count: int) -> TextureModel:
        """The model with its first components only."""
        kept = {name: getattr(self, name)[:count] for name in ("basis", "std", "odd")}
        return replace(self, **kept)


@lru_cache(maxsize=4)
def _read(path: Path, stamp: int) -> tuple[Any, ...]:
    """What a file holds, as `TextureModel` takes it; read again only after it has changed."""
    del stamp
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.get("format") != FORMAT:
            raise DataError(
                "this is no texture model",
                where=path,
                expected=FORMAT,
                found=header.get("format", "none"),
                remedy="Make one with `facemorph data textures SET -o FILE`.",
            )
        return (*_unpacked(values), float(header["noise"]), header["model"])
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError, IndexError) as error:
        raise DataError(
            "this texture model cannot be read",
            where=path,
            expected="what `facemorph data textures` writes",
            found=type(error).__name__,
        ) from error


def _unpacked(values: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Mean, whole basis, standard deviations, sides, face and gain from what a file holds."""
    face, odd = values["face"].float() / 255, values["odd"].bool()
    size, count = face.shape[-1], len(odd)
    chosen = (face > 0)[:, : size // 2]
    left = torch.zeros(count, 3, size, size // 2)
    left[:, :, chosen] = values["basis"].float() * values["scale"][:, None, None]
    sign = torch.where(odd, -1.0, 1.0)[:, None, None, None]
    basis = torch.cat([left, left.flip(-1) * sign], -1)
    gain = values["gain"].float()
    basis = spread_over_head(basis, face, gain)
    return values["mean"].float(), basis, values["std"].float(), odd, face, gain


def spread_over_head(basis: Tensor, face: Tensor, gain: Tensor) -> Tensor:
    """Components ``(K, 3, S, S)`` of the face, carried on to ears, neck and scalp.

    Args:
        basis: Known where ``face`` is.
        face: ``(S, S)`` weight in [0, 1] of what is known.
        gain: ``(3, S, S)`` how strongly each texel follows; 0 in eyes and mouth.
    """
    spread = push_pull(basis.flatten(0, 1), face).view_as(basis) * gain
    return torch.where(face > 0.999, basis, spread)
