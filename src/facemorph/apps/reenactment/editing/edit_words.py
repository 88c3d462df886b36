"""The language in which a fitted head is changed: words to typed edits.

    shape NUMBER VALUE                     an identity coefficient, in standard deviations
    exp NUMBER|NAME VALUE                  an expression; a name without a side sets both sides
    global_pose yaw|pitch|roll DEGREES     the head, from where it is in the photograph
    jaw_pose yaw|pitch|roll DEGREES        the jaw
    leye_pose|reye_pose yaw|pitch|roll DEGREES     the person's left or right eye
    cam scale FACTOR                       the head's size, times that in the photograph
    cam tx|ty SHARE                        its place, in shares of the picture's longer side
    reset                                  back to the photograph
    undo                                   takes the last statement back

Blanks, commas and ends of lines stand between words, and ``#`` begins a comment. It is the language
of GDPW's demo (Zhong et al. 2022), with names, checks and ``undo``. What depends on the model is
checked in ``edit_targets``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from facemorph.errors import ConfigError, DataError

Pose = Literal["global_pose", "jaw_pose", "leye_pose", "reye_pose"]
Axis = Literal["yaw", "pitch", "roll"]
View = Literal["scale", "tx", "ty"]
AXES: tuple[Axis, ...] = get_args(Axis)
# degrees to either side, of the head from where it is in the photograph
LARGEST_TURN: dict[Axis, float] = {"yaw": 60.0, "pitch": 40.0, "roll": 60.0}
VIEWS: dict[View, tuple[float, float]] = {
    "scale": (0.5, 2.0),
    "tx": (-0.5, 0.5),
    "ty": (-0.5, 0.5),
}
FORMS = {
    "shape": "shape NUMBER VALUE",
    "exp": "exp NUMBER|NAME VALUE",
    **{part: f"{part} yaw|pitch|roll DEGREES" for part in get_args(Pose)},
    "cam": "cam scale|tx|ty VALUE",
    "reset": "reset",
    "undo": "undo",
}
MOST_DIGITS = 9  # of a coefficient's number
SHOWN = 60  # characters of a statement in a message


@dataclass(frozen=True)
class ShapeEdit:
    """Identity coefficient ``number`` becomes ``value`` standard deviations."""

    number: int
    value: float


@dataclass(frozen=True)
class ExpressionEdit:
    """An expression, by name or number, becomes ``value``."""

    name: str | int
    value: float


@dataclass(frozen=True)
class PoseEdit:
    """A part of the head is turned by ``degrees`` about an axis."""

    part: Pose
    axis: Axis
    degrees: float


@dataclass(frozen=True)
class CameraEdit:
    """The head is seen larger or elsewhere."""

    what: View
    value: float


@dataclass(frozen=True)
class Reset:
    """Back to the photograph."""


@dataclass(frozen=True)
class Undo:
    """The last statement is taken back."""


Edit = ShapeEdit | ExpressionEdit | PoseEdit | CameraEdit | Reset | Undo


@dataclass(frozen=True)
class Statement:
    """One statement of a text.

    Attributes:
        edit: What it means.
        text: Its words, with one blank between them.
        where: Its place and words, for messages: ``edit 3: exp 77 1.0``.
    """

    edit: Edit
    text: str
    where: str


def parse_edits(text: str, file: Path | None = None) -> tuple[Statement, ...]:
    """The statements of a text, in order.

    Args:
        text: One or several lines.
        file: Where the text is from, for messages.

    Raises:
        ConfigError: A word is unknown, a value is missing, no finite number or out of range.
    """
    lines = [re.split(r"[\s,]+", line.partition("#")[0]) for line in text.splitlines()]
    words = [(word, number) for number, line in enumerate(lines, 1) for word in line if word]
    found: list[Statement] = []
    place = 0
    while place < len(words):
        keyword, line_number = words[place]
        count = len(FORMS.get(keyword, "").split()) or 1
        taken = [word for word, _ in words[place : place + count]]
        shown = " ".join(taken)
        where = f"edit {len(found) + 1}: {shown[:SHOWN]}"
        if len(lines) > 1 or file is not None:
            where = f"line {line_number}, {where}"
        if file is not None:
            where = f"{file}, {where}"
        found.append(Statement(_edit(taken, where), shown, where))
        place += count
    return tuple(found)


def read_edits(text: str | None, file: Path | None) -> str:
    """The text of edits that are given on the command line or in a file, its words checked.

    Args:
        text: Of ``--edit``.
        file: Of ``--edit-file``.

    Returns:
        The text; empty when neither is given.

    Raises:
        ConfigError: Both are given, or a statement is wrong; of a file it names the line.
        DataError: The file cannot be read.
    """
    if text is not None and file is not None:
        raise ConfigError(
            "edits are given twice",
            where="edit",
            expected="--edit or --edit-file",
            remedy="Put them all into the file.",
        )
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise DataError(
                "this file of edits cannot be read",
                where=file,
                expected="a text file",
                found=getattr(error, "strerror", None) or type(error).__name__,
            ) from error
    parse_edits(text or "", file)
    return text or ""


def _edit(words: list[str], where: str) -> Edit:
    """What the words of one statement mean."""
    keyword = words[0]
    if keyword not in FORMS:
        raise ConfigError(
            "no statement begins with this word",
            where=where,
            found=keyword[:SHOWN],
            remedy=_near(keyword, FORMS),
        )
    form = FORMS[keyword]
    if len(words) < len(form.split()):
        raise ConfigError("a value is missing", where=where, expected=form)
    if keyword == "reset":
        return Reset()
    if keyword == "undo":
        return Undo()
    name = words[1]
    if keyword == "shape":
        return ShapeEdit(_place(name, where), _number(words[2], form, where))
    if keyword == "exp":
        target = _place(name, where) if _is_number(name) else name
        return ExpressionEdit(target, _number(words[2], form, where))
    if keyword == "cam":
        view = cast(View, _chosen(name, VIEWS, where))
        value = _number(words[2], form, where)
        _check_range(value, VIEWS[view], where, "")
        return CameraEdit(view, value)
    part, axis = cast(Pose, keyword), cast(Axis, _chosen(name, AXES, where))
    degrees = _number(words[2], form, where)
    if part == "global_pose":
        _check_range(degrees, (-LARGEST_TURN[axis], LARGEST_TURN[axis]), where, " degrees")
    return PoseEdit(part, axis, degrees)


def _place(word: str, where: str) -> int:
    """The number of a coefficient."""
    if not (word.isascii() and word.isdecimal() and len(word) <= MOST_DIGITS):
        raise ConfigError(
            "coefficients have numbers", where=where, expected="0, 1, 2, ...", found=word[:SHOWN]
        )
    return int(word)


def _number(word: str, form: str, where: str) -> float:
    if not _is_number(word):
        raise ConfigError("this is no number", where=where, expected=form, found=word[:SHOWN])
    value = float(word)
    if not math.isfinite(value):
        raise ConfigError("this is no finite number", where=where, found=word[:SHOWN])
    return value


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _chosen(word: str, choices: Collection[str], where: str) -> str:
    if word not in choices:
        raise ConfigError(
            "no such choice",
            where=where,
            expected=" | ".join(choices),
            found=word[:SHOWN],
            remedy=_near(word, choices),
        )
    return word


def _near(word: str, choices: Collection[str]) -> str | None:
    from facemorph.config.compose import suggestion

    return suggestion(word, choices)


def _check_range(value: float, low_high: tuple[float, float], where: str, unit: str) -> None:
    low, high = low_high
    if not low <= value <= high:
        raise ConfigError(
            "out of range", where=where, expected=f"{low:g} to {high:g}{unit}", found=value
        )
