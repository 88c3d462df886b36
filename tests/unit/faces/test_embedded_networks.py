"""The embedded networks: published sizes, shapes, safe loading, gradients."""

import pytest
import torch
from safetensors.torch import save_file

from facemorph.errors import CheckpointError, ChecksumError
from facemorph.faces import embedded_networks as networks


@pytest.mark.parametrize(
    ("load", "parameters"),
    [
        (networks.face_detector, 101_390),
        (networks.face_landmarks, 356_840),
        (networks.face_descriptor, 5_614_592),
    ],
)
def test_parameter_counts_frozen_and_cached(load, parameters):
    network = load()
    assert sum(tensor.numel() for tensor in network.parameters()) == parameters
    assert not network.training
    assert not any(tensor.requires_grad for tensor in network.parameters())
    assert load() is network


def test_output_shapes():
    boxes, scores, points = networks.face_detector()(torch.rand(2, 3, 128, 128))
    assert (boxes.shape, scores.shape, points.shape) == ((2, 896, 4), (2, 896), (2, 896, 6, 2))
    assert bool(((scores >= 0) & (scores <= 1)).all())
    assert networks.face_landmarks()(torch.rand(2, 3, 112, 112)).shape == (2, 68, 2)
    assert networks.face_descriptor()(torch.rand(2, 3, 150, 150)).shape == (2, 128)


def test_same_padding_puts_the_odd_pixel_bottom_right():
    padded = networks._pad_same(torch.ones(1, 1, 4, 5), kernel=3, stride=2)
    assert padded.shape == (1, 1, 5, 7)  # 2 and 3 outputs need 5 and 7 inputs
    assert padded[0, 0, 0, 1] == 1  # 4 rows: nothing above, one below
    assert padded[0, 0, 4].sum() == 0
    assert padded[0, 0, 0, 0] == padded[0, 0, 0, 6] == 0  # 5 columns: one on each side


@pytest.mark.parametrize(
    ("load", "size", "pick"),
    [
        (networks.face_detector, 128, lambda result: result[1].max()),
        (networks.face_landmarks, 112, lambda result: result.sum()),
        (networks.face_descriptor, 150, lambda result: result.norm()),
    ],
)
def test_differentiable_in_the_image(load, size, pick):
    image = torch.rand(1, 3, size, size, requires_grad=True)
    pick(load()(image)).backward()
    assert bool(torch.isfinite(image.grad).all())
    assert float(image.grad.abs().sum()) > 0


def test_descriptor_is_dequantised():
    stored = networks.read_weights(
        networks.ASSETS / networks._DESCRIPTOR, networks.SHA256[networks._DESCRIPTOR]
    )
    name = "conv128_1/conv1/conv/filters"
    scale, minimum = stored[f"{name}.scale"].tolist()
    weight = networks.face_descriptor().units["conv128_1"].conv1.conv.weight
    assert float(weight[5, 7, 1, 2]) == pytest.approx(
        int(stored[f"{name}.q"][1, 2, 7, 5]) * scale + minimum, rel=1e-5
    )
    plain = networks.face_descriptor().units["conv64_1"].conv1.conv.weight
    assert torch.equal(plain[3, 4], stored["conv64_1/conv1/conv/filters"][:, :, 4, 3])


@pytest.mark.parametrize("name", sorted(networks.SHA256))
def test_a_flipped_bit_is_noticed(tmp_path, name):
    content = bytearray((networks.ASSETS / name).read_bytes())
    content[-100] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ChecksumError, match="damaged"):
        networks.read_weights(tmp_path / name, networks.SHA256[name])


def test_missing_and_other_files(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        networks.read_weights(tmp_path / "absent.safetensors", "0" * 64)
    pointer = tmp_path / "pointer.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ChecksumError, match="43 bytes"):
        networks.read_weights(pointer, "0" * 64)
    import hashlib

    with pytest.raises(CheckpointError, match="no safetensors"):
        networks.read_weights(pointer, hashlib.sha256(pointer.read_bytes()).hexdigest())
    save_file({"a": torch.ones(2)}, tmp_path / "good.safetensors")
    digest = hashlib.sha256((tmp_path / "good.safetensors").read_bytes()).hexdigest()
    assert torch.equal(
        networks.read_weights(tmp_path / "good.safetensors", digest)["a"], torch.ones(2)
    )


def test_every_asset_has_a_card(root):
    card = (root / "src/facemorph/assets/README.md").read_text()
    for name in networks.SHA256:
        assert f"`{name}`" in card
    for count in ("101,390", "356,840", "5,614,592"):
        assert count in card
    assert "Apache-2.0" in card
    assert "does not document the training data" in card
