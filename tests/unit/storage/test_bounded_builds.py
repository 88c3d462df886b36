"""Configs that ask for networks far larger than the weights that came with them."""

from __future__ import annotations

import hashlib
import json
import resource

import pytest
import torch
from omegaconf import OmegaConf

from facemorph.errors import CheckpointError, ConfigError
from facemorph.networks.autoencoder import ConvolutionalAutoencoder
from facemorph.storage.bounded_builds import build_for
from facemorph.storage.checkpoint import RECORD, load_system, save_atomic
from facemorph.storage.release_folders import write_release
from facemorph.systems.ifmorph.face_autoencoder import FaceAutoencoder

NETWORK = {
    "_target_": "facemorph.networks.autoencoder.ConvolutionalAutoencoder",
    "width": 2,
    "latent_channels": 2,
    "levels": 1,
}
SYSTEM = {
    "_target_": "facemorph.systems.ifmorph.face_autoencoder.FaceAutoencoder",
    "network": NETWORK,
}
HOSTILE = [
    {"width": 100_000},
    {"width": 3000},  # fits into memory, and is not what the weights are of
    {"width": 10**12},
    {"latent_channels": 10**10},
    {"levels": 60},
    {"levels": 10**30},
    {"latent_channels": 2**31},
    {"levels": 10**6},
]


def small():
    return FaceAutoencoder(ConvolutionalAutoencoder(2, 2, 1))


def asking(changes):
    return {**SYSTEM, "network": {**NETWORK, **changes}}


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("changes", HOSTILE, ids=str)
def test_releases_with_right_sums_that_ask_for_enormous_networks(tmp_path, changes):
    folder = write_release(tmp_path / "release", SYSTEM, small().state_dict(), {"licence": "MIT"})
    assert isinstance(load_system(folder), FaceAutoencoder)
    content = OmegaConf.to_yaml({"system": asking(changes)}).encode()
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest["config.yaml"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    (folder / "config.yaml").write_bytes(content)
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    before = peak()
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        load_system(folder)
    assert peak() - before < 300
    if isinstance(caught.value, CheckpointError):
        assert str(folder) in str(caught.value)
        assert "not that of its weights" in str(caught.value)


def test_checkpoints_too(tmp_path):
    record = {"config": {"system": asking({"width": 3000})}, "versions": {}, "seed": 1}
    save_atomic({RECORD: record, "state_dict": small().state_dict()}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last\.ckpt: its config asks for .* far larger"):
        load_system(tmp_path / "last.ckpt")


def test_other_modules_are_counted_no_more_afterwards(tmp_path):
    weights = small().state_dict()
    with pytest.raises(CheckpointError):
        build_for(asking({"width": 100_000}), weights, tmp_path)
    assert torch.nn.Linear(8000, 8000, device="meta").weight.numel() == 64_000_000
    assert isinstance(build_for(SYSTEM, weights, tmp_path), FaceAutoencoder)
