"""Rows of `facemorph bench gif`; the figures themselves depend on the machine."""

from __future__ import annotations

import pytest
import torch

from facemorph.bench import gif


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(gif, "PUBLISHED", (128, 8))
    monkeypatch.setattr(gif, "BARS", {(16, 2): dict.fromkeys(next(iter(gif.BARS.values())), 1.0)})
    monkeypatch.setattr(gif, "HALF_CASE", (16, 2))


def test_counts_are_the_published_ones():
    assert [one.ok for one in gif.count_rows()] == [True, True]


@pytest.mark.slow
def test_losses_are_the_plain_twins():
    rows = {one.name: one for one in gif.run()}
    differences = [one for name, one in rows.items() if name.endswith("loss differs by")]
    assert len(differences) == 3
    assert all(one.ok for one in differences)
    halves = [one for name, one in rows.items() if name.endswith("bfloat16 against float32")]
    assert [one.bar for one in halves] == [">= 1.6"] * 2


def test_gradients_are_the_plain_twins():
    """Of all weights, in the order of the discriminator's."""
    both = {}
    real = gif.pairs

    def kept(resolution):
        both.update(real(resolution))
        return both

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gif, "pairs", kept)
        functions = gif.steps(16, 2)["discriminator with R1"]
        for kind in ("plain", "ours"):
            functions[kind]()
    gradients = [
        [one.grad.flatten() for one in both[kind].modules[1].parameters()]
        for kind in ("plain", "ours")
    ]
    for plain, ours in zip(*gradients, strict=True):
        scale = float(plain.abs().max()) + 1e-4
        torch.testing.assert_close(ours / scale, plain / scale, rtol=1e-4, atol=1e-4)
