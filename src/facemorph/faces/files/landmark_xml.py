"""Landmark files of dlib's imglab: XML with boxes of faces and their parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from facemorph.errors import DataError
from facemorph.faces.files.landmark_formats import (
    AT_CENTRE,
    FoundPoints,
    TextFile,
    choose_face,
    in_order,
    number,
    pair,
    shown,
)

MOST_BOXES = 100_000  # far above every data set: each takes memory


@dataclass
class _Box:
    """A box of imglab, with the size of its picture as the file says it."""

    picture: str | None
    size: tuple[str | None, str | None]
    line: int
    parts: list[tuple[str, tuple[str | None, str | None], int]] = field(default_factory=list)


def read_dlib(file: TextFile) -> FoundPoints:
    """Points of the picture's box in a data set of dlib; parts are taken by their numbers.

    Raises:
        DataError: It is another XML, damaged, or has no face of the picture or several.
    """
    boxes = _boxes(file)
    with_parts = [(box.picture, box) for box in boxes if box.parts]
    if boxes and not with_parts:
        raise DataError(
            "this file of dlib has boxes without landmarks",
            where=file.path,
            expected="<part> in <box>",
            found=f"{len(boxes)} boxes",
            remedy="Mark the parts in imglab, or let facemorph find them.",
        )
    box = choose_face(file.path, with_parts, file.picture, "dlib")
    unnumbered = [part for part in box.parts if not (part[0].isascii() and part[0].isdigit())]
    if unnumbered:
        name, _, line = unnumbered[0]
        raise DataError(
            "the parts of this face have no order",
            where=f"{file.path}, line {line}",
            expected="names that are numbers, 00 to 67",
            found=shown(name),
            remedy="Name the parts by their numbers.",
        )
    named = [(name[:9], (values, line)) for name, values, line in box.parts]
    rows = [
        pair(values, f"{file.path}, line {line}")
        for values, line in in_order(named, f"{file.path}, line {box.line}")
    ]
    size = None
    if box.size[0] is not None and box.size[1] is not None:
        where = f"{file.path}, line {box.line}"
        size = number(box.size[0], where), number(box.size[1], where)
    return FoundPoints(rows, AT_CENTRE, size=size)


def _boxes(file: TextFile) -> list[_Box]:
    boxes: list[_Box] = []
    picture: dict[str, str] = {}
    parser = expat.ParserCreate("utf-8")  # the text is decoded already
    inside: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if not inside and name != "dataset":
            raise DataError(
                "an XML file of another program",
                where=f"{file.path}, line {parser.CurrentLineNumber}",
                expected="<dataset> of dlib's imglab",
                found=f"<{name[:40]}>",
                remedy="Export the points as CSV with a first line x,y.",
            )
        inside.append(name)
        if name == "image":
            picture.clear()
            picture.update(attributes)
        elif name == "box":
            if len(boxes) == MOST_BOXES:
                raise DataError("too many faces", where=file.path, expected=f"up to {MOST_BOXES}")
            size = picture.get("width"), picture.get("height")
            boxes.append(_Box(picture.get("file"), size, parser.CurrentLineNumber))
        elif name == "part" and boxes and "box" in inside:
            values = attributes.get("x"), attributes.get("y")
            boxes[-1].parts.append((attributes.get("name", ""), values, parser.CurrentLineNumber))

    def doctype(*_: object) -> None:
        # Entities may grow without end, and no file of dlib has them.
        raise DataError("this XML defines its own entities", where=file.path)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: inside.pop()
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(file.text.encode(), True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # unknown encodings
        raise DataError(
            "not an XML file, or damaged",
            where=f"{file.path}, line {parser.CurrentLineNumber}",
            found=str(error)[:80],
            remedy="Get the file again.",
        ) from error
    return boxes
