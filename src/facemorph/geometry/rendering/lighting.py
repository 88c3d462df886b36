"""Light as spherical harmonics of second order.

After Ramamoorthi and Hanrahan 2001, "An efficient representation for irradiance environment maps".
A *light* is ``(9, 3)``: for each channel the coefficients of the shading, that is of irradiance /
pi, so that a picture is ``albedo * shading(normals, light)`` and a light of mean shading 1 leaves
the albedo as it is on average. The paper's coefficients of the radiance become ours with the
factors ``LAMBERT``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.ops.shapes import check_shape

# Eq. 3 of the paper, in its order: Y00; Y1-1, Y10, Y11; Y2-2, Y2-1, Y20, Y21, Y22.
CONSTANTS = (
    0.282095,
    0.488603,
    0.488603,
    0.488603,
    1.092548,
    1.092548,
    0.315392,
    1.092548,
    0.546274,
)
# Eq. 8, clamped cosine, over pi: A0 = pi, A1 = 2 pi / 3, A2 = pi / 4.
LAMBERT = (1.0, *(2 / 3,) * 3, *(1 / 4,) * 5)
FLOOR = 0.35  # darkest shading of a normalised light, as a share of its mean
CEILING = 1.3  # its brightest shading: skin has an albedo below 0.75
DIMMEST, BRIGHTEST = 0.65, 1.05  # mean shading of a plausible light
# Mean and standard deviation of the level of photographs' light, whose exposure is meant for faces.
LEVEL, LEVEL_SIGMA = 0.85, 0.06


def sh_basis(normals: Tensor) -> Tensor:
    """The nine real spherical harmonics at unit normals ``(..., 3)``: ``(..., 9)``."""
    x, y, z = normals.unbind(-1)
    basis = torch.stack(
        [torch.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], -1
    )
    return basis * basis.new_tensor(CONSTANTS)


def shading(normals: Tensor, light: Tensor) -> Tensor:
    """How bright each channel is at unit normals.

    Args:
        normals: ``(..., 3)`` in the camera's frame, so that the light stays where it is as the head
            turns.
        light: ``(..., 9, 3)``, broadcast against the normals: ``(B, 1, 9, 3)`` for ``(B, P, 3)``.

    Returns:
        ``(..., 3)``; second-order harmonics may be below 0 on the side away from a strong lamp.
    """
    return (sh_basis(normals)[..., None, :] @ light)[..., 0, :]


def ambient_light(colour: float | Tensor = 1.0) -> Tensor:
    """Light ``(9, 3)`` from everywhere: the shading is ``colour`` on all normals."""
    light = torch.zeros(9, 3)
    light[0] = torch.as_tensor(colour) / CONSTANTS[0]
    return light


def lamp_light(directions: Tensor, colours: Tensor) -> Tensor:
    """Light of distant lamps (eq. 4 and 8: the harmonics of each lamp, times those of the clamped
    cosine).

    Args:
        directions: ``(B, L, 3)`` unit vectors from the head to the lamps.
        colours: ``(B, L, 3)`` shading of a surface that faces the lamp.

    Returns:
        ``(B, 9, 3)``.
    """
    basis = sh_basis(directions) * directions.new_tensor(LAMBERT)
    # A lamp of irradiance E has the radiance E delta; irradiance / pi of it is sum A_l / pi E Y(d)
    # Y(n).
    return math.pi * torch.einsum("bls,blc->bsc", basis, colours)


def random_light(count: int, generator: torch.Generator) -> Tensor:
    """Plausible lights ``(count, 9, 3)``: soft light from all sides and one to three lamps,
    slightly coloured.

    Normalised, so that no face is clamped: on the normals that a camera can see, weighted with the
    area that it sees of them, the mean shading is 0.65 to 1.05, nowhere less than 0.35 times that
    or more than 1.3.
    """
    directions = torch.randn(count, 3, 3, generator=generator)
    directions[..., 2] = directions[..., 2].abs() * 0.7 + 0.2  # in front
    directions[..., 1] = directions[..., 1] * 0.6 + 0.35  # rather from above
    directions = torch.nn.functional.normalize(directions, dim=-1)
    strength = torch.rand(count, 3, 1, generator=generator) * torch.tensor([1.0, 0.5, 0.3])[:, None]
    tint = 1 + 0.06 * torch.randn(count, 3, 3, generator=generator).clamp(-2, 2)
    light = lamp_light(directions, strength * tint)
    light[:, 0] += (0.5 + 0.7 * torch.rand(count, 1, generator=generator)) / CONSTANTS[0]
    mean = DIMMEST + (BRIGHTEST - DIMMEST) * torch.rand(count, generator=generator)
    return normalize_light(light, mean)


def normalize_light(light: Tensor, mean: Tensor) -> Tensor:
    """Lights ``(B, 9, 3)`` scaled to mean shadings ``(B,)`` and softened until nothing is black or
    clamped.

    Lights that are nowhere positive become ambient.
    """
    normals = _front_normals(light)
    seen = normals[:, 2] / normals[:, 2].sum()
    lit = shading(normals[None], light[:, None])  # (B, N, 3)
    average = (lit * seen[:, None]).sum(1)  # (B, 3)
    grey = average.mean(1, keepdim=True)
    usable = grey > 1e-6
    # What differs from the mean is scaled down until the extremes fit.
    spread = (lit - average[:, None]) / grey.clamp(min=1e-6)[:, None]
    level = average / grey.clamp(min=1e-6)
    down = (level - FLOOR) / (-spread.amin(1)).clamp(min=1e-6)
    up = (CEILING / mean[:, None] - level) / spread.amax(1).clamp(min=1e-6)
    keep = torch.minimum(down, up).amin(1).clamp(0, 1)[:, None, None]
    flat = torch.zeros_like(light)
    flat[:, 0] = average / CONSTANTS[0]
    softened = (flat + (light - flat) * keep) / grey.clamp(min=1e-6)[..., None]
    white = ambient_light().to(light)
    return torch.where(usable[..., None], softened, white) * mean[:, None, None]


def light_level(light: Tensor) -> Tensor:
    """Mean shading ``(..., 3)`` of lights ``(..., 9, 3)`` on the normals that a camera can see,
    weighted with the area that it sees of them: what ``random_light`` draws between 0.65 and 1.05.
    """
    normals = _front_normals(light)
    weights = normals[:, 2:] / normals[:, 2].sum()
    return ((sh_basis(normals) * weights).sum(0)[:, None] * light).sum(-2)


def _front_normals(like: Tensor, count: int = 200) -> Tensor:
    """Normals ``(count, 3)`` evenly over the half of the sphere that faces the camera (Fibonacci
    lattice).
    """
    index = torch.arange(count, dtype=like.dtype, device=like.device) + 0.5
    z = 1 - index / count
    angle = index * math.pi * (1 + math.sqrt(5))
    radius = (1 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)


def fit_light(
    normals: Tensor,
    albedo: Tensor,
    colours: Tensor,
    weights: Tensor | None = None,
    *,
    ridge: float = 1e-3,
    rounds: int = 5,
) -> Tensor:
    """The light that explains a photograph, by robust linear least squares.

    Minimises ``sum w (albedo * (basis @ light) - colour)^2 + ridge * P |light[1:]|^2`` channel by
    channel, with weights that go down as 1 / residual beyond a colour difference of 0.1 (Huber),
    for highlights and hair.

    Args:
        normals: ``(P, 3)`` unit normals in the camera's frame.
        albedo: ``(P, 3)`` colours without light.
        colours: ``(P, 3)`` colours in the photograph.
        weights: ``(P,)`` how far each is to be believed; None is 1.
        ridge: Weight of the prior for light from everywhere.
        rounds: Rounds of reweighting.

    Returns:
        ``(9, 3)``.

    Raises:
        GeometryError: Fewer than 9 points with a weight, or values that are not numbers.
    """
    count = check_shape(normals, "P 3", "normals")["P"]
    check_shape(albedo, f"{count} 3", "albedo")
    check_shape(colours, f"{count} 3", "colours")
    weight = torch.ones_like(colours[:, 0]) if weights is None else weights
    if int((weight > 0).sum()) < 9:
        raise GeometryError(
            "too few points to tell the light",
            where="fit_light",
            expected="at least 9",
            found=int((weight > 0).sum()),
            remedy="Use a photograph that shows the face.",
        )
    if not all(bool(torch.isfinite(values).all()) for values in (normals, albedo, colours, weight)):
        raise GeometryError("normals or colours are not numbers", where="fit_light")
    rows = sh_basis(normals).double()[None] * albedo.double().T[..., None]  # (3, P, 9)
    target = colours.double().T[..., None]  # (3, P, 1)
    prior = torch.eye(9, dtype=torch.float64, device=rows.device) * ridge * float(weight.sum())
    prior[0, 0] = 1e-9 * float(weight.sum())
    trust = weight.double().expand(3, -1)
    solution = rows.new_zeros(3, 9, 1)
    for _ in range(rounds):
        weighted = rows * trust[..., None]
        # One channel at a time: batched solvers misbehave with several threads (torch 2.13).
        solution = torch.stack(
            [
                torch.linalg.solve(weighted[c].T @ rows[c] + prior, weighted[c].T @ target[c])
                for c in range(3)
            ]
        )
        residual = (rows @ solution - target)[..., 0].abs()
        trust = weight.double() * (0.1 / residual.clamp(min=0.1))
    return solution[..., 0].T.to(colours.dtype)
