"""Modules whose buffers get their shape from data, not from the constructor."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class LazyBuffers(nn.Module):
    """A module with buffers that are empty until they are set, or until a state dict
    brings them.
    """

    def declare_buffers(self, *names: str) -> None:
        """Declare buffers that hold nothing yet."""
        for name in names:
            self.register_buffer(name, None)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        found = False
        for name in self._buffers:
            stored = state_dict.get(prefix + name)
            if stored is not None:
                self._buffers[name] = stored.clone()
                found = True
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if found:
            self._restored()

    def _restored(self) -> None:
        """Hook after buffers were loaded: recompute what follows from them and is not stored."""
