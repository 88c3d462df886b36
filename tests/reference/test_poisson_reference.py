"""The Poisson solver against SciPy's sparse direct solver and against pictures whose solution is
known.
"""

from __future__ import annotations

import pytest
import torch

from facemorph.bench.blending import solve_sparse
from facemorph.ops.poisson import GUIDANCES, gradients, guidance, solve_poisson

SIZES = [(1, 2), (2, 1), (2, 2), (3, 5), (17, 16), (64, 64), (65, 127), (150, 33)]


def masks(height, width):
    """Noise dense and thin, a disc, one that touches three sides, a frame, all but a pixel, one
    pixel.
    """
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    inner = torch.zeros(height, width, dtype=torch.bool)
    inner[1:-1, 1:-1] = True
    one = torch.zeros(height, width, dtype=torch.bool)
    one[height // 2, width // 2] = True
    yield from (torch.rand(height, width) < share for share in (0.2, 0.6, 0.95))
    yield from (rows.square() + columns.square() < 0.6, columns > -0.3, inner, ~one, one)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", GUIDANCES)
def test_equal_to_a_sparse_direct_solve(size, kind):
    torch.manual_seed(sum(size))
    for mask in masks(*size):
        if bool(mask.all()):
            continue
        background, first, second = torch.rand(3, 3, *size)
        right, down = guidance(first, second, 0.4, kind)
        found = solve_poisson(background, right, down, mask[None])
        wanted = solve_sparse(background, right, down, mask[None])
        assert found.dtype == torch.float32
        assert float((found - wanted).abs().max()) <= 1e-4
        assert torch.equal(found[:, ~mask], background[:, ~mask])


def test_double_precision_goes_further():
    torch.manual_seed(0)
    background, first = torch.rand(2, 3, 60, 71, dtype=torch.float64)
    mask = torch.rand(1, 60, 71) < 0.9
    right, down = gradients(first)
    found = solve_poisson(background, right, down, mask, tolerance=1e-11)
    assert float((found - solve_sparse(background, right, down, mask)).abs().max()) < 1e-9


@pytest.mark.parametrize("size", [(33, 40), (128, 97)])
def test_harmonic_functions_are_reproduced(size):
    rows, columns = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) / max(size) for n in size), indexing="ij"
    )
    # All three are harmonic for the five-point Laplacian too.
    wanted = torch.stack(
        [0.3 * rows - 0.7 * columns, rows * columns, rows.square() - columns.square()]
    )
    mask = torch.zeros(1, *size, dtype=torch.bool)
    mask[:, 1:-1, 1:-1] = torch.rand(size[0] - 2, size[1] - 2) < 0.97
    broken = torch.where(mask, torch.rand(3, *size, dtype=torch.float64), wanted)
    nothing = [torch.zeros_like(one) for one in gradients(wanted)]
    found = solve_poisson(broken, nothing[0], nothing[1], mask, tolerance=1e-10)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-8)


@pytest.mark.parametrize("size", [(7, 9), (96, 64)])
def test_the_gradients_and_border_of_a_picture_give_the_picture(size):
    torch.manual_seed(1)
    for mask in masks(*size):
        picture = torch.rand(3, *size)
        right, down = gradients(picture)
        broken = torch.where(mask, torch.rand(3, *size), picture)
        torch.testing.assert_close(
            solve_poisson(broken, right, down, mask[None]), picture, rtol=0, atol=5e-5
        )


def test_a_dense_solve_of_a_small_problem():
    torch.manual_seed(2)
    background, first = torch.rand(2, 1, 6, 7, dtype=torch.float64)
    mask = torch.rand(6, 7) < 0.7
    right, down = gradients(first)
    unknown = mask.flatten().nonzero()[:, 0].tolist()
    matrix, load = torch.zeros(42, 42, dtype=torch.float64), torch.zeros(42, dtype=torch.float64)
    for pixel in range(42):
        matrix[pixel, pixel] = 1
        load[pixel] = background.flatten()[pixel]
    for pixel in unknown:
        row, column = divmod(pixel, 7)
        matrix[pixel] = 0
        load[pixel] = 0
        for step_row, step_column in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            y, x = row + step_row, column + step_column
            if 0 <= y < 6 and 0 <= x < 7:
                matrix[pixel, pixel] += 1
                matrix[pixel, y * 7 + x] -= 1
                load[pixel] += first[0, row, column] - first[0, y, x]
    wanted = torch.linalg.solve(matrix, load).reshape(1, 6, 7)
    found = solve_poisson(background, right, down, mask[None], tolerance=1e-12)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(
        solve_sparse(background, right, down, mask[None]), wanted, rtol=0, atol=1e-12
    )
