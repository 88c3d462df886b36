"""Pictures and conditions are transformed alike."""

import pytest
import torch

from facemorph.engine.augmentation import JointAugmentation
from facemorph.engine.step_noise import StepNoise
from facemorph.errors import ConfigError


def noise(count=8, step=0):
    return StepNoise(0, step, torch.arange(count), count)


def pictures(count=8, side=16):
    draw = torch.Generator().manual_seed(1)
    small = torch.rand(count, 3, 4, 4, generator=draw)
    return torch.nn.functional.interpolate(small, (side, side), mode="bilinear")


@pytest.mark.parametrize("cutout", [0.0, 0.4])
def test_a_render_that_is_the_picture_stays_the_picture(cutout):
    images = pictures() * 0.8 + 0.1
    conditions = torch.cat([images, torch.ones(8, 4, 16, 16)], 1)
    seen, maps = JointAugmentation(cutout=cutout)(images, conditions, noise(), "real")
    assert torch.allclose(seen, maps[:, :3], atol=1e-5)
    assert not torch.allclose(seen, images, atol=0.02)


def test_each_row_is_transformed_by_its_own_numbers():
    images = pictures(1).expand(8, -1, -1, -1)
    conditions = torch.zeros(8, 7, 16, 16)
    seen, _ = JointAugmentation()(images, conditions, noise(), "real")
    assert (seen[0] - seen[1]).abs().mean() > 0.01
    half = StepNoise(0, 0, torch.arange(4) * 2, 8)
    again, _ = JointAugmentation()(images[::2], conditions[::2], half, "real")
    assert torch.allclose(again, seen[::2], atol=1e-6)


def test_names_and_steps_draw_anew():
    images, conditions = pictures(), torch.zeros(8, 7, 16, 16)
    augment = JointAugmentation()
    first = augment(images, conditions, noise(), "real")[0]
    assert torch.equal(augment(images, conditions, noise(), "real")[0], first)
    assert not torch.allclose(augment(images, conditions, noise(), "fake")[0], first)
    assert not torch.allclose(augment(images, conditions, noise(step=1), "real")[0], first)


def test_probability_zero_is_the_identity_and_gradients_flow():
    images = pictures().requires_grad_()
    conditions = torch.rand(8, 7, 16, 16)
    seen, maps = JointAugmentation(probability=0.0)(images, conditions, noise(), "real")
    assert seen is images
    assert maps is conditions
    JointAugmentation()(images, conditions, noise(), "real")[0].sum().backward()
    assert images.grad.abs().sum() > 0


def test_probability_adapts_to_the_discriminator():
    augment = JointAugmentation(probability=0.5, target=0.6)
    augment.watch(torch.ones(30_000))
    augment.watch(torch.ones(20_000, 3))  # scores of patches: a picture counts once
    assert float(augment.level) == 0.5  # only after all parts of a batch
    augment.settle()
    assert float(augment.level) == pytest.approx(0.6)
    augment.watch(torch.cat([torch.ones(25_000), -torch.ones(25_000)]))
    augment.settle()
    assert float(augment.level) == pytest.approx(0.5)
    augment.settle()  # nothing new
    assert float(augment.level) == pytest.approx(0.5)
    fixed = JointAugmentation(probability=0.5)
    fixed.watch(torch.ones(8))
    fixed.settle()
    assert float(fixed.level) == 0.5


def test_what_is_out_of_range_is_named():
    with pytest.raises(ConfigError, match=r"augmentation\.cutout"):
        JointAugmentation(cutout=1.5)
