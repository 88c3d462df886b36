"""GDPW's released checkpoints: look-alikes made by the plain twin, converted, give its pictures."""

from __future__ import annotations

import hashlib

import pytest
import torch
from helpers.networks import as_trained
from omegaconf import OmegaConf
from torch import nn

from facemorph.bench.plain.gdpw import PlainGDPW, PlainScores, PlainSpectral
from facemorph.cli import run
from facemorph.errors import CheckpointError
from facemorph.storage.checkpoint import load_system
from facemorph.systems.gdpw import published_weights
from facemorph.systems.gdpw.blocks import fold_normalisations
from facemorph.systems.gdpw.generator import KINDS, GDPWGenerator
from facemorph.systems.gdpw.guidance import Guidance
from facemorph.systems.gdpw.published_weights import (
    generator_of,
    load_published_discriminator,
    load_published_generator,
)

WIDTHS, VERTICES, CODES = [4, 6, 8, 10], 7, 5


def lively(network):
    """Statistics, scales and flows as after training."""
    with torch.no_grad():
        for name, one in network.named_parameters():
            if name.endswith("_flow.weight"):
                one.mul_(3)
    return as_trained(network)


def plain(guidance):
    torch.manual_seed(KINDS.index(guidance))
    vertices = 0 if guidance == "geom_disp" else VERTICES
    return lively(PlainGDPW(WIDTHS, vertices, guidance != "neural_codes", CODES))


def saved(folder, guidance, prefix=""):
    """A file as the authors' training writes them, with the networks that are in it."""
    network, scores = plain(guidance), lively(PlainScores(4, 3))
    path = folder / "0000010000.pth"
    torch.save(
        {
            "generator": {f"{prefix}{name}": one for name, one in network.state_dict().items()},
            "discriminator": scores.state_dict(),
            "global_step": 10_000,
        },
        path,
    )
    return path, network, scores


def inputs(guidance):
    flow = 0.3 * torch.randn(2, 2, 32, 24)
    codes = [None, None]
    if guidance != "geom_disp":
        codes = [torch.rand(2, CODES, 32, 24) for _ in range(2)]
    return torch.rand(2, 3, 32, 24), Guidance(flow, *codes)


def doubled(guidance):
    codes = (guidance.target_codes, guidance.source_codes)
    return Guidance(
        guidance.flow.double(), *(one if one is None else one.double() for one in codes)
    )


@pytest.mark.parametrize("guidance", KINDS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pictures_are_the_published_ones(tmp_path, guidance, prefix):
    path, network, _ = saved(tmp_path, guidance, prefix)
    ours = load_published_generator(path)
    assert (ours.guidance, ours.published_grid, ours.training) == (guidance, True, False)
    source, guided = inputs(guidance)
    found = ours(source, guided)
    colours, alpha, warped, flows = network(source, *vars(guided).values())
    torch.testing.assert_close(found.picture, colours, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.alpha, alpha, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.warped, warped, atol=1e-4, rtol=1e-4)
    assert list(found.flows) == list(flows)
    for stride, flow in flows.items():
        torch.testing.assert_close(found.flows[stride], flow, atol=1e-5, rtol=1e-4)
    if guidance != "geom_disp":
        assert torch.equal(ours.codes, network.embeds)


@pytest.mark.parametrize("guidance", KINDS)
def test_conversion_is_exact(guidance):
    """In float64 nothing but rounding is left, of pictures and gradients; folded, too."""
    network = plain(guidance)
    ours = generator_of(network.state_dict(), "the plain twin").double()
    network = network.double()
    source, guided = inputs(guidance)
    guided = doubled(guided)
    gradients = []
    for call in (
        lambda x: ours(x, guided).picture,
        lambda x: network(x, *vars(guided).values())[0],
    ):
        given = source.double().requires_grad_()
        picture = call(given)
        gradients.append((picture, *torch.autograd.grad(picture.square().sum(), given)))
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)
    found = fold_normalisations(ours)(source.double(), guided).picture
    torch.testing.assert_close(found, gradients[1][0], rtol=1e-9, atol=1e-9)


def test_the_grid_matters():
    """Without the released grid the same weights give other pictures."""
    network = plain("both")
    ours = generator_of(network.state_dict(), "the plain twin")
    ours.published_grid = False
    source, guided = inputs("both")
    expected = network(source, *vars(guided).values())[0]
    assert not torch.allclose(ours(source, guided).picture, expected, atol=1e-3)


def test_alpha_blending_is_the_callers_choice(tmp_path):
    path, network, _ = saved(tmp_path, "both")
    source, guided = inputs("both")
    colours, alpha, warped, _ = network(source, *vars(guided).values())
    found = load_published_generator(path, alpha_blending=True)(source, guided).picture
    expected = alpha * colours + (1 - alpha) * warped
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_scores_are_the_published_ones(tmp_path):
    path, _, scores = saved(tmp_path, "geom_disp")
    ours, images = load_published_discriminator(path), torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(ours(images).scores, scores(images), atol=1e-5, rtol=1e-5)


