"""Edits that are typed while the picture is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemorph.apps.reenactment.editing.edit_prompt import prompt
from facemorph.errors import ConfigError, OutputError
from facemorph.jobs.outputs import check_output
from facemorph.storage.suffixes import STILLS

if TYPE_CHECKING:
    from facemorph.geometry.models.parameters import FaceParameters


def type_edits(
    source: Path,
    output: Path,
    *,
    checkpoint: str,
    size: int | None,
    paste_back: bool,
    points: Path | None,
    detector: str,
    min_score: float | None,
    edit: str | None = None,
    **others: Any,
) -> str:
    """Read edits of a photograph line by line; its picture is written anew after each.

    Args:
        source: The photograph.
        output: The picture.
        checkpoint: As of ``reenact``, and so are the rest.
        size: Likewise.
        paste_back: Likewise.
        points: Likewise.
        detector: Likewise.
        min_score: Likewise.
        edit: Edits to begin with.
        others: Further options of ``reenact``, which are not used while edits are typed.

    Returns:
        The edits that are in effect at the end, as text.

    Raises:
        OutputError: The output is no picture.
        FacemorphError: As of ``reenact``.
    """
    if output.suffix.lower() not in STILLS:
        raise OutputError(
            "edits are typed for a picture",
            where=output,
            expected=" ".join(STILLS),
            remedy="Choose a path with such an ending.",
        )
    if others.get("preset") or others.get("edit_file"):
        raise ConfigError(
            "edits are typed or given, not both",
            where="interactive",
            found="--preset" if others.get("preset") else "--edit-file",
        )
    check_output(output, [source])
    from facemorph.apps.reenactment.editing.edits import Edits
    from facemorph.apps.reenactment.moving_pictures import load_people
    from facemorph.faces.detection import make_detector
    from facemorph.faces.files.image_output import save_image
    from facemorph.ops.threads import one_thread

    with one_thread():
        find = make_detector(detector, min_score=min_score)
        person = load_people([source], checkpoint, size, points, find, detector)[0]
        edits = Edits(person.model, person.parameters, person.frame.width)
        if edit:
            edits.apply(edit)

        def draw(parameters: FaceParameters) -> Path:
            square = person(parameters)
            picture = person.paste(square) if paste_back else square
            return save_image(picture, output, synthetic=True)

        prompt(edits, draw)
    return edits.statements
