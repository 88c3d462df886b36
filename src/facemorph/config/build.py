"""Find, compose, check and build configs: the one place where a name in a file becomes an object.

Hydra's ``instantiate`` is no sandbox, and neither is a list of allowed prefixes
(``torch.nn.functional.torch.load`` is ``torch.load``). So `build` resolves the name first and then
looks at the object itself:

- it is a class (or a pure tensor function of `facemorph.ops` or `facemorph.losses`),
- its true ``__module__``, not the name it was reached by, lies in a short list of packages,
- unless it is facemorph's own, it is one of the base classes that a training run is made of.

A config that comes out of a checkpoint (``trusted=False``) may further name only parts of a model,
and must be plain: an interpolation could read the environment.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from facemorph.config.compose import plain, suggestion
from facemorph.config.targets import (
    resolve_target,
    with_first_names,
)
from facemorph.errors import ConfigError, ConfigMismatch

PLAIN_KEYS = ("_target_", "_partial_", "_args_")


def build(cfg: Any, *, trusted: bool = True, **kwargs: Any) -> Any:
    """Build what a config describes, after checking every target in it.

    ``_target_`` names a class, ``_partial_: true`` gives a `functools.partial` of it, ``_args_``
    are positional arguments. Targets in nested dicts and lists are built first. Dicts and lists
    without target stay as they are.

    Args:
        cfg: Dict, list or OmegaConf node.
        trusted: Whether the config is the user's own; False for one that came with a checkpoint.
        **kwargs: Further arguments of the outermost target, already built.

    Raises:
        ConfigError: A target is refused, unknown, or does not take the arguments given.
    """
    if not trusted:
        _refuse_interpolations(cfg)
    return _build(
        plain(cfg) if isinstance(cfg, (dict, list, DictConfig, ListConfig)) else cfg,
        trusted,
        "",
        kwargs,
    )


def _build(node: Any, trusted: bool, key: str, extra: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_build(item, trusted, f"{key}[{index}]", {}) for index, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    here = key + "." if key else ""
    arguments = {
        name: _build(value, trusted, f"{here}{name}", {})
        for name, value in node.items()
        if name not in PLAIN_KEYS
    }
    if "_target_" not in node:
        if extra:
            raise ConfigError(
                "there is no _target_ to build", where=key or "config", found=sorted(map(str, node))
            )
        return arguments
    unknown = [name for name in arguments if str(name).startswith("_") and str(name).endswith("_")]
    if unknown:
        raise ConfigError(
            f"{unknown[0]} is not supported",
            where=key or "config",
            expected=" or ".join(PLAIN_KEYS),
        )
    target = resolve_target(node["_target_"], trusted=trusted, key=key)
    positional = _build(list(node.get("_args_", [])), trusted, f"{here}_args_", {})
    partial = bool(node.get("_partial_", False))
    arguments |= extra
    check_arguments(target, arguments, positional, partial=partial, key=key)
    if partial:
        return functools.partial(target, *positional, **arguments)
    try:
        return target(*positional, **arguments)
    except (TypeError, ValueError) as error:  # what constructors raise for values of the wrong kind
        name = getattr(target, "__name__", str(target))
        raise ConfigError(f"{name} cannot be built: {error}", where=key or "config") from error


def _refuse_interpolations(cfg: Any, key: str = "") -> None:
    node = (
        OmegaConf.to_container(cfg, resolve=False)
        if isinstance(cfg, (DictConfig, ListConfig))
        else cfg
    )
    if isinstance(node, str) and "${" in node:
        raise ConfigError(
            "a config out of a checkpoint must be plain", where=key or "config", found=node
        )
    if isinstance(node, dict):
        for name, value in node.items():
            _refuse_interpolations(name, key)
            _refuse_interpolations(value, f"{key}.{name!s}" if key else str(name))
    if isinstance(node, list):
        for index, value in enumerate(node):
            _refuse_interpolations(value, f"{key}[{index}]")


def check_arguments(
    target: Callable[..., Any],
    arguments: Mapping[str, Any],
    positional: Sequence[Any] = (),
    *,
    partial: bool = False,
    key: str = "",
) -> None:
    """Bind arguments to a target's signature, which is the schema of its config.

    Raises:
        ConfigError: An argument is unknown (with the nearest known one) or missing.
    """
    signature = inspect.signature(target)
    parameters = signature.parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    name = getattr(target, "__name__", str(target))
    for argument in () if takes_any else arguments:
        if argument not in parameters:
            raise ConfigError(
                f"{name} takes no argument {argument!r}",
                where=key or "config",
                expected=", ".join(parameters),
                remedy=suggestion(argument, parameters),
            )
    for argument, value in arguments.items():
        if argument in parameters:
            _check_path(parameters[argument].annotation, value, f"{key}.{argument}")
    try:
        (signature.bind_partial if partial else signature.bind)(*positional, **arguments)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}", where=key or "config") from error


def _check_path(annotation: Any, value: Any, where: str) -> None:
    """Raise ConfigError where a file is meant and there is a number, as from ``data.a=2026``."""
    words = set(re.findall(r"\w+", annotation if isinstance(annotation, str) else ""))
    if not {"Path"} <= words <= {"str", "Path", "None"} or isinstance(value, (str, os.PathLike)):
        return
    if value is None and "None" in words:
        return
    raise ConfigError(
        "not the name of a file or folder",
        where=where.removeprefix("."),
        expected="text",
        found=f"{value!r}, {type(value).__name__}",
        remedy=f"If it is a name, put it in quotes twice: \"{where.removeprefix('.')}='NAME'\".",
    )


def config_digest(cfg: Any) -> str:
    """sha256 of the resolved config, the same whatever folder the run writes into and wherever
    classes have moved.
    """
    content = with_first_names(plain(cfg))
    folder = content.get("paths", {}).get("output_dir") if isinstance(content, dict) else None
    text = json.dumps(content, sort_keys=True, default=str)
    if folder:
        text = text.replace(json.dumps(str(folder))[1:-1], "<output_dir>")
    return hashlib.sha256(text.encode()).hexdigest()


def check_same_config_on_all_ranks(digest: str) -> None:
    """Compare the digest between the ranks of a distributed run; nothing to do without one.

    Call it before the first step: ranks with different hyperparameters train on, silently and
    wrongly.

    Raises:
        ConfigMismatch: Rank 0 has another config than one of the others.
    """
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return
    digests: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(digests, digest)
    if len(set(digests)) > 1:
        raise ConfigMismatch(
            "the ranks were started with different configs",
            found="; ".join(f"rank {rank}: {d[:12]}" for rank, d in enumerate(digests)),
            remedy="Start all ranks with the same overrides; a sweep needs "
            "hydra.sweeper.sampler.seed.",
        )
