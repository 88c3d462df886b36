"""``facemorph bench fields``: analytic derivatives, neural warps and image fields against their
plain twins.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder
from facemorph.bench.photographs.frll import find_frll, frll_pairs
from facemorph.bench.plain.morphing_loss import plain_neural_morphing_loss
from facemorph.bench.table import Row, missing, row
from facemorph.faces.files.image_io import load_image, resize_image
from facemorph.faces.pair import FacePair
from facemorph.fields.image_fields import MultiresGrid, SplineImage
from facemorph.fields.warps.siren_warp import ResidualSirenWarp, SirenWarp, with_duration
from facemorph.metrics.warp_quality import landmark_errors, map_quality
from facemorph.ops.jets import autograd_jet
from facemorph.ops.splines import evaluate_spline, sample_spline
from facemorph.ops.threads import one_thread
from facemorph.systems.ifmorph.image_field import reconstruction_psnr
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.losses import NeuralMorphingLoss
from facemorph.systems.ifmorph.pixel_samples import PixelSamples


def run(folder: Path | None = None, pairs: int = 5) -> list[Row]:
    """All rows of the suite, on one thread.

    Args:
        folder: FRLL; found by itself when None.
        pairs: Number of FRLL pairs for the trained warp.
    """
    frll = find_frll(folder)
    with one_thread():
        rows = [
            *loss_rows(),
            *spline_rows(),
            *grid_rows(sample_folder() / PHOTOGRAPHS[1], "Hopper"),
        ]
        if frll is None:
            return [
                *rows,
                missing("residual warp on FRLL pairs", "FRLL is not here: give --frll DIR"),
            ]
        first = sorted((frll / "neutral").glob("*.jpg"))[0]
        return [*rows, *grid_rows(first, "FRLL"), *residual_rows(frll_pairs(frll, pairs))]


def _fastest(*functions: Callable[[], object], repeats: int = 6) -> list[float]:
    """Least CPU seconds of each function; their calls alternate, so that other load hits
    all alike.
    """
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats + 1):
        for function, spent in zip(functions, times, strict=True):
            start = time.process_time()
            function()
            spent.append(time.process_time() - start)
    return [min(spent[1:]) for spent in times]  # the first warms up


def loss_rows(samples: int = 20000) -> list[Row]:
    """The paper's loss and its gradient by jets against nested automatic differentiation, on the
    same samples.
    """
    torch.manual_seed(0)
    warp, loss = SirenWarp(), NeuralMorphingLoss()
    source = torch.rand(130, 2) * 1.4 - 0.7
    target = source + 0.05 * torch.randn(130, 2)
    empty = torch.zeros(3, 64, 64)
    data = LandmarkPair.of(
        FacePair(empty, empty, source, target, "points130"), sampling="grid", num_samples=samples
    )
    batch = data.make_batch(torch.Generator().manual_seed(0), 0)
    rows = torch.cat([with_duration(batch["still"], 0.0), batch["moving"]])

    def ours() -> Tensor:
        warp.zero_grad()
        terms = loss(warp, batch["still"], batch["moving"], source, target)
        terms["total"].backward()
        return torch.stack([terms[name].detach() for name in sorted(terms)])

    def plain() -> Tensor:
        warp.zero_grad()
        terms = plain_neural_morphing_loss(
            lambda xyt: warp.advance(xyt).value, rows, source, target
        )
        terms["total"].backward()
        return torch.stack([terms[name].detach() for name in sorted(terms)])

    difference = float(((ours() - plain()) / plain()).abs().max())
    fast, slow = _fastest(ours, plain)

    def hessian_only() -> None:
        warp.zero_grad()
        jet = warp.advance(rows, order=2)
        if jet.hessian is not None:
            jet.hessian.square().mean().backward()

    def hessian_plain() -> None:
        warp.zero_grad()
        jet = autograd_jet(lambda xyt: warp.advance(xyt).value, rows, 2)
        if jet.hessian is not None:
            jet.hessian.square().mean().backward()

    fast_hessian, slow_hessian = _fastest(hessian_only, hessian_plain, repeats=3)
    return [
        row(
            f"the paper's loss, {samples} samples: plain over jets, per step",
            slow / fast,
            "x",
            ">= 2",
        ),
        row("largest relative difference of a term", difference, "", "<= 1e-5"),
        row("one step by jets", fast * 1000, "ms CPU"),
        row("thin-plate term alone: plain over jets", slow_hessian / fast_hessian, "x"),
    ]


def spline_rows() -> list[Row]:
    """Sampling a spline image by four bilinear look-ups against the sum of sixteen coefficients."""
    image = resize_image(load_image(sample_folder() / PHOTOGRAPHS[0]), (512, 512))
    field = SplineImage(image)
    pixels = field.frame.to_pixels(field.frame.pixel_centres() * 0.97)
    fast, slow = _fastest(
        lambda: sample_spline(field.coefficients[None], pixels[None]),
        lambda: evaluate_spline(field.coefficients, pixels.reshape(-1, 2)),
        repeats=3,
    )
    difference = (
        (
            sample_spline(field.coefficients[None], pixels[None])[0].flatten(1).t()
            - evaluate_spline(field.coefficients, pixels.reshape(-1, 2))
        )
        .abs()
        .max()
    )
    return [
        row("spline image at 512 x 512 points: plain over fast", slow / fast, "x"),
        row("largest difference", float(difference), "of 1", "<= 1e-3"),
        row("spline image at 512 x 512 points", fast * 1000, "ms CPU"),
    ]


def train_for(
    seconds: float,
    parameters: list[nn.Parameter],
    rate: float,
    loss_of_step: Callable[[int], Tensor],
) -> int:
    """Adam with a cosine schedule over so many CPU seconds; returns the number of steps."""
    optimizer = torch.optim.Adam(parameters, lr=rate)
    start, step = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * spent / seconds)))
        optimizer.zero_grad()
        loss_of_step(step).backward()
        optimizer.step()
        step += 1
    return step


def grid_rows(picture: Path, name: str, seconds: float = 5.0) -> list[Row]:
    """The multiresolution grid on a 512-pixel photograph after so many CPU seconds, as
    ifmorph/image_grid trains it.
    """
    torch.manual_seed(0)
    data = PixelSamples(picture)
    data.setup()
    if data.image is None:
        return []
    field, generator = MultiresGrid(), torch.Generator()

    def loss(step: int) -> Tensor:
        batch = data.make_batch(generator.manual_seed(step), step)
        return (field(batch["xy"]).value - batch["colour"]).square().sum(1).mean()

    train_for(seconds, list(field.parameters()), 2e-2, loss)
    psnr = reconstruction_psnr(field, data.image)
    label = f"multiresolution grid, {name}, {seconds:g} CPU-seconds"
    return [
        row(f"{label}: at pixel centres", psnr["psnr"], "dB", ">= 40"),
        row(f"{label}: between pixels, against the spline", psnr["psnr_between"], "dB", ">= 32"),
    ]


def residual_rows(pairs: list[FacePair], seconds: float = 10.0) -> list[Row]:
    """The residual neural warp on FRLL pairs after so many CPU seconds, with the settings of
    ifmorph/pair.
    """
    found = []
    for pair in pairs:
        torch.manual_seed(0)
        warp, loss = ResidualSirenWarp(), NeuralMorphingLoss(thin_plate_weight=100)
        data, generator = LandmarkPair.of(pair), torch.Generator()
        anchors = pair.frame.border_anchors(4).float()
        source, target = (
            torch.cat([points.float(), anchors]) for points in (pair.source, pair.target)
        )

        def step_loss(
            step: int,
            warp: ResidualSirenWarp = warp,
            data: LandmarkPair = data,
            source: Tensor = source,
            target: Tensor = target,
            loss: NeuralMorphingLoss = loss,
            generator: torch.Generator = generator,
        ) -> Tensor:
            batch = data.make_batch(generator.manual_seed(step), step)
            total: Tensor = loss(warp, batch["still"], batch["moving"], source, target)["total"]
            return total

        steps = train_for(seconds, list(warp.parameters()), 2e-3, step_loss)
        with torch.no_grad():
            quality = landmark_errors(warp, pair.source.float(), pair.target.float()) | map_quality(
                warp, pair.frame
            )
            points = torch.rand(1000, 2) * 2 - 1
            identity = float((warp(points, 0.3, 0.3) - points).abs().max())
        found.append(quality | {"steps": float(steps), "identity": identity})
    mean = {key: statistics.fmean(one[key] for one in found) for key in found[0]}
    label = f"residual warp, {len(pairs)} FRLL pairs, {seconds:g} CPU-seconds"
    return [
        row(f"{label}: half-way alignment", mean["alignment_px"], "px", "<= 2"),
        row(f"{label}: fold-over", mean["fold_over_percent"], "%", "== 0"),
        row(f"{label}: identity, largest difference", mean["identity"], "", "== 0"),
        row(f"{label}: inverse error, mean", mean["inverse_error_px"], "px"),
        row(f"{label}: bending energy", mean["bending_energy"], ""),
        row(f"{label}: steps", mean["steps"], ""),
    ]
