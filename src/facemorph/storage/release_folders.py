"""Write release folders: weights, config and card, and ``MANIFEST.json`` with their sha256.

``facemorph.storage.checkpoint`` reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from omegaconf import OmegaConf
from torch import Tensor, nn

from facemorph.errors import CheckpointError
from facemorph.storage.files import sha256_of, write_atomic
from facemorph.storage.versions import versions


def write_release(
    folder: str | Path,
    settings: Mapping[str, Any],
    state: Mapping[str, Tensor],
    card: Mapping[str, Any],
) -> Path:
    """Write the release folder of a system whose parts are at hand.

    Args:
        folder: New or empty folder.
        settings: The system's config, with its ``_target_``.
        state: The system's weights; contiguous, none of them shared.
        card: Entries of ``card.yaml``.

    Returns:
        The folder.

    Raises:
        CheckpointError: The folder is not empty or cannot be written.
    """
    from safetensors.torch import save

    folder = Path(folder)
    check_new_folder(folder)
    notes = {"system": settings["_target_"], **card}
    contents = {
        "model.safetensors": save(dict(state)),
        "config.yaml": OmegaConf.to_yaml(OmegaConf.create({"system": dict(settings)})).encode(),
        "card.yaml": OmegaConf.to_yaml(OmegaConf.create(notes)).encode(),
    }
    manifest = {}
    for name, data in contents.items():
        write_atomic(folder / name, partial(_write, data), size=len(data))
        manifest[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    text = json.dumps(manifest, indent=2).encode() + b"\n"
    write_atomic(folder / "MANIFEST.json", partial(_write, text))
    return folder


def write_imported(
    folder: str | Path,
    settings: Mapping[str, Any],
    part: tuple[str, nn.Module],
    *,
    file: str | Path,
    source: str,
    licence: str,
) -> Path:
    """Write the release folder of a network that was read from its authors' file.

    Args:
        folder: New or empty folder.
        settings: The system's config, with its ``_target_``.
        part: Name that the network has in the system, and the network.
        file: The authors' file, of which name and sha256 stand in the card.
        source: Who made it.
        licence: Its terms, as far as they are known.

    Returns:
        The folder.

    Raises:
        CheckpointError: The folder is not empty or cannot be written.
    """
    name, network = part
    state = {f"{name}.{key}": one.contiguous() for key, one in network.state_dict().items()}
    card = {
        "parameters": sum(one.numel() for one in network.parameters()),
        "source": source,
        "file": {"name": Path(file).name, "sha256": sha256_of(file)},
        "licence": licence,
        "data": "not stated in the file",
        "versions": versions(),
    }
    return write_release(folder, settings, state, card)


def check_new_folder(folder: Path) -> None:
    """See that a release would write over nothing.

    Raises:
        CheckpointError: The folder is not empty, or no folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError("the folder is not empty", where=folder, remedy="Give a new one.")


def _write(data: bytes, file: BinaryIO) -> None:
    file.write(data)
