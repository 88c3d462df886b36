"""VariTex's released checkpoint: look-alikes made by the plain twin, converted, give the same."""

from __future__ import annotations

import hashlib

import pytest
import torch
from helpers.networks import as_trained
from omegaconf import OmegaConf
from torch import nn

from facemorph.bench.plain.varitex import PlainScores, PlainSpectral, PlainVariTex, plain_resize
from facemorph.cli import run
from facemorph.errors import CheckpointError
from facemorph.storage.checkpoint import load_system
from facemorph.systems.varitex import published_weights
from facemorph.systems.varitex.generator import VariTexGenerator
from facemorph.systems.varitex.published_weights import (
    generator_of,
    load_published_discriminator,
    load_published_generator,
)
from facemorph.systems.varitex.spaces import normalised

CODE, CHANNELS, SIDE = 5, 4, 32
TEXTURE, ADDITIVE = [8, 7, 6, 6], [7, 6, 5, 5]
TINY = (CODE, CHANNELS, [4, 6, 8], TEXTURE, ADDITIVE, 4, 3)


def plain(doublings=None):
    torch.manual_seed(0)
    return as_trained(PlainVariTex(*TINY, doublings))


@pytest.fixture
def saved(tmp_path):
    """A file as the authors' training writes them, with the networks that are in it."""
    network, scores = plain(), as_trained(PlainScores(4, 4))
    state = {f"generator.{name}": one for name, one in network.state_dict().items()}
    state |= {f"discriminator.{name}": one for name, one in scores.state_dict().items()}
    state |= {"criterion.vgg.slice1.0.weight": torch.zeros(2, 3, 3, 3)}
    state |= {"val_lpips.net.lins.0.model.1.weight": torch.zeros(1, 2, 1, 1)}
    path = tmp_path / "ep44.ckpt"
    torch.save({"state_dict": state, "epoch": 44, "pytorch-lightning_version": "1.9.5"}, path)
    return path, network, scores


def inputs():
    uv = 2 * torch.rand(2, 2, SIDE, SIDE) - 1
    mask = torch.rand(2, 1, SIDE, SIDE) > 0.4
    return torch.rand(2, 3, SIDE, SIDE), uv, mask, torch.randn(2, 2 * CODE)


def of_both(ours, network, given):
    """What both make: colours, mask, texture, means and deviations."""
    pictures, uv, mask, noise = given
    output, posterior = ours(pictures, (uv + 1) / 2, mask, noise)
    found = (output.colours, output.mask, output.texture, posterior.mean, posterior.deviation)
    return found, network(normalised(pictures), torch.where(mask, uv, -1), noise)


def test_pictures_are_the_published_ones(saved):
    path, network, _ = saved
    ours = load_published_generator(path)
    assert not ours.training
    assert (ours.picture_size, ours.texture_size, ours.channels) == (SIDE, SIDE, CHANNELS)
    for mine, other in zip(*of_both(ours, network, inputs()), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("doublings", [3, 2])
def test_conversion_is_exact(doublings):
    """In float64 nothing but rounding is left, of pictures and gradients; smaller textures too."""
    network = plain(doublings)
    ours = generator_of(network.state_dict(), "the plain twin").double()
    assert ours.texture_size == 4 * 2**doublings
    network = network.double()
    pictures, uv, mask, noise = (one.double() for one in inputs())
    gradients = []
    for number in range(2):
        given = pictures.clone().requires_grad_()
        made = of_both(ours, network, (given, uv, mask.bool(), noise))[number]
        (slope,) = torch.autograd.grad(sum(one.square().sum() for one in made), given)
        gradients.append((*made, slope))
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


def test_training_is_the_published_one():
    """Statistics of the batch, and the gradients of all weights, renamed as the weights are."""
    network = plain().double().train()
    ours = generator_of(network.state_dict(), "the plain twin").double().train()
    pictures, uv, mask, noise = (one.double() for one in inputs())
    found, expected = of_both(ours, network, (pictures, uv, mask.bool(), noise))
    for made in (found, expected):
        sum(one.square().mean() for one in made).backward()
    gradients = {name: one.grad for name, one in network.named_parameters()}
    wanted = generator_of({**network.state_dict(), **gradients}, "gradients").double()
    by_name = dict(wanted.named_parameters())
    for name, one in ours.named_parameters():
        # The converter's numbers are of float32.
        torch.testing.assert_close(one.grad, by_name[name].data, rtol=1e-5, atol=1e-6)


def test_scores_are_the_published_ones(saved):
    path, _, scores = saved
    ours, images = load_published_discriminator(path), torch.randn(2, 3, SIDE, SIDE)
    for mine, other in zip(ours(images), scores(images), strict=True):
        for one, wanted in zip((*mine.features, mine.scores), other, strict=True):
            torch.testing.assert_close(one, wanted, atol=1e-5, rtol=1e-5)


def test_names_within_parts_do_not_matter(saved):
    path, network, _ = saved
    content = torch.load(path, weights_only=True)
    renamed = {
        name.replace("generator.", "net.generator.").replace("layer", "stages.up"): one
        for name, one in content["state_dict"].items()
    }
    torch.save({"state_dict": renamed}, path)
    ours, given = load_published_generator(path), inputs()
    found, expected = of_both(ours, network, given)
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-5)


