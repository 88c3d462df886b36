"""``facemorph bench morph``: the command as a user runs it, the closed-form warp, landmarks and
identity.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder
from facemorph.bench.photographs.faces import identity_auc_on_frll, landmark_error_on_frll
from facemorph.bench.photographs.frll import find_frll, frll_pairs
from facemorph.bench.table import Row, missing, row
from facemorph.bench.warps import FIGURES, closed_forms, measure_warp
from facemorph.faces.files.image_io import load_image
from facemorph.faces.pair import FacePair
from facemorph.fields.image_fields import SplineImage

FLOW_BARS = {
    "landmark_error_px": "< 0.01",
    "fold_over_percent": "== 0",
    "inverse_error_px": "< 0.02",
    "seconds": "< 0.08",
}


def run(folder: Path | None = None, pairs: int = 20) -> list[Row]:
    """All rows of the suite.

    Args:
        folder: FRLL; found by itself when None.
        pairs: Number of FRLL pairs for the warps.
    """
    frll = find_frll(folder)
    rows = [*start_up_rows(), *import_rows(), *command_rows(), identity_row()]
    if frll is None:
        reason = "FRLL is not here: give --frll DIR"
        return [
            *rows,
            missing("closed-form warp on FRLL pairs", reason),
            missing("embedded landmarks on FRLL", reason),
        ]
    return [*rows, *flow_rows(frll_pairs(frll, pairs)), *face_rows(frll)]


def command_rows() -> list[Row]:
    """``make demo`` without its installation, and ``facemorph morph`` from a cold start."""
    a, b = (sample_folder() / name for name in PHOTOGRAPHS)
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "m.mp4"
        seconds = _run(["facemorph.cli", "morph", str(a), str(b), "-o", str(output)])
        metrics: dict[str, Any] = json.loads((Path(scratch) / "m.metrics.json").read_text())
        demo = _run(["facemorph.commands.tools.demo", "-o", str(Path(scratch) / "demo")])
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return [
        row("facemorph morph, 512 px, 24 frames, cold start", seconds, "s", "< 15"),
        row("one further frame", metrics["seconds"]["render"] / 24, "s", "< 0.15"),
        row("demo after installation", demo, "s", "< 300"),
        row("demo, largest memory of a process", memory, "GiB", "< 4"),
    ]


def start_up_rows() -> list[Row]:
    """Whole commands that do little, so that what they load is most of their time: the least of
    three, one thread, files of the packages in memory.
    """
    a, b = (str(sample_folder() / name) for name in PHOTOGRAPHS)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        commands = {
            "facemorph --help": (["--help"], "<= 0.24"),
            "facemorph morph, a mistyped path": (
                ["morph", a, "nowhere.jpg", "-o", str(out / "x.png")],
                "<= 0.6",
            ),
            "facemorph landmarks, one picture": (["landmarks", a, "-o", "OUT"], "<= 2.6"),
            "facemorph fit, one picture": (["fit", a, "-o", "OUT"], "<= 4"),
            "facemorph morph, one still without report": (
                ["morph", a, b, "--time", "0.5", "--no-report", "-o", str(out / "half.png")],
                "<= 3.6",
            ),
            "facemorph sample, one face of @open:gif": (
                ["sample", "--checkpoint", "@open:gif", "--count", "1", "-o", "OUT"],
                None,
            ),
        }
        rows = []
        for name, (words, bar) in commands.items():
            seconds = []
            for turn in range(3):
                fresh = [str(out / f"{words[0]}{turn}") if w == "OUT" else w for w in words]
                seconds.append(_run(["facemorph.cli", *fresh], check="nowhere.jpg" not in words))
            rows.append(row(name, min(seconds), "s", bar))
    return rows


def import_rows() -> list[Row]:
    """A process that imports Lightning as facemorph does, against one that does so plainly."""
    seconds: dict[str, list[float]] = {"facemorph, lightning.pytorch": [], "lightning.pytorch": []}
    for _ in range(3):
        for names, spent in seconds.items():
            spent.append(_processor_time(["-c", f"import {names}"]))
    lean, plain = (min(spent) for spent in seconds.values())
    return [
        row("a process that imports Lightning", lean, "s CPU"),
        row("the same, plainly, against it", plain / lean, "x", "> 1"),
    ]


def _processor_time(words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True)  # noqa: S603
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(words: list[str], *, check: bool = True) -> float:
    start = time.perf_counter()
    subprocess.run(  # noqa: S603
        [sys.executable, "-m", *words],
        check=check,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": "200"},
    )
    return time.perf_counter() - start


def identity_row() -> Row:
    """The identity map of a picture against the picture."""
    image = load_image(sample_folder() / PHOTOGRAPHS[0])
    field = SplineImage(image)
    difference = (field.sample(field.frame.pixel_centres()) - image).abs().max()
    return row("identity warp of an image, largest difference", float(difference), "of 1", "== 0")


def flow_rows(pairs: list[FacePair]) -> list[Row]:
    """The default warp on FRLL pairs with template points against its bars; all warps: ``facemorph
    bench warps``.
    """
    found = [measure_warp(closed_forms()["thin_plate_flow"], pair) for pair in pairs]
    rows = []
    for key, bar in FLOW_BARS.items():
        what, unit, summary = FIGURES[key]
        rows.append(
            row(
                f"thin_plate_flow, {len(pairs)} FRLL pairs: {what}",
                summary([one[key] for one in found]),
                unit,
                bar,
            )
        )
    return rows


def face_rows(frll: Path) -> list[Row]:
    """Embedded landmarks against the templates, and identity of neutral against smiling faces."""
    landmarks, identity = landmark_error_on_frll(frll), identity_auc_on_frll(frll)
    lost = landmarks["total"] - landmarks["faces_found"]
    return [
        row(
            "embedded landmarks on FRLL, of the inter-pupil distance",
            landmarks["raw_percent"],
            "%",
            "<= 5.4",
        ),
        row(
            "the same, convention offset removed, held out",
            landmarks["bias_removed_percent"],
            "%",
            "<= 3.2",
        ),
        row("faces not found", lost, f"of {landmarks['total']:.0f}", "== 0"),
        row("identity ROC-AUC, neutral against smiling", identity["auc"], "", ">= 0.999"),
    ]
