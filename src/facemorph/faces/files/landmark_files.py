"""Files of landmarks: those of facemorph and of other programs, and the lists of ifmorph.

Inside facemorph points are pixels ``(K, 2)`` with x right, y down, 0 at the edge of the picture and
pixel centres at i + 0.5. Other programs count differently, and the readers and writers convert:

==========  ==================================================================  ================
file        what it holds                                                       centre of pixel i
==========  ==================================================================  ================
``.tem``    Psychomorph template: count, ``x<TAB>y``, line lists                i
``.pts``    300-W: ``n_points``, ``{``, ``x y`` ..., ``}``                      i + 1 (Matlab)
``.json``   ``{"scheme": ..., "points": [[x, y], ...]}``                        i + 0.5
``.csv``    ``x,y`` header, one point a line                                    i + 0.5
``.yaml``   ifmorph: ``[row, column]``, each in [-1, 1] per axis                (2i + 1)/size - 1
tables      x and y separated by blanks, tabs or semicolons                     i
``.npy``    NumPy's array ``(K, 2)``                                            i
OpenFace    CSV, a face in each row: ``x_0`` ..., ``y_0`` ...                   i
dlib        XML of imglab: ``<part name x y>`` in ``<box>``                     i
menpo       LJSON: ``[y, x]``                                                   i
COCO        WholeBody, MMPose and OpenPose: x, y, score of 68 of 133 keypoints  i
labelme     JSON with shapes of the kind point                                  i + 0.5
MediaPipe   468 or 478 points, in pixels or in shares of the picture            i + 0.5
==========  ==================================================================  ================
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from facemorph.errors import DataError, GeometryError
from facemorph.faces.files.landmark_formats import pairs, read_text, shown, tem_line_section
from facemorph.faces.files.landmark_recognition import find_points
from facemorph.faces.landmark_schemes import count_of, scheme_of
from facemorph.ops.frames import Frame
from facemorph.storage.files import write_whole
from facemorph.storage.pickled_arrays import read_pickled_array
from facemorph.storage.suffixes import LANDMARKS

SUFFIXES = LANDMARKS
_PIXEL_CENTRE = {".tem": 0.0, ".pts": 1.0, ".json": 0.5, ".csv": 0.5}
_COLLINEAR = 1e-6  # of the largest extent


def read_points(
    path: str | Path, frame: Frame | None = None, picture: str | Path | None = None
) -> tuple[Tensor, str]:
    """Read landmarks from a file of facemorph or of another program, whose kind its content tells.

    Read are ``.tem``, ``.pts``, our ``.json`` and ``.csv``; tables and spreadsheets of x and y,
    OpenFace, dlib, labelme, menpo, NumPy, MediaPipe (as 68 points), OpenPose and COCO-WholeBody.
    ``docs/files.md`` has a table of them.

    Args:
        path: The file.
        frame: The picture's frame, which the points are checked against, and by which shares of the
            picture become pixels.
        picture: The picture, or its name, which chooses among the faces of a file.

    Returns:
        Points ``(K, 2)`` float64 in pixels, and their scheme: the one the file names, else by the
        count.

    Raises:
        DataError: The file is missing, of another kind or malformed, does not fit the picture, or
            has several faces of it; says which line, and how to convert it.
    """
    path = Path(path)
    found = find_points(path, frame, None if picture is None else str(picture))
    expected = count_of(found.scheme) if found.scheme is not None else None
    if expected is not None and expected != len(found.rows):
        raise DataError(
            f"points do not fit the scheme {found.scheme}",
            where=path,
            expected=expected,
            found=len(found.rows),
        )
    points = torch.tensor(found.rows, dtype=torch.float64)
    return points, found.scheme or scheme_of(len(points))


def write_points(
    points: Tensor, path: str | Path, scheme: str, *, lines_from: str | Path | None = None
) -> Path:
    """Write landmarks as ``.tem``, ``.pts``, ``.json`` or ``.csv``, by the suffix.

    Args:
        points: ``(K, 2)`` in pixels.
        path: The file; it appears whole or not at all.
        scheme: Their scheme; only ``.json`` and ``.csv`` keep it, the others keep the count.
        lines_from: For ``.tem``: a template whose line lists are copied; without it there are none.

    Returns:
        The path.

    Raises:
        DataError: The points are not finite or do not fit their scheme; the suffix is unknown; the
            template of ``lines_from`` has another number of points.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(
            "unknown kind of landmark file", where=path, expected=" ".join(SUFFIXES), found=suffix
        )
    if (
        points.ndim != 2
        or points.shape[1] != 2
        or not len(points)
        or not bool(torch.isfinite(points).all())
        or count_of(scheme) not in (None, len(points))
    ):
        raise DataError(
            f"points cannot be written as {scheme}",
            where=path,
            expected=f"({count_of(scheme) or 'K'}, 2) finite numbers",
            found=tuple(points.shape),
        )
    rows = (points.detach().double().cpu() - (0.5 - _PIXEL_CENTRE[suffix])).tolist()
    if suffix == ".tem":
        lines = tem_line_section(Path(lines_from), len(rows)) if lines_from is not None else ["0"]
        text = "\n".join([str(len(rows)), *(f"{x!r}\t{y!r}" for x, y in rows), *lines])
    elif suffix == ".pts":
        text = "\n".join(
            ["version: 1", f"n_points: {len(rows)}", "{", *(f"{x!r} {y!r}" for x, y in rows), "}"]
        )
    elif suffix == ".json":
        text = json.dumps(
            {"format": "facemorph-points", "scheme": scheme, "points": rows}, indent=1
        )
    else:
        text = "\n".join([f"# scheme: {scheme}", "x,y", *(f"{x!r},{y!r}" for x, y in rows)])
    write_whole(path, (text + "\n").encode("utf-8"))
    return path


