"""The work of ``facemorph data join``."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from facemorph import console
from facemorph.apps.sets.pairs.people import check_apart, read_splits
from facemorph.data.face_set import INDEX, PARAMETERS, SetIndex
from facemorph.errors import DataError, OutputError
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.jobs.records import Header, header, write_json

REPORT, IMAGES = "report.json", "images"


class JoinReport(Header):
    """The content of ``report.json``.

    Attributes:
        pictures: In the new set.
        people: Whom they show.
        splits: Pictures of each split.
    """

    pictures: int
    people: int
    splits: dict[str, int]


def join(sources: Sequence[Path], output: Path, splits: Path | None) -> JoinReport:
    """Join sets; see ``join_sets``."""
    check_apart(output, sources)
    indices = [SetIndex.read(source) for source in sources]
    parameters = FaceParameters.joined([FaceParameters.load(one / PARAMETERS) for one in sources])
    names = _unlike([(source, one.names) for source, one in zip(sources, indices, strict=True)])
    if len(names) != len(parameters):
        raise DataError(
            "index and parameters of these sets do not fit together",
            where=", ".join(str(source / PARAMETERS) for source in sources),
            expected=f"{len(names)} faces",
            found=len(parameters),
            remedy="Make the sets again with the same commands.",
        )
    people = [person for one in indices for person in one.people]
    own = [split for one in indices for split in one.split]
    split = _splits(people, own, {} if splits is None else read_splits(splits))
    files = [
        (source / file, f"{IMAGES}/{name}{Path(file).suffix}")
        for source, one in zip(sources, indices, strict=True)
        for name, file in zip(one.names, one.files, strict=True)
    ]
    try:
        for found, target in console.track(files, "pictures"):
            _link(found, output / target)
    except OSError as error:
        raise OutputError(
            "the set cannot be written", where=error.filename or output, found=error.strerror
        ) from error
    parameters.save(output / PARAMETERS)
    content = {
        "names": names,
        "people": people,
        "split": split,
        "files": [target for _, target in files],
    }
    write_json(output / INDEX, content, indent=None)
    settings = {
        "sets": [str(source) for source in sources],
        "splits": None if splits is None else str(splits),
    }
    report: JoinReport = {
        **header(settings),
        "pictures": len(names),
        "people": len(set(people)),
        "splits": dict(Counter(split)),
    }
    write_json(output / REPORT, report)
    return report


def _unlike(sets: Sequence[tuple[Path, Sequence[str]]]) -> list[str]:
    """The names of all pictures.

    Raises:
        DataError: Two are the same.
    """
    place: dict[str, Path] = {}
    for source, names in sets:
        for name in names:
            if name in place:
                raise DataError(
                    "two pictures have the same name",
                    where=source,
                    found=f"{name}, which {place[name]} has too",
                    remedy="Rename the photographs of one set and make it again.",
                )
            place[name] = source
    return list(place)


def _splits(people: Sequence[str], own: Sequence[str], table: Mapping[str, str]) -> list[str]:
    """The split of each picture.

    Raises:
        DataError: A person is in two, or nobody is left for training.
    """
    found = [table.get(person, split) for person, split in zip(people, own, strict=True)]
    place: dict[str, str] = {}
    for person, split in zip(people, found, strict=True):
        if place.setdefault(person, split) != split:
            raise DataError(
                "this person is in two splits",
                where=person,
                found=f"{place[person]} and {split}",
                remedy="Say in a table of --splits where the person belongs.",
            )
    if "training" not in found:
        raise DataError("nobody is left for training", where="splits", found=sorted(set(found)))
    return found


def _link(found: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(found, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(found, target)
