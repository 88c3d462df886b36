"""Landmarks that contradict each other: who gives way, and that nobody else does."""

import pytest
import torch

from facemorph.faces.files.landmark_files import read_points
from facemorph.fields.warps.contradictions import (
    LARGEST_STRAIN,
    close_groups,
    contradicting,
    pair_strains,
)
from facemorph.fields.warps.maps import dense_map, map_determinants
from facemorph.fields.warps.thin_plate_flow import (
    MERGE_DISTANCE,
    PIXEL,
    ThinPlateFlow,
    merge_close_landmarks,
)
from facemorph.ops.frames import Frame

FRAME = Frame(256, 256)
SIDE = 13  # landmarks along a side of the grid
SPACING = 24 * PIXEL


def grid(right=0.0):
    """A grid of landmarks, not quite even, moved to the right, and a smooth motion of it."""
    axis = (torch.arange(SIDE, dtype=torch.float64) - SIDE // 2) * SPACING
    source = torch.stack(torch.meshgrid(axis + right, axis, indexing="xy"), -1).reshape(-1, 2)
    generator = torch.Generator().manual_seed(0)
    source = source + PIXEL * torch.rand(source.shape, generator=generator, dtype=torch.float64)
    return source, source + 0.02 * torch.sin(4 * source.flip(1))


def permuted(target, old, new):
    target = target.clone()
    target[old] = target[new]
    return target


def missed(flow, source, target):
    return (flow(source, 0.0, 1.0) - target).norm(dim=1) / PIXEL


def folds(flow, frame=FRAME):
    return sum(
        int((map_determinants(dense_map(flow, frame, 0.5, end).double()) <= 0).sum())
        for end in (0.0, 1.0)
    )


def distance_to(source, target, some):
    """Of each landmark, in px, to the nearest of some in either face."""
    return (
        torch.minimum(torch.cdist(source, source[some]), torch.cdist(target, target[some]))
        .min(1)
        .values
        / PIXEL
    )


def assert_only_these_give_way(flow, source, target, some, frame=FRAME):
    gave_way = flow.gave_way()
    assert gave_way
    assert set(gave_way) <= set(some)
    errors = missed(flow, source, target)
    for index, error in gave_way.items():
        assert error == pytest.approx(float(errors[index]), abs=1e-9)
    assert float(errors[distance_to(source, target, some) > 10].max()) < 0.01  # the bar
    others = [index for index in range(len(source)) if index not in gave_way]
    assert float(errors[others].max()) < 0.01
    assert folds(flow, frame) == 0


CENTRE = SIDE * (SIDE // 2) + SIDE // 2
CASES = {
    "two neighbours change places": ([CENTRE, CENTRE + 1], [CENTRE + 1, CENTRE]),
    "diagonal neighbours": ([CENTRE, CENTRE + SIDE + 1], [CENTRE + SIDE + 1, CENTRE]),
    "three in a row": ([CENTRE - 1, CENTRE, CENTRE + 1], [CENTRE + 1, CENTRE, CENTRE - 1]),
    "three in a circle": ([CENTRE - 1, CENTRE, CENTRE + 1], [CENTRE, CENTRE + 1, CENTRE - 1]),
    "two pairs": ([20, 21, CENTRE, CENTRE + 1], [21, 20, CENTRE + 1, CENTRE]),
}


@pytest.mark.parametrize(("old", "new"), CASES.values(), ids=CASES)
def test_only_contradicting_landmarks_give_way(old, new):
    source, target = grid()
    target = permuted(target, old, new)
    flow = ThinPlateFlow().fit(source, target, FRAME)
    assert_only_these_give_way(flow, source, target, old)


def test_a_contradiction_at_the_border():
    """The swapped two lie a few px inside of the frame, beside the anchors on its border."""
    source, target = grid(right=1 - 5 * PIXEL - SIDE // 2 * SPACING)
    two = [SIDE * 6 - 1, SIDE * 7 - 1]  # the last of two rows
    assert float(source[two, 0].min()) > 1 - 6 * PIXEL
    target = permuted(target, two, two[::-1])
    flow = ThinPlateFlow().fit(source, target, FRAME)
    assert_only_these_give_way(flow, source, target, two)


@pytest.mark.slow
def test_a_landmark_at_a_wrong_place_gives_way_alone():
    source, target = grid()
    target[CENTRE] += torch.tensor([3.5 * SPACING, 0.1 * SPACING], dtype=torch.float64)
    flow = ThinPlateFlow().fit(source, target, FRAME)
    assert set(flow.gave_way()) == {CENTRE}
    others = torch.arange(len(source)) != CENTRE
    assert float(missed(flow, source, target)[others].max()) < 0.01
    assert folds(flow) == 0


def test_smoothed_landmarks_keep_their_smoothing():
    """Detected points: those that do not contradict are smoothed as they were asked to be."""
    source, target = grid()
    two = [CENTRE, CENTRE + 1]
    plain = ThinPlateFlow(smoothing=1e-5).fit(source, target, FRAME)
    target = permuted(target, two, two[::-1])
    flow = ThinPlateFlow(smoothing=1e-5).fit(source, target, FRAME)
    assert set(flow.gave_way()) <= set(two)
    assert flow.used_smoothing > 1e-5
    far = distance_to(source, target, two) > 30
    usual = float(missed(plain, source, grid()[1]).max())
    assert float(missed(flow, source, target)[far].max()) < 1.1 * usual
    assert folds(flow) == 0


def test_merged_landmarks_are_named_by_their_own_indices():
    source, target = grid()
    two = [CENTRE, CENTRE + 1]
    target = permuted(target, two, two[::-1])
    twin = torch.tensor([0.5 * MERGE_DISTANCE, 0.0], dtype=torch.float64)
    source, target = (torch.cat([points[:1] + twin, points]) for points in (source, target))
    flow = ThinPlateFlow().fit(source, target, FRAME)
    assert set(flow.gave_way()) == {index + 1 for index in two}


def test_landmarks_that_agree_change_nothing():
    source, target = grid()
    flow = ThinPlateFlow().fit(source, target, FRAME)
    plain = ThinPlateFlow()
    plain.begin(source, target, FRAME)
    assert flow.gave_way() == {}
    assert flow.used_smoothing == 0
    assert torch.equal(dense_map(flow, FRAME, 0.5, 1.0), dense_map(plain, FRAME, 0.5, 1.0))


def test_who_gave_way_survives_storage():
    source, target = grid()
    target = permuted(target, [CENTRE, CENTRE + 1], [CENTRE + 1, CENTRE])
    flow, fresh = ThinPlateFlow().fit(source, target, FRAME), ThinPlateFlow()
    fresh.load_state_dict(flow.state_dict())
    assert fresh.gave_way() == flow.gave_way()
    assert torch.equal(fresh(source, 0.0, 1.0), flow(source, 0.0, 1.0))


# ------------------------------------------------------------ strains
def test_strains_of_known_pairs():
    """Against the definition on a fine grid of times."""
    start = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 3.0]], dtype=torch.float64)
    goal = torch.tensor([[0.2, 0.0], [0.5, 0.4], [1.0, 1.5], [2.0, 3.5]], dtype=torch.float64)
    found = pair_strains(start, goal)
    times = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None]
    for i in range(4):
        for j in range(4):
            before, after = start[i] - start[j], goal[i] - goal[j]
            nearest = float(((1 - times) * before + times * after).norm(dim=1).min())
            expected = 0.0 if i == j else float((after - before).norm()) / nearest
            assert float(found[i, j]) == pytest.approx(expected, rel=1e-6)


