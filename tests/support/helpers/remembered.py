"""What is asked for again: answers of frozen networks, and what config files say."""

from __future__ import annotations

import copy
import functools
import hashlib
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import yaml
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


def remembering_yaml() -> SimpleNamespace:
    """The module ``yaml`` with a ``load`` that parses a text once: a training reads forty small
    files, hundreds of trainings the same ones.
    """
    known: dict[str, Any] = {}

    def load(stream: Any, Loader: Any) -> Any:
        text = stream if isinstance(stream, str) else stream.read()
        if text not in known:
            source: Any = text
            if not isinstance(stream, str):
                source = io.StringIO(text)
                source.name = getattr(stream, "name", "<file>")  # errors name it
            known[text] = yaml.load(source, Loader=Loader)
        return copy.deepcopy(known[text])

    return SimpleNamespace(**{**vars(yaml), "load": load})
