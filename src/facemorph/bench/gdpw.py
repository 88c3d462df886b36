"""``facemorph bench gdpw``: frames and training steps of both reenactment networks.

CPU time of one thread, the least of several runs in turn. The quality of a trained one is measured
by ``facemorph evaluate-reenactment``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from facemorph.bench.plain.gdpw import PlainGDPW
from facemorph.bench.table import Row, row
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.head_flow import MAPS, HeadFlow
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.metrics.feature_networks import feature_network
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation
from facemorph.ops.threads import one_thread
from facemorph.systems.gdpw.blocks import fold_normalisations
from facemorph.systems.gdpw.generator import PUBLISHED_WIDTHS, GDPWGenerator, GuidanceKind
from facemorph.systems.gdpw.guidance import Guidance
from facemorph.systems.gdpw.moved_portrait import MovedPortrait
from facemorph.systems.gdpw.paired_faces import PairBatch
from facemorph.systems.gdpw.published_weights import generator_of
from facemorph.systems.gdpw.small_generator import SmallGenerator, SmallOutput
from facemorph.systems.gdpw.small_losses import SmallGDPWLoss
from facemorph.systems.gdpw.small_system import LAYERS

WEIGHTS: dict[GuidanceKind, int] = {
    "neural_codes": 141_811_710,
    "geom_disp": 141_226_766,
    "both": 141_883_134,
}
PAPER = 256  # pixels
BARS = {512: (60, 80), 1024: (180, None)}  # ms of network and warp, and with the geometry
REPEATS, PAPER_REPEATS = 5, 2
BATCH = 4


def run(folder: Path | None = None) -> list[Row]:
    """All rows of the suite; ``folder`` is not used."""
    with one_thread():
        return [*count_rows(), *frame_rows(), *step_rows(), *paper_rows()]


def count_rows() -> list[Row]:
    """Weights of the published network."""
    found = {}
    for guidance in WEIGHTS:
        with torch.device("meta"):
            found[guidance] = sum(one.numel() for one in GDPWGenerator(guidance).parameters())
    return [
        row(f"weights of the published generator, {name}", count, "", f"== {WEIGHTS[name]}")
        for name, count in found.items()
    ]


def least_time(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least milliseconds of CPU time of each, in turn."""
    found = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            begun = time.process_time()
            function()
            found[name] = min(found[name], 1000 * (time.process_time() - begun))
    return found


def frame_rows() -> list[Row]:
    """A frame of the small network, whose source is encoded, against one with nothing kept."""
    rows = []
    model = load_makehuman()
    torch.manual_seed(0)
    generator = SmallGenerator()
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for size, (bar, whole_bar) in BARS.items():
        image = torch.rand(3, size, size)
        rest = replace(
            FaceParameters.neutral(model),
            origin=torch.full((1, 2), size / 2),
            log_size=torch.tensor([math.log(size / 330)]),
        )
        turn = torch.deg2rad(torch.tensor([[10.0], [3.0], [2.0]]))
        moved = replace(
            rest.with_expression(jawOpen=0.5),
            rotation=vector_from_rotation(rotation_from_euler(*turn)),
        )
        portrait = MovedPortrait(generator, model, image, rest)
        head = portrait.head_of(moved)

        def network(portrait: MovedPortrait = portrait, head: HeadFlow = head) -> Tensor:
            return portrait.drawn(head)

        def whole(portrait: MovedPortrait = portrait, moved: FaceParameters = moved) -> Tensor:
            return portrait(moved)

        def anew(
            image: Tensor = image, rest: FaceParameters = rest, moved: FaceParameters = moved
        ) -> Tensor:
            return MovedPortrait(generator, model, image, rest)(moved)

        spent = least_time({"network": network, "whole": whole, "anew": anew}, REPEATS)
        case = f"frame of the small network, {size} px"
        rows += [
            row(f"{case}: network and warp", spent["network"], "ms CPU", f"<= {bar}"),
            row(
                f"{case}: with the geometry",
                spent["whole"],
                "ms CPU",
                None if whole_bar is None else f"<= {whole_bar}",
            ),
            row(f"{case}: against nothing kept", spent["anew"] / spent["whole"], "x", "> 1"),
        ]
    return rows


def step_rows() -> list[Row]:
    """A training step of the small network, without its data."""
    torch.manual_seed(0)
    generator = SmallGenerator()
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    side = generator.resolution

    def maps(channels: int) -> Tensor:
        return torch.rand(BATCH, channels, side, side)

    batch = PairBatch(
        source=maps(3),
        target=maps(3),
        source_maps=maps(MAPS),
        maps=maps(MAPS),
        flow=0.1 * maps(2),
        visible=maps(1),
        teeth=maps(1),
    )
    head = HeadFlow(batch["flow"], batch["visible"], batch["maps"], batch["teeth"])
    distance = PerceptualDistance(feature_network("efficientnet_lite", layers=LAYERS), "unit")
    loss = SmallGDPWLoss()
    optimizer = torch.optim.Adam(generator.parameters(), 7e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        output: SmallOutput = generator(batch["source"], batch["source_maps"], head)
        loss(output, batch, distance)["total"].backward()
        optimizer.step()

    spent = least_time({"step": step}, REPEATS)["step"] / 1000
    return [row(f"training step of the small network, batch {BATCH}", spent, "s CPU", "<= 0.3")]


def paper_rows() -> list[Row]:
    """A frame of the published network, folded and its source kept, against its plain twin."""
    torch.manual_seed(0)
    plain = PlainGDPW(list(PUBLISHED_WIDTHS), 0, True).eval()
    ours = fold_normalisations(generator_of(plain.state_dict(), "the plain twin").eval())
    source = torch.rand(1, 3, PAPER, PAPER)
    flow = 0.1 * torch.randn(1, 2, PAPER, PAPER)
    guidance = Guidance(flow, None, None)
    with torch.no_grad():
        features = ours.encode(source)
        pictures = {
            "ours": ours.decode(features, guidance).colours,
            "plain": plain(source, flow, None, None)[0],
        }
        spent = least_time(
            {
                "plain": lambda: plain(source, flow, None, None),
                "ours": lambda: ours.decode(features, guidance),
            },
            PAPER_REPEATS,
        )
    case = f"frame of the published network, {PAPER} px"
    difference = float((pictures["ours"] - pictures["plain"]).abs().max())
    return [
        row(f"{case}: plain twin", spent["plain"], "ms CPU"),
        row(f"{case}: folded, its source kept", spent["ours"], "ms CPU"),
        row(f"{case}: against the plain twin", spent["plain"] / spent["ours"], "x", ">= 1.5"),
        row(f"{case}: differs by", difference, "", "<= 1e-5"),
    ]
