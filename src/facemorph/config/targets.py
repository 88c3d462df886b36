"""What a config may name: a target is resolved first, then judged by what it is."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from facemorph.config.compose import suggestion
from facemorph.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType


# Functions and classes of these packages compute tensors from tensors and touch nothing else; so do
# those of
# the modules of a system whose names end with `losses`.
PURE_PACKAGES = ("facemorph.ops", "facemorph.losses", "facemorph.engine")
MODEL_PACKAGES = (
    "facemorph.ops",
    "facemorph.losses",
    "facemorph.engine",
    "facemorph.metrics",
    "facemorph.faces",
    "facemorph.geometry",
    "facemorph.fields",
    "facemorph.networks",
    "facemorph.systems",
)
LIBRARY_PACKAGES = ("torch.nn", "torch.optim", "torchmetrics", "lightning.pytorch")
# Modules that have changed places, by the name under which people have them on disk: in
# checkpoints, release
# folders, and the digests of runs. What they hold is found under both names.
MOVED = {
    "facemorph.data.landmark_pair": "facemorph.systems.ifmorph.landmark_pair",
    "facemorph.data.landmark_pairs": "facemorph.systems.ifmorph.landmark_pairs",
    "facemorph.data.pixel_samples": "facemorph.systems.ifmorph.pixel_samples",
    "facemorph.data.poisson_samples": "facemorph.systems.ifmorph.poisson_samples",
    "facemorph.data.scan_set": "facemorph.systems.imface.scan_set",
    "facemorph.fields.classic_warps": "facemorph.fields.warps.classic_warps",
    "facemorph.fields.conjugate_flow": "facemorph.fields.warps.conjugate_flow",
    "facemorph.fields.imface_field": "facemorph.systems.imface.field",
    "facemorph.fields.neural_ode": "facemorph.fields.warps.neural_ode",
    "facemorph.fields.residual_field": "facemorph.systems.imface.residual_field",
    "facemorph.fields.siren_warp": "facemorph.fields.warps.siren_warp",
    "facemorph.fields.thin_plate_flow": "facemorph.fields.warps.thin_plate_flow",
    "facemorph.losses.flowing": "facemorph.systems.ifmorph.flowing_losses",
    "facemorph.losses.imface": "facemorph.systems.imface.losses",
    "facemorph.losses.imface_plus_plus": "facemorph.systems.imface.detail_losses",
    "facemorph.losses.neural_morphing": "facemorph.systems.ifmorph.losses",
    "facemorph.losses.poisson_blending": "facemorph.systems.ifmorph.poisson_losses",
    "facemorph.systems.face_autoencoder": "facemorph.systems.ifmorph.face_autoencoder",
    "facemorph.systems.image_field": "facemorph.systems.ifmorph.image_field",
    "facemorph.systems.gif.condition_set": "facemorph.data.condition_set",
    "facemorph.systems.imface": "facemorph.systems.imface.system",
    "facemorph.systems.neural_warp": "facemorph.systems.ifmorph.system",
}
# Classes that have left their module.
MOVED_CLASSES = {
    "facemorph.systems.imface.ImFacePlusPlus": (
        "facemorph.systems.imface.detail_system.ImFacePlusPlus"
    ),
}
FIRST_NAMES = {new: old for old, new in MOVED.items()}
FIRST_CLASSES = {new: old for old, new in MOVED_CLASSES.items()}
_trusted_packages: set[str] = set()


def present_name(target: str) -> str:
    """Dotted name under which a class is found now: a name from before a move becomes that after
    it.
    """
    if target in MOVED_CLASSES:
        return MOVED_CLASSES[target]
    module, _, name = target.rpartition(".")
    return f"{MOVED[module]}.{name}" if module in MOVED else target


def first_name(target: str) -> str:
    """Dotted name under which a class was first released, which digests and the index of runs know
    it by.
    """
    if target in FIRST_CLASSES:
        return FIRST_CLASSES[target]
    module, _, name = target.rpartition(".")
    return f"{FIRST_NAMES[module]}.{name}" if module in FIRST_NAMES else target


def with_first_names(node: Any) -> Any:
    """A plain config in which every target has its first name, so that a move does not change its
    digest.
    """
    if isinstance(node, list):
        return [with_first_names(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: first_name(value)
        if key == "_target_" and isinstance(value, str)
        else with_first_names(value)
        for key, value in node.items()
    }


def trust_package(name: str) -> None:
    """Let the user's own configs name the classes of one more package.

    For people who write their own system: call it in their own train script before
    `facemorph.train.main`. Configs out of checkpoints may name such a package only in a process
    that called this.

    Args:
        name: Name of a top-level package.
    """
    _trusted_packages.add(name)


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
    if not isinstance(name, str) or not all(
        part.isidentifier() and not part.startswith("_") for part in name.split(".")
    ):
        raise ConfigError(
            "this target is refused", where=where, expected="a dotted public name", found=repr(name)
        )
    packages = ("facemorph", *LIBRARY_PACKAGES, *_trusted_packages)
    name = present_name(name)
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
    own_packages = (
        ("facemorph", *_trusted_packages) if trusted else (*MODEL_PACKAGES, *_trusted_packages)
    )
    if inspect.isfunction(found):
        return _is_pure(module) and found.__qualname__ == found.__name__
    if not inspect.isclass(found) or issubclass(found, BaseException):
        return False
    if _inside(module, own_packages):
        # A checkpoint names parts of a model only: a detector, say, may open files or the network.
        part = _is_pure(module) or issubclass(found, _model_classes())
        return trusted or (part and not issubclass(found, _run_classes()))
    return _inside(module, LIBRARY_PACKAGES) and issubclass(
        found, _model_classes() + (_run_classes() if trusted else ())
    )


def _is_pure(module: str) -> bool:
    of_a_system = module.startswith("facemorph.systems.") and module.endswith("losses")
    return of_a_system or _inside(module, PURE_PACKAGES)


def _model_classes() -> tuple[type, ...]:
    from torch.nn import Module
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    return (Module, Optimizer, LRScheduler)  # torchmetrics' Metric is a Module


def _run_classes() -> tuple[type, ...]:
    if "lightning.pytorch" not in sys.modules:  # which takes seconds to load
        return ()  # nothing can be a subclass of what is not there
    from lightning.pytorch import Callback, LightningDataModule, Trainer
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.strategies import Strategy

    return (Callback, LightningDataModule, Trainer, Logger, Strategy)


def _inside(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)