def test_landmarks_that_meet_are_strained_most():
    start = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert float(pair_strains(start, start.flip(0)).max()) == LARGEST_STRAIN
    assert float(pair_strains(start, start + 1.0).max()) == 0


def test_an_anchor_gives_way_to_a_landmark():
    start = torch.tensor([[0.9, 0.0], [1.0, 0.0]], dtype=torch.float64)
    goal = torch.tensor([[1.1, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert contradicting(start, goal, 1, 4.0).tolist() == [False, True]
    assert contradicting(start, goal, 0, 4.0).tolist() == [True, True]


@pytest.mark.parametrize("tolerance", [0.01, 0.1, 0.3])
def test_groups_of_close_landmarks_one_after_the_other(tolerance):
    source, target = torch.rand(2, 50, 2, dtype=torch.float64)
    near = (torch.cdist(source, source) < tolerance) | (torch.cdist(target, target) < tolerance)
    groups: list[list[int]] = []
    for index in range(50):
        if not any(index in group for group in groups):
            taken = {member for group in groups for member in group}
            groups.append([at for at in range(50) if near[index, at] and at not in taken])
    found = close_groups(source, target, tolerance)
    assert [(found == label).nonzero()[:, 0].tolist() for label in found.unique()] == groups


# ------------------------------------------------------------ templates
def template(folder, person):
    points, _ = read_points(folder / "neutral" / f"{person}_03.tem")
    return Frame(512, 512).from_pixels(points.double() * 512 / 1350)


@pytest.mark.parametrize(
    ("one", "other", "old"),
    [("001", "039", (141, 143, 142, 153)), ("002", "113", (50, 77, 57, 56))],
)
def test_hand_made_templates_with_points_in_another_order(frll, one, other, old):
    source, target = template(frll, one), template(frll, other)
    frame, agreed = Frame(512, 512), ThinPlateFlow().fit(source, target, Frame(512, 512))
    assert agreed.gave_way() == {}
    target = permuted(target, list(old), list(old[::-1]))
    flow = ThinPlateFlow().fit(source, target, frame)
    assert set(flow.gave_way()) <= set(old)
    merged = merge_close_landmarks(source, target, MERGE_DISTANCE)
    near = torch.cat(
        [
            torch.cdist(one, points[list(old)])
            for one, points in zip(merged, (source, target), strict=True)
        ],
        1,
    )
    far = near.min(1).values > 10 * PIXEL
    assert int(far.sum()) > 150
    assert float(missed(flow, *merged)[far].max()) < 0.01
    assert folds(flow, frame) == 0
