"""Photographs and videos made into a training set: crops, landmarks, fitted parameters, masks,
splits, and a report.

    DIR/images/NAME.png       crops
    DIR/landmarks/NAME.json   68 landmarks, pixels of the crop
    DIR/masks/NAME.png        where the fitted head is, the user's own masks with it
    DIR/parameters.npz        FaceParameters of all, in the order of `names`, in pixels of the crops
    DIR/index.json            names, people, split of each
    DIR/refined/              with --refine: the fits of each picture, refined by it
    DIR/first_fits.npz        of all, before that
    DIR/overview.jpg          the first crops with their fits
    DIR/report.json           what became of each photograph

Landmarks are found and fits refined once for each photograph, and that survives an interruption;
first fits, masks and splits are made anew at the end of each run, from what is there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from facemorph.apps.sets.prepare_fits import fit_prepared
from facemorph.apps.sets.prepare_pictures import (
    FILTERED,
    PicturePreparer,
    PreparedPicture,
    PrepareOptions,
    Source,
)
from facemorph.errors import ConfigError, DataError
from facemorph.faces.checks.one_person import say_unlike_names, unlike_names
from facemorph.faces.detection import make_detector
from facemorph.faces.files.landmark_files import read_points
from facemorph.jobs.batch import Batch, run, stamp_of
from facemorph.jobs.input_files import check_distinct_names
from facemorph.jobs.outputs import check_writable, make_folders
from facemorph.jobs.pool import count_workers, parse_shard
from facemorph.jobs.records import (
    DONE,
    FAILED,
    MISSING,
    REPORT,
    Header,
    Settings,
    counts_of,
    header,
    write_json,
)
from facemorph.storage.folders import listed
from facemorph.storage.suffixes import PICTURES, VIDEOS

INDEX = "index.json"
FOLDERS = ("images", "landmarks", "masks")
STATUSES = (DONE, FILTERED, FAILED, MISSING)


class PrepareReport(Header):
    """The content of ``report.json``.

    Attributes:
        counts: How many photographs are done, filtered, failed and missing.
        splits: How many are in each split.
        people: How many people there are.
        unlike: Names whose photographs look like several people, and the distance of descriptors.
        rows: One for each photograph, and for each frame of a video.
    """

    counts: dict[str, int]
    splits: dict[str, int]
    people: int
    unlike: dict[str, float]
    rows: list[PreparedPicture]


def prepare_all(
    images: Path,
    output: Path,
    made: PrepareOptions,
    people: str | None,
    validation: float,
    seed: int,
    masks: Path | None,
    workers: int | None,
    shard: str,
) -> PrepareReport:
    """Make a training set of a folder of photographs; see ``prepare_dataset``."""
    part, parts = parse_shard(shard)
    processes = count_workers(workers)
    sources = find_sources(images, people)
    check_writable(output / REPORT)
    if output.resolve() == images.resolve():
        raise ConfigError(
            "the training set would lie among the photographs",
            where=output,
            remedy="Choose another folder with -o.",
        )
    settings = {
        **vars(made),
        "images": str(images.resolve()),
        "validation": validation,
        "seed": seed,
    }
    return run(
        Batch(
            output,
            "photographs",
            {source.name: source for source in sources[part::parts]},
            partial(_start, made, output),
            PicturePreparer.attempt,
            partial(_finish, sources, made, output, settings, masks, validation, seed, processes),
            settings=settings,
            given=lambda source: {"file": str(source.file), "stamp": stamp_of(source.file)},
            same=("stamp",),
            workers=processes,
            shard=(part, parts),
            report_if_stopped=False,
        )
    )


def _start(options: PrepareOptions, output: Path, _: int) -> PicturePreparer:
    make_folders(output, FOLDERS)
    detector = make_detector(options.detector, min_score=options.min_score)
    return PicturePreparer(options, output, detector)


def find_sources(images: str | Path, people: str | None = None) -> list[Source]:
    """The photographs of a folder, and of its folders, with their names and people.

    Raises:
        DataError: There are none, or two have one name.
    """
    folder = Path(images)
    if not folder.is_dir():
        raise DataError("there is no such folder", where=folder, remedy="Check the path.")
    files = listed(folder, (*PICTURES, *VIDEOS), deep=True)
    if not files:
        raise DataError(
            "this folder holds no picture or video",
            where=folder,
            expected=" ".join((*PICTURES, *VIDEOS)),
        )
    nested = any(path.parent != folder for path in files)
    people = people or ("folder" if nested else "prefix")
    found = []
    for path in files:
        name = "_".join(path.relative_to(folder).with_suffix("").parts)
        person = {
            "prefix": path.stem.partition("_")[0],
            "folder": path.relative_to(folder).parent.as_posix(),
            "each": name,
        }[people]
        found.append(Source(path, name, person))
    check_distinct_names([source.file for source in found], [source.name for source in found])
    return found


def _finish(
    sources: Sequence[Source],
    options: PrepareOptions,
    output: Path,
    settings: Settings,
    masks: Path | None,
    validation: float,
    seed: int,
    workers: int,
    known: Mapping[str, PreparedPicture],
) -> PrepareReport:
    """Fit all that are done, and write parameters, masks, index and report."""
    make_folders(output, FOLDERS)
    rows: list[PreparedPicture] = []
    for source in sources:
        row = PreparedPicture(name=source.name, file=str(source.file))
        row |= known.get(source.name) or PreparedPicture(
            status=MISSING, reason="not looked at yet, or its files are gone"
        )
        # A video is as many rows as it has given frames. Who is who may be told otherwise today.
        several = row["frames"] if row["status"] == DONE and "frames" in row else [row]
        rows += [one | PreparedPicture(person=source.person) for one in several]
    done = [row for row in rows if row["status"] == DONE]
    kept = fit_prepared(done, options, output, masks, workers) if done else []
    people = sorted({row["person"] for row in kept})
    held = validation_people(people, validation, seed)
    index = {
        "names": [row["name"] for row in kept],
        "people": [row["person"] for row in kept],
        "split": ["validation" if row["person"] in held else "training" for row in kept],
        "files": [row["files"][0] for row in kept],
    }
    write_json(output / INDEX, index)
    unlike = _unlike(kept, output)
    say_unlike_names(unlike)
    report: PrepareReport = {
        **header(settings),
        "counts": counts_of(rows, STATUSES),
        "splits": dict(Counter(index["split"])),
        "people": len(people),
        "unlike": unlike,
        "rows": rows,
    }
    write_json(output / REPORT, report)
    return report


def _unlike(rows: Sequence[PreparedPicture], output: Path) -> dict[str, float]:
    """Names whose photographs look like several people; frames of one video show one."""
    people: dict[str, dict[str, Path]] = {}
    points: dict[Path, Path] = {}
    for row in rows:
        picture, marks = (output / name for name in row["files"][:2])
        people.setdefault(row["person"], {}).setdefault(row["file"], picture)
        points[picture] = marks
    files = {name: list(found.values()) for name, found in people.items()}
    return unlike_names(files, lambda picture: read_points(points[picture])[0].float())


def validation_people(people: Sequence[str], share: float, seed: int) -> set[str]:
    """Who is in the validation split: those with the smallest hashes, so that a set that grows
    keeps them.

    At least one of several people, where the share is above 0.
    """
    if share == 0 or len(people) < 2:
        return set()
    hashes = {
        person: int.from_bytes(hashlib.sha256(f"{seed}:{person}".encode()).digest()[:8], "big")
        / 2**64
        for person in people
    }
    held = {person for person, value in hashes.items() if value < share}
    held = held or {min(hashes, key=lambda person: hashes[person])}
    return (
        held if len(held) < len(people) else held - {max(hashes, key=lambda person: hashes[person])}
    )
