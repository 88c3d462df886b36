"""Frozen networks that are asked the same again."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

KEPT = 2000  # answers of a network


def remembering(forward: Callable) -> Callable:
    """A network's ``forward`` that keeps what it gave, each network for itself, as long as nothing
    is differentiated and its weights are the same.
    """

    @functools.wraps(forward)
    def called(self, image: Tensor):
        if (torch.is_grad_enabled() and image.requires_grad) or image.device.type != "cpu":
            return forward(self, image)
        weights = tuple((one.data_ptr(), one._version) for one in self.state_dict().values())
        content = image.detach().contiguous().numpy()
        key = (hashlib.sha1(content).digest(), content.shape, str(content.dtype), weights)
        known = self.__dict__.setdefault("_remembered", {})
        if key not in known:
            while len(known) >= KEPT:
                known.pop(next(iter(known)))
            known[key] = forward(self, image)
        return tree_map(lambda one: one.clone() if isinstance(one, Tensor) else one, known[key])

    return called
