"""What VariTex's training gives its networks and losses, with and without parity."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from facemorph.engine.adversarial import Part
from facemorph.engine.step_noise import StepNoise
from facemorph.errors import ConfigError
from facemorph.networks.discriminators import PatchDiscriminator
from facemorph.systems.varitex.discriminator import VariTexDiscriminator
from facemorph.systems.varitex.face_batches import FaceViews, UVBatches
from facemorph.systems.varitex.generator import VariTexGenerator
from facemorph.systems.varitex.losses import VariTexLoss
from facemorph.systems.varitex.spaces import normalised, published_background, published_uv
from facemorph.systems.varitex.system import VariTex

SIDE = 16
LOSS = partial(VariTexLoss, perceptual_weight=0.0)


class Random(UVBatches):
    """Four faces of random numbers."""

    model = "makehuman"
    names = ("a", "b", "c", "d")

    def __init__(self):
        super().__init__(SIDE, 4, 1, 0, 0, None)

    def rows(self, split):
        return [0, 1, 2, 3] if split == "training" else []

    def views(self, rows):
        draw = torch.Generator().manual_seed(0)
        pictures, uv = (torch.rand(4, count, SIDE, SIDE, generator=draw) for count in (3, 2))
        mask = torch.zeros(4, 1, SIDE, SIDE, dtype=torch.bool)
        mask[:, :, 2:12, 3:13] = True
        return FaceViews(pictures, mask & False, uv * mask, mask, torch.zeros(4, 1))


def system(loss=LOSS, channels=3, **options):
    torch.manual_seed(0)
    widths = {"encoder_widths": [4, 6], "texture_widths": [4, 4], "additive_widths": [6, 4, 4]}
    generator = VariTexGenerator(SIDE, 8, 4, 6, 4, renderer_width=4, renderer_levels=2, **widths)
    judge = VariTexDiscriminator(channels, 4, 2)
    found = VariTex(generator, judge, loss, perceptual=None, **options)
    found.trainer = SimpleNamespace(
        datamodule=Random(),
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        world_size=1,
    )
    found.setup("fit")
    found.log = lambda name, value, **_: found.logged.__setitem__(name, float(value.detach()))
    found.logged = {}
    return found


def part():
    data = Random()
    noise = StepNoise(0, 3, torch.arange(4), 4)
    return Part(data.batch_of([0, 1, 2, 3], [0, 1, 2, 3]), noise, 3)


def seen_by(module, monkeypatch):
    """What a network is given from now on."""
    given, original = [], module.forward

    def watched(x):
        given.append(x.detach().clone())
        return original(x)

    monkeypatch.setattr(module, "forward", watched)
    return given


def test_backgrounds():
    batch = part().batch
    picture, mask = batch["picture"], batch["mask"]
    assert torch.equal(system().filled(picture, mask), torch.where(mask, picture, 0))
    assert torch.equal(system(keep_background=True).filled(picture, mask), picture)
    published = system(parity=True).filled(picture, mask)
    assert torch.equal(published, published_background(picture, mask))
    assert float(published[~mask.expand_as(picture)].abs().max()) > 0


def test_parity_trains_with_rounded_places_but_shows_exact_ones(monkeypatch):
    one, given = system(parity=True), []
    original = one.generator.decode

    def watched(code, uv, uv_mask):
        given.append((uv, uv_mask))
        return original(code, uv, uv_mask)

    monkeypatch.setattr(one.generator, "decode", watched)
    some = part()
    one.generator_loss(some)
    one.eval().validation_step(some.batch, 0)
    exact = some.batch["uv"], some.batch["uv_mask"]
    rounded = published_uv(*exact)
    assert not torch.equal(rounded[0], exact[0])
    for found, expected in zip(given, (rounded, exact, exact), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_parity_sets_the_loss():
    loss = partial(LOSS, direction="forward", warm_up=9, free_bits=0.1)
    for parity, expected in ((True, ("reverse", 0, 0.0)), (False, ("forward", 9, 0.1))):
        found = system(loss, parity=parity, r1_weight=1.0)
        made = found._losses[0]
        assert (made.direction, made.warm_up, made.free_bits) == expected
        phases = [phase.name for phase in found.phases()]
        assert phases == ["generator", "discriminator"] + ["r1"] * (not parity)


@pytest.mark.parametrize("parity", [True, False])
def test_the_discriminator_judges_the_same_pictures_or_those_of_a_second_pass(parity, monkeypatch):
    one, some = system(parity=parity), part()
    given = seen_by(one.discriminator, monkeypatch)
    one.generator_loss(some)
    real, judged = given
    one.discriminator_loss(some)
    batch = some.batch
    target = normalised(one.filled(batch["picture"], batch["mask"]))
    assert torch.equal(real, target)
    assert torch.equal(given[2], target)
    assert torch.equal(given[3], judged) != parity


def test_a_discriminator_with_places_sees_them(monkeypatch):
    one, some = system(channels=6), part()
    given = seen_by(one.discriminator, monkeypatch)
    one.generator_loss(some)
    batch = some.batch
    for x in given:
        assert torch.equal(x[:, 3:5], (2 * batch["uv"] - 1) * batch["uv_mask"])
        assert torch.equal(x[:, 5:], batch["uv_mask"].float())
    with pytest.raises(ConfigError, match="channels_in"):
        VariTex(one.generator, VariTexDiscriminator(5, 4, 2))
    VariTex(one.generator, PatchDiscriminator(6, 4, layers=1, scales=1))


def test_the_gradient_penalty_is_that_of_its_definition():
    one, some = system(r1_weight=3.0), part()
    one.discriminator.eval()
    found = one.r1_loss(some)
    batch = some.batch
    colours = normalised(batch["picture"] * batch["mask"]).requires_grad_()
    outputs = one.discriminator(colours)
    (slope,) = torch.autograd.grad(sum(out.scores.sum() for out in outputs), colours)
    patches = sum(out.scores[0].numel() for out in outputs)
    expected = 3.0 / 2 * slope.square().sum((1, 2, 3)).mean() / patches
    torch.testing.assert_close(found, expected)


def test_what_is_logged():
    one, some = system(), part()
    one.generator_loss(some)
    posterior = one.encode(some.batch)
    mean, deviation = (x.detach().double() for x in (posterior.mean, posterior.deviation))
    normal = torch.distributions.Normal
    own, prior = normal(mean, deviation), normal(torch.zeros_like(mean), torch.ones_like(mean))
    divergence = torch.distributions.kl_divergence
    for name, value in (("forward", divergence(own, prior)), ("reverse", divergence(prior, own))):
        assert one.logged[f"train/divergence_{name}"] == pytest.approx(float(value.mean()), 1e-4)
    one.eval().validation_step(some.batch, 0)
    batch = some.batch
    picture = one(one.encode(batch).mean, batch["uv"], batch["uv_mask"]).picture.clamp(0, 1)
    error = (picture.detach() - batch["picture"] * batch["mask"]).double().square().mean((1, 2, 3))
    assert one.logged["val/psnr"] == pytest.approx(float(-10 * error.log10().mean()), 1e-4)
    assert {name for name in one.logged if name.startswith("val/")} == {
        "val/psnr",
        "val/ssim",
        "val/psnr_drawn",
        "val/ssim_drawn",
        "val/divergence_reverse",
        "val/divergence_forward",
    }


def test_what_cannot_be():
    with pytest.raises(ConfigError, match="r1_interval"):
        system(r1_interval=0)
    with pytest.raises(ConfigError, match="model"):
        system(model="ict")
    with pytest.raises(ConfigError, match="model"):
        system(model=None)
