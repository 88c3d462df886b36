"""Skin of generated people as a picture that can be painted on, and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facemorph.apps.generation.choices import Checkpoint, TextureFiles
from facemorph.apps.implicit.choices import check_number
from facemorph.errors import ConfigError
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import File, Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable

if TYPE_CHECKING:
    from facemorph.apps.generation.face_files import GeneratedReport
    from facemorph.apps.generation.texture_editing import TextureReport

Region = Literal["face", "lips", "ears", "eyelids", "eye_left", "eye_right", "neck", "scalp"]
Faces = Annotated[str | Path, Option(metavar="FACES")]


@checked
def export_texture(
    faces: Faces,
    output: OutputFolder,
    checkpoint: Checkpoint = "@open:varitex",
    *,
    number: int = 1,
    size: int = 512,
) -> TextureReport:
    """Write the skin of a sampled or inverted person as a picture to paint on.

    Args:
        faces: Folder of an earlier sample or inversion.
        output: Folder that gets texture.png, regions.png (which texels are lips, eyes, ears and so
            on, by colour; the report has the colours), head.glb (the head with this skin, for any
            viewer) and report.json.
        number: Which of the faces, from 1.
        size: Side of the picture in pixels.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: The folder, the checkpoint or an option is at fault.
    """
    check_number("number", number, 1, 10**6)
    check_number("size", size, 64, 4096)
    folder = Path(output)
    check_writable(folder / TextureFiles.REPORT)
    from facemorph.apps.generation.texture_editing import write_texture
    from facemorph.ops.threads import one_thread

    with one_thread():
        return write_texture(Path(faces), folder, str(checkpoint), number, size)


@checked
def apply_texture(
    faces: Faces,
    edited: Annotated[str | Path, Option(metavar="EDITED")],
    output: OutputFolder,
    checkpoint: Checkpoint = "@open:varitex",
    *,
    number: int = 1,
    regions: Annotated[Sequence[Region] | None, Option(kind=list[str])] = None,
    mask: File = None,
    strength: float = 1.0,
) -> GeneratedReport:
    """Put a painted texture back on a person, or regions of another person's skin.

    What differs from the texture that ``texture export`` writes is painted on; what does not stays
    as it is, to the bit. ``facemorph sample --from DIR`` then turns and lights the person.

    Args:
        faces: Folder of an earlier sample or inversion.
        edited: The painted texture.png, of any size; or the folder of other faces, whose first
            gives the regions.
        output: Folder that gets the person as ``facemorph sample`` writes people.
        number: Which of the faces, from 1.
        regions: Only these change: face, lips, ears, eyelids, eye_left, eye_right, neck, scalp.
        mask: Picture over the texture; only where it is white something changes.
        strength: How much of the change, 0 to 1 and, to exaggerate, up to 2.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: A folder, the picture, the checkpoint or an option is at fault.
    """
    check_number("number", number, 1, 10**6)
    check_number("strength", strength, 0, 2)
    if os.path.isdir(edited):
        if regions is None and mask is None:
            raise ConfigError(
                "another person's whole skin is another person",
                where="regions",
                expected="--regions or --mask",
                remedy="Say what to take: --regions lips --regions eyelids.",
            )
    else:
        check_files_exist([edited])
    check_files_exist([mask])
    folder = Path(output)
    check_writable(folder / TextureFiles.REPORT)
    from facemorph.apps.generation.texture_editing import write_edited
    from facemorph.ops.threads import one_thread

    chosen = None if regions is None else tuple(regions)
    with one_thread():
        return write_edited(
            Path(faces),
            Path(edited),
            folder,
            str(checkpoint),
            number,
            chosen,
            None if mask is None else Path(mask),
            strength,
        )
