"""Errors of Hydra and OmegaConf in words that name the right spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from facemorph.config.compose import (
    compose_unexplained,
    conf_dir,
    group_options,
    suggestion,
)
from facemorph.config.overrides import COMPOSITION_ERRORS, arguments_of
from facemorph.errors import ConfigError


def compose(
    config_name: str = "train", overrides: Sequence[str] = (), *, folder: Path | None = None
) -> DictConfig:
    """Compose a config as the command line does.

    Args:
        config_name: ``train``, ``infer`` or ``dataset``.
        overrides: Hydra overrides such as ``experiment=ifmorph/tiny``.
        folder: A further folder of config files, searched first.

    Returns:
        The composed config, interpolations not yet resolved. Keys that only exist while Hydra runs
        a job (``${hydra:...}``) stay unresolved.

    Raises:
        ConfigError: A group, option, key or override is wrong; with the nearest right ones.
    """
    try:
        return compose_unexplained(config_name, overrides, folder=folder)
    except COMPOSITION_ERRORS as error:
        raise explain(error, config_name, folder, overrides) from error


def explain(
    error: Exception,
    config_name: str = "train",
    folder: Path | None = None,
    overrides: Sequence[str] = (),
) -> ConfigError:
    """Turn an error of Hydra or OmegaConf into a `ConfigError` that names the right spelling."""
    return explain_override(
        error, config_name, [conf_dir(), *([folder] if folder else [])], overrides
    )


def explain_override(
    error: Exception, config_name: str, folders: Sequence[Path], overrides: Sequence[str] = ()
) -> ConfigError:
    """Name the wrong word of a composition error, and the nearest right words.

    Args:
        error: What Hydra or OmegaConf raised.
        config_name: The config that was composed.
        folders: The folders of config files.
        overrides: What was typed.
    """
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return ConfigError(
            "a config or group cannot be looked for by this name",
            where="config",
            found=f"{error.strerror}: {Path(str(error.filename)).name[:60]}",
        )
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        return _explain_file(error, folders)
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
    if not text:  # Hydra says nothing of its own where a file's values cannot be taken apart
        cause = error.__cause__ or error.__context__ or error
        return ConfigError(
            "a value in a config file here cannot be read",
            where=_unreadable(folders),
            found=(str(cause).strip() or type(cause).__name__).splitlines()[0][:120],
            remedy="Correct it there; ${a.b} is the value of a.b.",
        )
    return ConfigError(
        " ".join(line.strip() for line in text.splitlines() if "See https" not in line),
        where="config",
    )


def _explain_file(error: Exception, folders: Sequence[Path]) -> ConfigError:
    """Of a file that is no YAML."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{mark.name}, line {mark.line + 1}" if mark else _unreadable(folders)
    composable = isinstance(error, ValueError) and not isinstance(error, UnicodeError)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return ConfigError(
        "a config file here is not as Hydra reads it" if composable else "this is not YAML",
        where=where,
        found=str(what).splitlines()[0][:120],
        remedy="Correct it there, and save it in UTF-8.",
    )


def _unreadable(folders: Sequence[Path]) -> str:
    """The first file that cannot be read, else the folder."""
    for folder in reversed(folders):
        for path in sorted(folder.rglob("*.yaml")):
            try:
                OmegaConf.load(path)
            except Exception:  # whatever a damaged file leads to
                return str(path)
    return str(folders[-1])


def _explain_missing_file(missing: str, folders: Sequence[Path]) -> ConfigError:
    group, _, word = missing.partition("/")
    if not word:
        return ConfigError("there is no such config", where=missing)
    options = group_options(group, folders)
    same_end = [
        option for option in options if option.rpartition("/")[2] == word.rpartition("/")[2]
    ]
    remedy = f"Did you mean {same_end[0]!r}?" if same_end else suggestion(word, options)
    return ConfigError(
        f"there is no {group} {word!r}",
        where=f"{group}={word}",
        remedy=remedy or f"The folder conf/{group} is empty.",
    )


def _composed(config_name: str, groups: Sequence[str], folders: Sequence[Path]) -> DictConfig:
    try:
        return compose_unexplained(
            config_name, groups, folder=folders[-1] if len(folders) > 1 else None
        )
    except COMPOSITION_ERRORS:
        return OmegaConf.create({})


def _nearest_key(key: str, cfg: DictConfig, folders: Sequence[Path]) -> str | None:
    """A sentence with the nearest keys of the node it would belong to, or of the top level and
    groups.
    """
    parent_key, _, name = key.rpartition(".")
    if not parent_key:
        groups = [path.name for folder in folders for path in folder.iterdir() if path.is_dir()]
        return suggestion(name, [*(str(k) for k in cfg), *groups])
    parent = OmegaConf.select(cfg, parent_key)
    if not isinstance(parent, DictConfig):
        return _nearest_key(parent_key, cfg, folders)
    choices = [str(k) for k in parent if not str(k).startswith("_")]
    choices += arguments_of(parent) if "_target_" in parent else []
    return suggestion(key, [f"{parent_key}.{choice}" for choice in choices])
