"""``facemorph interpolate``: a morph between two faces of a trained model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from facemorph import console
from facemorph.apps.generation.interpolate import interpolate as between_pictures
from facemorph.apps.implicit.interpolate import interpolate as between_codes
from facemorph.commands.from_signature import arguments_for, options_of_each
from facemorph.commands.kinds import kind_of

FUNCTIONS: dict[str, Callable[..., Any]] = {"ImFace": between_codes, "GIF": between_pictures}


@options_of_each(FUNCTIONS)
def interpolate(frames: int, checkpoint: str, **options: Any) -> None:
    """Morph a fitted face into another one: in three dimensions, or by a generator."""
    kind = kind_of(checkpoint, FUNCTIONS, "this checkpoint has no faces to go between")
    wanted = arguments_for(FUNCTIONS, kind, options)
    report = FUNCTIONS[kind](frames=frames, checkpoint=checkpoint, **wanted)
    console.out.print(f"{frames} frames, {report['seconds_per_frame']:.2f} s for each")
    console.say_files(report["files"])
