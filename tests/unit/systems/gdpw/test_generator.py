"""GDPW's generator: published counts, shapes, gradients, its options, sources encoded once."""

from __future__ import annotations

import copy
import functools

import pytest
import torch

from facemorph.errors import ConfigError, DataError
from facemorph.geometry.rendering.rasterizer import rasterize_torch
from facemorph.networks.spectral import SpectralConvolution
from facemorph.systems.gdpw.blocks import ConvolutionBlock, fold_normalisations
from facemorph.systems.gdpw.generator import KINDS, PUBLISHED_WIDTHS, GDPWGenerator
from facemorph.systems.gdpw.guidance import Guidance, MeshGuidance
from facemorph.systems.gdpw.warping import warp

WIDTHS = (4, 6, 8, 10)
CODES, VERTICES = 3, 7
PUBLISHED = {"neural_codes": 141_811_710, "geom_disp": 141_226_766, "both": 141_883_134}


def count(module):
    return sum(one.numel() for one in module.parameters())


def small(guidance="both", **changes):
    options = {"widths": WIDTHS, "code_size": CODES, "num_vertices": VERTICES}
    return GDPWGenerator(guidance, **{**options, **changes})


def inputs(guidance="both", batch=2, height=32, width=32, codes=CODES):
    """A source and guidance of moderate flows."""
    flow = 0.2 * torch.randn(batch, 2, height, width)
    rendered = [None, None]
    if guidance != "geom_disp":
        rendered = [torch.rand(batch, codes, height, width) for _ in range(2)]
    return torch.rand(batch, 3, height, width), Guidance(flow, *rendered)


@functools.cache
def published(guidance):
    """The paper's network without its weights; seconds, as torch's `meta` device is slow."""
    with torch.device("meta"):
        return GDPWGenerator(guidance).eval()


@pytest.mark.parametrize("guidance", KINDS)
def test_published_counts(guidance):
    network = published(guidance)
    assert count(network) == PUBLISHED[guidance]
    assert network.widths == PUBLISHED_WIDTHS
    assert count(network.shortcuts[-1]) == 9_440_256
    if guidance == "geom_disp":
        assert network.codes is None
    else:
        assert network.codes.numel() == 80_368


def test_published_shapes():
    """256 x 256, where only shapes are computed."""
    with torch.device("meta"):
        output = published("both")(*inputs(batch=1, height=256, width=256, codes=16))
    assert output.picture.shape == (1, 3, 256, 256)
    assert {stride: flow.shape[-1] for stride, flow in output.flows.items()} == {
        16: 16,
        8: 32,
        4: 64,
        2: 128,
        1: 256,
    }
    assert list(output.mesh_flows) == [1, 2, 4, 8, 16, 32]
    assert output.mesh_flows[32].shape == (1, 2, 8, 8)


@pytest.mark.parametrize("guidance", KINDS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40)])
def test_pictures(guidance, height, width):
    output = small(guidance)(*inputs(guidance, height=height, width=width))
    assert output.picture.shape == output.warped.shape == (2, 3, height, width)
    assert output.alpha.shape == (2, 1, height, width)
    assert output.picture is output.colours
    assert bool(((output.picture > 0) & (output.picture < 1)).all())
    assert list(output.flows) == [4, 2, 1]
    if guidance == "neural_codes":
        assert not any(bool(flow.any()) for flow in output.mesh_flows.values())
    else:
        assert all(bool(flow.any()) for flow in output.mesh_flows.values())


@pytest.mark.parametrize("guidance", KINDS)
def test_gradients_reach_all_weights(guidance):
    """All but the last shortcut, which is never used, and biases that a batch norm takes out."""
    network = small(guidance, alpha_blending=True).double()
    square = torch.rand(VERTICES, 3) * 1.6 - 0.8
    faces = torch.tensor([[0, 1, 2], [1, 0, 2], [3, 4, 5], [4, 3, 5], [6, 0, 3], [0, 6, 3]])
    vertices = torch.stack([square, square + 0.1, square - 0.1])
    render = MeshGuidance(faces, rasterize_torch)
    guided = render(vertices, vertices.flip(0), (32, 32), network.codes)
    doubles = [
        None if one is None else one.double()
        for one in (guided.flow, guided.target_codes, guided.source_codes)
    ]
    output = network(torch.rand(3, 3, 32, 32).double(), Guidance(*doubles))
    torch.nn.functional.mse_loss(output.picture, torch.rand_like(output.picture)).backward()
    dead = {f"shortcuts.3.{name}" for name, _ in network.shortcuts[-1].named_parameters()}
    without = {name for name, one in network.named_parameters() if one.grad is None}
    assert without == dead
    assert not any(one.requires_grad for one in network.shortcuts[-1].parameters())
    for name, one in network.named_parameters():
        if name in dead:
            continue
        before_norm = name.endswith(("convolution.bias", "block.first.bias"))
        size = float(one.grad.abs().max())
        assert (size < 1e-12) if before_norm else (size > 1e-12), name


def test_alpha_blending():
    source, guidance = inputs()
    network = small(alpha_blending=True).eval()
    output = network(source, guidance)
    expected = output.alpha * output.colours + (1 - output.alpha) * output.warped
    torch.testing.assert_close(output.picture, expected)
    torch.nn.init.zeros_(network.exit.weight)
    network.exit.bias.data = torch.tensor([0.0, 0.0, 0.0, -200.0])
    output = network(source, guidance)
    assert torch.equal(output.picture, output.warped)


