"""Trainings that are killed in the middle of a phase and go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from facemorph.engine.adversarial import AdversarialSystem


class Killed(Exception):
    """In the place of SIGKILL: nothing of the step that it interrupts may last."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of the newest checkpoint in a folder."""
    newest = max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
    return torch.load(newest, weights_only=True)["state_dict"]


EVERY = "callbacks.checkpoints.every_batches=1"


def whole_run(
    train: Callable[..., int], folder: Path, words: tuple[str, ...] = ()
) -> dict[str, torch.Tensor]:
    """The weights of a training that nothing ends.

    Args:
        train: Trains into a folder with some words; its exit code.
        folder: Where the run goes.
        words: Further words.
    """
    assert train(folder, EVERY, *words) == 0
    return weights(folder)


def assert_resumed_exactly(
    train: Callable[..., int],
    folder: Path,
    whole: dict[str, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    step: int,
    words: tuple[str, ...] = (),
) -> None:
    """A training that ends before a phase of a step and goes on has the same weights as a whole
    one.

    Args:
        train: Trains into a folder with some words; its exit code.
        folder: Where the runs go.
        whole: Of `whole_run`, with the same words.
        monkeypatch: Of pytest.
        phase: Where it ends.
        step: When.
        words: Further words.
    """
    words = (EVERY, *words)
    original = AdversarialSystem._run

    def ending(self, one, parts, optimizer):
        if one.name == phase and parts[0].step == step:
            raise Killed
        original(self, one, parts, optimizer)

    monkeypatch.setattr(AdversarialSystem, "_run", ending)
    with pytest.raises(Killed):
        train(folder, *words)
    monkeypatch.setattr(AdversarialSystem, "_run", original)
    assert train(folder, *words, "resume=auto") == 0
    resumed = weights(folder)
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
