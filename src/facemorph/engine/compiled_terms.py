"""Losses that are compiled, where that is wanted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor

from facemorph.errors import ConfigError

Terms = Callable[..., dict[str, Tensor]]


class CompiledTerms:
    """Makes of functions of a field and a batch compiled ones, each once.

    Args:
        wanted: Whether to.
    """

    def __init__(self, wanted: bool) -> None:
        self.wanted, self.made = wanted, dict[str, Terms]()

    def check(self, device: torch.device) -> None:
        """See that what compiling needs is there.

        Raises:
            ConfigError: A CPU needs a C++ compiler.
        """
        compiler = os.environ.get("CXX", "g++")
        if self.wanted and device.type == "cpu" and shutil.which(compiler) is None:
            raise ConfigError(
                "compiling on a CPU needs a C++ compiler",
                where="system.compile",
                expected=compiler,
                found="no such program",
                remedy="Install it, or take system.compile=false.",
            )

    def __call__(self, terms: Terms) -> Terms:
        """The function, or a compiled one for batches of one shape."""
        if not self.wanted:
            return terms
        # Functions only: a compiled module would be a second one in the checkpoint.
        if terms.__qualname__ not in self.made:
            self.made[terms.__qualname__] = torch.compile(terms, dynamic=False, fullgraph=True)
        return self.made[terms.__qualname__]
