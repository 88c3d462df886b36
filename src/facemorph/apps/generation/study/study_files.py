"""Questions of a perceptual study, drawn and written: page, pictures, table and key."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from facemorph.apps.generation.study.choices import KEY, PAGE, QUESTIONS
from facemorph.apps.morphing.morph_pictures import picture_of
from facemorph.errors import DataError
from facemorph.faces.files.image_io import load_image, resize_image
from facemorph.faces.files.image_output import read_synthetic_tag, save_image
from facemorph.jobs.outputs import make_folders
from facemorph.jobs.pages.study_page import StudyPage, write_study_page
from facemorph.jobs.records import Header, header, write_json
from facemorph.storage.files import write_whole
from facemorph.storage.folders import listed
from facemorph.storage.suffixes import PICTURES

FOLDER = "pictures"
SHEETS = ("faces.png", "sheet.png", "comparison.png", "transfer.png")  # beside a report
SIDES = ("left", "right")
COARSE, NOISE = 6, 0.15  # cells across a ruined picture, and their noise


class KeyItem(TypedDict, total=False):
    """What a question is about.

    Attributes:
        picture: Name of the picture, or of the pair.
        group: Folder that it lies in, of ratings.
        a: On which side A is.
        check: The right answer, of questions that have one.
    """

    picture: str
    group: str
    a: str
    check: str


class StudyKey(Header):
    """The content of ``key.json``.

    Attributes:
        study: Name that all answers carry.
        kind: ``ab`` or ``likert``.
        scale: Highest rating; 2 for ``ab``.
        items: By the question's name.
        left_out: Pictures of the folders without a partner.
    """

    study: str
    kind: str
    scale: int
    items: dict[str, KeyItem]
    left_out: int


@dataclass
class Question:
    """One question.

    Attributes:
        pictures: By their place: left, right and reference, or picture.
        key: What it is about.
        synthetic: Whether all of its pictures carry the mark of facemorph.
    """

    pictures: dict[str, Tensor]
    key: KeyItem
    synthetic: dict[str, bool] = field(default_factory=dict)


def make_ab(
    folders: Sequence[Path],
    output: Path,
    asked: str,
    count: int | None,
    checks: int,
    seed: int,
    size: int,
    url: str,
) -> StudyKey:
    """Make a comparison of two folders, with a third one as reference if given; see ``ab``."""
    named = [pictures_by_name(folder) for folder in folders]
    common = sorted(set(named[0]).intersection(*named[1:]))
    every = set().union(*named)
    if not common:
        raise DataError(
            "these folders have no pictures of the same names",
            where=folders[0],
            found=", ".join(f"{len(one)} pictures" for one in named),
            expected="the same names in both",
        )
    draw = random.Random(seed)  # noqa: S311
    chosen = drawn(common, count, draw, folders[0])
    questions = []
    for name in chosen:
        sides = list(SIDES)
        draw.shuffle(sides)
        files = dict(zip((*sides, "reference"), (one[name] for one in named), strict=False))
        questions.append(_question(files, size, {"picture": name, "a": sides[0]}))
    for number in range(checks):
        right = draw.choice(SIDES)
        wrong = SIDES[1 - SIDES.index(right)]
        name = chosen[number % len(chosen)]
        shown = _shown(named[-1][name] if len(named) > 2 else named[number % 2][name], size)
        pictures = {right: shown, wrong: ruined(shown, draw.randrange(2**31))}
        if len(named) > 2:
            pictures["reference"] = shown
        questions.append(Question(pictures, {"check": right}))
    settings = {
        "folders": [str(one) for one in folders],
        "question": asked,
        "checks": checks,
        "seed": seed,
        "size": size,
    }
    page = StudyPage("", "ab", asked, 2, ("", ""))
    return _write(questions, draw, output, page, settings, len(every) - len(common), url)


def make_likert(
    folder: Path,
    output: Path,
    asked: tuple[str, int, tuple[str, str]],
    count: int | None,
    checks: int,
    seed: int,
    size: int,
    url: str,
) -> StudyKey:
    """Make a study of ratings; see ``likert``."""
    named, (question, scale, ends) = pictures_by_name(folder), asked
    draw = random.Random(seed)  # noqa: S311
    questions = []
    for name in drawn(sorted(named), count, draw, folder):
        group = Path(name).parent.as_posix()
        key: KeyItem = {"picture": name, "group": "" if group == "." else group}
        questions.append(_question({"picture": named[name]}, size, key))
    for _ in range(checks):
        right = draw.randint(1, scale)
        questions.append(
            Question({"picture": instruction(f"Choose {right}", size)}, {"check": str(right)})
        )
    settings = {
        "folders": [str(folder)],
        "question": question,
        "scale": scale,
        "checks": checks,
        "seed": seed,
        "size": size,
    }
    page = StudyPage("", "likert", question, scale, ends)
    return _write(questions, draw, output, page, settings, 0, url)


# ------------------------------------------------------------
# pictures
def pictures_by_name(folder: Path) -> dict[str, Path]:
    """Pictures of a folder and of those in it, by their path without suffix; sheets that other
    commands put beside their report are left aside.

    Raises:
        DataError: There is none, or two have one name.
    """
    found: dict[str, Path] = {}
    for path in listed(folder, PICTURES, deep=True):
        if path.name in SHEETS and (path.parent / "report.json").is_file():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError("two pictures have the same name", where=path, found=found[name].name)
        found[name] = path
    if not found:
        raise DataError(
            "there are no pictures in this folder", where=folder, expected=" ".join(PICTURES)
        )
    return found


def drawn(names: Sequence[str], count: int | None, draw: random.Random, folder: Path) -> list[str]:
    """Some of the names, or all of them.

    Raises:
        DataError: There are fewer.
    """
    if count is None:
        return list(names)
    if count > len(names):
        raise DataError(
            "there are not so many pictures", where=folder, expected=count, found=len(names)
        )
    return sorted(draw.sample(list(names), count))


def _question(files: Mapping[str, Path], size: int, key: KeyItem) -> Question:
    shown = {place: _shown(path, size) for place, path in files.items()}
    marks = {place: read_synthetic_tag(path) is not None for place, path in files.items()}
    return Question(shown, key, marks)


def _shown(path: Path, size: int) -> Tensor:
    """A picture whose longer side has ``size`` pixels."""
    image = load_image(path)
    scale = size / max(image.shape[1:])
    height, width = (max(1, round(side * scale)) for side in image.shape[1:])
    return resize_image(image, (height, width))


def ruined(image: Tensor, seed: int) -> Tensor:
    """A picture of which only coarse, noisy blocks are left."""
    coarse = functional.interpolate(image[None], (COARSE, COARSE), mode="area")
    noise = torch.randn(coarse.shape, generator=torch.Generator().manual_seed(seed))
    coarse = (coarse + NOISE * noise).clamp(0, 1)
    return functional.interpolate(coarse, image.shape[1:], mode="nearest")[0]


def instruction(text: str, size: int) -> Tensor:
    """A picture ``(3, size, size)`` that shows a text."""
    picture = Image.new("RGB", (size, size), (245, 245, 245))
    font = ImageFont.load_default(size / 8)
    place = (size / 2, size / 2)
    ImageDraw.Draw(picture).text(place, text, fill=(20, 20, 20), font=font, anchor="mm")
    return picture_of(picture)


# ------------------------------------------------------------
# files
def _write(
    questions: list[Question],
    draw: random.Random,
    output: Path,
    page: StudyPage,
    settings: dict[str, object],
    left_out: int,
    url: str,
) -> StudyKey:
    draw.shuffle(questions)
    width = len(str(len(questions)))
    named = {f"q{number:0{width}d}": one for number, one in enumerate(questions, 1)}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    make_folders(output, [FOLDER])
    rows: list[dict[str, str]] = []
    for name, one in named.items():
        digest.update(json.dumps([name, one.key], sort_keys=True).encode())
        row = {"id": name}
        for place in sorted(one.pictures):
            file = f"{FOLDER}/{name}_{place}.png"
            synthetic = one.synthetic.get(place, False)
            save_image(one.pictures[place], output / file, synthetic=synthetic)
            digest.update((output / file).read_bytes())
            row[place] = f"{url}{file}"
        row |= {"a_side": one.key.get("a", ""), "check": one.key.get("check", "")}
        rows.append(row)
    page.study = digest.hexdigest()[:12]
    _write_table(rows, page, output / QUESTIONS)
    shown: list[dict[str, str | Tensor]] = [
        {"id": name, **_in_order(one.pictures)} for name, one in named.items()
    ]
    write_study_page(page, shown, output / PAGE)
    key: StudyKey = {
        **header(settings),
        "study": page.study,
        "kind": page.kind,
        "scale": page.scale,
        "items": {name: one.key for name, one in named.items()},
        "left_out": left_out,
    }
    write_json(output / KEY, key)
    return key


def _in_order(pictures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        place: pictures[place]
        for place in ("left", "reference", "right", "picture")
        if place in pictures
    }


def _write_table(rows: Sequence[Mapping[str, str]], page: StudyPage, path: Path) -> None:
    places = ["left", "right", "reference"] if page.kind == "ab" else ["picture"]
    ends = ["a_side", "check"] if page.kind == "ab" else ["check"]
    stream = io.StringIO()
    names = ["study", "id", "question", *places, *ends]
    writer = csv.DictWriter(stream, names, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({"study": page.study, "question": page.question, **row})
    write_whole(path, stream.getvalue().encode())
