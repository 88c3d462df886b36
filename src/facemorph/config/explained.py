"""Errors of Hydra and OmegaConf in words that name the right spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from facemorph.config.compose import compose_unexplained, conf_dir, group_options, suggestion
from facemorph.config.overrides import arguments_of
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
    from hydra.errors import HydraException

    try:
        return compose_unexplained(config_name, overrides, folder=folder)
    except (HydraException, OmegaConfBaseException) as error:
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
        " ".join(line.strip() for line in text.splitlines() if "See https" not in line),
        where="config",
    )


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
    except (HydraException, OmegaConfBaseException):
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
