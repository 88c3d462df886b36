"""``facemorph bench dense``: morphs of FRLL pairs with and without dense refinement outside the
face.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from facemorph.bench.photographs.frll import find_frll, frll_pairs
from facemorph.bench.table import Row, missing, row
from facemorph.faces.masks import held_face
from facemorph.faces.pair import FacePair
from facemorph.fields.warps.dense_refinement import RefinedWarp, refine_warp
from facemorph.fields.warps.thin_plate_flow import PIXEL, ThinPlateFlow
from facemorph.metrics.picture_agreement import picture_agreement
from facemorph.metrics.warp_quality import map_quality
from facemorph.ops.frames import Frame
from facemorph.ops.threads import one_thread
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.system import NeuralWarp


def run(folder: Path | None = None, pairs: int = 20) -> list[Row]:
    """All rows of the suite.

    Args:
        folder: FRLL; found by itself when None.
        pairs: Number of FRLL pairs.
    """
    frll = find_frll(folder)
    if frll is None:
        return [missing("dense refinement on FRLL pairs", "FRLL is not here: give --frll DIR")]
    return dense_rows(frll_pairs(frll, pairs))


def dense_rows(pairs: list[FacePair]) -> list[Row]:
    """Figures without and with refinement: means over the pairs, or the worst of them."""
    found = [measure_refinement(pair) for pair in pairs]
    columns = {key: [one[key] for one in found] for key in found[0]}
    mean = {key: statistics.fmean(values) for key, values in columns.items()}
    rows = []
    for state in ("thin_plate_flow", "refined"):
        label = f"{state}, {len(pairs)} pairs"
        bars = (
            {}
            if state == "thin_plate_flow"
            else {
                "gradient_correlation": f"> {mean['thin_plate_flow gradient_correlation']:.4f}",
                "ssim": f"> {mean['thin_plate_flow ssim']:.4f}",
                "inside": f"< {mean['thin_plate_flow inside'] + 0.05:.4f}",
            }
        )
        rows += [
            row(
                f"{label}: gradient correlation outside the face",
                mean[f"{state} gradient_correlation"],
                "",
                bars.get("gradient_correlation"),
            ),
            row(f"{label}: SSIM outside the face", mean[f"{state} ssim"], "", bars.get("ssim")),
            row(
                f"{label}: held-out landmarks in the face",
                mean[f"{state} inside"],
                "px",
                bars.get("inside"),
            ),
            row(f"{label}: held-out landmarks outside", mean[f"{state} outside"], "px"),
            row(
                f"{label}: smallest determinant",
                min(columns[f"{state} min_determinant"]),
                "",
                "> 0",
            ),
            row(f"{label}: inverse error, mean", mean[f"{state} inverse_error_px"], "px"),
            row(
                f"{label}: inverse error, largest",
                max(columns[f"{state} inverse_error_max_px"]),
                "px",
            ),
        ]
    label = f"refined, {len(pairs)} pairs"
    better = sum(
        a > b
        for a, b in zip(
            columns["refined gradient_correlation"],
            columns["thin_plate_flow gradient_correlation"],
            strict=True,
        )
    )
    return [
        *rows,
        row(f"{label}: pairs with higher gradient correlation", better, f"of {len(pairs)}"),
        row(
            f"{label}: landmarks in the face move by at most", max(columns["moved"]), "px", "< 0.05"
        ),
        row(
            f"{label}: exp(u) o exp(-u), largest error", max(columns["round_trip"]), "px", "< 0.05"
        ),
        row(
            f"{label}: refinement of one pair, one thread, CPU, median",
            statistics.median(columns["seconds"]),
            "s",
            "< 0.4",
        ),
    ]


def measure_refinement(pair: FacePair) -> dict[str, float]:
    """Figures of one pair; keys begin with ``thin_plate_flow`` or ``refined`` where both are
    measured.
    """
    even = FacePair(pair.image_a, pair.image_b, pair.points_a[::2], pair.points_b[::2], pair.scheme)
    with one_thread(), torch.no_grad():
        system, blind = (_solved(one) for one in (pair, even))
        start = time.process_time()
        refined = system.warp_to_render(refine=True)
        result = {"seconds": time.process_time() - start}
        frame, source, target = pair.frame, pair.source, pair.target
        half_way = system.warp(source, 0.0, 0.5)
        face = held_face(frame.to_pixels(half_way), frame)
        # With the same face held: every other landmark does not tell where it ends.
        blind_warps = {False: blind.warp, True: refine_warp(blind.warp, *blind.warped(0.5), face)}
        inside = _inside(half_way[1::2], face)
        for state in (False, True):
            name = "refined" if state else "thin_plate_flow"
            agreement = picture_agreement(*system.warped(0.5, refine=state), 1 - face)
            warp = blind_warps[state]
            gap = (warp(source[1::2], 0.0, 0.5) - warp(target[1::2], 1.0, 0.5)).norm(dim=1) / PIXEL
            quality = map_quality(system.warp_to_render(state), frame)
            held_out = {"inside": float(gap[inside].mean()), "outside": float(gap[~inside].mean())}
            measured = held_out | agreement | quality
            result |= {f"{name} {key}": value for key, value in measured.items()}
        marks = half_way[_inside(half_way, face)]
        moved = [
            (refined(marks, 0.5, end) - system.warp(marks, 0.5, end)).norm(dim=1).max()
            for end in (0.0, 1.0)
        ]
        result["moved"] = float(torch.stack(moved).max()) / PIXEL
        result["round_trip"] = _round_trip(refined)
    return result


def _solved(pair: FacePair) -> NeuralWarp:
    system = NeuralWarp(ThinPlateFlow())
    system.solve(LandmarkPair.of(pair))
    return system


def _inside(points: Tensor, face: Tensor) -> Tensor:
    """Which points ``(P, 2)`` lie where nothing moves."""
    frame = Frame.of(face)
    column, line = frame.to_pixels(points).long().unbind(-1)
    held: Tensor = face[0, line.clamp(0, frame.height - 1), column.clamp(0, frame.width - 1)] == 1
    return held


def _round_trip(refined: RefinedWarp) -> float:
    """Largest |exp(u)(exp(-u)(x)) - x| in px."""
    centres = refined.grid.pixel_centres()
    back = refined.refined(refined.refined(centres, -1.0), 1.0)
    return float((back - centres).norm(dim=-1).max()) / PIXEL
