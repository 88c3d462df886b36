"""Style and parameters of a real photograph for a trained generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.generation.choices import Around, Checkpoint
from facemorph.errors import ConfigError
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import Detected, File, Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable

if TYPE_CHECKING:
    from facemorph.apps.generation.inversion import InversionReport

COMPARISON, REPORT = "comparison.png", "report.json"


@checked
def invert(
    photographs: Annotated[Sequence[str | Path], Option(metavar="PHOTOGRAPHS")],
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    steps: int = 50,
    refine: bool = True,
    surroundings: Around = "photograph",
    points: File = None,
    detector: Detected = "embedded",
) -> InversionReport:
    """Find the code, the style or texture and the parameters that give a photograph back.

    The 3-D fit tells shape, pose, expression and light; the code follows from the photograph in
    closed form or from the encoder; what is left is found by optimising the style of every layer
    and the skin of the render (GIF), or the code and the texels of the texture (VariTex), near
    where they begin.
    ``facemorph sample --from DIR`` then turns, animates and lights the person anew.

    Args:
        photographs: The photograph, and more of the same person, which say what its skin looks like
            where the first does not show it.
        output: Folder that gets codes.npz, parameters.npz, comparison.png (photograph, render, by
            the code alone, in the end) and report.json.
        steps: Of the optimisation; 0 takes the code in closed form alone.
        refine: Find styles or texels too; with --no-refine only the code moves.
        surroundings: What is around the face (hair, ears, neck, the scene), here and in pictures
            made of the person later: the photograph's, which bends with the head, or the
            generator's.
        points: Landmark file of the photograph, where there is one.

    Returns:
        The content of ``report.json``, with the agreement of the face in dB and the distance of
        identity descriptors.

    Raises:
        FacemorphError: The photograph, an option or the checkpoint is at fault.
    """
    if not 0 <= steps <= 10_000:
        raise ConfigError("unusable number", where="steps", expected="0 to 10000", found=steps)
    if not photographs:
        raise ConfigError("a photograph is missing", where="PHOTOGRAPHS", expected="one or more")
    if points is not None and len(photographs) > 1:
        raise ConfigError(
            "one landmark file is for one photograph",
            where="points",
            expected="a single photograph",
            found=len(photographs),
            remedy="Leave --points out: landmarks are found.",
        )
    check_files_exist([*photographs, points])
    folder = Path(output)
    check_writable(folder / REPORT)
    from facemorph.apps.fitting.located_face import locate
    from facemorph.apps.generation.generated_faces import FaceGenerator
    from facemorph.apps.generation.inversion import invert_faces, write_inversion
    from facemorph.ops.threads import one_thread

    with one_thread():
        generator = FaceGenerator.load(checkpoint)
        faces = [locate(photograph, points, detector) for photograph in photographs]
        inversion = invert_faces(generator, faces, steps, refine, surroundings)
        settings = {
            "checkpoint": str(checkpoint),
            "steps": steps,
            "refine": refine,
            "surroundings": surroundings,
            "photographs": [str(photograph) for photograph in photographs],
        }
        return write_inversion(generator, inversion, folder, settings)
