"""``facemorph interpolate``: a morph between two faces of a trained ImFace."""

from __future__ import annotations

from typing import Any

from facemorph import console
from facemorph.apps.implicit.interpolate import interpolate as make_video
from facemorph.commands.from_signature import options_of


@options_of(make_video)
def interpolate(frames: int, **options: Any) -> None:
    """Morph a fitted face into another one, in three dimensions."""
    report = make_video(frames=frames, **options)
    console.out.print(f"{frames} frames, {report['seconds_per_frame']:.2f} s for each")
    console.say_files(report["files"])
