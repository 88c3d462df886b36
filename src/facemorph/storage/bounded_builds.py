"""Systems built from configs that came with weights: never larger than the weights are."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from facemorph.config.build import build
from facemorph.errors import CheckpointError

REMEDY = "Do not use this file: its config is not that of its weights."
# Numbers that a system may have besides those of the weights: of networks that losses bring along,
# and twice the weights' own where a part is rewritten (weight normalization).
BESIDE, TIMES = 1 << 25, 2
PARAMETER = 1 << 12  # numbers that a parameter counts for besides its own: modules take memory too
USUAL = 4096  # up to which numbers of a config make no tensor that memory cannot hold
GREATEST = 1 << 40  # number in a config, beyond which nothing can be meant
MAKERS = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full)


def build_for(config: Any, weights: Mapping[str, Tensor], path: Path) -> Any:
    """Build the system of a checkpoint whose weights are at hand.

    A parameter's shape is seen before it is filled, so that a config which asks for far more than
    the weights can fill is refused before it takes memory.

    Args:
        config: The system's, out of the checkpoint.
        weights: Its state.
        path: The checkpoint, for the message.

    Raises:
        CheckpointError: The system is too large for these weights.
        ConfigError: The config names something that may not be built.
    """
    there = sum(value.numel() for value in weights.values() if isinstance(value, Tensor))
    most = BESIDE + TIMES * there + PARAMETER * len(weights)
    greatest = max(_numbers(config), default=0)
    if greatest > GREATEST:
        raise _too_large(there, path, f"the number {greatest:.3g}")
    try:
        with (
            _at_most(most, there, path),
            _Sizes(most, there, path) if (greatest > USUAL) else nullcontext(),
        ):
            return build(config, trusted=False)
    except (RuntimeError, MemoryError, OverflowError) as error:  # of sizes that nothing can hold
        raise CheckpointError(
            "the system of its config cannot be built",
            where=path,
            expected=f"a network of {there} numbers, those of the weights",
            found=(str(error).strip() or type(error).__name__).splitlines()[0][:120],
            remedy=REMEDY,
        ) from error


@contextmanager
def _at_most(most: int, there: int, path: Path) -> Iterator[None]:
    """Count the parameters that this thread's modules take up; too many are an error."""
    thread, count = threading.get_ident(), 0

    def counted(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        if parameter is None or threading.get_ident() != thread:
            return
        count += parameter.numel() + PARAMETER
        if count > most:
            shape = tuple(parameter.shape)
            raise _too_large(there, path, f"a {type(module).__name__} whose {name} has {shape}")

    handle = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


class _Sizes(TorchFunctionMode):
    """Sizes are looked at before memory is asked for. Too slow for every build."""

    def __init__(self, most: int, there: int, path: Path) -> None:
        super().__init__()
        self.most, self.there, self.path = most, there, path

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in MAKERS:
            size = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
            if math.prod(size) > self.most:
                raise _too_large(self.there, self.path, f"a tensor of {tuple(size)}")
        return func(*args, **kwargs)


def _numbers(config: Any) -> Iterator[int]:
    """All whole numbers in a config, without their signs."""
    if isinstance(config, Mapping):
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _numbers(value)
    elif isinstance(config, int):
        yield abs(config)


def _too_large(there: int, path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "its config asks for a network that is far larger than its weights",
        where=path,
        expected=f"{there} numbers, those of the weights",
        found=found,
        remedy=REMEDY,
    )
