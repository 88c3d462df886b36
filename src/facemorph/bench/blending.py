"""``facemorph bench blending``: Poisson blending of a real pair against a sparse direct solve, and
multiband.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor

from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder
from facemorph.bench.table import Row, row
from facemorph.faces.masks import face_mask
from facemorph.faces.pair import prepare_pair
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.warps.blended_pairs import GUIDANCE_OF, blend_pair, hard_mask, warp_pair
from facemorph.fields.warps.choices import BLENDS
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.ops.poisson import guidance, solve_poisson
from facemorph.ops.threads import one_thread

TIME = 0.5


def run(folder: Path | None = None, size: int = 512) -> list[Row]:
    """All rows of the suite: the sample photographs half-way, on one thread; portrait, and close-up
    (ffhq).

    Args:
        folder: Not used: no row needs FRLL.
        size: Longer side of the frame in pixels.
    """
    del folder
    rows = []
    with one_thread(), torch.no_grad():
        for align, blends in (("portrait", BLENDS), ("ffhq", tuple(GUIDANCE_OF))):
            first, second, mask = _warped_pair(size, align)
            hard = hard_mask(mask)
            label = f"{align} of {size} px, mask {100 * float(hard.float().mean()):.0f} %"
            for blend in blends:

                def whole(
                    blend: str = blend, pair: tuple[Tensor, Tensor, Tensor] = (first, second, mask)
                ) -> Tensor:
                    return blend_pair(*pair, TIME, blend)

                bar = "< 150" if blend in GUIDANCE_OF else None
                rows.append(row(f"{blend}, {label}: one frame, median", _median(whole), "ms", bar))
            for blend in GUIDANCE_OF:
                rows += _against_sparse(
                    first, second, hard, GUIDANCE_OF[blend], f"{blend}, {label}"
                )
    return rows


def _warped_pair(size: int, align: str) -> tuple[Tensor, Tensor, Tensor]:
    pair = prepare_pair(*(sample_folder() / name for name in PHOTOGRAPHS), size=size, align=align)
    warp = ThinPlateFlow(smoothing=1e-3)
    with torch.no_grad():
        warp.fit(pair.source, pair.target, pair.frame)
        first, second = warp_pair(
            warp, SplineImage(pair.image_a), SplineImage(pair.image_b), pair.frame, TIME
        )
        points = pair.frame.to_pixels(warp(pair.source, 0.0, TIME).double())
    return first, second, face_mask(points, pair.scheme, pair.frame)


def _median(function: Callable[[], object], repeats: int = 7) -> float:
    """Median wall-clock milliseconds of a function; the first call warms up."""
    spent = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        spent.append((time.perf_counter() - start) * 1000)
    return statistics.median(spent[1:])


def _against_sparse(
    first: Tensor, second: Tensor, hard: Tensor, kind: str, label: str
) -> list[Row]:
    right, down = guidance(first, second, TIME, kind)
    start = time.perf_counter()
    wanted = solve_sparse(first, right, down, hard)
    slow = (time.perf_counter() - start) * 1000
    guess = torch.lerp(first, second, TIME)
    fast = _median(lambda: solve_poisson(first, right, down, hard, start=guess))
    found = solve_poisson(first, right, down, hard, start=guess)
    return [
        row(
            f"{label}: largest difference to the sparse direct solve",
            float((found - wanted).abs().max()),
            "of 1",
            "<= 1e-4",
        ),
        row(f"{label}: scipy.sparse.linalg.spsolve over ours", slow / fast, "x"),
    ]


def solve_sparse(background: Tensor, right: Tensor, down: Tensor, mask: Tensor) -> Tensor:
    """The plain twin of ``solve_poisson``: the sparse matrix in float64, factorised by SciPy.

    Args:
        background: ``(C, H, W)``.
        right: ``(C, H, W - 1)``.
        down: ``(C, H - 1, W)``.
        mask: Boolean ``(1, H, W)``, not everywhere set.

    Returns:
        ``(C, H, W)`` in float64.
    """
    known = background.double()
    channels, height, width = known.shape
    inside = mask.flatten().numpy()
    count = int(inside.sum())
    if count == 0:
        return known.clone()
    flat = known.reshape(channels, -1).T.numpy()
    number = np.cumsum(inside) - 1  # of an unknown
    pixels = np.arange(height * width).reshape(height, width)
    diagonal, load = np.zeros(count), np.zeros((count, channels))
    entries: list[tuple[np.ndarray, np.ndarray]] = []
    for start, end, wanted in (
        (pixels[:, :-1], pixels[:, 1:], right),
        (pixels[:-1], pixels[1:], down),
    ):
        step = wanted.double().reshape(channels, -1).T.numpy()
        for one, other, sign in (
            (start.ravel(), end.ravel(), -1.0),
            (end.ravel(), start.ravel(), 1.0),
        ):
            mine = inside[one]
            both, border = mine & inside[other], mine & ~inside[other]
            np.add.at(diagonal, number[one[mine]], 1.0)
            np.add.at(load, number[one[mine]], sign * step[mine])
            np.add.at(load, number[one[border]], flat[other[border]])
            entries.append((number[one[both]], number[other[both]]))
    rows, columns = (
        np.concatenate([entry[axis] for entry in entries] + [np.arange(count)]) for axis in (0, 1)
    )
    values = np.concatenate([-np.ones(len(rows) - count), diagonal])
    matrix = csc_matrix((values, (rows, columns)), shape=(count, count))
    result = flat.copy()
    result[inside] = np.asarray(spsolve(matrix, load)).reshape(count, channels)
    return torch.from_numpy(result.T.reshape(channels, height, width).copy())
