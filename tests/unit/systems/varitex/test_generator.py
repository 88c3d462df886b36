"""VariTex's generator: published counts and sizes, gradients, its parts one by one, its options."""

from __future__ import annotations

import functools

import pytest
import torch

from facemorph.errors import ConfigError, DataError
from facemorph.systems.varitex.encoder import Posterior
from facemorph.systems.varitex.generator import VariTexGenerator
from facemorph.systems.varitex.spaces import normalised, sample_texture

SIDE, TEXTURE, CHANNELS, CODES = 16, 8, 4, (3, 5)
PUBLISHED = {
    "encoder": 11_168_832,
    "mean": 131_328,
    "log_variance": 131_328,
    "texture_decoder": 12_443_520,
    "additive_decoder": 19_163_008,
    "renderer": 31_060_420,
}
STAGES = {
    "texture_decoder": [4_852_736, 2_427_392, 2_427_392, 1_213_952, 303_872, 152_192],
    "additive_decoder": [9_851_904, 4_963_328, 2_501_120, 1_269_248, 331_520, 170_624],
}
ENTRIES = {"texture_decoder": 1_056_768, "additive_decoder": 66_048}
LEVELS = [
    *(55_680, 221_952, 886_272, 3_542_016, 14_161_920),
    *(9_178_624, 2_295_552, 574_336, 143_808, 260),
]


def count(module):
    return sum(one.numel() for one in module.parameters())


def small(**changes):
    options = {
        "picture_size": SIDE,
        "texture_size": TEXTURE,
        "channels": CHANNELS,
        "face_code": CODES[0],
        "additive_code": CODES[1],
        "encoder_widths": (4, 6),
        "texture_widths": (6, 5, 4),
        "additive_widths": (5, 4, 4),
        "renderer_width": 4,
        "renderer_levels": 2,
    }
    return VariTexGenerator(**{**options, **changes})


def lively():
    """In evaluation; an untrained network with statistics of batches would give next to nothing."""
    return small(normalisation="group").eval()


def inputs(batch=2, side=SIDE):
    uv, mask = torch.rand(batch, 2, side, side), torch.rand(batch, 1, side, side) > 0.3
    return torch.rand(batch, 3, side, side), uv, mask


def noise(batch=2, codes=CODES):
    return torch.randn(batch, sum(codes))


@functools.cache
def published():
    """The paper's network without its weights."""
    with torch.device("meta"):
        return VariTexGenerator()


def test_published_counts():
    network = published()
    assert count(network) == 74_098_436
    assert {name: count(one) for name, one in network.named_children()} == PUBLISHED
    for name, expected in STAGES.items():
        decoder = getattr(network, name)
        assert count(decoder.entry) == ENTRIES[name]
        assert count(decoder.exit) == 9_216
        counts = [count(one) for one in decoder.blocks]
        assert [sum(counts[n : n + 2]) for n in range(0, len(counts), 2)] == expected
    renderer = network.renderer
    assert [count(one) for one in (*renderer.down, *renderer.up, renderer.exit)] == LEVELS


def test_published_sizes():
    """256 x 256, where only shapes are computed, through each part."""
    sizes = {}

    def noted(name):
        def hook(module, given, made):
            sizes.setdefault(name, []).append(tuple(made.shape[1:]))

        return hook

    network = published()
    handles = [network.encoder.register_forward_hook(noted("encoder"))]
    for name, blocks in (
        ("stages", [network.encoder.blocks[n] for n in (1, 3, 5, 7)]),
        ("texture", network.texture_decoder.blocks[1::2]),
        ("additive", network.additive_decoder.blocks[1::2]),
        ("down", network.renderer.down),
        ("up", network.renderer.up),
    ):
        handles += [one.register_forward_hook(noted(name)) for one in blocks]
    with torch.device("meta"):
        output, posterior = network(*inputs(1, 256))
    for one in handles:
        one.remove()
    assert sizes["stages"] == [(64, 256, 256), (128, 128, 128), (256, 64, 64), (512, 32, 32)]
    assert sizes["encoder"] == [(512,)]
    widths = (256, 256, 256, 128, 64, 64)
    assert sizes["texture"] == [(w, 8 << n, 8 << n) for n, w in enumerate(widths)]
    widths = (512, 256, 256, 128, 64, 64)
    assert sizes["additive"] == [(w, 8 << n, 8 << n) for n, w in enumerate(widths)]
    assert sizes["down"] == [(64 << n, 256 >> n, 256 >> n) for n in range(5)]
    assert sizes["up"] == [(64 << n, 256 >> n, 256 >> n) for n in (3, 2, 1, 0)]
    assert posterior.mean.shape == posterior.log_variance.shape == (1, 256)
    assert output.colours.shape == output.picture.shape == (1, 3, 256, 256)
    assert output.mask.shape == (1, 1, 256, 256)
    assert output.texture.shape == output.face.shape == output.additive.shape == (1, 16, 256, 256)


