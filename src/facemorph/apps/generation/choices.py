"""Options that commands on generated faces share; this module loads nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from facemorph.errors import ConfigError
from facemorph.jobs.options import Option

Varied = Literal["all", "person", "style", "identity", "expression", "pose", "light"]
PictureFormat = Literal["png", "jpg"]
Around = Literal["photograph", "generated"]
Checkpoint = Annotated[
    str | Path,
    Option(
        ("--checkpoint",),
        kind=str,
        help="Trained model: a file, @last, @last:NAME, @open:gif, @open:varitex, @open:imface.",
    ),
]
Strengths = Annotated[
    Mapping[str, float] | Sequence[str] | None, Option(("--set",), "NAME=VALUE", kind=list[str])
]


class TextureFiles:
    """Names of the files of an exported texture."""

    TEXTURE, REGIONS, HEAD, REPORT = "texture.png", "regions.png", "head.glb", "report.json"


AXES = ("yaw", "pitch", "both")
MOST_POSES = 100


class Pose(NamedTuple):
    """How far a head is turned.

    Attributes:
        label: For captions.
        yaw: Degrees to the right of the picture.
        pitch: Degrees down.
    """

    label: str
    yaw: float
    pitch: float


def poses_of(words: Sequence[str] | str | None) -> list[Pose]:
    """Poses of words such as ``-45:45:15``, ``pitch=-20:20:10`` or ``both=-30:30:15``.

    Args:
        words: Axis, then first angle, last angle and step in degrees; ``yaw`` where there is no
            axis.

    Raises:
        ConfigError: A word is none of these, or an angle is beyond 60 degrees.
    """
    found = []
    for word in [words] if isinstance(words, str) else words or ():
        axis, _, numbers = str(word).rpartition("=")
        axis = axis or "yaw"
        try:
            first, last, step = (float(number) for number in numbers.split(":"))
        except ValueError:
            first, last, step = 1.0, 0.0, 0.0
        fits = axis in AXES and step > 0 and -60 <= first <= last <= 60
        if not fits or (last - first) / step > MOST_POSES:
            raise ConfigError(
                "unusable poses",
                where="poses",
                expected="first:last:step in degrees up to 60: -45:45:15 or pitch=-20:20:10",
                found=word,
            )
        for turn in range(int((last - first) / step + 1e-9) + 1):
            angle = first + turn * step
            yaw, pitch = (angle if axis in (one, "both") else 0.0 for one in ("yaw", "pitch"))
            found.append(Pose(f"{axis}{angle:+g}", yaw, pitch))
    return found
