"""``facemorph bench varitex``: a training step of VariTex's networks against their plain twin.

Generator's and discriminator's step together, all losses but VGG19's, without the optimisers; CPU
time of one thread, the least of several runs in turn. Both sides have the same weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from facemorph.bench.plain.varitex import (
    PlainScores,
    PlainVariTex,
    plain_discriminator_loss,
    plain_generator_loss,
)
from facemorph.bench.table import Row, row
from facemorph.ops.threads import one_thread
from facemorph.systems.varitex.generator import VariTexGenerator
from facemorph.systems.varitex.losses import VariTexLoss
from facemorph.systems.varitex.published_weights import discriminator_of, generator_of
from facemorph.systems.varitex.small.encoder import TexelEncoder
from facemorph.systems.varitex.small.generator import SmallVariTexGenerator
from facemorph.systems.varitex.spaces import normalised

WEIGHTS = {"generator": 74_098_436, "discriminator": 5_527_682}
REPEATS = 2
SIDE = 256
BARS = {"parity": 1.0, "one pass, half stem": 1.5}
LEAST = 1e-4  # relative difference of losses of the same networks


@dataclass(frozen=True)
class Sizes:
    """Widths of both sides, see `PlainVariTex`."""

    code: int = 128
    channels: int = 16
    encoder: tuple[int, ...] = (64, 128, 256, 512)
    texture: tuple[int, ...] = (512, 256, 256, 256, 128, 64, 64)
    additive: tuple[int, ...] = (512, 512, 256, 256, 128, 64, 64)
    width: int = 64
    levels: int = 5
    judge: int = 64

    def plain(self) -> PlainVariTex:
        """The plain generator."""
        encoder, texture, additive = map(list, (self.encoder, self.texture, self.additive))
        return PlainVariTex(
            self.code, self.channels, encoder, texture, additive, self.width, self.levels
        )


def run(folder: Path | None = None) -> list[Row]:
    """All rows of the suite; ``folder`` is not used."""
    with one_thread():
        return [*count_rows(), *step_rows(Sizes(), SIDE), *small_rows()]


def count_rows() -> list[Row]:
    """Weights of the published configuration."""
    with torch.device("meta"):
        generator = VariTexGenerator()
    found = {"generator": generator, "discriminator": PlainScores()}
    return [
        row(
            f"weights of the {name}",
            sum(one.numel() for one in network.parameters()),
            "",
            f"== {WEIGHTS[name]}",
        )
        for name, network in found.items()
    ]


def steps(sizes: Sizes, side: int) -> dict[str, Callable[[], tuple[float, float]]]:
    """Whole training steps of one picture by kind; each gives the losses of both networks."""
    torch.manual_seed(0)
    plain, scores = sizes.plain(), PlainScores(sizes.judge)
    picture, uv = torch.rand(1, 3, side, side), torch.rand(1, 2, side, side)
    mask = torch.zeros(1, 1, side, side, dtype=torch.bool)
    mask[..., side // 4 :, side // 4 :] = True
    noise = torch.randn(1, 2 * sizes.code)
    networks = {
        kind: generator_of(plain.state_dict(), "the plain twin")
        for kind in ("parity", "one pass, half stem")
    }
    networks["one pass, half stem"].encoder.entry.stride = (2, 2)
    judge = discriminator_of(
        {f"discriminator.{name}": one for name, one in scores.state_dict().items()},
        "the plain twin",
    )
    for network in (plain, scores, judge, *networks.values()):
        network.train()

    def of_plain() -> tuple[float, float]:
        given = normalised(picture), torch.where(mask, 2 * uv - 1, -1), noise
        scores.requires_grad_(False)
        made = plain(*given)
        first = plain_generator_loss(made, given[0], mask, scores)
        first.backward()
        scores.requires_grad_(True)
        with torch.no_grad():
            again = plain(*given)[0]
        second = plain_discriminator_loss(again, given[0], scores)
        second.backward()
        _forget(plain, scores)
        return float(first.detach()), float(second.detach())

    def of_ours(kind: str) -> tuple[float, float]:
        network, loss = networks[kind], VariTexLoss(perceptual_weight=0)
        judge.requires_grad_(False)
        output, posterior = network(picture, uv, mask, noise)
        first = loss.generator(output, posterior, picture, mask, judge, 0)["total"]
        first.backward()
        judge.requires_grad_(True)
        colours = output.colours.detach()
        if kind == "parity":
            with torch.no_grad():
                colours = network(picture, uv, mask, noise)[0].colours
        second = loss.discriminator(colours, picture, judge)["total"]
        second.backward()
        _forget(network, judge)
        return float(first.detach()), float(second.detach())

    return {"plain": of_plain, **{kind: partial(of_ours, kind) for kind in networks}}


def _forget(*networks: nn.Module) -> None:
    for network in networks:
        network.zero_grad(set_to_none=True)


def step_rows(sizes: Sizes, side: int) -> list[Row]:
    """Rows of the published networks."""
    functions = steps(sizes, side)
    seconds = dict.fromkeys(functions, float("inf"))
    first: dict[str, tuple[float, float]] = {}
    for _ in range(REPEATS):
        for name, function in functions.items():
            begun = time.process_time()
            values = function()
            seconds[name] = min(seconds[name], time.process_time() - begun)
            first.setdefault(name, values)
    case = f"{side} px, both steps"
    rows = [row(f"{case}: plain twin", seconds["plain"], "s CPU")]
    for kind, bar in BARS.items():
        rows += [
            row(f"{case}, {kind}", seconds[kind], "s CPU"),
            row(
                f"{case}, {kind}: against the plain twin",
                seconds["plain"] / seconds[kind],
                "x",
                f">= {bar}",
            ),
        ]
    apart = max(
        abs(ours / plain - 1) for ours, plain in zip(first["parity"], first["plain"], strict=True)
    )
    return [*rows, row(f"{case}: losses differ by", apart, "", f"<= {LEAST}")]


def small_rows() -> list[Row]:
    """Forward and backward pass of the small networks, and 21 pictures of a person."""
    torch.manual_seed(0)
    generator, encoder = SmallVariTexGenerator(), TexelEncoder()
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    maps = torch.rand(16, 9, 128, 128).contiguous(memory_format=torch.channels_last)
    images, lights = torch.rand(16, 3, 128, 128), torch.rand(16, 9, 3)

    def step() -> None:
        codes = encoder(images, maps, lights)
        generator(codes, maps).square().mean().backward()

    @torch.no_grad()
    def turn() -> None:
        for start in range(0, 21, 7):
            generator(torch.zeros(7, generator.code), maps[:7] * (1 + start / 100))

    found = []
    for name, function, share, unit, bar in (
        ("small, 128 px, a picture of a training step", step, 1000 / 16, "ms CPU", None),
        ("small, 128 px, 21 pictures of a person", turn, 1, "s CPU", "<= 2"),
    ):
        least = float("inf")
        for _ in range(REPEATS + 1):
            begun = time.process_time()
            function()
            least = min(least, time.process_time() - begun)
        found.append(row(name, share * least, unit, *([bar] if bar else [])))
    return found
