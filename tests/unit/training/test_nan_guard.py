"""The guard against NaN, with one and with two optimizers."""

from __future__ import annotations

import math

import pytest
import torch
from facemorph_toy import ToyGan, ToyNet, ToySteps
from lightning.pytorch import Trainer

from facemorph.training.nan_guard import NaNGuard, TrainingDiverged


class HalfBroken(ToyGan):
    """One of the two networks gets NaN for ever; ``broken`` says which."""

    def __init__(self, broken: str):
        super().__init__(ToyNet(), ToyNet())
        self.broken = broken

    def training_step(self, batch, batch_idx):
        for optimizer, name in zip(self.optimizers(), ("net", "critic"), strict=True):
            loss = getattr(self, name)(batch["x"]).square().mean()
            optimizer.zero_grad()
            self.manual_backward(loss * math.nan if name == self.broken else loss)
            optimizer.step()


def train(system, guard, batches=12):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[guard],
    )
    trainer.fit(system, ToySteps(steps_per_epoch=batches))


@pytest.mark.parametrize("broken", ["net", "critic"])
def test_one_broken_network_beside_a_healthy_one_stops_the_training(broken):
    guard, system = NaNGuard(patience=5), HalfBroken(broken)
    before = {name: value.clone() for name, value in system.named_parameters()}
    with pytest.raises(TrainingDiverged, match="5 steps in a row, at batch 5") as error:
        train(system, guard)
    assert broken in str(error.value)
    assert guard.skipped == 5
    for name, value in system.named_parameters():
        assert torch.equal(value, before[name]) == name.startswith(broken), name


def test_each_optimizer_is_counted_alone():
    """Two networks that each fail every other time are never left out often enough in a row."""

    class TakingTurns(HalfBroken):
        def training_step(self, batch, batch_idx):
            self.broken = ("net", "critic")[batch_idx % 2]
            super().training_step(batch, batch_idx)

    guard = NaNGuard(patience=2)
    train(TakingTurns("net"), guard)
    assert guard.skipped == 12
    assert sorted(guard.in_a_row.values()) == [0, 1]


def test_counts_go_on_and_those_of_older_checkpoints_are_read():
    guard = NaNGuard()
    guard.load_state_dict({"skipped": 4, "in_a_row": {0: 0, 1: 3}})
    assert guard.state_dict() == {"skipped": 4, "in_a_row": {0: 0, 1: 3}}
    guard.load_state_dict({"skipped": 4, "in_a_row": 2})
    assert guard.in_a_row == {0: 2}
