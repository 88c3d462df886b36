"""Figures made and written, with a report of how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from facemorph import console
from facemorph.apps.generation.figures.choices import FigureOptions
from facemorph.apps.generation.figures.deviation import (
    Distances,
    distances_by_deviation,
    write_distances,
)
from facemorph.apps.generation.figures.figure_sheets import grid, mixing, roles, teaser
from facemorph.apps.generation.figures.figure_videos import interpolation, speech
from facemorph.apps.generation.generated_faces import FaceGenerator
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.video_io import write_frames
from facemorph.jobs.outputs import beside
from facemorph.jobs.records import Header, header, write_json
from facemorph.metrics.feature_networks import Pooled
from facemorph.ops.seeds import evenly

SHEETS: dict[str, Callable[[FaceGenerator, FigureOptions], Tensor]] = {
    "roles": roles,
    "teaser": teaser,
    "grid": grid,
    "mixing": mixing,
}
SHOWN, CELL = 8, 200  # frames on the sheet of a video


class FigureReport(Header):
    """The content of ``OUT.json``.

    Attributes:
        kind: Of the figure.
        files: Paths, the output first.
        frames: Of a video; 0 for pictures.
        distances: Of the figure ``deviation``; None for others.
    """

    kind: str
    files: list[str]
    frames: int
    distances: Distances | None


def make_figure(
    kind: str,
    path: Path,
    checkpoint: str,
    options: FigureOptions,
    driving: str | Path | None,
    faces: str | Path | None,
    features: Pooled,
) -> FigureReport:
    """Make a figure and write it; see ``figure``."""
    generator = FaceGenerator.load(checkpoint)
    files, frames, distances = [path], 0, None
    if kind in SHEETS:
        save_image(SHEETS[kind](generator, options), path, synthetic=True)
    elif faces is not None:
        distances = distances_by_deviation(generator, Path(faces), options, features)
        files += write_distances(distances, path)
    else:
        if driving is None:
            moving, frames = interpolation(generator, options)
        else:
            moving, frames = speech(generator, options, Path(driving))
        files = write_video(moving, frames, path, options.frames_per_second)
    settings = {
        "checkpoint": checkpoint,
        **{
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(options).items()
        },
        "driving": None if driving is None else str(driving),
        "faces": None if faces is None else str(faces),
        "features": features,
    }
    report: FigureReport = {
        **header(settings),
        "kind": kind,
        "files": [str(one) for one in files],
        "frames": frames,
        "distances": distances,
    }
    write_json(beside(path, "json"), report)
    return report


def write_video(
    frames: Iterator[Tensor], count: int, path: Path, frames_per_second: float
) -> list[Path]:
    """Write a video, and a sheet of some of its frames beside it.

    Args:
        frames: Of equal size.
        count: How many they are.
        path: Video, GIF or folder.
        frames_per_second: Speed.

    Returns:
        The video (or its folder) and the sheet.

    Raises:
        OutputError: One cannot be written.
    """
    chosen = set(evenly(count, SHOWN))
    shown: list[tuple[str, Tensor]] = []

    def kept() -> Iterator[Tensor]:
        for number, frame in enumerate(frames):
            if number in chosen:
                shown.append((f"frame {number}", frame))
            yield frame

    write_frames(console.track(kept(), "frames", total=count), path, frames_per_second)
    sheet = beside(path, "sheet.png")
    half = (len(shown) + 1) // 2
    save_image(contact_sheet([shown[:half], shown[half:]], CELL), sheet, synthetic=True)
    return [path, sheet]
