"""What kind of landmark file a file is, told by its content, and the checks of what it gave."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.faces.files.landmark_arrays import MAGIC, read_array
from facemorph.faces.files.landmark_formats import (
    AT_CENTRE,
    AT_EDGE,
    FROM_ONE,
    KNOWN,
    MAX_BYTES,
    FoundPoints,
    TextFile,
    read_content,
    read_pts,
    read_tem,
    text_of,
)
from facemorph.faces.files.landmark_json import read_json
from facemorph.faces.files.landmark_tables import read_table
from facemorph.faces.files.landmark_xml import read_dlib
from facemorph.faces.landmark_schemes import (
    MEDIAPIPE_COUNTS,
    eye_centres,
    mediapipe_to_ibug68,
    to_ibug68,
)
from facemorph.ops.frames import Frame

MAX_STRUCTURED_BYTES = 16_000_000  # labelme keeps the picture in its file, dlib a data set
SHARES = (-0.5, 1.5)  # coordinates in shares of the picture, a little outside of it too
FEWEST_SHARES = 5  # points; fewer may lie so near to each other in pixels

logger = logging.getLogger(__name__)

_PICKLE = "a pickle of Python, which is never read"
_TABLE = "Export the points as CSV with a first line x,y."
# First bytes of other files that hold landmarks, or that are taken for those; and the conversion.
_REFUSED = (
    *(
        (bytes((0x80, protocol)), _PICKLE, "Save the points with np.save.")
        for protocol in (2, 3, 4, 5)
    ),
    (b"PK\x03\x04", "a zip file", "Save one array with np.save; export spreadsheets as CSV."),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet of Excel", "Export it as CSV."),
    (b"MATLAB 5.0", "a file of Matlab", "In Matlab: writematrix(points - 0.5, 'points.csv')."),
    (b"\x89HDF", "an HDF5 file", _TABLE),
    (b"\x89PNG", "a picture", "Give the file of its landmarks."),
    (b"\xff\xd8\xff", "a picture", "Give the file of its landmarks."),
    (b"GIF8", "a picture", "Give the file of its landmarks."),
    (b"%PDF", "a PDF file", _TABLE),
    (b"%YAML", "a YAML file", _TABLE),
)
_PTS = re.compile(r"^\s*(?:version|n_points)\s*:|^\s*\{\s*\n\s*(?:[-+.\d]|\})", re.MULTILINE)
_Reader = Callable[[TextFile], FoundPoints]
# In this order; what looks like none is what its suffix says, else a table.
_KINDS: tuple[tuple[str, Callable[[str], bool], _Reader], ...] = (
    (".xml", lambda text: text.startswith("<"), read_dlib),
    (".pts", lambda text: _PTS.match(text) is not None, read_pts),
    (".json", lambda text: text.startswith(("{", "[")), read_json),
    (".tem", lambda text: re.match(r"\d+[ \t\r]*\n\s*[-+.\d]", text) is not None, read_tem),
    (".ljson", lambda _: False, read_json),
)


def find_points(path: Path, frame: Frame | None, picture: str | None) -> FoundPoints:
    """Points of a landmark file of any kind, checked against their picture where it is known.

    Args:
        path: The file.
        frame: The picture's frame; None where the picture is not known.
        picture: The picture's name, which chooses among several faces of a file.

    Returns:
        The points in pixels of facemorph: ``centre`` is 0.5.

    Raises:
        DataError: The file is missing, of another kind, damaged, or does not fit the picture.
    """
    content = read_content(path, MAX_STRUCTURED_BYTES)
    if path.suffix.lower() in (".yaml", ".yml"):
        raise _unknown(
            path, "a YAML file", "Lists of ifmorph are read by `facemorph import-ifmorph`."
        )
    for magic, kind, remedy in _REFUSED:
        if content.startswith(magic):
            raise _unknown(path, kind, remedy)
    if content.startswith(MAGIC):
        return _in_pixels(path, read_array(path, content), frame)
    text = text_of(path, content)
    start = text.lstrip()[:200]
    if len(content) > MAX_BYTES and not start.startswith(("{", "[", "<")):
        raise DataError(
            "too large for a landmark file",
            where=path,
            expected=f"at most {MAX_BYTES} bytes",
            found=len(content),
        )
    suffix = path.suffix.lower()
    by_suffix = {kind: read for kind, _, read in _KINDS}
    looks = (read for _, looks_like, read in _KINDS if looks_like(start))
    read = next(looks, by_suffix.get(suffix, read_table))
    return _in_pixels(path, read(TextFile(path, text, picture)), frame)


def _unknown(path: Path, found: str, remedy: str) -> DataError:
    return DataError(
        "unknown kind of landmark file", where=path, expected=KNOWN, found=found, remedy=remedy
    )


def _in_pixels(path: Path, found: FoundPoints, frame: Frame | None) -> FoundPoints:
    if not found.rows:
        raise DataError("landmark file has no points", where=path, expected="at least one point")
    points = torch.tensor(found.rows, dtype=torch.float64)
    if frame is not None and found.size not in (None, (frame.width, frame.height)):
        wide, high = found.size or (0, 0)
        raise DataError(
            "these points belong to a picture of another size",
            where=path,
            expected=f"{frame.width} x {frame.height}",
            found=f"{wide:g} x {high:g}",
            remedy="Give the picture that was marked, or mark this one.",
        )
    low, high = SHARES
    shares = bool(((points > low) & (points < high)).all()) and len(points) >= FEWEST_SHARES
    if found.free and shares:
        points, centre = _from_shares(path, points, frame), AT_EDGE
    else:
        centre = _told_centre(path, points, found, frame)
    points = points + (0.5 - centre)
    scheme = found.scheme
    if scheme is None and found.centre != FROM_ONE and len(points) in MEDIAPIPE_COUNTS:
        points, scheme = mediapipe_to_ibug68(points), "ibug68"
    _check_axes(path, points, frame)
    return FoundPoints(points.tolist(), AT_EDGE, scheme)


def _from_shares(path: Path, points: Tensor, frame: Frame | None) -> Tensor:
    """Pixels of coordinates in [0, 1]."""
    if frame is None:
        raise DataError(
            "these coordinates are shares of a picture whose size is not known here",
            where=path,
            expected="pixels",
            found=f"numbers from {float(points.min()):g} to {float(points.max()):g}",
            remedy="Multiply x by the picture's width and y by its height.",
        )
    logger.info("%s: shares of the picture, taken times %d x %d.", path, frame.width, frame.height)
    return points * points.new_tensor([frame.width, frame.height])


def _told_centre(path: Path, points: Tensor, found: FoundPoints, frame: Frame | None) -> float:
    """What the file calls the centre of the first pixel, if its largest numbers tell otherwise than
    usual.
    """
    if frame is None or not found.free or found.centre != AT_CENTRE:
        return found.centre
    size = points.new_tensor([frame.width, frame.height])
    beyond, inside = (points > size - 0.5).any(), (points <= size).all() and (points >= 0).all()
    if not bool(beyond and inside):
        return found.centre
    centre = FROM_ONE if bool((points >= 1).all()) else AT_EDGE
    logger.warning(
        "%s: points reach %g, %g of %d x %d pixels, so they are taken to count %s.",
        path,
        *points.amax(0).tolist(),
        frame.width,
        frame.height,
        "pixels from 1" if centre == FROM_ONE else "from the picture's edge",
    )
    return centre


def _check_axes(path: Path, points: Tensor, frame: Frame | None) -> None:
    """Refuse rows and columns that are exchanged where the picture tells, and say so where the face
    does.
    """
    if frame is not None and len(points) >= 3:
        size = points.new_tensor([frame.width, frame.height])
        fits, exchanged = (
            bool(((one >= 0) & (one <= size)).all()) for one in (points, points.flip(1))
        )
        if exchanged and not fits:
            raise DataError(
                "x and y of these points seem to be exchanged",
                where=path,
                expected=f"x up to {frame.width} and y up to {frame.height}",
                found=f"x up to {float(points[:, 0].max()):g} and y up to "
                f"{float(points[:, 1].max()):g}",
                remedy="Write x, the column, before y, the row.",
            )
    scheme = {68: "ibug68", 189: "frll189"}.get(len(points))
    if scheme is None:
        return
    marks = to_ibug68(points, scheme)
    across = eye_centres(points, scheme).diff(dim=0)[0]
    down = marks[8] - marks[27]
    turned = float(across[0] * down[1] - across[1] * down[0])
    if turned < -0.1 * float(across.norm() * down.norm()):
        what = "x and y" if abs(across[1]) > abs(across[0]) else "left and right"
        logger.warning("%s: this face is mirrored; %s seem to be exchanged.", path, what)
