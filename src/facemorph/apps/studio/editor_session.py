"""What the landmark editor works on: two photographs, the newest points, where they are saved."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from facemorph.apps.morphing.warp_fitting import smoothing_of
from facemorph.apps.studio.editor_wire import Header, check_ids, check_numbers
from facemorph.errors import DataError, OutputError
from facemorph.faces.alignment import apply_affine, invert_affine
from facemorph.faces.checks.common_cut import FacePlace, common_cut, say_tight_cut
from facemorph.faces.checks.face_cut import cut_face
from facemorph.faces.detection import make_detector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import check_pair, write_points
from facemorph.faces.landmark_schemes import COUNTS, count_of, named_part, scheme_of
from facemorph.faces.pair import FacePair, PreparedFace, locate_face, pair_faces
from facemorph.jobs.outputs import check_writable
from facemorph.ops.frames import Frame
from facemorph.storage.files import read_json, write_whole

logger = logging.getLogger(__name__)

SAVED_AS = (".json", ".tem", ".pts")
AUTOSAVE = "facemorph-editor-autosave"
SIDES = ("a", "b")


@dataclass(frozen=True)
class Photograph:
    """One of both photographs.

    Attributes:
        path: Its file.
        image: ``(3, H, W)`` in [0, 1], upright.
        into_frame: ``(2, 3)`` pixels of the photograph to pixels of the morph's frame.
    """

    path: Path
    image: Tensor
    into_frame: Tensor


class EditorSession:
    """The state of one editor. Every change comes whole from the page, so the newest one is the
    state.

    Args:
        photographs: Both.
        pair: Both faces in the frame of the morph.
        points: ``(2, P, 2)`` float64 pixels of the photographs.
        scheme: Of the points at the beginning, added ones included.
        stem: Saved files are ``STEM.a.json``, ``STEM.b.json``, ``.tem`` and ``.pts`` too.
        templates: Landmark files that the points come from; line lists of ``.tem`` are kept.
    """

    def __init__(
        self,
        photographs: tuple[Photograph, Photograph],
        pair: FacePair,
        points: Tensor,
        scheme: str,
        stem: Path,
        templates: Sequence[Path | None] = (None, None),
    ) -> None:
        self.photographs, self.pair, self.stem, self.unsaved = photographs, pair, stem, False
        self.saved_once = False
        self.base = named_part(scheme)
        self._templates = templates
        self._sizes = torch.tensor(
            [[one.image.shape[2], one.image.shape[1]] for one in photographs]
        ).double()
        self.ids = list(range(points.shape[1]))
        self.points = self._inside(points)
        self._first_points, self._first_scheme = points, scheme  # the frame follows from them

    @property
    def smoothing(self) -> float:
        """Smoothing of the warp, that of ``facemorph morph`` for such landmarks."""
        return smoothing_of(self.base)

    @property
    def is_named(self) -> bool:
        """Whether all points of a named scheme are there, so that a portrait can be cut out."""
        named = COUNTS.get(self.base, 0)
        return named > 0 and self.ids[:named] == list(range(named))

    @property
    def scheme(self) -> str:
        """Scheme of the newest points: the first one's while all of its points are there, else by
        their count.
        """
        if not self.is_named:
            return f"points{len(self.ids)}"
        added = len(self.ids) - COUNTS[self.base]
        return f"{self.base}+{added}" if added else self.base

    def take(self, points: Tensor, ids: list[int]) -> None:
        """Make these the newest points, clipped to the photographs; points that differ are
        unsaved.
        """
        points = self._inside(points)
        if ids != self.ids or not torch.equal(points, self.points):
            self.points, self.ids, self.unsaved = points, ids, True

    def to_field(self, pixels: Tensor, side: int) -> Tensor:
        """Pixels ``(N, 2)`` of photograph 0 or 1 in field coordinates of the morph's frame ``(N,
        2)``.
        """
        return self.pair.frame.from_pixels(
            apply_affine(pixels.double(), self.photographs[side].into_frame)
        )

    def from_field(self, xy: Tensor, side: int) -> Tensor:
        """Field coordinates ``(N, 2)`` in pixels ``(N, 2)`` of photograph 0 or 1, clipped to it."""
        out_of_frame = invert_affine(self.photographs[side].into_frame)
        pixels = apply_affine(self.pair.frame.to_pixels(xy.double()), out_of_frame)
        return pixels.clamp(min=0).minimum(self._sizes[side])

    def landmarks(self) -> tuple[Tensor, Tensor]:
        """The newest points of A and of B in field coordinates, each ``(P, 2)``."""
        return self.to_field(self.points[0], 0), self.to_field(self.points[1], 1)

    @property
    def saved_as(self) -> tuple[str, ...]:
        """Kinds of files; where the count would be taken for another scheme's, only the one that
        names the scheme.
        """
        return (
            SAVED_AS
            if scheme_of(len(self.ids)) in (self.scheme, f"points{len(self.ids)}")
            else SAVED_AS[:1]
        )

    def files(self) -> list[Path]:
        """Files that saving writes."""
        return [_named(self.stem, f".{side}{suffix}") for side in SIDES for suffix in self.saved_as]

    @property
    def autosave_file(self) -> Path:
        """Where unsaved points are kept."""
        return _named(self.stem, ".autosave.json")

    def save(self) -> list[Path]:
        """Write the newest points as JSON, ``.tem`` and ``.pts``, each file whole; what they
        replace is gone.

        Raises:
            OutputError: A file cannot be written; the points stay unsaved.
        """
        files = self.files()
        for path in files:
            self.write(path, SIDES.index(path.suffixes[-2][1:]))
        for suffix in set(SAVED_AS) - set(self.saved_as):  # of points that are no more
            for side in SIDES:
                _named(self.stem, f".{side}{suffix}").unlink(missing_ok=True)
        self.unsaved, self.saved_once = False, True
        self.autosave_file.unlink(missing_ok=True)
        return files

    def write(self, path: Path, side: int) -> None:
        """Write the newest points of photograph 0 or 1 by the suffix of the path.

        Raises:
            OutputError: The file cannot be written.
        """
        template = self._templates[side]
        keeps_lines = (
            path.suffix == ".tem"
            and template is not None
            and template.suffix.lower() == ".tem"
            and self.scheme == self.base
        )
        write_points(
            self.points[side], path, self.scheme, lines_from=template if keeps_lines else None
        )

    def autosave(self) -> Path | None:
        """Keep unsaved points in ``STEM.autosave.json``; None where everything is saved.

        Raises:
            OutputError: It cannot be written.
        """
        if not self.unsaved:
            return None
        content = {
            "format": AUTOSAVE,
            "photographs": [str(one.path) for one in self.photographs],
            "ids": self.ids,
            "points": self.points.tolist(),
            "scheme": self._first_scheme,
            "first_points": self._first_points.tolist(),
        }
        write_whole(self.autosave_file, (json.dumps(content) + "\n").encode())
        return self.autosave_file

    def describe(self) -> Header:
        """What the page needs to begin."""
        frame = self.pair.frame
        return {
            "names": [one.path.name for one in self.photographs],
            "sizes": self._sizes.tolist(),
            "frame": [frame.width, frame.height],
            "points": self.points.tolist(),
            "ids": self.ids,
            "base": self.base,
            "named": COUNTS.get(self.base, 0),
            "unsaved": self.unsaved,
            "stem": self.stem.name,
            "into_frame": [one.into_frame.tolist() for one in self.photographs],
        }

    def _inside(self, points: Tensor) -> Tensor:
        return points.double().clamp(min=0).minimum(self._sizes[:, None])


def open_session(
    a: Path,
    b: Path,
    stem: Path,
    *,
    points_a: Path | None = None,
    points_b: Path | None = None,
    detector: str = "embedded",
    min_score: float | None = None,
    size: int = 512,
) -> EditorSession:
    """Photographs and their points: from the given files, the last session of this stem, or the
    detector.

    Args:
        a: First photograph.
        b: Second photograph; it may have another size and shape.
        stem: Folder and beginning of the names of the saved files.
        points_a: Landmark file of the first.
        points_b: Landmark file of the second.
        detector: Finds the landmarks where there are none.
        min_score: Lowest score of a face; the detector's own when None.
        size: Longer side of the morph's frame in pixels.

    Raises:
        FacemorphError: As ``facemorph.faces.pair.prepare_pair``; OutputError where saving would not
            be possible or would lose points of another session.
    """
    autosaved, saved = (
        _named(stem, ".autosave.json"),
        [_named(stem, f".{side}.json") for side in SIDES],
    )
    check_writable(autosaved)
    given: list[Path | None] = [points_a, points_b]
    if any(given):
        _refuse_loss(given, [autosaved, *saved])
    elif not autosaved.exists() and all(path.is_file() for path in saved):
        given = list(saved)
        logger.warning("These points were saved before: %s goes on with them.", stem)
    found = all(given) or (autosaved.exists() and not any(given))
    find = None if found else make_detector(detector, min_score=min_score)
    restored: tuple[Tensor, list[int]] | None = None
    if find is None and not all(given):
        points, scheme, newest, ids = _read_autosave(autosaved)
        restored = newest, ids
        images = [load_image(path) for path in (a, b)]
        logger.warning("Unsaved points of the last session are restored from %s.", autosaved)
    else:
        located = [
            locate_face(path, file, find, "photograph")
            for path, file in zip((a, b), given, strict=True)
        ]
        check_pair((located[0][1], located[0][2]), (located[1][1], located[1][2]))
        images, scheme = [one[0] for one in located], located[0][2]
        points = torch.stack([one[1] for one in located])
    photographs, faces = [], []
    align = "portrait" if named_part(scheme) in COUNTS else "none"
    common = None
    if align == "portrait":
        places = [
            FacePlace(Frame.of(image), marks, scheme)
            for image, marks in zip(images, points, strict=True)
        ]
        say_tight_cut(places, (str(a), str(b)))
        common = common_cut(places)
    for path, image, marks in zip((a, b), images, points, strict=True):
        cut = cut_face(align, image, marks, scheme, size, common)
        photographs.append(Photograph(path, image, invert_affine(cut.matrix.double())))
        faces.append(PreparedFace(cut.image, cut.points.double(), scheme))
    pair = pair_faces(faces[0], faces[1], str(a), str(b))
    session = EditorSession(
        (photographs[0], photographs[1]), pair, points, scheme, stem, templates=given
    )
    if restored is not None:
        session.take(*restored)
        session.unsaved = True
    return session


def _refuse_loss(given: Sequence[Path | None], ours: Sequence[Path]) -> None:
    """Points of another session under this stem must not be overwritten unseen; editing a saved one
    is fine.
    """
    known = {path.resolve() for path in given if path is not None}
    lost = [path for path in ours if path.exists() and path.resolve() not in known]
    if lost:
        raise OutputError(
            "points of another session would be overwritten",
            where=lost[0],
            remedy="Choose another stem with -o, or leave --points-a and --points-b out to go on "
            "with them.",
        )


def _read_autosave(path: Path) -> tuple[Tensor, str, Tensor, list[int]]:
    """First points and their scheme, newest points and their numbers."""
    try:
        content = read_json(path)
        first, newest = (
            torch.from_numpy(check_numbers(content[key], key, 3))
            for key in ("first_points", "points")
        )
        scheme, ids = content["scheme"], check_ids(content["ids"], newest.shape[1])
        if (
            content["format"] != AUTOSAVE
            or count_of(str(scheme)) not in (None, first.shape[1])
            or {first.shape[::2], newest.shape[::2]} != {(2, 2)}
        ):
            raise ValueError("not what the editor writes")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, DataError) as error:
        raise DataError(
            "unsaved points cannot be restored",
            where=path,
            found=f"{type(error).__name__}: {error}"[:80],
            remedy="Move this file away to begin anew.",
        ) from error
    return first, str(scheme), newest, ids


def _named(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)
