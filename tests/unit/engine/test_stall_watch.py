"""A training that stands still is said, once."""

import pytest
import torch

from facemorph.engine.stall_watch import StallWatch, accuracy, spread_of
from facemorph.errors import ConfigError


def looked(watch, batches, accuracy, spread):
    found = []
    for step in range(batches):
        metrics = {"train/accuracy": torch.tensor(accuracy), "train/spread": torch.tensor(spread)}
        found += watch.look(metrics, step)
    return found


@pytest.mark.parametrize(
    ("right", "spread", "word"),
    [(0.5, 0.9, "at chance"), (1.0, 0.9, "always right"), (0.8, 0.1, "collapsed")],
)
def test_each_kind_is_said_once(right, spread, word, capsys):
    watch = StallWatch(patience=20)
    assert looked(watch, 19, right, spread) == []
    found = looked(watch, 30, right, spread)
    assert len(found) == 1
    assert word in found[0]
    assert word in " ".join(capsys.readouterr().err.split())


def test_a_healthy_training_is_left_alone():
    assert looked(StallWatch(patience=5), 50, 0.75, 0.8) == []


def test_a_system_without_an_adversary_logs_nothing():
    watch = StallWatch(patience=2)
    assert [watch.look({}, step) for step in range(5)] == [[]] * 5


def test_numbers_by_hand():
    assert float(accuracy(torch.tensor([1.0, -1.0]), torch.tensor([-1.0, -1.0]))) == 0.75
    real = torch.rand(6, 3, 16, 16)
    assert float(spread_of(real, real)) == pytest.approx(1)
    assert float(spread_of(real.mean(0, keepdim=True).expand_as(real), real)) < 1e-3
    assert float(spread_of(0.5 + (real - 0.5) / 2, real)) == pytest.approx(0.5, abs=1e-3)


def test_bad_numbers():
    with pytest.raises(ConfigError, match="patience"):
        StallWatch(patience=0)
