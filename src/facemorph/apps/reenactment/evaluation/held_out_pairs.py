"""Pairs of people that a reenactment has not seen, read from a set of ``facemorph data pairs``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from facemorph.data.face_set import PARAMETERS, SetIndex, scaled
from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import vertices_of
from facemorph.jobs.records import REPORT
from facemorph.ops.seeds import evenly
from facemorph.storage.files import read_json
from facemorph.systems.gdpw.paired_faces import PAIRS, read_pairs

GENUINE, FRAME = "genuine", "frame"


@dataclass(frozen=True)
class HeldOutPair:
    """Two pictures of one person.

    Attributes:
        source: Row of the set.
        target: Row of the set.
        person: Who is shown.
        clip: The video that both are frames of; empty for photographs.
    """

    source: int
    target: int
    person: str
    clip: str = ""


class HeldOutPairs:
    """Genuine pairs of a split, with their pictures and parameters at one size.

    Of a video, the pairs are its first frame and each of the others.

    Args:
        folder: Set of ``facemorph data pairs``.
        model: Of the parameters.
        split: The split.
        size: Side of the pictures in pixels.
        count: Pairs at most.

    Attributes:
        pairs: Evenly among all of the split.
        names: Of the set's pictures.
        parameters: Of the set's pictures, in pixels of ``size``.

    Raises:
        DataError: The folder holds no such set, or the split has no genuine pair.
        ConfigError: The pictures of the set are smaller.
    """

    def __init__(
        self, folder: Path, model: MorphableModel, split: str, size: int, count: int
    ) -> None:
        index, pairs = SetIndex.read(folder), read_pairs(folder)
        self.names = index.names
        parameters = FaceParameters.load(folder / PARAMETERS)
        vertices_of(model, parameters[0])  # the model's, or an error
        rows = min(len(index.names), len(parameters))
        wrong = [pair for pair in pairs if max(pair[:2]) >= rows]
        if wrong:
            raise DataError(
                "index, parameters and pairs of this set do not fit together",
                where=folder / PAIRS,
                expected=f"rows below {rows}",
                found=max(wrong[0][:2]),
                remedy="Make the set again with the same command.",
            )
        clips = clips_of(folder)
        clip = [clips.get(name, "") for name in index.names]
        held = [
            HeldOutPair(a, b, index.people[a], clip[a] if clip[a] == clip[b] else "")
            for a, b, kind in pairs
            if kind == GENUINE and index.split[a] == split
        ]
        if not held:
            raise DataError(
                "this set has no genuine pair of the split",
                where=f"{folder}, split {split}",
                expected="two pictures of somebody who is held out",
                found=", ".join(sorted(set(index.split))),
                remedy="Choose the other --split, or make the set with --splits or --validation.",
            )
        found = _from_first_frames(held)
        self.pairs = [found[place] for place in evenly(len(found), count)]
        own = load_image(folder / index.files[self.pairs[0].source]).shape[-1]
        if own < size:
            raise ConfigError(
                "the pictures of this set are smaller",
                where="size",
                expected=f"at most {own} pixels",
                found=size,
                remedy=f"Take --size {own}, or make the set with a larger --size.",
            )
        self.parameters = scaled(parameters, size / own)
        self._files = [folder / file for file in index.files]
        self._own, self._size = own, size

    def picture(self, row: int) -> Tensor:
        """A picture of the set ``(3, size, size)`` in [0, 1].

        Raises:
            DataError: It cannot be read, or has another shape than the others.
        """
        image, own, size = load_image(self._files[row]), self._own, self._size
        if image.shape[1:] != (own, own):
            raise DataError(
                "the pictures of a set are squares of one size",
                where=self._files[row],
                expected=f"{own}x{own}",
                found="x".join(map(str, image.shape[1:])),
            )
        if own == size:
            return image
        small = functional.interpolate(image[None], (size, size), mode="bilinear", antialias=True)
        return small[0]

    def people(self) -> list[HeldOutPair]:
        """The first pair of each person."""
        first: dict[str, HeldOutPair] = {}
        for pair in self.pairs:
            first.setdefault(pair.person, pair)
        return list(first.values())


def clips_of(folder: Path) -> dict[str, str]:
    """The video that each frame of a set is of, by the frame's name; none where the set has no
    report.

    Raises:
        DataError: The report is damaged.
    """
    path = folder / REPORT
    if not path.is_file():
        return {}
    try:
        rows = read_json(path)["rows"]
        pictures = [one for row in rows for one in row.get("pictures", ())]
        return {str(one["name"]): str(one["of"]) for one in pictures if one["kind"] == FRAME}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            "the report of this set cannot be read",
            where=path,
            found=type(error).__name__,
            expected="what `facemorph data pairs` writes",
        ) from error


def _from_first_frames(pairs: list[HeldOutPair]) -> list[HeldOutPair]:
    """The pairs, those of each video replaced by its first frame and each of the others."""
    found: list[HeldOutPair] = []
    frames: dict[tuple[str, str], set[int]] = {}
    for pair in pairs:
        if pair.clip:
            frames.setdefault((pair.person, pair.clip), set()).update((pair.source, pair.target))
        else:
            found.append(pair)
    for (person, clip), rows in frames.items():
        first, *others = sorted(rows)
        found += [HeldOutPair(first, row, person, clip) for row in others]
    return found
