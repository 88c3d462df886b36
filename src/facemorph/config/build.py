"""Find, compose, check and build configs: the one place where a name in a file becomes an object.

Hydra's ``instantiate`` is no sandbox, and neither is a list of allowed prefixes
(``torch.nn.functional.torch.load`` is ``torch.load``). So `build` resolves the name first and then looks at
the object itself:

- it is a class (or a pure tensor function of `facemorph.ops` or `facemorph.losses`),
- its true ``__module__``, not the name it was reached by, lies in a short list of packages,
- unless it is facemorph's own, it is one of the base classes that a training run is made of.

A config that comes out of a checkpoint (``trusted=False``) may further name only parts of a model, and must
be plain: an interpolation could read the environment.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from facemorph.errors import ConfigError, ConfigMismatch

if TYPE_CHECKING:
    from types import ModuleType

PLAIN_KEYS = ("_target_", "_partial_", "_args_")
# Functions of these packages compute tensors from tensors and touch nothing else.
PURE_PACKAGES = ("facemorph.ops", "facemorph.losses")
MODEL_PACKAGES = (
    "facemorph.ops",
    "facemorph.losses",
    "facemorph.metrics",
    "facemorph.faces",
    "facemorph.geometry",
    "facemorph.fields",
    "facemorph.networks",
    "facemorph.systems",
)
LIBRARY_PACKAGES = ("torch.nn", "torch.optim", "torchmetrics", "lightning.pytorch")
_trusted_packages: set[str] = set()


def trust_package(name: str) -> None:
    """Let the user's own configs name the classes of one more package.

    For people who write their own system: call it in their own train script before `facemorph.train.main`.
    Configs out of checkpoints may name such a package only in a process that called this.

    Args:
        name: Name of a top-level package.
    """
    _trusted_packages.add(name)


def conf_dir() -> Path:
    """Folder of the YAML files: inside the package in a wheel, beside ``src`` in a checkout.

    Raises:
        ConfigError: There is none; the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError("the folder of config files is missing", where=package / "conf",
                      remedy="Install facemorph again, or run it from a complete checkout.")


def compose(
    config_name: str = "train", overrides: Sequence[str] = (), *, folder: Path | None = None
) -> DictConfig:
    """Compose a config as the command line does.

    Args:
        config_name: ``train``, ``infer`` or ``dataset``.
        overrides: Hydra overrides such as ``experiment=ifmorph/tiny``.
        folder: A further folder of config files, searched first.

    Returns:
        The composed config, interpolations not yet resolved. Keys that only exist while Hydra runs a job
        (``${hydra:...}``) stay unresolved.

    Raises:
        ConfigError: A group, option, key or override is wrong; with the nearest right ones.
    """
    from hydra.errors import HydraException

    try:
        return compose_unexplained(config_name, overrides, folder=folder)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, config_name, folder, overrides) from error


def compose_unexplained(
    config_name: str, overrides: Sequence[str] = (), *, folder: Path | None = None
) -> DictConfig:
    """`compose` with the errors of Hydra as they are, which say less."""
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
    for provider, path in (("hydra", "pkg://hydra.conf"), *(("main", f"file://{f}") for f in folders)):
        search_path.append(provider, path)
    search_path.append("schema", "structured://")
    Hydra.create_main_hydra2(task_name="facemorph", config_search_path=search_path)
    try:
        return hydra.compose(config_name, list(overrides))
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


