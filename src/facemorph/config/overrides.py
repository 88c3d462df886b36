"""Command-line overrides: which ones are right, and what was probably meant by the wrong ones.

Defaults live in the constructors' signatures, not in the YAML. `complete_overrides` therefore lets
``system.lr=1e-4`` set an argument that the YAML does not mention, where Hydra asks for
``+system.lr``; a word that is no argument stays an error, and `explain_override` finds the nearest
right one.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from facemorph.config.compose import compose_unexplained
from facemorph.config.targets import resolve_target
from facemorph.errors import FacemorphError

VALUE = re.compile(r"[A-Za-z_][\w.\[\]]*\.\w+=")  # of one key, not a choice of a file
# What Hydra raises where words or files are wrong; the last ones for files that are no YAML, or
# whose first lines or list of defaults it cannot read.
COMPOSITION_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    yaml.YAMLError,
    ValueError,
    RecursionError,
    OSError,  # names that are too long for a file
)


def complete_overrides(
    config_name: str, overrides: Sequence[str], folder: Path | None = None
) -> list[str]:
    """Add ``++`` to overrides of constructor arguments that the YAML leaves at their default.

    Args:
        config_name: ``train``, ``infer`` or ``dataset``.
        overrides: Overrides as typed; others than ``a.b=value`` are returned as they are.
        folder: A further folder of config files.
    """
    values = [override for override in overrides if VALUE.match(override)]
    if not values:
        return list(overrides)
    try:
        cfg = _composed(config_name, _groups(overrides), folder)
    except COMPOSITION_ERRORS:
        return list(overrides)  # Hydra will say what is wrong when the job starts
    return [
        "++" + override
        if override in values and _is_new_argument(cfg, override.split("=", 1)[0])
        else override
        for override in overrides
    ]


def mode_of(
    config_name: str, overrides: Sequence[str], folder: Path | None = None
) -> RunMode | None:
    """What ``hydra.mode`` is by the chosen files; None where none of them says, or one is wrong.

    Hydra would compose the whole config once more to see this.

    Args:
        config_name: ``train``, ``infer`` or ``dataset``.
        overrides: Overrides as typed.
        folder: A further folder of config files.
    """
    try:
        cfg = _composed(config_name, _groups(overrides), folder)
    except COMPOSITION_ERRORS:
        return None
    mode: RunMode | None = cfg.hydra.mode
    return mode


def _groups(overrides: Sequence[str]) -> tuple[str, ...]:
    """Those that choose files, of a sweep the first one."""
    return tuple(
        _first_choice(override)
        for override in overrides
        if not VALUE.match(override) and not override.startswith("-")
    )


@lru_cache(maxsize=16)
def _composed(config_name: str, groups: tuple[str, ...], folder: Path | None) -> DictConfig:
    """What groups alone give, only to be looked at."""
    return compose_unexplained(config_name, groups, folder=folder, whole=True)


def quote_texts(overrides: Sequence[str]) -> list[str]:
    """Put values in quotes that are text to people and not to Hydra's grammar: ``photo (1).jpg``,
    ``O'Brien.jpg``, ``Ülle.jpg``; ``~`` becomes the home folder.

    Values that Hydra can read stay as they are, also sweeps, and so do lists and mappings that are
    not closed, which it will refuse.

    Args:
        overrides: Overrides as typed.
    """
    return [_quoted(override) for override in overrides]


def _quoted(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"\+{0,2}[A-Za-z_][\w./@\[\]-]*", key):
        return override
    if value.startswith("~"):
        value = os.path.expanduser(value)
        override = key + equals + value
    if not value or _is_read(override):
        return override
    if value[0] in "[{'\"" and not (re.search(r"\.\w{1,8}$", value) or os.path.exists(value)):
        return override
    # Within quotes a backslash is itself, unless a quote follows.
    escaped = re.sub(r"(\\+)(?='|$)", r"\1\1", value).replace("'", "\\'")
    return f"{key}='{escaped}'"


def _is_read(override: str) -> bool:
    """Whether Hydra's grammar has this."""
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True


def _first_choice(override: str) -> str:
    """One element of a sweep over a group (``experiment=a,b``)."""
    name, equals, value = override.partition("=")
    return name + equals + (value if value[:1] in "[{'\"" else value.split(",")[0])


def _is_new_argument(cfg: DictConfig, key: str) -> bool:
    parent_key, _, name = key.rpartition(".")
    parent = OmegaConf.select(cfg, parent_key)
    return (
        isinstance(parent, DictConfig)
        and "_target_" in parent
        and name not in parent
        and name in arguments_of(parent)
    )


def arguments_of(node: DictConfig) -> list[str]:
    """Names of the arguments that the target of a node takes; none where the target is wrong."""
    names: list[str] = []
    try:
        target = resolve_target(node["_target_"])
        # A class that hands further arguments on takes those of its base too.
        for one in inspect.getmro(target) if inspect.isclass(target) else (target,):
            parameters = inspect.signature(one).parameters
            names += parameters
            if all(
                parameter.kind is not inspect.Parameter.VAR_KEYWORD
                for parameter in parameters.values()
            ):
                break
    except (FacemorphError, ValueError):
        return names
    return names
