"""Tensors of checkpoints that authors of papers released, for networks of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from facemorph.errors import CheckpointError
from facemorph.storage.checkpoint import load_checkpoint

Network = TypeVar("Network", bound=nn.Module)


def read_network(path: str | Path, key: str, system: str) -> Mapping[str, Tensor]:
    """One network's tensors in a checkpoint, read without unpickling.

    Args:
        path: The checkpoint.
        key: Under which it holds the network.
        system: Whose checkpoint it should be, for the error.

    Raises:
        CheckpointError: It cannot be read so, or holds no such network.
    """
    content = load_checkpoint(path)
    found: Any = content.get(key)
    if not isinstance(found, Mapping) or not found:
        raise CheckpointError(
            f"this file holds no such network of {system}",
            where=path,
            expected=key,
            found=", ".join(map(str, list(content)[:6])) or "nothing",
        )
    return found


def without_constants(
    published: Mapping[str, Tensor], constants: re.Pattern[str], path: str | Path
) -> dict[str, Tensor]:
    """Tensors without constants and without the prefix of data-parallel training.

    Args:
        published: By their published names.
        constants: Matches the names of what is not learned.
        path: Where they are from, for the error.

    Raises:
        CheckpointError: Something is no tensor.
    """
    weights = {}
    for name, tensor in published.items():
        short = str(name).removeprefix("module.")
        if not isinstance(tensor, Tensor):
            raise CheckpointError(
                "this is no weight", where=f"{path}: {name}", found=type(tensor).__name__
            )
        if not constants.search(short):
            weights[short] = tensor
    return weights


def check_has(weights: Mapping[str, Tensor], name: str, path: str | Path, system: str) -> Tensor:
    """A tensor that must be there.

    Raises:
        CheckpointError: It is not.
    """
    if name not in weights:
        raise CheckpointError(
            f"these are not the weights of {system}",
            where=path,
            expected=name,
            found=", ".join(list(weights)[:3]) or "nothing",
        )
    return weights[name]


def fill_network(
    network: Network, weights: Mapping[str, Tensor], path: str | Path, system: str
) -> Network:
    """Give a network its weights, each of them and no others, and put it into evaluation mode.

    Args:
        network: Of ours.
        weights: By our names; of the same number of elements, in any shape.
        path: Where they are from, for the error.
        system: Whose weights they should be, for the error.

    Raises:
        CheckpointError: One is missing, unknown or of another size.
    """
    wanted = network.state_dict()
    lacking = [name for name in wanted if name not in weights]
    unknown = [name for name in weights if name not in wanted]
    if lacking or unknown:
        problem, names = ("missing", lacking) if lacking else ("unknown", unknown)
        raise CheckpointError(
            f"these are not the weights of {system}",
            where=path,
            found=f"{len(names)} tensors are {problem}, such as {names[0]}",
        )
    shaped = {}
    for name, empty in wanted.items():
        tensor = weights[name]
        if tensor.numel() != empty.numel():
            raise CheckpointError(
                "this weight has another shape",
                where=f"{path}: {name}",
                expected=tuple(empty.shape),
                found=tuple(tensor.shape),
            )
        shaped[name] = tensor.reshape(empty.shape).float()
    network.load_state_dict(shaped)
    return network.eval()
