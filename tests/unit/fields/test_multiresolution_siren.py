"""Multiresolution sine pictures: stages, their derivatives, and training level by level."""

from __future__ import annotations

import pytest
import torch

from facemorph import cli
from facemorph.errors import ConfigError
from facemorph.fields.multiresolution_siren import MultiresolutionSiren
from facemorph.ops.jets import autograd_jet
from facemorph.storage.checkpoint import load_system
from facemorph.storage.runs import latest_checkpoint
from facemorph.systems.ifmorph.pixel_samples import PixelSamples, smoothed


def test_the_sum_and_its_derivative():
    field = MultiresolutionSiren((5.0, 10.0), (16, 16)).double()
    for parameter in field.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    xy = torch.rand(7, 2, dtype=torch.float64) * 2 - 1
    expected = field.stages[0](xy).value + field.stages[1](xy).value
    assert torch.equal(field(xy).value, expected)
    twin = autograd_jet(lambda points: field(points).value, xy, 1)
    assert torch.allclose(field(xy, order=1).jacobian, twin.jacobian, atol=1e-10)


def test_a_new_stage_adds_nothing_and_is_the_only_one_trained():
    field = MultiresolutionSiren((5.0, 10.0, 20.0), (8,))
    xy = torch.rand(5, 2)
    field.begin_stage(0)
    coarse = field(xy).value
    field.begin_stage(1)
    assert torch.equal(field(xy).value, coarse)
    assert [all(p.requires_grad for p in stage.parameters()) for stage in field.stages] == [
        False,
        True,
        False,
    ]
    field.begin_stage(7)  # there is no finer one
    assert int(field.active) == 3


def test_levels_of_the_data(samples):
    data = PixelSamples(samples[1], size=32, steps_per_epoch=2, batch_size=400, level_epochs=[1, 2])
    data.setup()
    assert [data.level(epoch) for epoch in range(5)] == [0, 1, 1, 2, 2]
    for step, halvings in ((0, 2), (1, 2), (2, 1), (5, 1), (6, 0), (9, 0)):
        batch = data.make_batch(torch.Generator().manual_seed(step), step)
        level = smoothed(data.image, halvings)
        column, row = ((batch["xy"] + 1) * 16 - 0.5).round().long().unbind(-1)
        assert torch.equal(batch["colour"], level[:, row, column].t())
    variances = [
        float(smoothed(data.image, halvings).diff(dim=2).square().mean()) for halvings in range(3)
    ]
    assert variances == sorted(variances, reverse=True)
    assert torch.equal(smoothed(data.image, 0), data.image)


def test_wrong_settings(samples):
    for omegas in ((), (5.0, 5.0), (9.0, 5.0)):
        with pytest.raises(ConfigError, match="rising"):
            MultiresolutionSiren(omegas)
    with pytest.raises(ConfigError, match="level"):
        PixelSamples(samples[0], level_epochs=[0])


@pytest.mark.slow
def test_training_goes_from_level_to_level(root, samples, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setenv("FACEMORPH_OUTPUT", str(tmp_path))
    assert (
        cli.run(
            [
                "train",
                "experiment=ifmorph/image_multiresolution",
                f"data.image={samples[1]}",
                "data.size=48",
                "data.batch_size=1024",
                "data.steps_per_epoch=40",
                "data.level_epochs=[1,1]",
                "trainer.max_epochs=4",
                "system.learning_rate=1e-3",
                "system.field.omegas=[10,20,40]",
                "system.field.hidden_features=[48,48]",
                "logger=csv",
            ]
        )
        == 0
    )
    system = load_system(latest_checkpoint("@last"))
    assert int(system.field.active) == 3
    assert all(
        float(stage.layers[-1].weight.detach().abs().max()) > 0 for stage in system.field.stages
    )
    rows = next(tmp_path.rglob("metrics.csv")).read_text().splitlines()
    column = rows[0].split(",").index("quality/psnr")
    found = [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]
    assert found[-1] > found[0] + 1
    assert found[-1] > 18
