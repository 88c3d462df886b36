"""Losses and networks that are compiled, where that is wanted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from facemorph.errors import ConfigError

Terms = Callable[..., dict[str, Tensor]]


class Compiled:
    """Whether something is compiled, and that it can be.

    Args:
        wanted: Whether to.
    """

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted

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


class CompiledTerms(Compiled):
    """Makes of functions of a field and a batch compiled ones, each once.

    Args:
        wanted: Whether to.
    """

    def __init__(self, wanted: bool) -> None:
        super().__init__(wanted)
        self.made = dict[str, Terms]()

    def __call__(self, terms: Terms) -> Terms:
        """The function, or a compiled one for batches of one shape."""
        if not self.wanted:
            return terms
        # Functions only: a compiled module would be a second one in the checkpoint.
        if terms.__qualname__ not in self.made:
            self.made[terms.__qualname__] = torch.compile(terms, dynamic=False, fullgraph=True)
        return self.made[terms.__qualname__]


class CompiledNetworks(Compiled):
    """Makes of networks compiled ones, each once, for forward passes that are differentiated once.

    Second derivatives of compiled networks are not to be had (pytorch issue 91469): gradient
    penalties take the networks themselves.

    Args:
        wanted: Whether to.
    """

    def __init__(self, wanted: bool) -> None:
        super().__init__(wanted)
        self.made = dict[int, Callable[..., Any]]()

    def __call__(self, network: nn.Module) -> Callable[..., Any]:
        """The network, or a compiled one for batches of one shape."""
        if not self.wanted:
            return network
        if id(network) not in self.made:
            self.made[id(network)] = torch.compile(network, dynamic=False)
        return self.made[id(network)]