def read_ifmorph_points(path: str | Path, frame: Frame) -> dict[str, Tensor]:
    """Landmarks of an experiment file, of a list, or of a ``.dat`` file of the ifmorph project.

    Args:
        path: YAML with ``loss.sources`` and ``loss.targets`` (lists, or names of files with lists,
            relative to this one), or with one list; ``.dat``: a pickled array, which is read
            without unpickling.
        frame: The picture's frame; ifmorph scales each axis to [-1, 1].

    Returns:
        ``{"sources": ..., "targets": ...}``, or ``{"points": ...}`` for a list; each ``(K, 2)``
            float64 in pixels.

    Raises:
        DataError: The file is missing or malformed.
    """
    path = Path(path)
    if path.suffix.lower() == ".dat":
        return {"points": _from_row_column(read_pickled_array(path).tolist(), path, frame)}
    content = _read_yaml(path)
    if isinstance(content, list):
        return {"points": _from_row_column(content, path, frame)}
    loss = content.get("loss") if isinstance(content, dict) else None
    if not isinstance(loss, dict) or not {"sources", "targets"} <= set(loss):
        raise DataError(
            "not an experiment file of ifmorph",
            where=path,
            expected="loss.sources and loss.targets, or a list",
            found=shown(content),
        )
    points = {}
    for key in ("sources", "targets"):
        value, origin = loss[key], path
        if isinstance(value, str):
            origin = path.parent / value
            value = _read_yaml(origin)
        points[key] = _from_row_column(value, origin, frame)
    check_pair((points["sources"], "sources"), (points["targets"], "targets"), schemes=False)
    return points


def check_points(
    points: Tensor,
    frame: Frame,
    name: str = "points",
    *,
    inside: bool = True,
    distinct: bool = True,
) -> None:
    """Check that points can carry a warp of a picture.

    Args:
        points: ``(K, 2)`` in pixels.
        frame: The picture's frame.
        name: What to call them in the message.
        inside: Whether points outside of the frame are an error.
        distinct: Whether coincident points are an error.

    Raises:
        GeometryError: Fewer than 3 points, or points that are not finite, equal, all on one line or
            outside of the frame; names their indices.
    """
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise GeometryError(
            f"{name} cannot carry a warp",
            expected="at least 3 points, (K, 2)",
            found=tuple(points.shape),
        )
    exact = points.detach().double().cpu()
    _refuse(~torch.isfinite(exact).all(1), exact, f"{name} are not finite", "Correct these points")
    if inside:
        limits = exact.new_tensor([frame.width, frame.height])
        _refuse(
            ((exact < 0) | (exact > limits)).any(1),
            exact,
            f"{name} lie outside of the picture of {frame.width} x {frame.height} pixels",
            "Move them into the picture; maybe they belong to another picture or size",
        )
    # Differences, not products: those lose small distances between many points.
    distance = torch.cdist(exact, exact, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = [(int(a), int(b)) for a, b in (distance < 1e-6).nonzero() if a < b]
    if pairs and distinct:
        raise GeometryError(
            f"{name} coincide",
            found=f"index pairs {_shortened(pairs)}",
            remedy="Move or remove one of each pair",
        )
    spread = torch.linalg.svdvals(exact - exact.mean(0))
    if float(spread[1]) <= _COLLINEAR * float(spread[0]):
        raise GeometryError(
            f"all {len(exact)} {name} lie on one line",
            expected="points that span an area",
            found=f"indices 0 to {len(exact) - 1}",
            remedy="Add points beside the line",
        )


def check_pair(a: tuple[Tensor, str], b: tuple[Tensor, str], *, schemes: bool = True) -> None:
    """Check that two lists of points, each with its scheme, correspond.

    Raises:
        DataError: Their counts or schemes differ.
    """
    (points_a, scheme_a), (points_b, scheme_b) = a, b
    if schemes and scheme_a != scheme_b:
        raise DataError(
            "the two faces have points of different schemes",
            expected=scheme_a,
            found=scheme_b,
            remedy="Use one detector or one kind of file for both, or convert both by to_ibug68",
        )
    if len(points_a) != len(points_b):
        raise DataError(
            "the two faces have different numbers of points",
            expected=len(points_a),
            found=len(points_b),
            remedy="Give as many points, in the same order, for both",
        )


def _shortened(items: Sequence[object], most: int = 8) -> str:
    text = ", ".join(map(str, items[:most]))
    return f"{text} and {len(items) - most} more" if len(items) > most else text


def _refuse(bad: Tensor, points: Tensor, what: str, remedy: str) -> None:
    indices = bad.nonzero()[:, 0].tolist()
    if indices:
        first = ", ".join(f"{value:.1f}" for value in points[indices[0]].tolist())
        raise GeometryError(
            what, found=f"indices {_shortened(indices)}, the first at ({first})", remedy=remedy
        )


def _read_yaml(path: Path) -> Any:
    text = read_text(path)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, KeyError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark is not None else path
        raise DataError(
            "not a YAML file", where=where, found=str(getattr(error, "problem", error))[:80]
        ) from error


def _from_row_column(values: Any, path: Path, frame: Frame) -> Tensor:
    if not isinstance(values, list) or not values:
        raise DataError(
            "not a list of points",
            where=path,
            expected="[[row, column], ...]",
            found=type(values).__name__,
        )
    row_column = torch.tensor(pairs(values, path), dtype=torch.float64)
    size = row_column.new_tensor([frame.width, frame.height])
    return (row_column.flip(-1) + 1) / 2 * size
