"""GIF's released checkpoints: look-alikes made by the plain twin, converted, give its pictures,
scores and gradients.
"""

from __future__ import annotations

import copy

import pytest
import torch

from facemorph.bench.plain.stylegan2 import PlainDiscriminator, PlainGenerator
from facemorph.errors import CheckpointError, ConfigError
from facemorph.losses.adversarial import path_lengths
from facemorph.systems.gif.published_weights import (
    generator_of,
    load_published_discriminator,
    load_published_generator,
)

WIDTHS, DEAD = [24, 20, 16, 12], [8, 4]  # at 4 to 32 pixels, and two stages that are never used
SIDE = 32


def check_same(mine, other):
    """To 1e-5 of the largest value."""
    scale = float(other.detach().abs().max())
    torch.testing.assert_close(mine / scale, other / scale, rtol=1e-5, atol=1e-5)


def lively(network):
    """Random biases too: all zero at the start, they would hide mistakes."""
    with torch.no_grad():
        for name, one in network.named_parameters():
            if "noise_conv" in name:
                one.normal_(std=0.3)
            elif name.endswith("bias"):
                one.add_(0.3 * torch.randn_like(one))
    return network


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file as the authors' training writes them, with the networks that are in it."""
    torch.manual_seed(0)
    averaged, trained = (
        lively(PlainGenerator([*WIDTHS, *DEAD], style=16, condition=6, count=7, mapping=3))
        for _ in range(2)
    )
    discriminator = lively(PlainDiscriminator(WIDTHS, 9))
    path = tmp_path_factory.mktemp("gif") / "294000_1.model"
    torch.save(
        {
            "generator_running": averaged.state_dict(),
            "generator": {f"module.{name}": one for name, one in trained.state_dict().items()},
            "discriminator_flm": discriminator.state_dict(),
            "g_optimizer": torch.optim.Adam(trained.parameters()).state_dict(),
        },
        path,
    )
    return path, averaged, trained, discriminator


def inputs():
    generator = torch.Generator().manual_seed(1)
    return torch.tensor([3, 0, 6]), torch.randn(3, 6, SIDE, SIDE, generator=generator)


@pytest.mark.parametrize("averaged", [True, False])
def test_pictures_are_the_published_ones(published, averaged):
    path, first, second, _ = published
    ours = load_published_generator(path, averaged=averaged, resolution=SIDE)
    numbers, conditions = inputs()
    expected = (first if averaged else second)(numbers, conditions, SIDE)
    check_same(ours(numbers, conditions), expected)
    assert list(ours.widths) == [4, 8, 16, 32]
    assert not ours.training


def test_conversion_is_exact(published):
    """In float64 nothing but rounding is left between the two ways to compute."""
    path, plain, _, _ = published
    numbers, conditions = inputs()
    ours = load_published_generator(path, resolution=SIDE).double()
    expected = copy.deepcopy(plain).double()(numbers, conditions.double(), SIDE)
    torch.testing.assert_close(ours(numbers, conditions.double()), expected, rtol=1e-9, atol=1e-9)


def test_smaller_pictures_and_the_other_gain(published):
    path, plain, _, _ = published
    numbers, conditions = inputs()
    ours = load_published_generator(path, resolution=16)
    check_same(ours(numbers, conditions), plain(numbers, conditions, 16))
    gained = PlainGenerator(
        [*WIDTHS, *DEAD], style=16, condition=6, count=7, mapping=3, mapping_gain=2**0.5
    )
    gained.load_state_dict(plain.state_dict())
    ours = load_published_generator(path, resolution=SIDE, mapping_gain="sqrt2")
    check_same(ours(numbers, conditions), gained(numbers, conditions, SIDE))


