"""Find and compose the YAML files of a config."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from facemorph.errors import ConfigError


def conf_dir() -> Path:
    """Folder of the YAML files: inside the package in a wheel, beside ``src`` in a checkout.

    Raises:
        ConfigError: There is none; the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(
        "the folder of config files is missing",
        where=package / "conf",
        remedy="Install facemorph again, or run it from a complete checkout.",
    )


def compose_unexplained(
    config_name: str,
    overrides: Sequence[str] = (),
    *,
    folder: Path | None = None,
    whole: bool = False,
) -> DictConfig:
    """`compose` with the errors of Hydra as they are, which say less; ``whole`` keeps Hydra's own
    part.
    """
    import hydra
    from hydra import version
    from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
    from hydra._internal.hydra import Hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins

    version.setbase("1.3")
    Plugins.instance()  # what reads pkg:// and file://
    GlobalHydra.instance().clear()
    search_path = ConfigSearchPathImpl()
    folders = [conf_dir()] if folder is None else [folder.resolve(), conf_dir()]
    for provider, path in (
        ("hydra", "pkg://hydra.conf"),
        *(("main", f"file://{f}") for f in folders),
    ):
        search_path.append(provider, path)
    search_path.append("schema", "structured://")
    Hydra.create_main_hydra2(task_name="facemorph", config_search_path=search_path)
    try:
        return hydra.compose(config_name, list(overrides), return_hydra_config=whole)
    finally:
        GlobalHydra.instance().clear()


def plain(cfg: Any) -> Any:
    """Resolve a config to dicts, lists, strings, numbers, booleans and None.

    Raises:
        ConfigError: An interpolation does not resolve or a required value (``???``) is missing.
    """
    if not isinstance(cfg, (DictConfig, ListConfig)):
        cfg = OmegaConf.create(cfg)
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        missing = "mandatory" in str(error).lower()
        raise ConfigError(
            "a required value is missing" if missing else str(error).splitlines()[0],
            where=key,
            remedy=f"Give it on the command line: {key}=..." if missing and key else None,
        ) from error


def suggestion(word: str, choices: Iterable[str], *, list_up_to: int = 30) -> str | None:
    """A sentence with the nearest of the right words, or with all when none is near; None without
    choices.
    """
    choices = sorted({str(choice) for choice in choices})
    near = difflib.get_close_matches(word, choices, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(repr(n) for n in near)}?"
    if not choices:
        return None
    return (
        "There are: "
        f"{', '.join(choices[:list_up_to])}{', ...' if len(choices) > list_up_to else ''}."
    )


def group_options(group: str, folders: Sequence[Path]) -> list[str]:
    """Options of a config group, those in sub-folders too: ``ifmorph/tiny``."""
    return sorted(
        {
            str(path.relative_to(folder / group).with_suffix(""))
            for folder in folders
            for path in (folder / group).rglob("*.yaml")
        }
    )
