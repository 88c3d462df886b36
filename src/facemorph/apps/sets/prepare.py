"""Photographs and videos made into a training set: crops, landmarks, fitted parameters, masks,
splits, and a report.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facemorph.errors import ConfigError
from facemorph.faces.choices import Detector
from facemorph.jobs.options import Folder, Option, OutputFolder, checked

if TYPE_CHECKING:
    from facemorph.apps.sets.prepared_set import PrepareReport

Purpose = Literal["varitex", "gif", "gdpw"]
People = Literal["prefix", "folder", "each"]


@checked
def prepare_dataset(
    images: Annotated[str | Path, Option(metavar="DIR")],
    output: OutputFolder,
    *,
    kind: Annotated[Purpose, Option(("--for",))],
    size: int = 256,
    model: str = "makehuman",
    people: People | None = None,
    validation: float = 0.1,
    seed: int = 0,
    masks: Folder = None,
    detector: Detector = "embedded",
    min_score: float | None = None,
    min_pupils: float = 24.0,
    max_yaw: float = 60.0,
    max_error: float = 0.06,
    min_sharpness: float = 0.03,
    max_outside: float = 0.1,
    frames: int = 32,
    refine: bool = False,
    suffix: Literal["png", "jpg"] = "png",
    workers: int | None = 1,
    shard: str = "0/1",
) -> PrepareReport:
    """Make a training set of a folder of photographs.

    The same call continues a run that was interrupted, and takes up photographs that have been
    added or have changed since.

    Args:
        images: Folder of photographs and videos, or of such folders.
        output: Folder of the training set.
        kind: What trains on it: ``varitex`` and ``gif`` cut as FFHQ does, ``gdpw`` as its authors
            do and with one identity for a person.
        size: Side of the crops in pixels.
        model: ``makehuman``, ``ict``, or the file of a face model.
        people: Who is who: ``prefix``, what stands before the first _ of a name; ``folder``, the
            folder; ``each``, every photograph another person. By folder where there are folders,
            else by prefix, when not given.
        validation: Share of the people in the validation split; no person is in both.
        seed: Decides who is in it.
        masks: Folder of your own masks of the photographs, NAME.png: hair, hats; what they show is
            added.
        detector: What finds the landmarks.
        min_score: Lowest score of a face; the detector's own when not given.
        min_pupils: Smallest distance between the pupils in pixels.
        max_yaw: Largest yaw of a head in degrees.
        max_error: Largest error of a fit as a share of the distance between the pupils.
        min_sharpness: Smallest sharpness of a face; 0.3 is sharp.
        max_outside: Largest share of landmarks outside of the photograph.
        frames: Frames taken of each video, evenly among those that show the face.
        refine: Refine the fits by the pictures: light and skin too, half a second each.
        suffix: Kind of picture.
        workers: Processes that look at photographs and refine; 0: one for each core.
        shard: K/N looks at the K-th of N parts only; whoever finishes last fits all.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: The folder, an option or the output is at fault. A photograph that fails
            does not raise.
    """
    if not 0 <= validation < 1:
        raise ConfigError(
            "this is no share", where="validation", expected="0 to below 1", found=validation
        )
    from facemorph.apps.sets.prepare_pictures import PrepareOptions
    from facemorph.apps.sets.prepared_set import prepare_all

    limits = (min_score, min_pupils, max_yaw, max_error, min_sharpness, max_outside)
    made = PrepareOptions(kind, size, model, detector, *limits, refine, frames, suffix)
    own = None if masks is None else Path(masks)
    return prepare_all(
        Path(images), Path(output), made, people, validation, seed, own, workers or None, shard
    )