def build(cfg: Any, *, trusted: bool = True, **kwargs: Any) -> Any:
    """Build what a config describes, after checking every target in it.

    ``_target_`` names a class, ``_partial_: true`` gives a `functools.partial` of it, ``_args_`` are
    positional arguments. Targets in nested dicts and lists are built first. Dicts and lists without target
    stay as they are.

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
        plain(cfg) if isinstance(cfg, (dict, list, DictConfig, ListConfig)) else cfg, trusted, "", kwargs
    )


def _build(node: Any, trusted: bool, key: str, extra: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_build(item, trusted, f"{key}[{index}]", {}) for index, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    here = key + "." if key else ""
    arguments = {name: _build(value, trusted, f"{here}{name}", {}) for name, value in node.items()
                 if name not in PLAIN_KEYS}
    if "_target_" not in node:
        if extra:
            raise ConfigError(
                "there is no _target_ to build", where=key or "config", found=sorted(map(str, node))
            )
        return arguments
    unknown = [name for name in arguments if str(name).startswith("_") and str(name).endswith("_")]
    if unknown:
        raise ConfigError(
            f"{unknown[0]} is not supported", where=key or "config", expected=" or ".join(PLAIN_KEYS)
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


def resolve_target(name: Any, *, trusted: bool = True, key: str = "") -> Callable[..., Any]:
    """Find the object of a dotted name and check by its identity that a config may build it.

    Args:
        name: Dotted name, such as ``torch.optim.Adam``.
        trusted: See `build`.
        key: Where the name stands, for the message.

    Raises:
        ConfigError: No such object, or it is none that a config may build.
    """
    where = f"{key}._target_" if key else "_target_"
    if not isinstance(name, str) or not all(part.isidentifier() and not part.startswith("_")
                                            for part in name.split(".")):
        raise ConfigError(
            "this target is refused", where=where, expected="a dotted public name", found=repr(name)
        )
    packages = ("facemorph", *LIBRARY_PACKAGES, *_trusted_packages)
    found = _locate(name, where) if _inside(name, packages) else None
    if found is None or not _may_build(found, trusted):
        raise ConfigError(
            f"the target {name!r} is refused",
            where=where,
            expected="a class of facemorph, or a module, optimizer, scheduler, metric, callback, "
            "logger, strategy or trainer of torch, torchmetrics or lightning",
        )
    return found


def _locate(name: str, where: str) -> Any:
    """Import as much of the name as is a module and take attributes from there."""
    parts = name.split(".")
    module: ModuleType | None = None
    for end in range(len(parts) - 1, 0, -1):
        path = ".".join(parts[:end])
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name is None or not (path + ".").startswith(error.name + "."):
                raise ConfigError(f"{path} needs the package {error.name}", where=where) from error
            continue
        found: Any = module
        for index, part in enumerate(parts[end:], start=end):
            if not hasattr(found, part):
                near = (
                    suggestion(part, [n for n in vars(found) if not n.startswith("_")])
                    if index == end
                    else None
                )
                raise ConfigError(
                    f"there is no {part!r} in {'.'.join(parts[:index])}", where=where, remedy=near
                )
            found = getattr(found, part)
        return found
    return None


def _may_build(found: Any, trusted: bool) -> bool:
    module = getattr(found, "__module__", None)
    if not isinstance(module, str):
        return False
    own_packages = ("facemorph", *_trusted_packages) if trusted else (*MODEL_PACKAGES, *_trusted_packages)
    if inspect.isfunction(found):
        return _inside(module, PURE_PACKAGES) and found.__qualname__ == found.__name__
    if not inspect.isclass(found) or issubclass(found, BaseException):
        return False
    if _inside(module, own_packages):
        # A checkpoint names parts of a model only: a detector, say, may open files or the network.
        part = _inside(module, PURE_PACKAGES) or issubclass(found, _model_classes())
        return trusted or (part and not issubclass(found, _run_classes()))
    return _inside(module, LIBRARY_PACKAGES) and issubclass(
        found, _model_classes() + (_run_classes() if trusted else ())
    )


def _model_classes() -> tuple[type, ...]:
    from torch.nn import Module
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    return (Module, Optimizer, LRScheduler)  # torchmetrics' Metric is a Module


def _run_classes() -> tuple[type, ...]:
    from lightning.pytorch import Callback, LightningDataModule, Trainer
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.strategies import Strategy

    return (Callback, LightningDataModule, Trainer, Logger, Strategy)


def _inside(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def _refuse_interpolations(cfg: Any, key: str = "") -> None:
    node = OmegaConf.to_container(cfg, resolve=False) if isinstance(cfg, (DictConfig, ListConfig)) else cfg
    if isinstance(node, str) and "${" in node:
        raise ConfigError("a config out of a checkpoint must be plain", where=key or "config", found=node)
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
            raise ConfigError(f"{name} takes no argument {argument!r}", where=key or "config",
                              expected=", ".join(parameters), remedy=suggestion(argument, parameters))
    try:
        (signature.bind_partial if partial else signature.bind)(*positional, **arguments)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}", where=key or "config") from error


def suggestion(word: str, choices: Iterable[str], *, list_up_to: int = 30) -> str | None:
    """A sentence with the nearest of the right words, or with all when none is near; None without choices."""
    choices = sorted({str(choice) for choice in choices})
    near = difflib.get_close_matches(word, choices, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(repr(n) for n in near)}?"
    if not choices:
        return None
    return f"There are: {', '.join(choices[:list_up_to])}{', ...' if len(choices) > list_up_to else ''}."


def explain(error: Exception, config_name: str = "train", folder: Path | None = None,
            overrides: Sequence[str] = ()) -> ConfigError:
    """Turn an error of Hydra or OmegaConf into a `ConfigError` that names the right spelling."""
    from facemorph.config.overrides import explain_override

    return explain_override(error, config_name, [conf_dir(), *([folder] if folder else [])], overrides)


def config_digest(cfg: Any) -> str:
    """sha256 of the resolved config, the same whatever folder the run writes into."""
    content = plain(cfg)
    folder = content.get("paths", {}).get("output_dir") if isinstance(content, dict) else None
    text = json.dumps(content, sort_keys=True, default=str)
    if folder:
        text = text.replace(json.dumps(str(folder))[1:-1], "<output_dir>")
    return hashlib.sha256(text.encode()).hexdigest()


def check_same_config_on_all_ranks(digest: str) -> None:
    """Compare the digest between the ranks of a distributed run; nothing to do without one.

    Call it before the first step: ranks with different hyperparameters train on, silently and wrongly.

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
            remedy="Start all ranks with the same overrides; a sweep needs hydra.sweeper.sampler.seed.",
        )
