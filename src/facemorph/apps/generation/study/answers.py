"""Answers of a perceptual study: read, checked, and evaluated."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemorph.apps.generation.study.choices import PLOT, REPORT
from facemorph.errors import DataError
from facemorph.jobs.pages.plots import write_shares
from facemorph.jobs.records import Header, header, write_json
from facemorph.metrics.perceptual_study import (
    Interval,
    Preference,
    Ratings,
    preference,
    ratings,
)
from facemorph.storage.files import read_json

if TYPE_CHECKING:
    from facemorph.apps.generation.study.study_files import KeyItem, StudyKey

COLUMNS = ("study", "participant", "question", "answer")
# Columns of Mechanical Turk, whose form has an input named answer.
ALIASES = {
    "WorkerId": "participant",
    "Input.study": "study",
    "Input.id": "question",
    "Answer.answer": "answer",
}
MOST_BARS = 40


class StudyReport(Header):
    """The content of ``report.json``.

    Attributes:
        study: Its name.
        kind: ``ab`` or ``likert``.
        participants: Who answered.
        dropped: Who was left out, and why.
        answers: That count, without checks.
        preference: How often A was chosen; None for ratings.
        ratings: Of all pictures together; None for ``ab``.
        pictures: The same for each picture.
        people: The same for each participant.
        groups: Ratings of the pictures in each folder.
        medians: How many pictures have each median rating.
    """

    study: str
    kind: str
    participants: int
    dropped: dict[str, str]
    answers: int
    preference: Preference | None
    ratings: Ratings | None
    pictures: dict[str, Preference] | dict[str, Ratings]
    people: dict[str, Preference] | dict[str, Ratings]
    groups: dict[str, Ratings]
    medians: dict[str, int]


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        participant: Who gave it.
        question: To which.
        value: What it is.
    """

    participant: str
    question: str
    value: str


def evaluate_answers(
    files: Sequence[Path], key_file: Path, output: Path, interval: Interval, allowed: int
) -> StudyReport:
    """Evaluate; see ``results``."""
    key = read_key(key_file)
    answers = read_answers(files, key)
    dropped = inattentive(answers, key["items"], allowed)
    kept = [
        one
        for one in answers
        if one.participant not in dropped and "check" not in key["items"][one.question]
    ]
    if not kept:
        raise DataError(
            "no answers are left",
            where=files[0],
            found=f"{len(dropped)} participants left out: {'; '.join(dropped)[:100]}"
            if dropped
            else "checks alone",
            remedy="Allow some missed checks with --allowed.",
        )
    settings = {
        "answers": [str(one) for one in files],
        "key": str(key_file),
        "interval": interval,
        "allowed": allowed,
    }
    report: StudyReport = {
        **header(settings),
        "study": key["study"],
        "kind": key["kind"],
        "participants": len({one.participant for one in answers}),
        "dropped": dropped,
        "answers": len(kept),
        "preference": None,
        "ratings": None,
        "pictures": {},
        "people": {},
        "groups": {},
        "medians": {},
    }
    if key["kind"] == "ab":
        _compare(report, kept, key, interval, output / PLOT)
    else:
        _rate(report, kept, key, interval, output / PLOT)
    write_json(output / REPORT, report)
    return report


# ------------------------------------------------------------
# reading
def read_key(path: Path) -> StudyKey:
    """The key of a study.

    Raises:
        DataError: It cannot be read, or is none.
    """
    try:
        key: StudyKey = read_json(path)
        complete = key["kind"] in ("ab", "likert") and bool(key["study"]) and key["scale"] > 1
        complete = complete and all(
            "check" in one or "picture" in one for one in key["items"].values()
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _no_key(path, type(error).__name__) from error
    if not complete:
        raise _no_key(path, "another one")
    return key


def _no_key(path: Path, found: str) -> DataError:
    return DataError(
        "this is not the key of a study",
        where=path,
        expected="key.json of facemorph study ab or likert",
        found=found,
    )


def read_answers(files: Sequence[Path], key: StudyKey) -> list[Answer]:
    """All answers, in order; questions that were left open are left out.

    Raises:
        DataError: A file cannot be read; an answer is of another study, of no question of it, out
            of range, or given twice. The line is named.
    """
    found: dict[tuple[str, str], str] = {}
    answers = []
    for path in files:
        for number, row in enumerate(_rows(path), 2):
            where = f"{path}, line {number}"
            answer = _answer(row, key, where)
            if answer is None:
                continue
            name = (answer.participant, answer.question)
            if name in found:
                raise DataError(
                    "this participant has answered this question before",
                    where=where,
                    found=f"{name[0]}, {name[1]}, as in {found[name]}",
                    remedy="Give each file once, and each participant a name of their own.",
                )
            found[name] = where
            answers.append(answer)
    return answers


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = [ALIASES.get(name, name) for name in reader.fieldnames or ()]
            reader.fieldnames = names
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            "these answers cannot be read",
            where=path,
            expected="a CSV file",
            found=type(error).__name__,
        ) from error
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise DataError(
            "columns are missing",
            where=path,
            expected=", ".join(COLUMNS),
            found=", ".join(names)[:200] or "nothing",
        )
    return rows


