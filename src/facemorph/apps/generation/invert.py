"""Style and parameters of a real photograph for a trained generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.generation.choices import Checkpoint
from facemorph.errors import ConfigError
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import Detected, File, Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable

if TYPE_CHECKING:
    from facemorph.apps.generation.inversion import InversionReport

COMPARISON, REPORT = "comparison.png", "report.json"


@checked
def invert(
    photograph: Annotated[str | Path, Option(metavar="PHOTOGRAPH")],
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    steps: int = 100,
    points: File = None,
    detector: Detected = "embedded",
) -> InversionReport:
    """Find the code, the style and the parameters that give a photograph back.

    The 3-D fit tells shape, pose, expression and light; the code follows from the photograph in
    closed form; what is left is found by optimising the style of every layer, near where it begins.
    ``facemorph sample --from DIR`` then turns, animates and lights the person anew.

    Args:
        photograph: The photograph.
        output: Folder that gets codes.npz, parameters.npz, comparison.png (photograph, render, by
            the code alone, in the end) and report.json.
        steps: Of the optimisation; 0 takes the code in closed form alone.
        points: Landmark file of the photograph.

    Returns:
        The content of ``report.json``, with the agreement of the face in dB and the distance of
        identity descriptors.

    Raises:
        FacemorphError: The photograph, an option or the checkpoint is at fault.
    """
    if not 0 <= steps <= 10_000:
        raise ConfigError("unusable number", where="steps", expected="0 to 10000", found=steps)
    check_files_exist([photograph, points])
    folder = Path(output)
    check_writable(folder / REPORT)
    from facemorph.apps.fitting.located_face import locate
    from facemorph.apps.generation.generated_faces import FaceGenerator
    from facemorph.apps.generation.inversion import invert_face, write_inversion
    from facemorph.ops.threads import one_thread

    with one_thread():
        generator = FaceGenerator.load(checkpoint)
        face = locate(photograph, points, detector)
        inversion = invert_face(generator, face, steps)
        settings = {"checkpoint": str(checkpoint), "steps": steps, "photograph": str(photograph)}
        return write_inversion(generator, inversion, folder, settings)