def test_the_plain_twin_has_the_published_counts(monkeypatch):
    """Shapes of the whole file, on paper; the vectors of the norms are left out there."""

    def empty(self, inputs, outputs, stride):
        nn.Module.__init__(self)
        self.weight_orig = nn.Parameter(torch.empty(outputs, inputs, 4, 4))

    monkeypatch.setattr(PlainSpectral, "__init__", empty)
    textures, additive = [512, 256, 256, 256, 128, 64, 64], [512, 512, 256, 256, 128, 64, 64]
    with torch.device("meta"):
        network = PlainVariTex(128, 16, [64, 128, 256, 512], textures, additive, 64, 5)
        scores = PlainScores()
        ours = VariTexGenerator()
    assert sum(one.numel() for one in network.parameters()) == 74_098_436
    assert sum(one.numel() for one in scores.parameters()) == 5_527_682
    shapes = [
        sorted(tuple(one.shape) for one in which.state_dict().values()) for which in (ours, network)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("side", [1, 3, 8])
def test_the_plain_twin_resizes_as_torch(side):
    values = torch.randn(2, 3, 8, 8)
    expected = nn.functional.interpolate(values, (side, side), mode="bilinear")
    torch.testing.assert_close(plain_resize(values, side), expected)


def changed(path, change):
    content = torch.load(path, weights_only=True)
    change(content["state_dict"])
    torch.save(content, path)


def test_missing_unknown_and_misshapen_weights(saved):
    path, _, _ = saved
    whole = path.read_bytes()
    name = "generator.decoder.layer2.0.conv1.weight"
    for change, match in (
        (lambda one: one.pop(name), r"not the weights of VariTex"),
        (lambda one: one.update({name: torch.zeros(7, 3, 3, 3)}), r"layer2\.0\.conv1"),
        (lambda one: one.update({"generator.encoder.more.weight": torch.zeros(1)}), "more"),
        (lambda one: one.pop("generator.fc_var.bias"), r"fc_var"),
        (lambda one: one.pop("generator.encoder.bn1.running_mean"), r"encoder\.bn1"),
        (lambda one: one.pop("generator.texture2image.layers.5.bias"), r"its end|layers\.5"),
        (lambda one: one.update({"generator.fc_mu.weight": "text"}), "this is no weight"),
        (lambda one: one.update({"generator.decoder.linear.weight": torch.zeros(2)}), "VariTex"),
    ):
        path.write_bytes(whole)
        changed(path, change)
        with pytest.raises(CheckpointError, match=match):
            load_published_generator(path)
    path.write_bytes(whole)
    changed(path, lambda one: one.pop("discriminator.discriminator_1.model2.weight_u"))
    with pytest.raises(CheckpointError, match=r"discriminator_1\.model2"):
        load_published_discriminator(path)


def test_no_sizes_that_cannot_be(saved):
    """A file whose decoder has no stage that grows."""
    path, _, _ = saved
    shortcuts = [f"generator.decoder_exterior.layer{n}.0.shortcut.0.weight" for n in (1, 2, 3)]
    changed(path, lambda one: [one.pop(name) for name in shortcuts])
    with pytest.raises(CheckpointError, match="not the weights of VariTex"):
        load_published_generator(path)


def test_files_that_are_none(tmp_path):
    path = tmp_path / "other.ckpt"
    torch.save({"weights": {}}, path)
    with pytest.raises(CheckpointError, match="expected state_dict"):
        load_published_generator(path)
    torch.save({"state_dict": {"a": torch.zeros(1)}}, path)
    for load in (load_published_generator, load_published_discriminator):
        with pytest.raises(CheckpointError, match="these are not the weights of VariTex"):
            load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        load_published_generator(path)


def test_our_own_state_is_no_published_file(tmp_path):
    path = tmp_path / "ours.ckpt"
    network = VariTexGenerator(**SMALL)
    torch.save({"state_dict": network.state_dict()}, path)
    with pytest.raises(CheckpointError, match="VariTex"):
        load_published_generator(path)


SMALL = {
    "picture_size": SIDE,
    "texture_size": 16,
    "channels": CHANNELS,
    "face_code": CODE,
    "additive_code": CODE,
    "encoder_widths": (4, 6, 8),
    "texture_widths": TEXTURE,
    "additive_widths": ADDITIVE,
    "renderer_width": 4,
    "renderer_levels": 3,
}


@pytest.mark.parametrize("doublings", [3, 2])
def test_release_folders_of_imported_files(tmp_path, doublings, capsys):
    network, path = plain(doublings), tmp_path / "ep44.ckpt"
    state = {f"generator.{name}": one for name, one in network.state_dict().items()}
    torch.save({"state_dict": state}, path)
    words = ["import", "varitex", str(path), "-o", str(tmp_path / "out")]
    assert run(words) == 0
    assert str(tmp_path / "out") in capsys.readouterr().out.replace("\n", "")
    system = load_system(tmp_path / "out")
    assert (system.discriminator, system.model_name, system.parity) == (None, None, True)
    for mine, other in zip(*of_both(system.generator, network, inputs()), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)
    card = OmegaConf.load(tmp_path / "out/card.yaml")
    assert card.system == "facemorph.systems.varitex.system.VariTex"
    assert "mcbuehler/VariTex" in card.source
    assert "CC BY-NC-SA" in card.licence
    assert card.parameters == sum(one.numel() for one in network.parameters())
    assert card.file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert run(words) == 2
    assert "not empty" in capsys.readouterr().err


def test_imported_files_have_a_usual_place_and_a_model(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(published_weights, "pretrained_folder", lambda: tmp_path / "usual")
    assert run(["import", "varitex", str(saved[0]), "--model", "bfm2017.h5"]) == 0
    assert load_system(tmp_path / "usual/varitex").model_name == "bfm2017.h5"
