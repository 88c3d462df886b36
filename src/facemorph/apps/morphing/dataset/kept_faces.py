"""Faces that are ready for any pair of a list: a face is in many pairs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from facemorph.apps.morphing.morph_options import DatasetOptions
from facemorph.errors import DataError, FacemorphError
from facemorph.faces.alignment import PortraitCut
from facemorph.faces.checks.common_cut import FacePlace, common_cut
from facemorph.faces.checks.face_cut import cut_alpha, cut_face
from facemorph.faces.detection import make_detector
from facemorph.faces.face_input import FaceInput
from facemorph.faces.files.pair_lists import ListedPair, points_of
from facemorph.faces.pair import PreparedFace, cut_again, locate_face
from facemorph.faces.types import LandmarkDetector
from facemorph.fields.image_fields import SplineImage
from facemorph.ops.frames import Frame
from facemorph.storage.suffixes import holds_alpha

CACHE_BYTES = 512 * 2**20  # of prepared pictures, in each process
Cut = tuple[PortraitCut | None, bool]  # in common with another face; whether it is the last one


@dataclass
class KeptFace:
    """A face ready for any pair, its picture as a spline, and where it is in its photograph."""

    face: PreparedFace
    field: SplineImage
    place: FacePlace


@dataclass
class KeptFaces:
    """The faces that were prepared last, about half a gigabyte of them.

    Args:
        options: What all pairs have in common.
        device: Device of the pictures.
    """

    options: DatasetOptions
    device: str = "cpu"
    _kept: OrderedDict[tuple[Path, Cut], KeptFace | FacemorphError] = field(
        default_factory=OrderedDict, repr=False
    )

    def __len__(self) -> int:
        return len(self._kept)

    @cached_property
    def _detector(self) -> LandmarkDetector:
        return make_detector(self.options.detector, min_score=self.options.min_score)

    @property
    def _keep_alpha(self) -> bool:
        return holds_alpha(f"x.{self.options.suffix}")

    def beside(self, pair: ListedPair) -> tuple[KeptFace, KeptFace]:
        """Both faces of a pair, cut alike and turned to the front where that is wanted.

        Raises:
            FacemorphError: A picture or its landmarks are at fault.
        """
        a, b = self.face(pair.a), self.face(pair.b)
        common = common_cut([a.place, b.place]) if self.options.align == "portrait" else None
        return self._finished(pair.a, a, common), self._finished(pair.b, b, common)

    def _finished(self, path: Path, first: KeptFace, common: PortraitCut | None) -> KeptFace:
        """A face cut as another one beside it demands."""
        options = self.options
        if common is None and not options.frontal:
            return first
        kept = self._kept.get((path, (common, True)))
        if not isinstance(kept, KeptFace):
            face = first.face
            if common is not None:
                face = cut_again(path, first.place, options.size, common, self._keep_alpha)[0]
            if options.frontal:
                from facemorph.apps.morphing.poses.frontal import turned_to_front

                (face,) = turned_to_front([face], FaceInput([path], detector=self._detector))
            kept = self._of(face, first.place)
            self._keep((path, (common, True)), kept)
        return kept

    def face(self, path: Path) -> KeptFace:
        """A face as it is cut alone.

        Raises:
            FacemorphError: The picture or its landmarks are at fault, for each of its pairs alike.
        """
        key: tuple[Path, Cut] = path, (None, False)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._prepared(path)
            self._keep(key, kept)
        self._kept.move_to_end(key)
        if isinstance(kept, FacemorphError):
            raise kept
        return kept

    def _keep(self, key: tuple[Path, Cut], kept: KeptFace | FacemorphError) -> None:
        self._kept[key] = kept
        bytes_each = 6 * 4 * self.options.size**2  # picture and spline coefficients
        while len(self._kept) * bytes_each > CACHE_BYTES and len(self._kept) > 2:
            self._kept.popitem(last=False)

    def _prepared(self, path: Path) -> KeptFace | FacemorphError:
        options = self.options
        try:
            if not path.is_file():
                raise DataError(
                    "there is no such picture", where=path, remedy="Check the list and --images."
                )
            points = None if options.points is None else points_of(path, options.points)
            find = self._detector if points is None else None
            image, marks, scheme = locate_face(path, points, find, str(path))
            cut = cut_face(options.align, image, marks, scheme, options.size)
            alpha = cut_alpha(path, cut, keep=self._keep_alpha)
        except FacemorphError as error:
            return error
        face = PreparedFace(cut.image, cut.points.double(), scheme, alpha)
        return self._of(face, FacePlace(Frame.of(image), marks, scheme))

    def _of(self, face: PreparedFace, place: FacePlace) -> KeptFace:
        return KeptFace(face, SplineImage(face.image).to(self.device), place)
