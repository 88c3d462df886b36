"""Readers of checkpoints, release folders, arrays and pickles, and small files for them."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from facemorph.apps.implicit.face_meshes import FaceCodes, load_imface, read_codes
from facemorph.bench.readers.reader import Reader
from facemorph.fields.image_fields import SirenImage
from facemorph.fields.warps.ifmorph_files import read_ifmorph_network
from facemorph.geometry.models.model_arrays import read_arrays
from facemorph.geometry.textures.texture_model import FILE, TextureModel
from facemorph.networks.autoencoder import ConvolutionalAutoencoder
from facemorph.storage.checkpoint import RECORD, load_system, system_of
from facemorph.storage.pickled_arrays import read_pickle, read_pickled_array
from facemorph.storage.published_tensors import read_network, without_constants
from facemorph.storage.release_folders import write_release
from facemorph.systems.ifmorph.face_autoencoder import FaceAutoencoder

MANIFEST = "MANIFEST.json"
SETTINGS = {
    "_target_": "facemorph.systems.ifmorph.face_autoencoder.FaceAutoencoder",
    "network": {
        "_target_": "facemorph.networks.autoencoder.ConvolutionalAutoencoder",
        "width": 2,
        "latent_channels": 2,
        "levels": 1,
    },
    "learning_rate": 0.002,
}


def _small_system() -> FaceAutoencoder:
    return FaceAutoencoder(ConvolutionalAutoencoder(2, 2, 1))


def torch_bytes(content: Any) -> bytes:
    """A file of ``torch.save``."""
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _checkpoint_files() -> dict[str, bytes]:
    content = {
        RECORD: {"config": {"system": SETTINGS}, "versions": {"facemorph": "0"}, "seed": 1},
        "state_dict": _small_system().state_dict(),
        "callbacks": {},
        "epoch": 3,
    }
    return {"last.ckpt": torch_bytes(content)}


@cache
def _release_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_release(
            Path(scratch) / "release", SETTINGS, _small_system().state_dict(), {"licence": "MIT"}
        )
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _read_release(path: Path) -> None:
    """A release whose maker knows the sums: what is behind them is tried too."""
    manifest = path.with_name(MANIFEST)
    if path.name != MANIFEST:
        entries = json.loads(_release_files()[MANIFEST])
        content = path.read_bytes()
        sum_ = hashlib.sha256(content).hexdigest()
        entries[path.name] = {"sha256": sum_, "bytes": len(content)}
        manifest.write_text(json.dumps(entries), encoding="utf-8")
    try:
        load_system(path.parent)
        system_of(path.parent)
    finally:
        manifest.write_bytes(_release_files()[MANIFEST])


def _published_files() -> dict[str, bytes]:
    network = ConvolutionalAutoencoder(2, 2, 1).state_dict()
    content = {"g": {f"module.{name}": value for name, value in network.items()}, "steps": 5}
    return {"published.model": torch_bytes(content)}


def _read_published(path: Path) -> None:
    import re

    without_constants(read_network(path, "g", "GIF"), re.compile("noise"), path)


def _network_files() -> dict[str, bytes]:
    network = SirenImage([8, 8])
    layers = [value for name, value in network.state_dict().items() if value.ndim]
    names = [f"net.{place // 2}.0.{('weight', 'bias')[place % 2]}" for place in range(len(layers))]
    return {"picture.pth": torch_bytes(dict(zip(names, layers, strict=True)))}


def _pickle_files() -> dict[str, bytes]:
    """Pickles as NumPy makes them, of a model's arrays and of one array."""
    values = {
        "v_template": np.linspace(0, 1, 30).reshape(10, 3),
        "f": np.arange(12).reshape(4, 3),
        "names": ["a", "b"],
    }
    wrapped: np.ndarray = np.array(values, dtype=object)
    stream = io.BytesIO()
    np.save(stream, wrapped)
    return {"model.npy": stream.getvalue(), "model.pkl": wrapped.dumps()}


def _array_files() -> dict[str, bytes]:
    return {"points.dat": np.linspace(0, 1, 20).reshape(10, 2).dumps()}


def _model_files() -> dict[str, bytes]:
    stored, packed = io.BytesIO(), io.BytesIO()
    arrays: dict[str, Any] = {"mean": np.linspace(0, 1, 60).reshape(20, 3), "names": ["a", "b"]}
    np.savez(stored, **arrays)
    np.savez_compressed(packed, **arrays)
    return {"stored.npz": stored.getvalue(), "packed.npz": packed.getvalue()}


def _read_model(path: Path) -> None:
    arrays = read_arrays(path, "head model")
    arrays.tensor("mean", 20, 3)
    arrays.texts("names")


def _code_files() -> dict[str, bytes]:
    count, stream = _system().code, io.BytesIO()
    np.savez(stream, identity=np.zeros(count), expression=np.zeros(count))
    return {"face_codes.npz": stream.getvalue()}


@cache
def _system() -> Any:
    return load_imface("@open:imface")


def _read_codes(path: Path) -> FaceCodes:
    return read_codes(path, _system())


def _texture_files() -> dict[str, bytes]:
    """A texture model of a few texels, in the form of the one that comes with facemorph."""
    from safetensors import safe_open

    with safe_open(FILE, "pt") as file:
        header = dict(file.metadata())
    whole = load(FILE.read_bytes())
    size, count = 16, 2
    face = torch.zeros(size, size, dtype=whole["face"].dtype)
    face[4:12, 4:12] = 255
    texels = int((face > 0)[:, : size // 2].sum())
    values = {
        "face": face,
        "odd": whole["odd"][:count].clone(),
        "std": whole["std"][:count].clone(),
        "scale": whole["scale"][:count].clone(),
        "basis": torch.ones(count, 3, texels, dtype=whole["basis"].dtype),
        "mean": torch.full((3, size, size), 0.5, dtype=torch.float16),
        "gain": torch.ones(3, size, size, dtype=whole["gain"].dtype),
    }
    return {"skin.safetensors": save(values, metadata=header)}


TRAINED = (
    Reader("checkpoints", _checkpoint_files, load_system),
    Reader("release folders", _release_files, _read_release, together=True),
    Reader("published weights", _published_files, _read_published),
    Reader("networks of ifmorph", _network_files, read_ifmorph_network),
    Reader("pickles", _pickle_files, read_pickle),
    Reader("pickled arrays", _array_files, read_pickled_array),
    Reader("head models", _model_files, _read_model),
    Reader("codes of faces", _code_files, _read_codes),
    Reader("texture models", _texture_files, TextureModel.load),
)
