"""Samples of space and time: the three rules, determinism, frames that are not square, wrong
options.
"""

import pytest
import torch

from facemorph.data.resumable import StepDataset
from facemorph.errors import ConfigError
from facemorph.faces.pair import FacePair
from facemorph.ops.frames import Frame
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair

SQUARE, WIDE, HIGH = Frame(48, 48), Frame(30, 60), Frame(60, 30)
SAMPLINGS = ("jittered", "uniform", "grid")


def pair(frame=SQUARE, count=7):
    size = torch.tensor([frame.width, frame.height], dtype=torch.float64)
    marks = torch.rand(2, count, 2, dtype=torch.float64) * size
    return FacePair(
        torch.rand(3, frame.height, frame.width),
        torch.rand(3, frame.height, frame.width),
        *marks,
        f"points{count}",
    )


def batch(frame=SQUARE, step=0, seed=0, **options):
    data = LandmarkPair.of(pair(frame), seed=seed, **options)
    return StepDataset(data.make_batch, data.seed)[step]


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(
    ("num_samples", "cells"), [(8, 2), (98, 7), (512, 16), (600, 17), (20000, 100)]
)
def test_shapes_and_ranges(sampling, num_samples, cells):
    made = batch(sampling=sampling, num_samples=num_samples)
    assert set(made) == {"still", "moving"}
    assert made["still"].shape == (cells**2, 2)
    assert made["moving"].shape == (cells**2, 3)
    assert made["still"].dtype == made["moving"].dtype == torch.float32
    durations = made["moving"][:, 2]
    assert -1 <= float(durations.min()) <= float(durations.max()) < 1
    assert float(made["still"].abs().max()) <= 1
    assert float(made["moving"][:, :2].abs().max()) <= 1


@pytest.mark.parametrize("cells", [6, 7, 100])
def test_the_papers_grid(cells):
    count = cells**2
    first, second = (batch(sampling="grid", num_samples=2 * count, step=step) for step in (0, 1))
    axis = torch.linspace(-1 + 1 / cells, 1 - 1 / cells, cells)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    for made in (first, second):
        torch.testing.assert_close(made["still"], grid, rtol=0, atol=1e-6)
        torch.testing.assert_close(made["moving"][:, :2], grid, rtol=0, atol=1e-6)
        expected = 2 * (torch.arange(count) - count // 2) / count
        assert torch.equal(made["moving"][:, 2].sort().values, expected)
        assert int((made["moving"][:, 2] == 0).sum()) == 1
    assert not torch.equal(first["moving"][:, 2], second["moving"][:, 2])


def test_jitter_puts_one_point_in_each_cell_and_one_duration_in_each_stratum():
    cells = 9
    made = batch(sampling="jittered", num_samples=2 * cells**2)
    for points in (made["still"], made["moving"][:, :2]):
        cell = ((points + 1) / 2 * cells).floor().long()
        number = cell[:, 1] * cells + cell[:, 0]
        assert torch.equal(number.sort().values, torch.arange(cells**2))
    strata = ((made["moving"][:, 2] + 1) / 2 * cells**2).floor().long()
    assert torch.equal(strata.sort().values, torch.arange(cells**2))
    centre = (made["still"] + 1) / 2 * cells % 1 - 0.5
    assert float(centre.std()) == pytest.approx(12**-0.5, rel=0.2)  # not at the centres
    assert not torch.equal(made["still"], made["moving"][:, :2])


def test_durations_do_not_depend_on_places():
    made = torch.cat([batch(num_samples=5000, step=step)["moving"] for step in range(4)])
    correlation = torch.corrcoef(made.t())
    assert float((correlation - torch.eye(3)).abs().max()) < 0.05


def test_uniform_fills_the_square():
    made = torch.cat(
        [batch(sampling="uniform", num_samples=5000, step=step)["moving"] for step in range(4)]
    )
    assert float(made.mean(0).abs().max()) < 0.03
    torch.testing.assert_close(made.std(0), torch.full((3,), 3**-0.5), rtol=0.03, atol=0)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_batches_depend_on_seed_and_step_only(sampling):
    options = {"sampling": sampling, "num_samples": 200}
    once, again = batch(step=3, seed=4, **options), batch(step=3, seed=4, **options)
    other_step, other_seed = batch(step=5, seed=4, **options), batch(step=3, seed=5, **options)
    for name in once:
        assert torch.equal(once[name], again[name])
    assert not torch.equal(once["moving"], other_step["moving"])
    assert not torch.equal(once["moving"], other_seed["moving"])


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("frame", [WIDE, HIGH])
def test_samples_fill_frames_that_are_not_square(sampling, frame):
    made = batch(frame, sampling=sampling, num_samples=3000)
    half = torch.tensor([frame.width, frame.height]) / max(frame.width, frame.height)
    for points in (made["still"], made["moving"][:, :2]):
        assert bool((points.abs() <= half).all())
        torch.testing.assert_close(points.abs().amax(0), half, rtol=0.05, atol=0)


def test_landmarks_are_in_field_coordinates():
    made = pair(WIDE)
    source, target, frame = LandmarkPair.of(made).landmarks()
    assert frame == WIDE
    torch.testing.assert_close(source, (made.points_a - torch.tensor([30.0, 15.0])) / 30)
    torch.testing.assert_close(target, made.target)


def test_every_other_landmark():
    made = pair()
    source, target, _ = LandmarkPair.of(made, subset="even").landmarks()
    assert torch.equal(source, made.source[::2])
    assert torch.equal(target, made.target[::2])


def test_setup_prepares_the_pair_once(samples):
    data = LandmarkPair(*samples, size=48)
    with pytest.raises(ConfigError, match="not loaded"):
        data.landmarks()
    data.setup("fit")
    kept = data.pair
    data.setup("fit")
    assert data.pair is kept
    assert data.landmarks()[0].shape == (68, 2)


def test_the_loader_gives_a_batch_for_each_step():
    data = LandmarkPair.of(pair(), num_samples=50, steps_per_epoch=4)
    batches = list(data.train_dataloader())
    assert len(batches) == 4
    assert torch.equal(batches[2]["moving"], batch(step=2, num_samples=50)["moving"])


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"sampling": "sobol"}, "data.sampling"),
        ({"subset": "odd"}, "data.subset"),
        ({"num_samples": 7}, "data.num_samples"),
        ({"num_samples": -4}, "data.num_samples"),
        ({"steps_per_epoch": 0}, "data.steps_per_epoch"),
    ],
)
def test_wrong_options(options, key):
    with pytest.raises(ConfigError) as caught:
        LandmarkPair("a", "b", **options)
    assert caught.value.where == key
