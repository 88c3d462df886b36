"""What is wrong with a folder of photographs, found before a long run meets it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import torch

from facemorph import console
from facemorph.errors import FacemorphError
from facemorph.faces.detection import TINY_FACE_PIXELS, judged_faces, make_detector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import check_points, read_points
from facemorph.faces.files.pair_lists import points_of, read_pair_list
from facemorph.faces.types import LandmarkDetector
from facemorph.jobs.input_files import attempt_each, picture_files
from facemorph.ops.frames import Frame
from facemorph.storage.files import sha256_of


class CheckedPicture(TypedDict, total=False):
    """A photograph, its ``(width, height)``, and what is wrong with it."""

    file: str
    size: list[int]
    sha256: str
    problems: list[str]
    status: str
    error: str
    reason: str


class CheckReport(TypedDict):
    """What was found in a folder: see ``check_folder``."""

    folder: str
    rows: list[CheckedPicture]
    pairs: list[str]
    left_out: list[str]
    problems: int


def check_folder(
    folder: str | Path,
    *,
    points: str | Path | None = None,
    pairs: str | Path | None = None,
    faces: bool = True,
    detector: str = "embedded",
) -> CheckReport:
    """Check every photograph of a folder, its landmarks, and a list of pairs.

    Args:
        folder: The photographs.
        points: Folder of their landmark files; not checked when None.
        pairs: List of pairs of these photographs; not checked when None.
        faces: Look for the face of each (about 30 ms).
        detector: What looks for it.

    Returns:
        ``rows``: each photograph with size, sha256 and ``problems``; ``pairs``: lines of the list
        that are at fault; ``problems``: the number of all these; ``left_out``: lines that no data
        set is made of, self-pairs and repeated ones, which are no fault.

    Raises:
        DataError: The folder holds no photograph, or the list cannot be read.
    """
    paths = picture_files([folder])
    find = make_detector(detector) if faces else None
    seen: dict[str, str] = {}
    schemes: dict[str, str] = {}

    def work(path: Path) -> CheckedPicture:
        image = load_image(path)
        digest = sha256_of(path)
        found: list[str] = []
        if digest in seen:
            found.append(f"the same file as {seen[digest]}")
        seen.setdefault(digest, path.name)
        if find is not None:
            found += face_problems(image, find)
        if points is not None:
            found += _landmark_problems(path, points, Frame.of(image), schemes)
        return {"size": [image.shape[2], image.shape[1]], "sha256": digest, "problems": found}

    with torch.no_grad():
        rows = list(attempt_each(console.track(paths, "photographs"), work))
    for row in rows:
        if row.get("status") == "failed":
            row["problems"] = [row.pop("reason")]
    lines, left_out = ([], []) if pairs is None else _pair_problems(pairs, folder)
    return {
        "folder": str(folder),
        "rows": rows,
        "pairs": lines,
        "left_out": left_out,
        "problems": sum(len(row["problems"]) for row in rows) + len(lines),
    }


def face_problems(image: torch.Tensor, find: LandmarkDetector) -> list[str]:
    """What is wrong with the faces of ``image`` (3, H, W): none, several, tiny, or cut by the
    border.
    """
    judged = judged_faces(image, find)
    found = [face for face, reason in judged if reason is None]
    if not judged:
        return ["no face found"]
    if not found:
        return ["the landmarks found cannot be a face's"]
    problems = [] if len(found) == 1 else [f"{len(found)} faces found"]
    sides = found[0].box[2:] - found[0].box[:2]
    if float(sides.max()) < TINY_FACE_PIXELS:
        problems.append(f"the face is only {float(sides.max()):.0f} pixels large")
    limits = found[0].points.new_tensor([image.shape[2], image.shape[1]])
    outside = ((found[0].points < 0) | (found[0].points > limits)).any(-1)
    if bool(outside.any()):
        problems.append(
            f"{int(outside.sum())} landmarks lie outside of the picture: the face is cut"
        )
    return problems


def _landmark_problems(
    path: Path, points: str | Path, frame: Frame, schemes: dict[str, str]
) -> list[str]:
    try:
        found, scheme = read_points(points_of(path, points), frame, path)
        check_points(found, frame, distinct=False)
    except FacemorphError as error:
        return [str(error)]
    schemes.setdefault(scheme, path.name)
    first, name = next(iter(schemes.items()))
    return [] if scheme == first else [f"landmarks are {scheme}, those of {name} are {first}"]


def _pair_problems(pairs: str | Path, folder: str | Path) -> tuple[list[str], list[str]]:
    found, left_out = [], []
    for pair in read_pair_list(pairs, folder):
        if pair.skip is not None:
            left_out.append(f"line {pair.line}: {pair.skip}")
        found += [
            f"line {pair.line}: there is no {path}"
            for path in (pair.a, pair.b)
            if not path.is_file()
        ]
    return found, left_out


def say(report: CheckReport, shown: int = 20) -> int:
    """Print the problems, the first ones only; returns the exit code, 3 where there is one."""
    lines = [
        f"{Path(row['file']).name}: {problem}"
        for row in report["rows"]
        for problem in row["problems"]
    ]
    _print_some(
        [*lines, *report["pairs"], *(f"{line}, left out" for line in report["left_out"])], shown
    )
    sizes = sorted({tuple(row["size"]) for row in report["rows"] if "size" in row})
    words = ", ".join(f"{width} x {height}" for width, height in sizes[:3]) + (
        ", ..." if len(sizes) > 3 else ""
    )
    console.out.print(f"{len(report['rows'])} pictures ({words}), {report['problems']} problems")
    return 3 if report["problems"] else 0


def _print_some(lines: Iterable[str], shown: int) -> None:
    every = list(lines)
    for line in every[:shown]:
        console.out.print(line, markup=False)
    if len(every) > shown:
        console.out.print(f"... and {len(every) - shown} more; --json FILE writes all")
