"""A stack of warps against separate trainings: the same losses and the same weights."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from facemorph.errors import ConfigError, DataError
from facemorph.faces.pair import FacePair
from facemorph.fields.warps.siren_warp import ResidualSirenWarp, SirenWarp
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.landmark_pairs import LandmarkPairs
from facemorph.systems.ifmorph.stack import NeuralWarpStack
from facemorph.systems.ifmorph.system import NeuralWarp

SAMPLES = {"num_samples": 72, "steps_per_epoch": 6, "seed": 3}


def pairs(count, points=9):
    generator = torch.Generator().manual_seed(1)
    image = torch.zeros(3, 32, 32)
    made = []
    for _ in range(count):
        source = torch.rand(points, 2, generator=generator, dtype=torch.float64) * 20 + 6
        move = torch.randn(points, 2, generator=generator, dtype=torch.float64)
        made.append(FacePair(image, image, source, source + move, "points9"))
    return made


class Losses(Callback):
    """Total loss of every pair at every step."""

    def __init__(self):
        self.found = []

    def on_train_batch_start(self, trainer, system, batch, index):
        with torch.no_grad():
            if isinstance(system, NeuralWarpStack):
                self.found.append(system.losses(batch)["total"])
            else:
                source, target = system.source, system.target
                anchors = system.frame.border_anchors(system.border_anchors).to(source)
                source, target = torch.cat([source, anchors]), torch.cat([target, anchors])
                terms = system.loss(system.warp, batch["still"], batch["moving"], source, target)
                self.found.append(terms["total"])


def train(system, data, epochs=3):
    losses = Losses()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[losses],
    )
    trainer.fit(system, datamodule=data)
    return torch.stack(losses.found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ResidualSirenWarp, SirenWarp])
def test_equal_to_separate_trainings(kind):
    def warp():
        torch.manual_seed(5)
        return kind(hidden_features=(16, 16), omega_0=10.0)

    listed = pairs(3)
    stack = NeuralWarpStack(warp())
    together = train(stack, LandmarkPairs(listed, **SAMPLES))
    assert together.shape == (18, 3)
    for index, (pair, trained) in enumerate(zip(listed, stack.warps(), strict=True)):
        single = NeuralWarp(warp())
        alone = train(single, LandmarkPair.of(pair, **SAMPLES))
        assert float(((together[:, index] - alone) / alone).abs().max()) < 1e-5
        for one, two in zip(trained.parameters(), single.warp.parameters(), strict=True):
            assert float((one - two).abs().max()) < 1e-4
    assert float((together[-1] / together[0]).max()) < 0.9  # and they learn
    moved = [one(listed[0].source.float(), 0.0, 1.0) for one in stack.warps()]
    assert float((moved[0] - moved[1]).abs().max()) > 1e-3  # each its own pair


def test_pairs_that_cannot_be_stacked():
    mixed = LandmarkPairs([*pairs(1), *pairs(1, points=7)], **SAMPLES)
    with pytest.raises(DataError, match="one number of landmarks"):
        NeuralWarpStack(ResidualSirenWarp((8,))).take_pairs(mixed)
    with pytest.raises(ConfigError, match="trained warp"):
        NeuralWarpStack(ThinPlateFlow())
    with pytest.raises(ConfigError, match="sampling"):
        LandmarkPairs(pairs(1), sampling="nothing")