def _answer(row: Mapping[str, str | None], key: StudyKey, where: str) -> Answer | None:
    study, participant, question, value = ((row.get(name) or "").strip() for name in COLUMNS)
    if study != key["study"]:
        raise DataError(
            "this is an answer of another study", where=where, expected=key["study"], found=study
        )
    if question not in key["items"]:
        raise DataError(
            "this study has no such question",
            where=where,
            expected=f"one of {len(key['items'])}",
            found=question or "none",
        )
    if not participant:
        raise DataError("nobody is named who gave this answer", where=where)
    if value in ("", "undefined"):
        return None
    allowed = (
        ["left", "right"]
        if key["kind"] == "ab"
        else [str(number) for number in range(1, key["scale"] + 1)]
    )
    if value not in allowed:
        raise DataError("no such answer", where=where, expected=" | ".join(allowed), found=value)
    return Answer(participant, question, value)


def inattentive(
    answers: Sequence[Answer], items: Mapping[str, KeyItem], allowed: int
) -> dict[str, str]:
    """Participants who missed more checks than allowed, and how many they missed.

    Args:
        answers: Of all participants.
        items: What the questions are about.
        allowed: How many may be missed.
    """
    met: dict[str, list[bool]] = defaultdict(list)
    for one in answers:
        right = items[one.question].get("check")
        if right is not None:
            met[one.participant].append(one.value == right)
    return {
        name: f"missed {passed.count(False)} of {len(passed)} checks"
        for name, passed in met.items()
        if passed.count(False) > allowed
    }


# ------------------------------------------------------------
# evaluation
def _compare(
    report: StudyReport, kept: Sequence[Answer], key: StudyKey, interval: Interval, plot: Path
) -> None:
    """How often A was chosen: in all, of each pair, by each participant."""
    groups: dict[str, dict[str, list[bool]]] = {
        "pictures": defaultdict(list),
        "people": defaultdict(list),
    }
    for one in kept:
        item = key["items"][one.question]
        chosen = one.value == item["a"]
        groups["pictures"][item["picture"]].append(chosen)
        groups["people"][one.participant].append(chosen)
    every = [chosen for found in groups["people"].values() for chosen in found]
    whole = report["preference"] = preference(sum(every), len(every), interval)
    pictures, people = (
        {name: preference(sum(found), len(found), interval) for name, found in sorted(some.items())}
        for some in groups.values()
    )
    report["pictures"], report["people"] = pictures, people
    bars = {"all answers": whole, **dict(list(pictures.items())[:MOST_BARS])}
    folders: Any = key["settings"]["folders"]
    first, second = (Path(str(one)).name for one in folders[:2])
    write_shares(
        {name: (one["share"], one["low"], one["high"]) for name, one in bars.items()},
        plot,
        title=f"{first} against {second}",
        across=f"{first} preferred, with intervals of 95 %",
        chance=0.5,
    )


def _rate(
    report: StudyReport, kept: Sequence[Answer], key: StudyKey, interval: Interval, plot: Path
) -> None:
    """Ratings of all, of each picture, of each folder, by each participant."""
    pictures, people, groups = (defaultdict[str, list[int]](list) for _ in range(3))
    for one in kept:
        item, value = key["items"][one.question], int(one.value)
        pictures[item["picture"]].append(value)
        people[one.participant].append(value)
        groups[item.get("group", "")].append(value)
    scale = key["scale"]
    every = ratings([value for found in people.values() for value in found], scale)
    report["ratings"] = every
    of_pictures, of_people, of_groups = (
        {name: ratings(found, scale) for name, found in sorted(some.items())}
        for some in (pictures, people, groups)
    )
    report["pictures"], report["people"] = of_pictures, of_people
    report["groups"] = of_groups if set(of_groups) != {""} else {}
    medians = sorted(one["median"] for one in of_pictures.values())
    report["medians"] = {f"{one:g}": medians.count(one) for one in dict.fromkeys(medians)}
    shares = {}
    for number, count in enumerate(every["histogram"], 1):
        share = preference(count, every["answers"], interval)
        shares[f"rating {number}"] = (share["share"], share["low"], share["high"])
    question = str(key["settings"]["question"])
    write_shares(shares, plot, title=question, across="share of the answers, intervals of 95 %")