def test_the_plain_twin_has_the_published_counts(monkeypatch):
    """Names and shapes of the whole file, on paper; the singular vectors are left out there."""

    def empty(self, inputs, outputs, size=3, padding=None):
        nn.Module.__init__(self)
        self.bias = nn.Parameter(torch.empty(outputs, device="meta"))
        self.weight_orig = nn.Parameter(torch.empty(outputs, inputs, size, size, device="meta"))

    monkeypatch.setattr(PlainSpectral, "__init__", empty)
    widths = [32, 64, 128, 256, 512, 1024]
    for vertices, flow, expected in (
        (5023, False, 141_811_710),
        (0, True, 141_226_766),
        (5023, True, 141_883_134),
    ):
        network = PlainGDPW(widths, vertices, flow)
        assert sum(one.numel() for one in network.parameters()) == expected
    assert sum(one.numel() for one in PlainScores().parameters()) == 695_201


def changed(path, key, change):
    content = torch.load(path, weights_only=True)
    change(content[key])
    torch.save(content, path)
    return path


def test_missing_unknown_and_misshapen_weights(tmp_path):
    path, _, _ = saved(tmp_path, "both")
    whole = path.read_bytes()
    name = "up_layers.x4_spade.conv1.bias"
    changed(path, "generator", lambda one: one.pop(name))
    with pytest.raises(CheckpointError, match=r"missing, such as decoder\.1\.block\.first\.bias"):
        load_published_generator(path)
    path.write_bytes(whole)
    changed(path, "generator", lambda one: one.update(extra=torch.zeros(1)))
    with pytest.raises(CheckpointError, match="unknown, such as extra"):
        load_published_generator(path)
    path.write_bytes(whole)
    changed(path, "generator", lambda one: one.update({name: torch.zeros(3)}))
    with pytest.raises(CheckpointError, match="another shape"):
        load_published_generator(path)
    path.write_bytes(whole)
    changed(path, "generator", lambda one: one.pop("embeds"))
    with pytest.raises(CheckpointError, match="channels of guidance"):
        load_published_generator(path)
    path.write_bytes(whole)
    changed(path, "discriminator", lambda one: one.pop("discs.x1.out_convs.0.bias"))
    with pytest.raises(CheckpointError, match=r"missing, such as score\.bias"):
        load_published_discriminator(path)


def test_files_that_are_none(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"weights": {}}, path)
    with pytest.raises(CheckpointError, match="expected generator"):
        load_published_generator(path)
    torch.save({"generator": {"a": torch.zeros(1)}, "discriminator": {"a": torch.zeros(1)}}, path)
    for load in (load_published_generator, load_published_discriminator):
        with pytest.raises(CheckpointError, match="these are not the weights of GDPW"):
            load(path)
    torch.save({"generator": {"a": "text"}}, path)
    with pytest.raises(CheckpointError, match="this is no weight"):
        load_published_generator(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        load_published_generator(path)


@pytest.mark.parametrize("guidance", KINDS)
def test_release_folders_of_imported_files(tmp_path, guidance, capsys):
    path, network, _ = saved(tmp_path, guidance)
    words = ["import", "gdpw", str(path), "-o", str(tmp_path / "out")]
    assert run(words) == 0
    assert str(tmp_path / "out") in capsys.readouterr().out.replace("\n", "")
    system = load_system(tmp_path / "out")
    assert (system.generator.guidance, system.generator.published_grid) == (guidance, True)
    assert (system.discriminator, system.model_name) == (None, "flame")
    source, guided = inputs(guidance)
    found = system(source, guided).picture
    torch.testing.assert_close(
        found, network(source, *vars(guided).values())[0], atol=1e-5, rtol=1e-5
    )
    card = OmegaConf.load(tmp_path / "out/card.yaml")
    assert card.system == "facemorph.systems.gdpw.system.GDPW"
    assert "face_reenact_GDPW" in card.source
    assert "MIT" in card.licence
    assert "not stated" in card.licence
    assert card.parameters == sum(one.numel() for one in network.parameters())
    assert card.file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert run(words) == 2
    assert "not empty" in capsys.readouterr().err


def test_imported_files_have_a_usual_place_and_a_model(tmp_path, monkeypatch):
    path, _, _ = saved(tmp_path, "geom_disp")
    monkeypatch.setattr(published_weights, "pretrained_folder", lambda: tmp_path / "usual")
    assert run(["import", "gdpw", str(path), "--model", "flame2023.pkl"]) == 0
    system = load_system(tmp_path / "usual/gdpw_geom_disp")
    assert system.model_name == "flame2023.pkl"
    assert system.generator.codes is None


def test_nothing_is_written_of_files_that_are_none(tmp_path, capsys):
    path = tmp_path / "other.pth"
    torch.save({"weights": {}}, path)
    assert run(["import", "gdpw", str(path), "-o", str(tmp_path / "out")]) == 2
    assert "no such network of GDPW" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_our_own_state_is_no_published_file(tmp_path):
    path = tmp_path / "ours.pth"
    network = GDPWGenerator("geom_disp", WIDTHS)
    torch.save({"generator": network.state_dict()}, path)
    with pytest.raises(CheckpointError, match="GDPW"):
        load_published_generator(path)
