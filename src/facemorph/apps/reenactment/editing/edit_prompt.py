"""Edits typed one line after the other, with the picture made anew after each."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from facemorph import console
from facemorph.apps.reenactment.editing.edit_words import FORMS, LARGEST_TURN, VIEWS, parse_edits
from facemorph.errors import ConfigError, FacemorphError

if TYPE_CHECKING:
    from facemorph.apps.reenactment.editing.edits import Edits
    from facemorph.geometry.models.morphable_model import MorphableModel
    from facemorph.geometry.models.parameters import FaceParameters

WIDTH = 100  # characters of a line of names


def prompt(
    edits: Edits,
    draw: Callable[[FaceParameters], Path],
    read: Callable[[], str] | None = None,
) -> None:
    """Read edits line by line and draw the head after each, until ``quit`` or the end of the input.

    A wrong line changes nothing: its error is printed, and the next line is read.

    Args:
        edits: Changed by what is typed.
        draw: Writes the picture of one head; the path is printed.
        read: Gives the next line and raises EOFError after the last; the keyboard when None.
    """
    read = read or _typed
    try:
        console.out.print("help lists what can be typed, quit ends", markup=False)
        _show(edits, draw)
        while True:
            try:
                line = read().strip()
                if line == "quit":
                    return
                if line == "help":
                    console.out.print(help_text(edits.model), markup=False)
                elif parse_edits(line):
                    edits.apply(line)
                    _show(edits, draw)
            except FacemorphError as error:
                console.err.print(str(error), markup=False)
    except (EOFError, KeyboardInterrupt):
        console.out.print()  # what was typed on the last line stays on it


def help_text(model: MorphableModel) -> str:
    """What can be typed, with the numbers, names and ranges of a model."""
    from facemorph.apps.heads.rendered_head import LARGEST_IDENTITY
    from facemorph.apps.reenactment.editing.edit_targets import (
        JOINTS,
        carrier_of,
        expression_limits,
    )
    from facemorph.apps.reenactment.editing.edit_words import AXES

    low, high = expression_limits(model)
    turns = ", ".join(f"{axis} {angle:g}" for axis, angle in LARGEST_TURN.items())
    meanings = {
        "shape": f"identity 0 to {model.num_identity - 1}, within {LARGEST_IDENTITY:g} deviations",
        "exp": f"expression 0 to {model.num_expression - 1} or a name, {low:g} to {high:g};"
        " a name without its side sets both",
        "global_pose": f"the head, from where it is in the photograph; within {turns}",
        "cam": ", ".join(f"{name} {least:g} to {most:g}" for name, (least, most) in VIEWS.items()),
        "reset": "back to the photograph",
        "undo": "takes the last statement back",
    }
    for part, joint in JOINTS.items():
        carried = {axis: carrier_of(part, axis, model) for axis in AXES}
        ranges = [
            "{} {:g} to {:g}".format(axis, *carrier.limits(model))
            for axis, carrier in carried.items()
            if carrier
        ]
        if joint in model.joint_names:
            meanings[part] = f"the joint {joint}"
        else:
            meanings[part] = ", ".join(ranges) or "this model cannot"
    lines = [f"{form:38} {meanings[keyword]}" for keyword, form in FORMS.items()]
    names = textwrap.wrap(", ".join(model.expression_names), WIDTH)
    ends = ["help, quit", "Several statements may stand on a line; # begins a comment."]
    return "\n".join([*lines, *ends, "Expressions:", *names])


def _show(edits: Edits, draw: Callable[[FaceParameters], Path]) -> None:
    path = draw(edits.current)
    said = edits.statements.replace("\n", ", ") or "as in the photograph"
    console.out.print(f"{path}: {said}", markup=False)


def _typed() -> str:
    """A line from the keyboard.

    Raises:
        ConfigError: It is no text.
    """
    try:
        return console.out.input("edit> ")
    except UnicodeDecodeError as error:
        raise ConfigError("this line is no text", where="edit") from error
