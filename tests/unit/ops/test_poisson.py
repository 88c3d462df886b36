"""Poisson blending: guidance, masks of every kind, wrong shapes, and the solver's parts."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import ConfigError, GeometryError
from facemorph.ops import poisson
from facemorph.ops.poisson import erode, gradients, guidance, solve_poisson, stronger


def test_gradients():
    picture = torch.tensor([[[1.0, 3.0, 2.0], [0.0, 5.0, 5.0]]])
    right, down = gradients(picture)
    assert right.tolist() == [[[2.0, -1.0], [5.0, 0.0]]]
    assert down.tolist() == [[[-1.0, 2.0, 3.0]]]


@pytest.mark.parametrize("kind", ["average", "mix"])
def test_guidance_at_the_ends_is_that_of_one_picture(kind):
    first, second = torch.rand(2, 3, 9, 8)
    for time, picture in ((0.0, first), (1.0, second)):
        for found, wanted in zip(
            guidance(first, second, time, kind), gradients(picture), strict=True
        ):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_kinds_of_guidance():
    torch.manual_seed(0)
    first, second = torch.rand(2, 3, 9, 8)
    one, two = gradients(first)[0], gradients(second)[0]
    torch.testing.assert_close(
        guidance(first, second, 0.25)[0], 0.75 * one + 0.25 * two, rtol=0, atol=1e-6
    )
    for time in (0.0, 0.3, 1.0):
        assert torch.equal(guidance(first, second, time, "source")[0], one)
        assert torch.equal(guidance(first, second, time, "target")[0], two)
    with pytest.raises(ConfigError, match=r"source \| target \| average \| mix.*both"):
        guidance(first, second, 0.5, "both")
    with pytest.raises(GeometryError, match="another shape"):
        guidance(first, second[:, 1:], 0.5)


@pytest.mark.parametrize("time", [0.3, 0.5])
def test_mix_takes_the_jacobian_with_the_larger_norm(time):
    """Pixel by pixel, written out: both differences of a pixel come from the same picture, for all
    channels.
    """
    torch.manual_seed(0)
    first, second = torch.rand(2, 3, 6, 5)
    second *= 1 / time - 1  # as strong as the first by its weight
    right, down = guidance(first, second, time, "mix")
    chosen = set()
    for y in range(6):
        for x in range(5):
            norms = []
            for picture, weight in ((first, 1 - time), (second, time)):
                along = picture[:, y, x + 1] - picture[:, y, x] if x < 4 else torch.zeros(3)
                across = picture[:, y + 1, x] - picture[:, y, x] if y < 5 else torch.zeros(3)
                norms.append(
                    (
                        weight * float(along.square().sum() + across.square().sum()) ** 0.5,
                        along,
                        across,
                    )
                )
            _, along, across = max(norms, key=lambda entry: entry[0])
            chosen.add(along is norms[1][1])
            assert x == 4 or torch.equal(right[:, y, x], along)
            assert y == 5 or torch.equal(down[:, y, x], across)
    assert chosen == {False, True}


def test_stronger_of_jacobians():
    first, second = torch.zeros(2, 3, 2), torch.zeros(2, 3, 2)
    first[0, 0, 0], second[0, 1, 1], second[1, 2, 0] = 3.0, 4.0, 1.0
    assert torch.equal(stronger(first, second, 0.5), second)
    mixed = stronger(first, second, 0.4)  # 0.6 * 3 > 0.4 * 4
    assert torch.equal(mixed[0], first[0])
    assert torch.equal(mixed[1], second[1])
    assert torch.equal(stronger(first, second, 0.0), first)
    assert torch.equal(
        stronger(torch.ones(1, 3, 2), torch.zeros(1, 3, 2), 1.0), torch.zeros(1, 3, 2)
    )


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_erosion_is_in_two_dimensions(radius):
    """Against the definition; the original project erodes the flattened mask, along rows only."""
    torch.manual_seed(0)
    mask = torch.rand(1, 14, 11) < 0.97
    expected = torch.zeros_like(mask)
    for y in range(14):
        for x in range(11):
            window = mask[
                0, max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1
            ]
            expected[0, y, x] = bool(window.all())
    assert torch.equal(erode(mask, radius), expected)


def test_gradients_of_a_warped_picture_hold_the_jacobian_of_the_warp():
    """The chain rule, which the original project leaves out: it takes grad I at the warped place as
    it is.
    """
    x, y = torch.meshgrid(torch.arange(64.0) / 64, torch.arange(48.0) / 64, indexing="xy")
    matrix = torch.tensor([[1.5, 0.2], [-0.3, 0.8]])
    u, v = (row[0] * x + row[1] * y for row in matrix)
    picture = (torch.sin(3 * u) * torch.cos(2 * v))[None]
    slope = torch.stack(
        [3 * torch.cos(3 * u) * torch.cos(2 * v), -2 * torch.sin(3 * u) * torch.sin(2 * v)], -1
    )
    right, down = guidance(picture, picture, 0.5)
    full = slope @ matrix
    ours = torch.stack([right[0, :-1] * 64, down[0, :, :-1] * 64], -1)
    assert float((ours - full[:-1, :-1]).abs().max()) < 0.2  # forward differences of 1/64
    assert float((ours - slope[:-1, :-1]).abs().max()) > 1  # without the Jacobian: wrong


def test_running_out_of_steps_is_a_warning(caplog):
    background, first = torch.rand(2, 3, 40, 40)
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[:, 2:-2, 2:-2] = True
    solve_poisson(background, *gradients(first), mask, max_steps=1)
    assert "stopped after 1 steps" in caplog.text
    caplog.clear()
    solve_poisson(background, *gradients(first), mask)
    assert not caplog.text


def test_an_empty_mask_gives_the_background():
    background = torch.rand(3, 9, 8)
    right, down = gradients(torch.rand(3, 9, 8))
    found = solve_poisson(background, right, down, torch.zeros(1, 9, 8, dtype=torch.bool))
    assert torch.equal(found, background)
    assert found is not background


def test_a_full_mask_is_refused():
    background = torch.rand(3, 9, 8)
    right, down = gradients(background)
    with pytest.raises(GeometryError, match="brightness"):
        solve_poisson(background, right, down, torch.ones(1, 9, 8, dtype=torch.bool))
    with pytest.raises(GeometryError, match="brightness"):
        solve_poisson(
            torch.rand(3, 1, 1),
            torch.zeros(3, 1, 0),
            torch.zeros(3, 0, 1),
            torch.ones(1, 1, 1, dtype=torch.bool),
        )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"background": torch.rand(1, 3, 9, 8)}, "no picture"),
        ({"background": torch.zeros(3, 9, 8, dtype=torch.uint8)}, "no picture"),
        ({"mask": torch.zeros(1, 8, 9, dtype=torch.bool)}, "mask.*(1, 8, 9)"),
        ({"mask": torch.zeros(9, 8, dtype=torch.bool)}, "mask.*(1, 9, 8)"),
        ({"mask": torch.zeros(1, 9, 8)}, "hard mask"),
        ({"right": torch.rand(3, 9, 8)}, "to the right.*(3, 9, 7)"),
        ({"right": torch.rand(1, 9, 7)}, "to the right.*(3, 9, 7)"),
        ({"down": torch.rand(3, 9, 8)}, "downward.*(3, 8, 8)"),
    ],
)
def test_wrong_shapes(change, says):
    given = {
        "background": torch.rand(3, 9, 8),
        "right": torch.rand(3, 9, 7),
        "down": torch.rand(3, 8, 8),
        "mask": torch.zeros(1, 9, 8, dtype=torch.bool),
    } | change
    with pytest.raises(GeometryError, match=says.replace("(", r"\(").replace(")", r"\)")):
        solve_poisson(**given)


def test_the_start_changes_nothing_but_the_time():
    torch.manual_seed(0)
    background, first, start = torch.rand(3, 3, 40, 50)
    mask = torch.zeros(1, 40, 50, dtype=torch.bool)
    mask[:, 5:38, :45] = True
    right, down = gradients(first)
    found = [
        solve_poisson(background, right, down, mask, start=one) for one in (None, start, first)
    ]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=5e-5)


def test_channels_are_apart():
    torch.manual_seed(0)
    background, first = torch.rand(2, 5, 21, 34)
    mask = torch.rand(1, 21, 34) < 0.8
    right, down = gradients(first)
    together = solve_poisson(background, right, down, mask)
    alone = torch.cat(
        [solve_poisson(background[[c]], right[[c]], down[[c]], mask) for c in range(5)]
    )
    torch.testing.assert_close(together, alone, rtol=0, atol=5e-5)


def test_what_is_not_finite_ends():
    background = torch.full((3, 9, 8), float("nan"))
    right, down = gradients(background)
    mask = torch.zeros(1, 9, 8, dtype=torch.bool)
    mask[:, 2:5, 2:5] = True
    assert bool(solve_poisson(background, right, down, mask).isnan().all())


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 3), (5, 4), (8, 8), (9, 17)])
def test_restriction_is_the_transpose_of_prolongation(size):
    coarse = torch.rand(3, (size[0] + 1) // 2, (size[1] + 1) // 2, dtype=torch.float64)
    fine = torch.rand(3, *size, dtype=torch.float64)
    there, back = poisson._prolong(coarse, *size), poisson._restrict(fine)
    torch.testing.assert_close((there * fine).sum(), (coarse * back).sum())
    torch.testing.assert_close(
        poisson._prolong(torch.ones_like(coarse), *size), torch.ones_like(fine)
    )


def test_the_cycle_is_symmetric_and_positive():
    torch.manual_seed(0)
    inside = (torch.rand(1, 11, 12) < 0.8).double()
    levels = poisson._levels(inside)
    assert len(levels) > 2
    unit = torch.eye(11 * 12, dtype=torch.float64).reshape(-1, 11, 12) * inside
    matrix = poisson._cycle(levels, unit).reshape(132, 132)
    known = inside.flatten().bool()
    matrix = matrix[known][:, known]
    torch.testing.assert_close(matrix, matrix.t())
    assert float(torch.linalg.eigvalsh(matrix).min()) > 0


def test_few_steps_for_a_face(monkeypatch):
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, 256), torch.linspace(-1, 1, 256), indexing="ij"
    )
    mask = (rows.square() / 0.5 + columns.square() / 0.3 < 1)[None]
    background, first = torch.rand(2, 3, 256, 256)
    right, down = gradients(first)
    exact = solve_poisson(background, right, down, mask)
    quick = solve_poisson(background, right, down, mask, max_steps=14)  # for noise; a face takes 12
    torch.testing.assert_close(quick, exact, rtol=0, atol=1e-4)
