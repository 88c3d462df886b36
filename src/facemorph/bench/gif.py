"""``facemorph bench gif``: training steps of GIF's networks against their plain twin.

CPU time of one thread, the least of several runs in turn, without the optimisers. Both sides have
the same weights, by way of the converter of published checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from facemorph.bench.plain.stylegan2 import PlainDiscriminator, PlainGenerator
from facemorph.bench.table import Row, row
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.geometry.rendering.lighting import random_light
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.losses.adversarial import (
    logistic_discriminator,
    logistic_generator,
    r1_penalty,
)
from facemorph.networks.discriminators import StyleGAN2Discriminator
from facemorph.networks.stylegan2.widths import PUBLISHED, channel_widths
from facemorph.ops.threads import one_thread
from facemorph.systems.gif.generator import GIFGenerator
from facemorph.systems.gif.published_weights import discriminator_of, generator_of

WEIGHTS = {"generator": 31_243_505, "discriminator": 28_864_897}  # at 256 pixels
CONDITION, CODES = 6, 16
REPEATS = 2
FACES = 16  # whose conditions are rendered
GAMMA = 10.0
# Ratios of the time: measured before for a sketch of these networks.
BARS = {
    (256, 1): {"generator": 2.1, "discriminator": 3.0, "discriminator with R1": 3.0},
    (64, 2): {"generator": 1.8, "discriminator": 2.0, "discriminator with R1": 2.0},
}
HALF_BAR = 1.6  # of bfloat16 over float32; needs a processor that is fast at it
HALF_CASE = (64, 2)


@dataclass(frozen=True)
class Pair:
    """A generator and a discriminator with one interface.

    Attributes:
        generate: Pictures of numbers of codes and conditions.
        score: Scores of pictures with conditions.
        modules: Both networks.
    """

    generate: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor], Tensor]
    modules: tuple[nn.Module, nn.Module]


def run(folder: Path | None = None) -> list[Row]:
    """All rows of the suite; ``folder`` is not used."""
    with one_thread():
        steps = (one for case in BARS for one in step_rows(*case))
        return [*count_rows(), *condition_rows(), *steps]


def condition_rows() -> list[Row]:
    """Rendering of the conditions: render, normals, mask and texture coordinates at 256 pixels."""
    model = load_model("makehuman")
    skin = skin_basis(model)
    faces = FaceParameters.neutral(model, FACES, len(skin[1]))
    draw = torch.Generator().manual_seed(0)
    faces = replace(
        faces,
        identity=torch.randn(faces.identity.shape, generator=draw),
        rotation=0.2 * torch.randn(FACES, 3, generator=draw),
        origin=torch.full((FACES, 2), 128.0),
        log_size=torch.zeros(FACES),
        light=random_light(FACES, draw),
    )
    render = ConditionRenderer(model, size=256, supersample=1, skin=skin)
    fast, plain = render(faces), render.stepwise(faces)  # compiles on the first call
    seconds = {"ours": float("inf"), "plain": float("inf")}
    for _ in range(REPEATS + 1):
        for name, function in (("ours", render), ("plain", render.stepwise)):
            begun = time.process_time()
            function(faces)
            seconds[name] = min(seconds[name], time.process_time() - begun)
    case = "conditions, 256 px, a picture"
    return [
        row(f"{case}: plain steps", 1000 * seconds["plain"] / FACES, "ms CPU"),
        row(f"{case}: facemorph", 1000 * seconds["ours"] / FACES, "ms CPU", "<= 12"),
        row(f"{case}: against the plain steps", seconds["plain"] / seconds["ours"], "x", ">= 3"),
        row(f"{case}: differs by", float((fast - plain).abs().max()), "", "<= 2e-5"),
    ]


def count_rows() -> list[Row]:
    """Weights of the published configuration."""
    with torch.device("meta"):
        networks = {"generator": GIFGenerator(), "discriminator": StyleGAN2Discriminator(256, 9)}
    return [
        row(
            f"weights of the {name}, 256 px",
            sum(one.numel() for one in network.parameters()),
            "",
            f"== {WEIGHTS[name]}",
        )
        for name, network in networks.items()
    ]


def pairs(resolution: int) -> dict[str, Pair]:
    """The plain twin and our networks, with the same random weights."""
    torch.manual_seed(0)
    widths = list(channel_widths(resolution, PUBLISHED, "bench").values())
    generator = PlainGenerator(widths, condition=CONDITION, count=CODES)
    discriminator = PlainDiscriminator(widths, 3 + CONDITION)
    ours = (
        generator_of(generator.state_dict(), "the plain twin", resolution=resolution),
        discriminator_of(discriminator.state_dict(), "the plain twin", resolution=resolution),
    )
    return {
        "plain": Pair(
            lambda numbers, conditions: generator(numbers, conditions, resolution),
            lambda images: discriminator(images)[:, 0],
            (generator, discriminator),
        ),
        "ours": Pair(ours[0], ours[1], ours),
    }


def steps(resolution: int, batch: int) -> dict[str, dict[str, Callable[[], float]]]:
    """Training steps by their names and kinds: ``plain``, ``ours`` and ``bfloat16``; each gives its
    loss.
    """
    both = pairs(resolution)
    generator = torch.Generator().manual_seed(1)
    numbers = torch.arange(batch)
    conditions, images = (
        torch.rand(batch, channels, resolution, resolution, generator=generator) * 2 - 1
        for channels in (CONDITION, 3)
    )

    def step(name: str, kind: str) -> float:
        pair = both["plain" if kind == "plain" else "ours"]
        for network in pair.modules:
            network.zero_grad(set_to_none=True)
        half = torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16")
        if name == "generator":
            with half:
                fake = pair.generate(numbers, conditions)
                loss = logistic_generator(pair.score(torch.cat([fake, conditions], 1)))
        else:
            real = images.clone().requires_grad_(name.endswith("R1"))
            with half:
                scores = pair.score(torch.cat([real, conditions], 1))
                of_fake = pair.score(torch.cat([-images, conditions], 1))
            loss = logistic_discriminator(scores, of_fake)
            if real.requires_grad:
                loss = loss + GAMMA / 2 * r1_penalty(scores, real)
        loss.backward()
        return float(loss.detach())

    def kinds(name: str) -> list[str]:
        # R1 is not for bfloat16: squares of gradients lose too much.
        half = (resolution, batch) == HALF_CASE and not name.endswith("R1")
        return ["plain", "ours", *(["bfloat16"] if half else [])]

    return {
        name: {kind: partial(step, name, kind) for kind in kinds(name)}
        for name in BARS[resolution, batch]
    }


def least_time(
    functions: dict[str, Callable[[], float]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Least seconds of CPU time of each, in turn, and what each gave."""
    seconds, values = dict.fromkeys(functions, float("inf")), {}
    for _ in range(REPEATS):
        for name, function in functions.items():
            begun = time.process_time()
            values[name] = function()
            seconds[name] = min(seconds[name], time.process_time() - begun)
    return seconds, values


def step_rows(resolution: int, batch: int) -> list[Row]:
    """Rows of one size."""
    rows = []
    for name, functions in steps(resolution, batch).items():
        case = f"{resolution} px, batch {batch}, step of the {name}"
        seconds, values = least_time(functions)
        rows += [
            row(f"{case}: plain twin", seconds["plain"], "s CPU"),
            row(f"{case}: facemorph", seconds["ours"], "s CPU"),
            row(
                f"{case}: against the plain twin",
                seconds["plain"] / seconds["ours"],
                "x",
                f">= {BARS[resolution, batch][name]}",
            ),
            row(
                f"{case}: loss differs by",
                abs(values["ours"] / values["plain"] - 1),
                "",
                "<= 1e-5",
            ),
        ]
        if "bfloat16" in seconds:
            rows.append(
                row(
                    f"{case}: bfloat16 against float32",
                    seconds["ours"] / seconds["bfloat16"],
                    "x",
                    f">= {HALF_BAR}",
                )
            )
    return rows
