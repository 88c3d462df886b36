"""How long a training lasts: batches, images and hours, with one and with two optimizers."""

from __future__ import annotations

import pytest
import torch
from facemorph_toy import ToyData, ToyGan, ToyNet, ToySteps, ToySystem
from lightning.pytorch import Trainer

from facemorph.errors import ConfigError
from facemorph.training import budget as module
from facemorph.training.budget import Budget, num_images, with_batches_for_steps
from facemorph.training.checkpoints import RunCheckpoints
from facemorph.training.ema import EMA
from facemorph.training.exact_resume import ExactResume
from facemorph.training.finished import finished_key


def train(system, *callbacks, epochs=4, **options):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )
    trainer.fit(system, ToySteps(steps_per_epoch=5))
    return trainer


def gan():
    return ToyGan(ToyNet(), ToyNet())


@pytest.mark.parametrize("make", [lambda: ToySystem(ToyNet()), gan])
@pytest.mark.parametrize(
    ("limits", "batches"),
    [({"max_batches": 7}, 7), ({"max_images": 33}, 5), ({"max_batches": 9, "max_images": 16}, 2)],
)
def test_batches_and_images(make, limits, batches):
    limit = Budget(**limits)
    trainer = train(make(), limit)
    assert module.batches_done(trainer) == batches
    assert limit.images == 8 * batches
    assert limit.share_done(trainer) >= 1


def test_hours(monkeypatch):
    clock = iter(range(0, 10**6, 600))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    limit = Budget(max_hours=1.0)
    trainer = train(gan(), limit)
    assert 1 <= module.batches_done(trainer) < 7
    assert limit.seconds >= 3600


def test_a_resumed_run_goes_on_counting():
    first = Budget(max_images=40)
    train(gan(), first, epochs=1)
    second = Budget(max_images=24)
    second.load_state_dict(first.state_dict())
    assert second.images == 40
    assert second.seconds >= first.state_dict()["seconds"] > 0
    trainer = train(gan(), second)
    assert module.batches_done(trainer) == 0  # nothing is left of its budget


@pytest.mark.parametrize(
    "limits", [{"max_batches": 0}, {"max_images": -1}, {"max_hours": float("nan")}]
)
def test_bad_limits(limits):
    with pytest.raises(ConfigError, match="must be positive"):
        Budget(**limits)


def test_images_of_a_batch():
    two = torch.zeros(2, 3)
    assert num_images({"name": ["a", "b"], "x": two}) == 2
    assert num_images([{"x": two}, torch.zeros(5)]) == 2
    assert num_images(torch.zeros(())) == num_images("ab") == num_images({}) == 1


def test_steps_of_several_optimizers_are_batches():
    config = {"trainer": {"max_steps": 6, "max_epochs": None}, "callbacks": {"budget": None}}
    assert with_batches_for_steps(config, True) is config
    changed = with_batches_for_steps(config, False)
    assert changed["trainer"] == {"max_steps": -1, "max_epochs": -1}
    assert changed["callbacks"]["budget"]["max_batches"] == 6
    assert config["trainer"]["max_steps"] == 6
    trainer = train(gan(), Budget(max_batches=6), epochs=-1)
    assert (module.batches_done(trainer), trainer.global_step) == (6, 12)


def test_a_longer_budget_is_another_training():
    config = {"system": 1, "data": 2, "seed": 0, "trainer": {}}
    keys = {
        finished_key({**config, "callbacks": {"budget": budget}})
        for budget in ({"_target_": "x"}, {"_target_": "x", "max_hours": 2}, {"max_hours": 3})
    }
    assert len(keys) == 3
    assert finished_key(config) in keys  # without limits the key is that of before


def test_ema_by_images_does_not_depend_on_the_batch_size():
    weights = []
    for repeats in (1, 4):
        average = EMA(["net"], half_life_images=100.0, warm_up=False)
        old = 1.0
        for _ in range(0, 64, 8 * repeats):
            old *= average._next_decay(8 * repeats)
        weights.append(old)
    assert weights[0] == pytest.approx(weights[1]) == pytest.approx(0.5**0.64)
    system, average = gan(), EMA(["net"], half_life_images=100.0)
    train(system, average, epochs=1)
    assert average.images == 40
    with pytest.raises(ConfigError, match="half-life"):
        EMA(["net"], half_life_images=0)


def test_a_used_up_budget_is_raised_and_the_run_goes_on_bit_for_bit(tmp_path):
    """Seven batches of five in an epoch, then ten more: as seventeen at once."""

    def run(folder, batches, resume=None):
        torch.manual_seed(0)
        system = ToyGan(ToyNet(dropout=0.3), ToyNet())
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=-1,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Budget(max_batches=batches), ExactResume(), RunCheckpoints(folder)],
        )
        trainer.fit(system, ToyData(num_items=40), ckpt_path=resume)
        assert module.batches_done(trainer) == batches
        return system.state_dict()

    whole = run(tmp_path / "whole", 17)
    run(tmp_path / "part", 7)
    resumed = run(tmp_path / "more", 17, tmp_path / "part/last.ckpt")
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
