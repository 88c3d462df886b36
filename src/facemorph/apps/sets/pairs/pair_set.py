"""Pairs of pictures of one person made into a set, and the set's index, table of pairs and report.

DIR/images/NAME.png      photographs, frames and views
DIR/people/NAME.npz      FaceParameters of one person's pictures
DIR/parameters.npz       FaceParameters of all, in the order of `names`, in pixels of the pictures
DIR/index.json           names, people, split, files
DIR/pairs.json           rows of source and target of each pair, and its kind
DIR/overview.jpg         pairs of some people: look at it
DIR/report.json          what became of each person
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.apps.sets.pairs.people import Person, check_apart, find_people, read_splits
from facemorph.apps.sets.pairs.person_pictures import (
    FRAME,
    IMAGES,
    PEOPLE,
    PHOTOGRAPH,
    VIEW,
    PairOptions,
    PairPicture,
    PersonPictures,
    PersonRow,
)
from facemorph.apps.sets.prepared_set import validation_people
from facemorph.data.face_set import INDEX, PARAMETERS
from facemorph.faces.checks.one_person import say_unlike_names, unlike_names
from facemorph.faces.detection import make_detector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.jobs.batch import Batch, run, stamp_of
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
from facemorph.ops.frames import Frame
from facemorph.ops.seeds import evenly
from facemorph.ops.threads import one_thread
from facemorph.systems.gdpw.paired_faces import KINDS, PAIRS

OVERVIEW = "overview.jpg"
GENUINE, RENDERED, REVERSED = KINDS
FAITHFUL = 18.0  # degrees of yaw up to which the portrait warp's pictures are worth learning
SHOWN, CELL = 8, 160
APART = 4  # frames of a pair are at least a quarter of those taken apart

logger = logging.getLogger(__name__)


class Pair(NamedTuple):
    """Rows of the source and the target, and how the pair came about."""

    source: int
    target: int
    kind: str


class PairsReport(Header):
    """The content of ``report.json``.

    Attributes:
        counts: How many people are done, failed and missing.
        splits: How many people are in each split.
        pictures: How many there are of each kind.
        pairs: Likewise.
        left_out: How many photographs, videos and frames of people who are done are not used.
        people: How many people the pictures show.
        unlike: Names whose photographs look like several people, and the distance of descriptors.
        rows: One for each person.
    """

    counts: dict[str, int]
    splits: dict[str, int]
    pictures: dict[str, int]
    pairs: dict[str, int]
    left_out: int
    people: int
    unlike: dict[str, float]
    rows: list[PersonRow]


def make_pair_set(
    inputs: Sequence[Path],
    output: Path,
    made: PairOptions,
    rule: str | None,
    genuine_pairs: int,
    splits: Path | None,
    validation: float,
    workers: int | None,
    shard: str,
) -> PairsReport:
    """Make a set of pairs; see ``make_pairs``."""
    part, parts = parse_shard(shard)
    processes = count_workers(workers)
    table = None if splits is None else read_splits(splits)
    check_apart(output, inputs)
    people = find_people(inputs, rule)
    check_writable(output / REPORT)
    absent = sorted(set(table or ()) - set(people))
    if absent:
        logger.warning(
            "%s: no picture shows %d of its people: %s.",
            splits,
            len(absent),
            ", ".join(absent[:8]) + (" ..." if len(absent) > 8 else ""),
        )
    settings = {
        **vars(made),
        "photographs": [str(path.resolve()) for path in inputs],
        "people": rule,
        "genuine_pairs": genuine_pairs,
        "splits": None if splits is None else str(splits.resolve()),
        "validation": validation,
    }
    finish = partial(_finish, output, list(people), table, made.seed, genuine_pairs, settings)
    with one_thread():
        return run(
            Batch(
                output,
                "people",
                {name: people[name] for name in list(people)[part::parts]},
                partial(_start, made, output),
                PersonPictures.attempt,
                finish,
                settings=settings,
                given=_given,
                same=("stamp",),
                workers=processes,
                shard=(part, parts),
            )
        )


def _given(person: Person) -> PersonRow:
    return {"stamp": stamp_of(*person.files)}


def _start(options: PairOptions, output: Path, _: int) -> PersonPictures:
    make_folders(output, (IMAGES, PEOPLE))
    return PersonPictures(options, output, make_detector(options.detector))


def pairs_of(pictures: Sequence[PairPicture], most: int) -> list[Pair]:
    """The pairs of one person, as rows of that person's pictures.

    Views that are turned far are sources only: cheeks and ears of some are torn.

    Args:
        pictures: Of the person.
        most: Genuine pairs of the photographs at most, and of the frames of each video.
    """
    photographs = [row for row, one in enumerate(pictures) if one["kind"] == PHOTOGRAPH]
    found = _both_ways(list(combinations(photographs, 2)), most)
    clips: dict[str, list[int]] = {}
    for row, one in enumerate(pictures):
        if one["kind"] == FRAME:
            clips.setdefault(one["of"], []).append(row)
    for rows in clips.values():
        gap = max(1, len(rows) // APART)
        places = combinations(range(len(rows)), 2)
        found += _both_ways([(rows[a], rows[b]) for a, b in places if b - a >= gap], most)
    number = {one["name"]: row for row, one in enumerate(pictures)}
    for row, one in enumerate(pictures):
        if one["kind"] == VIEW:
            photograph = number[one["of"]]
            found.append(Pair(row, photograph, RENDERED))
            if abs(one["yaw"] - pictures[photograph]["yaw"]) <= FAITHFUL:
                found.append(Pair(photograph, row, REVERSED))
    return found


def _both_ways(couples: Sequence[tuple[int, int]], most: int) -> list[Pair]:
    """Genuine pairs of couples, evenly among these, each in both directions."""
    chosen = [couples[place] for place in evenly(len(couples), most // 2)]
    return [Pair(*one, GENUINE) for a, b in chosen for one in ((a, b), (b, a))]


def _finish(
    output: Path,
    people: Sequence[str],
    table: Mapping[str, str] | None,
    seed: int,
    genuine_pairs: int,
    settings: Settings,
    known: Mapping[str, PersonRow],
) -> PairsReport:
    """Write parameters, index, pairs, overview and report of all people who are done."""
    rows: list[PersonRow] = [known.get(name, {"name": name, "status": MISSING}) for name in people]
    done = [row for row in rows if row["status"] == DONE]
    pictures = [one for row in done for one in row["pictures"]]
    split = _splits([row["name"] for row in done], table, settings, seed)
    index = {
        "names": [one["name"] for one in pictures],
        "people": [row["name"] for row in done for _ in row["pictures"]],
        "split": [split[row["name"]] for row in done for _ in row["pictures"]],
        "files": [one["file"] for one in pictures],
    }
    write_json(output / INDEX, index, indent=None)
    pairs: list[Pair] = []
    by_person: list[list[Pair]] = []
    start = 0
    for row in done:
        mine = pairs_of(row["pictures"], genuine_pairs)
        by_person.append([Pair(start + a, start + b, kind) for a, b, kind in mine])
        pairs += by_person[-1]
        start += len(row["pictures"])
    content = {
        "source": [pair.source for pair in pairs],
        "target": [pair.target for pair in pairs],
        "kind": [pair.kind for pair in pairs],
        "size": settings["size"],
    }
    write_json(output / PAIRS, content, indent=None)
    unlike: dict[str, float] = {}
    if done:
        parts = [FaceParameters.load(output / row["files"][0]) for row in done]
        parameters = FaceParameters.joined(parts)
        parameters.save(output / PARAMETERS)
        unlike = _unlike(done, parameters, output, settings)
        say_unlike_names(unlike)
        _write_overview(output, pictures, [mine for mine in by_person if mine])
    kinds, counts = Counter(pair.kind for pair in pairs), Counter(one["kind"] for one in pictures)
    report: PairsReport = {
        **header(settings),
        "counts": counts_of(rows, (DONE, FAILED, MISSING)),
        "splits": dict(Counter(split.values())),
        "pictures": {kind: counts[kind] for kind in (PHOTOGRAPH, FRAME, VIEW)},
        "pairs": {kind: kinds[kind] for kind in KINDS},
        "left_out": sum(len(row["left_out"]) for row in done),
        "people": len(done),
        "unlike": unlike,
        "rows": rows,
    }
    write_json(output / REPORT, report)
    return report


def _unlike(
    done: Sequence[PersonRow], parameters: FaceParameters, output: Path, settings: Settings
) -> dict[str, float]:
    """Names whose photographs look like several people; frames of one video show one."""
    side = int(str(settings["size"]))
    model, frame = load_makehuman(), Frame(side, side)
    people: dict[str, list[Path]] = {}
    rows: dict[Path, int] = {}
    shown = [(row["name"], one) for row in done for one in row["pictures"]]
    for number, (name, one) in enumerate(shown):
        if one["kind"] == PHOTOGRAPH:
            people.setdefault(name, []).append(output / one["file"])
            rows[output / one["file"]] = number

    def points_of(picture: Path) -> Tensor:
        fitted = parameters[rows[picture]]
        marks = model.landmarks(vertices_of(model, fitted))
        return camera_of(fitted, frame).project(marks).pixels[0]

    return unlike_names(people, points_of)


def _splits(
    people: Sequence[str], table: Mapping[str, str] | None, settings: Settings, seed: int
) -> dict[str, str]:
    """The split of each person."""
    if table is not None:
        return {name: table.get(name, "training") for name in people}
    held = validation_people(people, float(str(settings["validation"])), seed)
    return {name: "validation" if name in held else "training" for name in people}


def _write_overview(
    output: Path, pictures: Sequence[PairPicture], people: Sequence[Sequence[Pair]]
) -> None:
    """A sheet of some people, a row each: source and target of a pair of each kind."""
    if not people:
        return
    blank = torch.ones_like(load_image(output / pictures[0]["file"]))
    kinds = [kind for kind in KINDS if any(pair.kind == kind for one in people for pair in one)]
    sheet = []
    for number, place in enumerate(evenly(len(people), SHOWN)):
        cells = []
        for shift, kind in enumerate(kinds):
            mine = [pair for pair in people[place] if pair.kind == kind]
            if not mine:
                cells += [("", blank), ("", blank)]
                continue
            pair = mine[(number + shift) % len(mine)]
            for word, row in (("source", pair.source), ("target", pair.target)):
                picture = load_image(output / pictures[row]["file"])
                cells.append((f"{kind} {word}", picture))
        sheet.append(cells)
    save_image(contact_sheet(sheet, cell=CELL), output / OVERVIEW, synthetic=True, quality=88)