def test_no_movement_gives_the_source_back():
    """Zero flows and no colours of its own: the very picture."""
    network = small("geom_disp", alpha_blending=True).eval()
    for level in network.decoder:
        torch.nn.init.zeros_(level.flow.weight)
        torch.nn.init.zeros_(level.flow.bias)
    torch.nn.init.zeros_(network.exit.weight)
    network.exit.bias.data = torch.tensor([0.0, 0.0, 0.0, -200.0])
    source = torch.rand(1, 3, 32, 32)
    still = Guidance(torch.zeros(1, 2, 32, 32))
    assert torch.equal(network(source, still).picture, source)
    network.published_grid = True
    assert not torch.equal(network(source, still).picture, source)


def test_the_picture_is_warped_by_the_finest_flow():
    for published in (False, True):
        network = small(published_grid=published).eval()
        source, guidance = inputs()
        output = network(source, guidance)
        assert output.published_grid is published
        expected = warp(source, output.flows[1], published_grid=published)
        torch.testing.assert_close(output.warped, expected)


def test_flows_are_in_pixels_of_the_finer_level():
    """A bias of one pixel to the right, whatever the level."""
    network = small("geom_disp")
    for level in network.decoder:
        torch.nn.init.zeros_(level.flow.weight)
        level.flow.bias.data = torch.tensor([1.0, -2.0])
    flows = network(*inputs("geom_disp", height=32, width=64)).flows
    for stride, flow in flows.items():
        torch.testing.assert_close(flow[0, 0], torch.full_like(flow[0, 0], 2 * stride / 64))
        torch.testing.assert_close(flow[0, 1], torch.full_like(flow[0, 1], -4 * stride / 32))


def test_one_source_for_many_targets():
    """Encoded once, it gives the pictures that it gives anew each time."""
    network = small().eval()
    source, guidance = inputs(batch=1)
    targets = [inputs(batch=1)[1] for _ in range(3)]
    features = network.encode(source, guidance.source_codes)
    together = Guidance(
        torch.cat([one.flow for one in targets]), torch.cat([one.target_codes for one in targets])
    )
    found = network.decode(features, together).picture
    for number, one in enumerate(targets):
        alone = Guidance(one.flow, one.target_codes, guidance.source_codes)
        expected = network(source, alone).picture
        torch.testing.assert_close(found[number : number + 1], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("guidance", KINDS)
def test_folded_networks_are_the_same(guidance):
    network = small(guidance)
    source, guided = inputs(guidance)
    for _ in range(3):  # statistics of their own
        network(source, guided)
    network.eval()
    expected = network(source, guided)
    assert fold_normalisations(network) is network
    found = network(source, guided)
    torch.testing.assert_close(found.picture, expected.picture, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.flows[1], expected.flows[1], atol=1e-5, rtol=1e-4)
    assert not any(isinstance(one, SpectralConvolution) for one in network.modules())
    blocks = [one for one in network.modules() if isinstance(one, ConvolutionBlock)]
    assert all(isinstance(one.normalisation, torch.nn.Identity) for one in blocks)


def test_folding_a_copy_leaves_the_network():
    """Regression: copies of torch's parametrised layers share a class, and lose their weights."""
    network = small("geom_disp").eval()
    given = inputs("geom_disp")
    expected = network(*given).picture
    fold_normalisations(copy.deepcopy(network))
    assert torch.equal(network(*given).picture, expected)


def test_folding_in_training_is_refused():
    with pytest.raises(ConfigError, match="training"):
        fold_normalisations(small())


def test_evaluation_changes_nothing_and_does_not_iterate():
    """Regression: spectral norms are constants while a network is used."""
    network = small().eval()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    first = network(*(given := inputs())).picture
    assert torch.equal(network(*given).picture, first)
    for name, one in network.state_dict().items():
        assert torch.equal(one, before[name]), name


def test_spectral_norms_are_one():
    network = small()
    for layer in (network.entry.convolution, network.decoder[0].block.first_spade.gamma):
        for _ in range(50):
            norm = layer.norm().detach()
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert float(norm) == pytest.approx(float(largest), rel=1e-3)


def test_state_goes_into_another_network():
    first, second = small().eval(), small().eval()
    second.load_state_dict(first.state_dict())
    given = inputs()
    assert torch.equal(first(*given).picture, second(*given).picture)


def test_bfloat16_keeps_flows_exact():
    network = small().eval()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(*inputs())
    assert output.picture.dtype == torch.float32
    assert all(flow.dtype == torch.float32 for flow in output.flows.values())
    assert bool(torch.isfinite(output.picture).all())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"guidance": "depth"}, "guidance"),
        ({"widths": (4,)}, "widths"),
        ({"widths": (4, 0)}, "widths"),
        ({"code_size": 1}, "code_size"),
        ({"num_vertices": 0}, "num_vertices"),
    ],
)
def test_wrong_options_are_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        small(**changes)


def test_wrong_inputs_are_named():
    network = small()
    source, guidance = inputs()
    with pytest.raises(DataError, match="multiples of 8"):
        network(torch.rand(2, 3, 36, 32), guidance)
    with pytest.raises(DataError, match=r"source.* codes .*none"):
        network(source, Guidance(guidance.flow))
    with pytest.raises(DataError, match="target"):
        network(source, Guidance(guidance.flow, None, guidance.source_codes))
    with pytest.raises(DataError, match="no codes"):
        small("geom_disp")(source, guidance)
    with pytest.raises(DataError, match="flow"):
        network.decode(network.encode(source, guidance.source_codes), Guidance(source))
    with pytest.raises(DataError, match="statistics"):
        network(*inputs(batch=1, height=8, width=8))