def test_codes_and_gradients_are_the_published_ones(published):
    """Gradients by codes and conditions, and the path length's by way of a double backward."""
    path, plain, _, _ = published
    ours = load_published_generator(path, resolution=SIDE)
    _, conditions = inputs()
    codes, noise = torch.randn(3, 16), torch.randn(3, 3, SIDE, SIDE)
    found = []
    for call, constant in (
        (ours, ours.constant),
        (lambda z, c: plain(z, c, SIDE), plain.generator.const_input.input),
    ):
        given = [codes.clone().requires_grad_(), conditions.clone().requires_grad_()]
        pictures = call(*given)
        penalty = path_lengths(pictures, given[0], noise).square().mean()
        first = torch.autograd.grad(pictures.square().sum(), given, retain_graph=True)
        found.append([pictures, penalty, *first, *torch.autograd.grad(penalty, [*given, constant])])
    for mine, other in zip(*found, strict=True):
        check_same(mine, other)


def test_gradients_of_all_weights_are_the_published_ones(published):
    """The plain twin's gradients, renamed as its weights are."""
    _, plain, _, _ = published
    numbers, conditions = inputs()
    ours = generator_of(plain.state_dict(), "the plain twin", resolution=SIDE)
    ours(numbers, conditions).square().mean().backward()
    plain.zero_grad()
    plain(numbers, conditions, SIDE).square().mean().backward()
    gradients = {name: one.grad for name, one in plain.named_parameters() if one.grad is not None}
    expected = generator_of(
        {**plain.state_dict(), **gradients}, "gradients", resolution=SIDE
    ).state_dict()
    for name, parameter in ours.named_parameters():
        check_same(parameter.grad, expected[name])
    plain.zero_grad()


def test_scores_are_the_published_ones(published):
    path, _, _, plain = published
    ours = load_published_discriminator(path, resolution=SIDE)
    images = torch.randn(4, 9, SIDE, SIDE)
    check_same(ours(images), plain(images)[:, 0])


def changed(published, tmp_path, key, change):
    content = torch.load(published[0], weights_only=True)
    change(content[key])
    path = tmp_path / "changed.model"
    torch.save(content, path)
    return path


def test_missing_unknown_and_misshapen_weights(published, tmp_path):
    name = "generator.progression.1.st_cv2.activate.bias"
    path = changed(published, tmp_path, "generator_running", lambda one: one.pop(name))
    with pytest.raises(CheckpointError, match=r"missing, such as layers\.2\.bias"):
        load_published_generator(path, resolution=SIDE)
    path = changed(
        published, tmp_path, "generator_running", lambda one: one.update(extra=torch.zeros(1))
    )
    with pytest.raises(CheckpointError, match="unknown, such as extra"):
        load_published_generator(path, resolution=SIDE)
    path = changed(
        published, tmp_path, "generator_running", lambda one: one.update({name: torch.zeros(3)})
    )
    with pytest.raises(CheckpointError, match="another shape"):
        load_published_generator(path, resolution=SIDE)
    path = changed(
        published, tmp_path, "discriminator_flm", lambda one: one.pop("final_linear.1.bias")
    )
    with pytest.raises(CheckpointError, match=r"missing, such as score\.bias"):
        load_published_discriminator(path, resolution=SIDE)


def test_files_that_are_none(published, tmp_path):
    path = tmp_path / "other.model"
    torch.save({"weights": {}}, path)
    with pytest.raises(CheckpointError, match="expected generator_running"):
        load_published_generator(path)
    torch.save({"generator_running": {"a": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointError, match="these are not the weights of GIF"):
        load_published_generator(path)
    torch.save({"generator_running": {"a": "text"}}, path)
    with pytest.raises(CheckpointError, match="this is no weight"):
        load_published_generator(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        load_published_generator(path)


def test_resolutions_that_the_file_does_not_have(published):
    path = published[0]
    with pytest.raises(CheckpointError, match=r"progression\.6"):
        load_published_generator(path)  # 256 pixels
    with pytest.raises(CheckpointError, match=r"unknown|missing|expected"):
        load_published_discriminator(path, resolution=16)
    with pytest.raises(ConfigError):
        load_published_generator(path, resolution=30)
