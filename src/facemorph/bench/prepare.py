"""``facemorph bench prepare``: how fast training sets are made."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from facemorph.apps.sets.choices import MAPS
from facemorph.apps.sets.prepare import prepare_dataset
from facemorph.apps.sets.scan_making import ScansOptions, SyntheticScans, scan_name
from facemorph.apps.sets.synthetic_faces import SyntheticFaces, SynthOptions, picture_name
from facemorph.bench.photographs.frll import find_frll
from facemorph.bench.table import Row, missing, row
from facemorph.geometry.synthetic.procedural_skin import skin_texture
from facemorph.ops.threads import one_thread

PICTURES, ROUNDS, SKINS = 24, 8, 8
BARS = {1: ">= 110", 2: ">= 35"}


def run(folder: Path | None = None) -> list[Row]:
    """All rows of the suite.

    Args:
        folder: FRLL; found by itself when None.
    """
    with one_thread(), torch.no_grad():
        rows = [*synth_rows(), *scan_rows()]
    return [*rows, *photograph_rows(find_frll(folder))]


def photograph_rows(frll: Path | None) -> list[Row]:
    """``data prepare`` of FRLL's 204 pictures in one process: wall time, and what became
    of them.
    """
    label = "data prepare of the 204 FRLL pictures, gdpw, 256 px, one process"
    if frll is None or not (frll / "smiling").is_dir():
        return [missing(label, "FRLL with its smiling pictures is not here: give --frll DIR")]
    with tempfile.TemporaryDirectory() as temporary:
        images = Path(temporary) / "photographs"
        images.mkdir()
        for file in (*(frll / "neutral").glob("*.jpg"), *(frll / "smiling").glob("*.jpg")):
            (images / file.name).symlink_to(file.resolve())
        start = time.perf_counter()
        report = prepare_dataset(images, Path(temporary) / "set", kind="gdpw")
        seconds = time.perf_counter() - start
    counts = report["counts"]
    return [
        row(f"{label}: all", seconds, "s", "<= 240"),
        row(f"{label}: used", float(counts["done"]), "pictures"),
        row(
            f"{label}: without a row or reason",
            float(len(report["rows"]) - sum(counts.values())),
            "pictures",
            "== 0",
        ),
    ]


def synth_rows(size: int = 256) -> list[Row]:
    """Pictures a second of ``data synth`` on one core, written as JPEG, once the skins are made."""
    rows = []
    for supersample, bar in BARS.items():
        name = (
            f"data synth {size} px JPEG q95, {'plain' if supersample == 1 else '2x supersampled'}"
        )
        for labels, suffix in (((), ""), (MAPS, ", with uv, normals, depth and mask")):
            options = SynthOptions(size=size, supersample=supersample, labels=labels, skins=SKINS)
            rate = pictures_a_second(SyntheticFaces(options))
            rows.append(
                row(f"{name}{suffix}", rate, "pictures / s CPU", bar if not labels else None)
            )
    faces = SyntheticFaces(SynthOptions(skins=SKINS))
    skin_texture(faces.model, faces.skin(0), 512)
    start = time.process_time()
    for number in range(SKINS):
        skin_texture(faces.model, faces.skin(number), 512)
    return [
        *rows,
        row("a procedural skin, 512 map", (time.process_time() - start) / SKINS * 1000, "ms CPU"),
    ]


def pictures_a_second(faces: SyntheticFaces) -> float:
    """The best of some rounds, files and all."""
    best = float("inf")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind in ("images", *faces.options.labels):
            (folder / kind / picture_name(0).partition("/")[0]).mkdir(parents=True)
        for number in range(-1, ROUNDS):
            start = time.process_time()
            for index in range(PICTURES):
                faces.write(max(number, 0) * PICTURES + index, folder)
            if number >= 0:  # the first makes the skins
                best = min(best, time.process_time() - start)
    return PICTURES / best


def scan_rows() -> list[Row]:
    """Scans a second of ``data scans`` on one core."""
    scans = SyntheticScans(ScansOptions(noise=True, holes=True))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / Path(scan_name(0, 0)).parent).mkdir()
        scans.write(0, 0, folder)
        start = time.process_time()
        for expression in range(8):
            scans.write(0, expression, folder)
    rate = 8 / (time.process_time() - start)
    return [row("data scans, embedded head, PLY, landmarks and arrays", rate, "scans / s CPU")]
