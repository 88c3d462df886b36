"""Shape checks at public borders."""

from __future__ import annotations

from torch import Tensor

from facemorph.errors import DataError


def check_shape(tensor: Tensor, pattern: str, name: str = "tensor") -> dict[str, int]:
    """Check a tensor's shape against a pattern and return its named sizes.

    Args:
        tensor: The tensor to check.
        pattern: Sizes separated by spaces: a number is that size, a name any size (the same name,
            the same size), a leading ``...`` any number of leading dimensions.
        name: What to call the tensor in the error.

    Returns:
        The size of every name in the pattern.

    Raises:
        DataError: The shape does not fit.

    >>> import torch
    >>> check_shape(torch.zeros(2, 3, 8, 6), "B 3 H W")
    {'B': 2, 'H': 8, 'W': 6}
    """
    sizes: dict[str, int] = {}
    wanted = pattern.split()
    shape = list(tensor.shape)
    if wanted and wanted[0] == "...":
        wanted = wanted[1:]
        fits = len(shape) >= len(wanted)
        shape = shape[len(shape) - len(wanted) :] if fits else shape
    else:
        fits = len(shape) == len(wanted)
    if fits:
        for want, size in zip(wanted, shape, strict=True):
            fits &= size == (int(want) if want.isdigit() else sizes.setdefault(want, size))
    if not fits:
        raise DataError(
            f"{name} has the wrong shape",
            expected=f"({pattern.replace(' ', ', ')})",
            found=tuple(tensor.shape),
        )
    return sizes
