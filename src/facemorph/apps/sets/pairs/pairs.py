"""Training pairs for one-shot reenactment: photographs, frames of videos, and their moved views."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.sets.prepare import People
from facemorph.errors import ConfigError
from facemorph.faces.choices import Detector
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import File, Option, OutputFolder, checked

if TYPE_CHECKING:
    from facemorph.apps.sets.pairs.pair_set import PairsReport


@checked
def make_pairs(
    photographs: Annotated[Sequence[str | Path], Option(metavar="PHOTOGRAPHS")],
    output: OutputFolder,
    *,
    size: int = 128,
    people: People | None = None,
    frames: int = 12,
    views: int = 2,
    genuine_pairs: int = 40,
    splits: File = None,
    validation: float = 0.1,
    seed: int = 0,
    detector: Detector = "embedded",
    workers: int | None = 1,
    shard: str = "0/1",
) -> PairsReport:
    """Make pairs of pictures of one person in one framing, with the parameters of each.

    Reenactment learns from a source picture and a target picture of the same person. Three kinds
    are made: two photographs or frames of a person (genuine), a photograph that the portrait warp
    has moved and the photograph itself (rendered), and these two the other way round (reversed),
    from which it learns to turn heads. All pictures of a person are cut by one box and have one
    identity. The same call continues a run that was interrupted.

    Args:
        photographs: Folders of photographs and videos, or of such folders, or single ones.
        output: Folder of the new set.
        size: Side of the pictures in pixels.
        people: Who is who: prefix, what stands before the first _ of a name; folder, the folder;
            each, every photograph and video another person. By folder where there are folders,
            else by prefix, when not given.
        frames: Frames taken of each video, evenly among those that show the face.
        views: Moved views of each photograph, and of two frames of each video.
        genuine_pairs: At most so many genuine pairs of the photographs of a person, and of the
            frames of a video.
        splits: Table with the columns person and split (training, validation, test); people that
            it lacks are for training. Without it ``validation`` decides.
        validation: Share of the people in the validation split; no person is in both.
        seed: Decides everything that is drawn by chance.
        detector: What finds the landmarks.
        workers: Processes; 0: one for each core.
        shard: K/N makes only the K-th of N parts (K from 0).

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An input, an option or the output is at fault. A person of whom no picture
            can be used does not raise.
    """
    limits: dict[str, tuple[int, int, int]] = {
        "size": (size, 32, 1024),
        "frames": (frames, 1, 1000),
        "views": (views, 0, 99),
        "genuine_pairs": (genuine_pairs, 0, 10_000),
    }
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise ConfigError("out of range", where=name, expected=f"{low} to {high}", found=value)
    if not 0 <= validation < 1:
        raise ConfigError(
            "this is no share", where="validation", expected="0 to below 1", found=validation
        )
    check_files_exist(photographs)
    from facemorph.apps.sets.pairs.pair_set import make_pair_set
    from facemorph.apps.sets.pairs.person_pictures import PairOptions

    made = PairOptions(size, frames, views, seed, detector)
    inputs = [Path(one) for one in photographs]
    table = None if splits is None else Path(splits)
    return make_pair_set(
        inputs, Path(output), made, people, genuine_pairs, table, validation, workers or None, shard
    )
