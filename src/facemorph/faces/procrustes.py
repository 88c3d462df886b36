"""Mean shapes: what remains of landmark sets when rotation, scale and shift are taken out.

Source: Gower, *Generalized Procrustes analysis*, 1975; in the plane the mean needs no iteration:
Kent, *The complex Bingham distribution and shape analysis*, 1994.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.faces.alignment import apply_affine, fit_similarity
from facemorph.ops.shapes import check_shape
from facemorph.ops.threads import one_thread


def procrustes_align(points: Tensor, target: Tensor) -> Tensor:
    """``points`` (P, 2) moved onto ``target`` (P, 2) by the best rotation, scale and shift; never
    mirrored.

    Raises:
        GeometryError: All points coincide, or one is not finite.
    """
    return apply_affine(points, fit_similarity(points, target))


def mean_shape(shapes: Sequence[Tensor], weights: Tensor | None = None) -> Tensor:
    """Generalised Procrustes mean of landmark sets, at the mean of their poses.

    With each set written as a complex vector z_i, centred and of unit length, the mean shape m is
    the leading eigenvector of the sum of z_i z_i*. Each set then is about a_i m + b_i; the mean is
    placed by the geometric mean of the scales |a_i|, the circular mean of the angles arg a_i and
    the mean of the centres b_i. The order of the sets does not matter, and the mean of one is
    itself.

    Args:
        shapes: At least one ``(P, 2)``, P >= 2.
        weights: ``(N,)`` above 0, how much each counts in the sum and in the means; all alike when
            None.

    Returns:
        ``(P, 2)`` float64.

    Raises:
        GeometryError: There is no set, their numbers of points differ, a point is not finite, all
            points of one coincide, or the sets have no pose in common.
    """
    if not shapes:
        raise GeometryError("a mean shape needs at least one set of landmarks")
    count = check_shape(shapes[0], "P 2", "shape 0")["P"]
    for index, shape in enumerate(shapes):
        check_shape(shape, f"{count} 2", f"shape {index}")
    rows = torch.view_as_complex(torch.stack([shape.double() for shape in shapes]).contiguous())
    centres = rows.mean(1, keepdim=True)
    lengths = (rows - centres).norm(dim=1, keepdim=True)
    if not bool(torch.isfinite(lengths).all()) or float(lengths.min()) < 1e-9 * float(
        1 + centres.abs().max()
    ):
        raise GeometryError(
            "all points of a shape coincide, or are not finite: it has no scale",
            found=lengths.flatten().tolist(),
            remedy="Check the landmarks.",
        )
    if all(torch.equal(shape, shapes[0]) for shape in shapes):
        return shapes[0].double().clone()
    counts = torch.ones(len(shapes), 1) if weights is None else weights.view(-1, 1)
    share = counts.double() / counts.double().sum()
    unit = (rows - centres) / lengths
    with one_thread():
        mean = torch.linalg.eigh(unit.mT @ (share * unit.conj()))[1][:, -1]
    factors = (rows - centres) @ mean.conj()  # least-squares a_i, (N,)
    heading = (share[:, 0] * factors / factors.abs().clamp_min(1e-300)).sum()
    if float(factors.abs().min() / lengths.max()) < 1e-3 or float(heading.abs()) < 1e-3:
        raise GeometryError(
            "these shapes have no mean: too different, or turned against each other",
            found=f"{len(shapes)} shapes",
            remedy="Check the landmarks.",
        )
    scale = (share[:, 0] * factors.abs().log()).sum().exp() * heading / heading.abs()
    return torch.view_as_real(scale * mean + (share * centres).sum()).contiguous()
