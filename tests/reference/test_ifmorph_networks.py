"""The authors' networks, evaluated here and by plain numpy in their convention: rows, columns, axes
in [-1, 1].
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import numpy as np
import pytest
import torch

from facemorph.errors import CheckpointError, ConfigError
from facemorph.fields.image_fields import SirenImage, render_field
from facemorph.fields.warps.ifmorph_files import read_ifmorph_network
from facemorph.fields.warps.siren_warp import SirenWarp
from facemorph.ops.frames import Frame

WIDTHS = {"picture": (2, 24, 16, 20, 3), "warp": (3, 16, 12, 2)}
NAMES = {"theirs": "net.{}.0.{}", "plain": "net.{}.{}", "oldest": "sirnnet.{}.0.{}"}
FRAMES = [Frame(8, 8), Frame(6, 9), Frame(9, 6)]


def layers_of(kind, omegas=(24.0, 16.0), seed=0):
    """Raw weights as their training has them, and their angular frequencies."""
    random, widths = np.random.default_rng(seed), WIDTHS[kind]
    layers = [
        (
            random.uniform(-1, 1, (b, a)) * np.sqrt(6 / a) / (omegas[0] if i else 2),
            random.uniform(-0.3, 0.3, b),
        )
        for i, (a, b) in enumerate(pairwise(widths))
    ]
    return layers, [omegas[0]] + [omegas[1]] * (len(layers) - 2)


def evaluate(layers, omegas, points):
    """Their network at rows of their coordinates."""
    for (weight, bias), omega in zip(layers[:-1], omegas, strict=True):
        points = np.sin(omega * (points @ weight.T + bias))
    return points @ layers[-1][0].T + layers[-1][1]


def save(path, layers, style="theirs"):
    # The last layer of theirs is a plain Linear in a Sequential too.
    named = (
        (i, name, value)
        for i, pair in enumerate(layers)
        for name, value in zip(("weight", "bias"), pair, strict=True)
    )
    torch.save(
        OrderedDict(
            (NAMES[style].format(i, name), torch.tensor(value, dtype=torch.float32))
            for i, name, value in named
        ),
        path,
    )
    return path


def fold(layers, omegas):
    return [(w * omega, b * omega) for (w, b), omega in zip(layers, [*omegas, 1.0], strict=True)]


def their_grid(frame):
    """Row-major (row, column) of all pixel centres, each axis in [-1, 1]."""
    axes = [np.linspace(-1 + 1 / n, 1 - 1 / n, n) for n in (frame.height, frame.width)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)


@pytest.mark.parametrize("style", NAMES)
@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("frame", FRAMES)
def test_picture(tmp_path, frame, folded, style):
    layers, omegas = layers_of("picture")
    path = save(tmp_path / "a.pth", fold(layers, omegas) if folded else layers, style)
    options = {} if folded else {"omega_0": 24.0, "omega_hidden": 16.0}
    network = read_ifmorph_network(path, frame=frame, **options)
    assert isinstance(network, SirenImage)
    expected = evaluate(layers, omegas, their_grid(frame)).reshape(frame.height, frame.width, 3)
    found = render_field(network, frame.pixel_centres()).permute(1, 2, 0).detach()
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("duration", [-1.0, 0.0, 0.37, 1.0])
def test_warp(tmp_path, frame, folded, duration):
    layers, omegas = layers_of("warp")
    path = save(tmp_path / "a.pth", fold(layers, omegas) if folded else layers)
    network = read_ifmorph_network(
        path, frame=frame, **({} if folded else {"omega_0": 24.0, "omega_hidden": 16.0})
    )
    assert isinstance(network, SirenWarp)
    grid = their_grid(frame)
    moved = evaluate(layers, omegas, np.column_stack([grid, np.full(len(grid), duration)]))
    expected = (moved[:, ::-1] + 1) / 2 * [frame.width, frame.height]  # pixels
    found = network(frame.pixel_centres().reshape(-1, 2), 0.5, 0.5 + duration).detach()
    np.testing.assert_allclose(frame.to_pixels(found), expected, atol=2e-3)


def test_one_omega_is_for_all_layers(tmp_path):
    layers, omegas = layers_of("picture", (30.0, 30.0))
    network = read_ifmorph_network(save(tmp_path / "a.pth", layers), omega_0=30.0)
    expected = evaluate(layers, omegas, np.array([[0.2, -0.4]]))
    np.testing.assert_allclose(
        network(torch.tensor([[-0.4, 0.2]])).value.detach(), expected, atol=2e-4
    )


def broken(change):
    layers, _ = layers_of("picture")
    state = {
        f"net.{i}.0.{n}": torch.tensor(v, dtype=torch.float32)
        for i, pair in enumerate(layers)
        for n, v in zip(("weight", "bias"), pair, strict=True)
    }
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(stages=torch.zeros(2)), "MRNet"),
        (lambda s: s.clear(), "layers are missing"),
        (lambda s: s.pop("net.1.0.bias"), "layers are missing"),
        (lambda s: s.update({"net.1.0.bias": torch.zeros(3)}), r"net\.1: a layer does not fit"),
        (lambda s: s.update({"net.1.0.weight": torch.zeros(())}), r"net\.1"),
        (lambda s: s.update({"net.0.0.weight": torch.zeros(())}), r"net\.0"),
        (
            lambda s: s.update({"net.2.0.weight": torch.full((20, 16), float("nan"))}),
            r"net\.2.*finite",
        ),
        (lambda s: s.update({"net.2.0.weight": torch.zeros(20, 16, dtype=torch.long)}), r"net\.2"),
        (lambda s: s.update({"net.2.0.weight": torch.zeros(20, 16).to_sparse()}), r"net\.2"),
        (lambda s: s.update({"net.2.weight": torch.zeros(20, 16)}), "twice"),
        (lambda s: s.update({"decoder.weight": torch.zeros(2)}), "decoder.weight"),
        (lambda s: s.update({"net.0.0.weight": "text"}), "no network"),
        (
            lambda s: s.update(
                {"net.3.0.weight": torch.zeros(1, 20), "net.3.0.bias": torch.zeros(1)}
            ),
            "2 to 1",
        ),
    ],
)
def test_what_is_no_network(tmp_path, change, message):
    torch.save(broken(change), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        read_ifmorph_network(tmp_path / "a.pth")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_files_that_cannot_be_trusted_or_read(tmp_path):
    target = tmp_path / "written"
    torch.save({"net.0.0.weight": Bomb(str(target))}, tmp_path / "bomb.pth")
    with pytest.raises(CheckpointError, match=r"refused.*forbidden globals.*open"):
        read_ifmorph_network(tmp_path / "bomb.pth")
    assert not target.exists()
    whole = save(tmp_path / "a.pth", layers_of("picture")[0]).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "pointer.pth").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )
    for name, message in (("cut", "truncated"), ("pointer", "git-lfs"), ("none", "no such file")):
        with pytest.raises(CheckpointError, match=message):
            read_ifmorph_network(tmp_path / f"{name}.pth")
    with pytest.raises(ConfigError, match="omega_hidden"):
        read_ifmorph_network(tmp_path / "a.pth", omega_hidden=0)
