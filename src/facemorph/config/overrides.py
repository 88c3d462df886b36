"""Command-line overrides: which ones are right, and what was probably meant by the wrong ones.

Defaults live in the constructors' signatures, not in the YAML. `complete_overrides` therefore lets
``system.lr=1e-4`` set an argument that the YAML does not mention, where Hydra asks for ``+system.lr``; a word
that is no argument stays an error, and `explain_override` finds the nearest right one.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from facemorph.config.build import compose_unexplained, resolve_target, suggestion
from facemorph.errors import ConfigError, FacemorphError


def complete_overrides(config_name: str, overrides: Sequence[str], folder: Path | None = None) -> list[str]:
    """Add ``++`` to overrides of constructor arguments that the YAML leaves at their default.

    Args:
        config_name: ``train``, ``infer`` or ``dataset``.
        overrides: Overrides as typed; others than ``a.b=value`` are returned as they are.
        folder: A further folder of config files.
    """
    values = [override for override in overrides if re.match(r"[A-Za-z_][\w.\[\]]*\.\w+=", override)]
    if not values:
        return list(overrides)
    groups = [override for override in overrides if override not in values and not override.startswith("-")]
    try:
        cfg = compose_unexplained(config_name, [_first_choice(group) for group in groups], folder=folder)
    except (HydraException, OmegaConfBaseException):
        return list(overrides)  # Hydra will say what is wrong when the job starts
    return [
        "++" + override
        if override in values and _is_new_argument(cfg, override.split("=", 1)[0])
        else override
        for override in overrides
    ]


def _first_choice(override: str) -> str:
    """One element of a sweep over a group (``experiment=a,b``)."""
    name, equals, value = override.partition("=")
    return name + equals + (value if value[:1] in "[{'\"" else value.split(",")[0])


def _is_new_argument(cfg: DictConfig, key: str) -> bool:
    parent_key, _, name = key.rpartition(".")
    parent = OmegaConf.select(cfg, parent_key)
    return (isinstance(parent, DictConfig) and "_target_" in parent and name not in parent
            and name in _arguments(parent))


def _arguments(node: DictConfig) -> list[str]:
    names: list[str] = []
    try:
        target = resolve_target(node["_target_"])
        # A class that hands further arguments on takes those of its base too.
        for one in inspect.getmro(target) if inspect.isclass(target) else (target,):
            parameters = inspect.signature(one).parameters
            names += parameters
            if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
                break
    except (FacemorphError, ValueError):
        return names
    return names


def explain_override(error: Exception, config_name: str, folders: Sequence[Path],
                     overrides: Sequence[str] = ()) -> ConfigError:
    """Name the wrong word of a composition error, and the nearest right words.

    Args:
        error: What Hydra or OmegaConf raised.
        config_name: The config that was composed.
        folders: The folders of config files.
        overrides: What was typed.
    """
    text = str(error).strip()
    missing = getattr(error, "missing_cfg_file", None)
    if missing:
        return _explain_missing_file(str(missing), folders)
    key = re.search(r"Could not (?:override|delete from config\.) '([^']+)'", text)
    if key:
        groups = [
            word
            for word in overrides
            if re.match(r"\w+=[\w/]+$", word) and word.split("=")[0] != key.group(1)
        ]
        return ConfigError(
            "there is no such config key",
            where=key.group(1),
            remedy=_nearest_key(key.group(1), _composed(config_name, groups, folders), folders),
        )
    return ConfigError(
        " ".join(line.strip() for line in text.splitlines() if "See https" not in line), where="config"
    )


def _explain_missing_file(missing: str, folders: Sequence[Path]) -> ConfigError:
    group, _, word = missing.partition("/")
    if not word:
        return ConfigError("there is no such config", where=missing)
    options = group_options(group, folders)
    same_end = [option for option in options if option.rpartition("/")[2] == word.rpartition("/")[2]]
    remedy = f"Did you mean {same_end[0]!r}?" if same_end else suggestion(word, options)
    return ConfigError(f"there is no {group} {word!r}", where=f"{group}={word}",
                       remedy=remedy or f"The folder conf/{group} is empty.")


def _composed(config_name: str, groups: Sequence[str], folders: Sequence[Path]) -> DictConfig:
    try:
        return compose_unexplained(config_name, groups, folder=folders[-1] if len(folders) > 1 else None)
    except (HydraException, OmegaConfBaseException):
        return OmegaConf.create({})


def _nearest_key(key: str, cfg: DictConfig, folders: Sequence[Path]) -> str | None:
    """A sentence with the nearest keys of the node it would belong to, or of the top level and groups."""
    parent_key, _, name = key.rpartition(".")
    if not parent_key:
        groups = [path.name for folder in folders for path in folder.iterdir() if path.is_dir()]
        return suggestion(name, [*(str(k) for k in cfg), *groups])
    parent = OmegaConf.select(cfg, parent_key)
    if not isinstance(parent, DictConfig):
        return _nearest_key(parent_key, cfg, folders)
    choices = [str(k) for k in parent if not str(k).startswith("_")]
    choices += _arguments(parent) if "_target_" in parent else []
    return suggestion(key, [f"{parent_key}.{choice}" for choice in choices])


def group_options(group: str, folders: Sequence[Path]) -> list[str]:
    """Options of a config group, those in sub-folders too: ``ifmorph/tiny``."""
    return sorted({str(path.relative_to(folder / group).with_suffix(""))
                   for folder in folders for path in (folder / group).rglob("*.yaml")})