def test_textures_of_the_other_published_size():
    """128: the last stage keeps the size, without a shortcut of its own."""
    with torch.device("meta"):
        network = VariTexGenerator(texture_size=128)
        output, _ = network(*inputs(1, 256))
    assert output.texture.shape == (1, 16, 128, 128)
    assert output.face.shape == (1, 16, 256, 256)
    stage = sum(count(one) for one in network.texture_decoder.blocks[-2:])
    assert stage == 152_192 - 64 * 64 - 2 * 64


@pytest.mark.parametrize("stem", ["full", "half", "quarter"])
@pytest.mark.parametrize("kind", ["batch", "sync", "group"])
def test_pictures_and_gradients(stem, kind):
    """Every weight is reached, whatever the options."""
    network = small(stem=stem, normalisation=kind)
    output, posterior = network(*inputs(), noise())
    assert output.colours.shape == (2, 3, SIDE, SIDE)
    assert bool(((output.mask > 0) & (output.mask < 1)).all())
    total = output.colours.square().mean() + output.mask.mean() + posterior.log_variance.mean()
    total.backward()
    still = [name for name, one in network.named_parameters() if one.grad is None]
    assert not still
    assert all(bool(torch.isfinite(one.grad).all()) for one in network.parameters())
    # Biases before normalisations never matter.
    weights = [one for name, one in network.named_parameters() if name.endswith("weight")]
    assert all(float(one.grad.abs().max()) > 0 for one in weights)


def test_a_single_picture_can_be_trained_with():
    """The smallest size that is allowed has statistics at every level."""
    network = small(picture_size=8, stem="half")
    output, posterior = network(*inputs(1, 8), noise(1))
    (output.colours.square().mean() + posterior.mean.mean()).backward()
    grads = [one.grad for one in network.parameters() if one.grad is not None]
    assert all(bool(torch.isfinite(one).all()) for one in grads)


def test_stems_have_the_same_weights():
    states = [small(stem=stem).state_dict() for stem in ("full", "half", "quarter")]
    shapes = [{name: one.shape for name, one in state.items()} for state in states]
    assert shapes[0] == shapes[1] == shapes[2]
    sides = {"full": 16, "half": 8, "quarter": 4}
    for stem, side in sides.items():
        encoder = small(stem=stem).encoder
        seen = []
        encoder.blocks[1].register_forward_hook(lambda *args, seen=seen: seen.append(args[2]))
        encoder(torch.rand(1, 3, SIDE, SIDE))
        assert seen[0].shape[2:] == (side, side)


def test_no_gradients_from_the_additive_features_to_the_texture():
    network = small()
    code = noise().requires_grad_()
    _, uv, mask = inputs()
    texture = network.texture(code)
    face = sample_texture(texture, uv, mask)
    (slope,) = torch.autograd.grad(network.additive(code, face).square().sum(), code)
    assert float(slope[:, : CODES[0]].abs().max()) == 0
    assert float(slope[:, CODES[0] :].abs().max()) > 0
    code = noise().requires_grad_()
    (slope,) = torch.autograd.grad(network.texture(code).square().sum(), code)
    assert float(slope[:, CODES[0] :].abs().max()) == 0


def test_the_additive_features_see_the_face():
    network = lively()
    code = noise()
    face = torch.randn(2, CHANNELS, SIDE, SIDE)
    assert not torch.allclose(network.additive(code, face), network.additive(code, 0 * face))


def test_deviation_zero_is_the_mean():
    """Regression: two of the released inference modes fail with a deviation of 0."""
    network = lively()
    given = inputs()
    expected, posterior = network(*given)
    found, _ = network(*given, torch.zeros(2, sum(CODES)))
    assert torch.equal(found.colours, expected.colours)
    narrow = Posterior(posterior.mean, torch.full_like(posterior.mean, -float("inf")))
    assert torch.equal(narrow.code(noise()), posterior.mean)
    drawn, _ = network(*given, noise())
    assert not torch.allclose(drawn.colours, expected.colours)


