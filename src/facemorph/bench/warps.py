"""``facemorph bench warps``: all warps on the same FRLL pairs, closed forms and trained ones, in
one table.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facemorph.apps.morphing.warp_fitting import EXPERIMENTS, warp_config
from facemorph.bench.fields import train_for
from facemorph.bench.photographs.frll import find_frll, frll_pairs
from facemorph.bench.table import Row, missing, row
from facemorph.config.build import build
from facemorph.faces.masks import face_mask
from facemorph.faces.pair import FacePair
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.warps.blended_pairs import warp_pair
from facemorph.fields.warps.classic_warps import PiecewiseAffine, ThinPlateSpline
from facemorph.fields.warps.maps import dense_map
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.fields.warps.warp import ClosedFormWarp
from facemorph.metrics.picture_agreement import picture_agreement
from facemorph.metrics.warp_quality import alignment_error, landmark_errors, map_quality
from facemorph.ops.threads import one_thread
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.system import NeuralWarp

Fit = Callable[[FacePair], Any]  # to a warp that is a module
CLOSED_PAIRS = 20
BUDGET = 8.0  # CPU-seconds for each fit of a trained warp
HULL_EROSION = 0.05  # of the face size: what is compared lies well inside the face

FIGURES: dict[str, tuple[str, str, Callable[[list[float]], float]]] = {
    "landmark_error_px": ("landmark error", "px", statistics.fmean),
    "alignment_px": ("half-way alignment", "px", statistics.fmean),
    "heldout_px": ("held-out alignment", "px", statistics.fmean),
    "inverse_error_px": ("inverse error, mean", "px", statistics.fmean),
    "inverse_error_max_px": ("inverse error, largest", "px", max),
    "fold_over_percent": ("fold-over", "%", statistics.fmean),
    "min_determinant": ("smallest determinant", "", min),
    "bending_energy": ("bending energy", "", statistics.fmean),
    "ssim": ("SSIM in the face", "", statistics.fmean),
    "gradient_correlation": ("gradient correlation in the face", "", statistics.fmean),
    "seconds": ("fit and both half-way maps, one thread, median", "s", statistics.median),
}


class NoWarp(ClosedFormWarp):
    """Every point stays where it is: what all others are compared with."""

    def forward(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) as they are."""
        return xy


def run(folder: Path | None = None, pairs: int = 3, seconds: float = BUDGET) -> list[Row]:
    """All rows of the suite, ``METHOD, N pairs: FIGURE``.

    Args:
        folder: FRLL; found by itself when None.
        pairs: Pairs on which *all* warps are compared; the closed forms are measured on twenty,
            these among them, too.
        seconds: CPU-seconds of one thread for each fit of a trained warp, of which there are two
            for each pair: the second, on every other landmark, gives the held-out error.
    """
    frll = find_frll(folder)
    if frll is None:
        return [missing("warps on FRLL pairs", "FRLL is not here: give --frll DIR")]
    found = frll_pairs(frll, max(CLOSED_PAIRS, pairs))
    rows = [one for name, fit in closed_forms().items() for one in warp_rows(name, fit, found)]
    methods = closed_forms() | {
        f"{name}, {seconds:g} s": partial(train_warp, name, seconds=seconds) for name in EXPERIMENTS
    }
    return rows + [
        one for name, fit in methods.items() for one in warp_rows(name, fit, found[:pairs])
    ]


def closed_forms() -> dict[str, Fit]:
    """A function that fits each closed form."""
    makers: Mapping[str, Callable[[], ClosedFormWarp]] = {
        "none": NoWarp,
        "thin_plate_flow": ThinPlateFlow,
        "thin_plate_flow, smoothing 1e-3": partial(ThinPlateFlow, smoothing=1e-3),
        "tps": ThinPlateSpline,
        "piecewise_affine": PiecewiseAffine,
    }
    return {name: partial(fit_closed_form, make) for name, make in makers.items()}


def fit_closed_form(make: Callable[[], ClosedFormWarp], pair: FacePair) -> ClosedFormWarp:
    """The closed form of a pair."""
    return make().fit(pair.source, pair.target, pair.frame)


def train_warp(name: str, pair: FacePair, seconds: float = BUDGET) -> nn.Module:
    """A trained warp after so many CPU-seconds, with the settings of its experiment but the step
    size on a cosine.
    """
    config = warp_config(name)
    torch.manual_seed(config["seed"])
    system: NeuralWarp = build(config["system"])
    options = {
        key: value for key, value in config["data"].items() if key not in ("_target_", "a", "b")
    }
    data, generator = LandmarkPair.of(pair, **options), torch.Generator()
    system.take_pair(data)

    def loss(step: int) -> Tensor:
        batch = data.make_batch(generator.manual_seed(step), step)
        total: Tensor = system.loss(
            system.warp, batch["still"], batch["moving"], *system.points_to_meet()
        )["total"]
        return total

    with torch.enable_grad():
        train_for(seconds, list(system.warp.parameters()), system.learning_rate, loss)
    warp: nn.Module = system.warp.eval()
    return warp


def warp_rows(name: str, fit: Fit, pairs: list[FacePair]) -> list[Row]:
    """Every figure of one warp over the pairs."""
    found = [measure_warp(fit, pair) for pair in pairs]
    label = f"{name}, {len(pairs)} pairs"
    return [
        row(f"{label}: {what}", summary([one[key] for one in found]), unit)
        for key, (what, unit, summary) in FIGURES.items()
    ]


def measure_warp(fit: Fit, pair: FacePair) -> dict[str, float]:
    """All figures of a warp on one pair: ``FIGURES``, and what ``landmark_errors`` gives beside
    them.
    """
    even = FacePair(pair.image_a, pair.image_b, pair.points_a[::2], pair.points_b[::2], pair.scheme)
    with one_thread(), torch.no_grad():
        start = time.perf_counter()
        warp = fit(pair)
        for end in (0.0, 1.0):
            dense_map(warp, pair.frame, 0.5, end)
        seconds = time.perf_counter() - start
        kind = next((one.dtype for one in warp.parameters()), torch.float64)
        source, target = pair.source.to(kind), pair.target.to(kind)
        quality = landmark_errors(warp, source, target) | map_quality(warp, pair.frame)
        held_out = alignment_error(fit(even), source[1::2], target[1::2])
        pictures = warp_pair(
            warp, SplineImage(pair.image_a), SplineImage(pair.image_b), pair.frame, 0.5
        )
        half_way = pair.frame.to_pixels(warp(source, 0.0, 0.5).double())
        face = face_mask(half_way, pair.scheme, pair.frame, erosion=HULL_EROSION, feather=0.0)
    return (
        quality | picture_agreement(*pictures, face) | {"seconds": seconds, "heldout_px": held_out}
    )
