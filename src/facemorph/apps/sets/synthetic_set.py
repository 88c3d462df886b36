"""A labelled synthetic set of any size, resumable, the same bytes however it is divided."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facemorph.apps.sets.choices import LABELS, MAPS
from facemorph.errors import ConfigError
from facemorph.jobs.options import Option, OutputFolder, checked

if TYPE_CHECKING:
    from facemorph.apps.sets.picture_making import SynthReport


@checked
def synthesize(
    output: OutputFolder,
    count: Annotated[int, Option(("--count",))],
    *,
    size: int = 256,
    seed: int = 0,
    model: str = "makehuman",
    supersample: int = 2,
    labels: Annotated[Sequence[str] | str, Option(kind=str)] = "all",
    kind: Literal["jpg", "png"] = "jpg",
    skin: str = "procedural",
    skins: int = 128,
    background: str = "procedural",
    same_identity: Annotated[int, Option(metavar="K")] = 1,
    same_light: bool = False,
    camera: Literal["weak", "pinhole"] = "weak",
    max_yaw: float = 60.0,
    texture: int = 512,
    workers: int | None = 0,
    shard: str = "0/1",
) -> SynthReport:
    """Make a labelled synthetic set.

    The same call continues a run that was interrupted; a larger count adds to a set, a smaller one
    leaves it as it is.

    Args:
        output: Folder of the set.
        count: Number of pictures; a larger one adds to a set.
        size: Side of the pictures in pixels.
        seed: Decides everything.
        model: ``makehuman``, ``ict``, or the file of a face model.
        supersample: Samples along each side of a pixel: 1 fast, 2 smooth.
        labels: all, none, or some of uv, normals, depth, mask, landmarks, parameters, by commas.
        kind: Kind of picture.
        skin: procedural; open, random people of statistics of real skin; the file of a texture
            model of one's own; or a folder of photographs whose skin is taken and their light left
            out, or of texture maps ``*texture*.png``.
        skins: Number of procedural or open skins; 0: a new one for each person (60 ms each).
        background: procedural, or a folder of pictures.
        same_identity: Pictures of each person, one after the other.
        same_light: All pictures of a person have one light and one background.
        camera: Weak perspective or a pinhole.
        max_yaw: Largest turn of a head to the side in degrees.
        texture: Side of the texture maps.
        workers: Processes; 0: one for each core.
        shard: K/N makes only the K-th of N parts (K from 0).

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option or the folder is at fault. A picture that fails (a skin's
            photograph) does not raise.
    """
    if isinstance(labels, str):
        words = [word.strip() for word in labels.split(",")]
        labels = {"all": LABELS, "none": ()}.get(labels, words)
    for label in labels:
        if label not in LABELS:
            raise ConfigError(
                "no such label", where="labels", expected=", ".join(LABELS), found=label
            )
    if count < 1:
        raise ConfigError("a set needs a picture", where="count", expected="1 or more", found=count)
    from facemorph.apps.sets.picture_making import make_all
    from facemorph.apps.sets.synthetic_faces import SynthOptions

    maps = tuple(label for label in MAPS if label in labels)
    look = (skin, skins, background, same_identity, camera, max_yaw, texture, same_light)
    made = SynthOptions(size, seed, model, supersample, maps, kind, *look)
    return make_all(Path(output), count, made, labels, workers or None, shard)