def test_codes_are_means_and_deviations():
    posterior = Posterior(torch.tensor([[1.0, -1.0]]), torch.tensor([[4.0, 0.0]]).log())
    found = posterior.code(torch.tensor([[1.5, 2.0]]))
    torch.testing.assert_close(found, torch.tensor([[4.0, -1.0]]))


def test_the_encoder_sees_pictures_by_imagenets_statistics():
    network = small().eval()
    pictures = torch.rand(1, 3, SIDE, SIDE)
    features = network.encoder(normalised(pictures))
    torch.testing.assert_close(network.encode(pictures).mean, network.mean(features))


def test_one_code_in_many_poses():
    """Its texture is made once; pictures are those of one after the other."""
    network = lively()
    calls = []
    network.texture_decoder.register_forward_hook(lambda *args: calls.append(args[2].shape))
    code = noise(1)
    _, uv, mask = inputs(3)
    together = network.decode(code, uv, mask)
    assert calls == [(1, CHANNELS, TEXTURE, TEXTURE)]
    for n in range(3):
        alone = network.decode(code, uv[n : n + 1], mask[n : n + 1])
        torch.testing.assert_close(together.colours[n : n + 1], alone.colours, atol=1e-4, rtol=1e-4)


def test_edited_textures_are_shown():
    """The partial forwards together are the whole one; a texture that is changed changes."""
    network = lively()
    code = noise()
    _, uv, mask = inputs()
    whole = network.decode(code, uv, mask)
    again = network.show(whole.texture, code, uv, mask)
    assert torch.equal(again.colours, whole.colours)
    last = network.render(whole.texture, whole.face, whole.additive, mask)
    assert torch.equal(last.mask, whole.mask)
    edited = network.show(whole.texture + 1, code, uv, mask)
    torch.testing.assert_close(edited.face, (whole.face + 1) * mask)
    assert not torch.allclose(edited.colours, whole.colours)


def test_evaluation_changes_nothing():
    """Regression: pictures made to look at change no statistics."""
    network = small().eval()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    network(*inputs(), noise())
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())


def test_no_random_numbers_are_drawn():
    network = small().eval()
    given = inputs()
    state = torch.get_rng_state()
    network(*given)
    assert torch.equal(torch.get_rng_state(), state)


def test_bfloat16_keeps_results_exact():
    network = small().eval()
    given = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        output, posterior = network(*given, noise())
    assert output.colours.dtype == output.mask_scores.dtype == torch.float32
    assert posterior.mean.dtype == posterior.log_variance.dtype == torch.float32
    assert bool(torch.isfinite(output.colours).all())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"stem": "eighth"}, "stem"),
        ({"normalisation": "layer"}, "normalisation"),
        ({"picture_size": 24}, "additive_widths"),
        ({"picture_size": 64}, "additive_widths"),
        ({"texture_size": 4}, "texture_widths"),
        ({"texture_size": 32}, "texture_widths"),
        ({"texture_widths": ()}, "texture_widths"),
        ({"encoder_widths": (4, 0)}, "encoder_widths"),
        ({"channels": 2}, "channels"),
        ({"face_code": 0}, "face_code"),
        ({"renderer_levels": 5}, "picture_size"),
        ({"encoder_widths": (4, 4, 4, 4, 4)}, "picture_size"),
    ],
)
def test_wrong_options_are_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        small(**changes)


def test_wrong_inputs_are_named():
    network = small()
    pictures, uv, mask = inputs()
    code = noise()
    for call, named in (
        (lambda: network(pictures[..., :8], uv, mask), "pictures"),
        (lambda: network(pictures, uv[:, :1], mask), "uv"),
        (lambda: network(pictures, uv, mask[:1]), "uv_mask"),
        (lambda: network.texture(code[:, 1:]), "code"),
        (lambda: network.show(torch.zeros(2, CHANNELS, 4, 4), code, uv, mask), "texture"),
        (lambda: network.decode(noise(3), uv, mask), "uv"),
        (lambda: network.additive(code, pictures), "face"),
    ):
        with pytest.raises(DataError, match=named):
            call()
