"""What tells how well a moved photograph shows what it should: pixels, features, person, landmarks,
pose and expression.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure

from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.located_face import LocatedFace
from facemorph.data.face_set import scaled
from facemorph.errors import DataError
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.identity import IdentityEmbedding, identity_distance
from facemorph.geometry.fitting.landmark_solver import distance_between_pupils
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.head_flow import LIPS, MOUTH, HeadMaps
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.metrics.feature_networks import feature_network
from facemorph.ops.filters import dilated
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import angle_between, rotation_from_vector

Figures = dict[str, float | None]
REGIONS_SIDE = 128  # side at which face and mouth are drawn
FACE_RIM, MOUTH_RIM = 4, 3  # pixels by which they are widened there
SHARE = 0.3  # of a pixel that is lips or opening
OPEN = 20  # pixels of an opening mouth there
FOUND_SIDE = 512  # pixels below which pictures are enlarged for detector and identity
LAYERS = ("conv32_3", "conv64_3", "conv128_2")  # early ones of the embedded descriptor
# Whether more is better; None where neither is: a sharpness of 1 is that of the target. `flicker`,
# between frames, is that of `reenactment.flicker`.
MEASURES: dict[str, bool | None] = {
    "l1_face": False,
    "l1_mouth": False,
    "psnr": True,
    "ssim": True,
    "features": False,
    "identity": False,
    "landmarks": False,
    "expression": False,
    "pose": False,
    "sharpness": None,
    "flicker": False,
}
FACE_MEASURES = ("identity", "landmarks", "expression", "pose")  # where a face is found


@dataclass(frozen=True)
class Regions:
    """Where a picture is compared.

    Attributes:
        face: ``(S, S)`` bool, the face and a little around it.
        mouth: ``(S, S)`` bool, lips and opening; None where the mouth is shut.
    """

    face: Tensor
    mouth: Tensor | None


@dataclass(frozen=True)
class FoundFace:
    """A face that the detector found in a picture, which is enlarged where it is small.

    Attributes:
        image: ``(3, S, S)``.
        landmarks: ``(68, 2)`` pixels of it.
        descriptor: ``(128,)`` who it is, with these landmarks.
    """

    image: Tensor
    landmarks: Tensor
    descriptor: Tensor


class ReenactmentMeasures:
    """Measures pictures of moved heads.

    Landmarks are those that the detector finds in the picture, whatever was asked for; expression
    and pose are those of the model fitted to them.

    Args:
        model: The model.
        size: Side of the pictures in pixels.
    """

    def __init__(self, model: MorphableModel, size: int) -> None:
        self.model, self.size = model, size
        self.maps = HeadMaps(model, REGIONS_SIDE)
        self.detector, self.identity = EmbeddedDetector(tile=False), IdentityEmbedding()
        self.features = PerceptualDistance(feature_network("descriptor", layers=LAYERS), "unit")

    @torch.no_grad()
    def against_target(
        self, pictures: Mapping[str, Tensor], target: Tensor, parameters: FaceParameters
    ) -> dict[str, Figures]:
        """All measures of some pictures that should be the target.

        Args:
            pictures: ``(3, size, size)`` in [0, 1], by the name of what made them.
            target: The same shape.
            parameters: Of the target, one row, in its pixels.

        Returns:
            For each name the measures of one picture by `MEASURES`: ``l1_face`` and ``l1_mouth``
            in 1/255, the latter where the target's mouth is open; ``psnr`` in dB, infinite for
            equal pictures, and ``ssim``, both in the face; ``features``, the distance in early
            layers of the embedded descriptor; ``identity``, the distance of descriptors;
            ``landmarks`` in percent of the distance between the pupils; ``expression``, the mean
            difference of coefficients; ``pose`` in degrees; ``sharpness``, that of the target
            being 1. None where it cannot be told, as where no face is found.
        """
        regions = self.regions(parameters)
        rows, columns = _extent(regions.face)
        wanted = self.find(target)
        found = {name: self.find(picture) for name, picture in pictures.items()}
        fits = self._fits([wanted, *found.values()], parameters)
        figures: dict[str, Figures] = {}
        for (name, picture), fit in zip(pictures.items(), fits[1:], strict=True):
            one = pixel_measures(picture, target, regions)
            parts = [image[None, :, rows, columns] for image in (picture, target)]
            one["features"] = float(self.features(*parts))
            one |= self._face_measures(found[name], wanted, fit, fits[0])
            figures[name] = {key: one[key] for key in MEASURES if key in one}
        return figures

    @torch.no_grad()
    def against_source(
        self, picture: Tensor, source: FoundFace | None, asked: FaceParameters
    ) -> Figures:
        """Measures of a picture that nobody has photographed: ``identity`` against the source,
        ``expression`` and ``pose`` against what was asked for.

        Args:
            picture: ``(3, size, size)``.
            source: The face in the photograph.
            asked: One row.
        """
        found = self.find(picture)
        fit = self._fits([found], asked)[0]
        figures: Figures = dict.fromkeys(("identity", "expression", "pose"))
        if found is not None and source is not None:
            figures["identity"] = float(identity_distance(found.descriptor, source.descriptor))
        if fit is not None:
            figures |= _of_fits(fit, asked)
        return figures

    @torch.no_grad()
    def regions(self, parameters: FaceParameters) -> Regions:
        """Where pictures of a head are compared.

        Args:
            parameters: One row, in pixels of the pictures.

        Raises:
            DataError: The face lies outside of the picture.
        """
        small = scaled(parameters, REGIONS_SIDE / self.size)
        camera = camera_of(small, Frame(REGIONS_SIDE, REGIONS_SIDE))
        head = HeadView(vertices_of(self.model, small), camera)
        topology = self.model.topology
        view = MeshView.of(head.vertices, topology.faces, camera, (REGIONS_SIDE, REGIONS_SIDE))
        face = view.attribute(topology.masks["face"].float()[:, None]) > 0.5
        if not bool(face.any()):
            raise DataError("the face of this head lies outside of the picture", where="parameters")
        maps = self.maps(head, view, None)[0]
        opening = maps[:, MOUTH : MOUTH + 1] > SHARE
        mouth = opening | (maps[:, LIPS : LIPS + 1] > SHARE)
        return Regions(
            self._widened(face, FACE_RIM),
            self._widened(mouth, MOUTH_RIM) if int(opening.sum()) >= OPEN else None,
        )

    def find(self, picture: Tensor) -> FoundFace | None:
        """The best face of a picture; None where there is none."""
        image = picture
        if self.size < FOUND_SIDE:
            side = (FOUND_SIDE, FOUND_SIDE)
            image = functional.interpolate(
                picture[None], side, mode="bicubic", align_corners=False
            )[0].clamp(0, 1)
        faces = self.detector(image)
        if not faces:
            return None
        points = faces[0].points.float()
        return FoundFace(image, points, self.identity(image, points)[0])

    def _widened(self, region: Tensor, rim: int) -> Tensor:
        """A region ``(1, 1, ...)`` wider by so many of its pixels, in those of the pictures."""
        wide = dilated(region.float(), rim)
        return functional.interpolate(wide, (self.size, self.size), mode="nearest")[0, 0] > 0.5

    def _fits(
        self, faces: Sequence[FoundFace | None], person: FaceParameters
    ) -> list[FaceParameters | None]:
        """The model fitted to each face that was found, near the identity of a person."""
        located = [
            LocatedFace(one.image, one.landmarks, "embedded", "picture")
            for one in faces
            if one is not None
        ]
        if not located:
            return [None] * len(faces)
        identity = person.identity.expand(len(located), -1)
        fits = iter(fit_faces(located, self.model, identity=identity))
        return [None if one is None else next(fits).parameters for one in faces]

    def _face_measures(
        self,
        found: FoundFace | None,
        wanted: FoundFace | None,
        fit: FaceParameters | None,
        fit_wanted: FaceParameters | None,
    ) -> Figures:
        if found is None or wanted is None or fit is None or fit_wanted is None:
            return dict.fromkeys(FACE_MEASURES)
        pupils = distance_between_pupils(wanted.landmarks[None])
        missed = (found.landmarks - wanted.landmarks).norm(dim=-1).mean()
        return {
            "identity": float(identity_distance(found.descriptor, wanted.descriptor)),
            "landmarks": float(100 * missed / pupils),
            **_of_fits(fit, fit_wanted),
        }


def pixel_measures(picture: Tensor, target: Tensor, regions: Regions) -> Figures:
    """How far the pixels of a picture are from those of the target, and how sharp it is.

    Args:
        picture: ``(3, S, S)`` in [0, 1].
        target: The same shape.
        regions: Where.

    Returns:
        ``l1_face``, ``l1_mouth``, ``psnr``, ``ssim`` and ``sharpness``, see
        ``ReenactmentMeasures.against_target``.
    """
    face, difference = regions.face, (picture - target).double()
    error = float(difference.square().mean(0)[face].mean())
    _, similarity = structural_similarity_index_measure(
        picture[None], target[None], data_range=1.0, return_full_image=True
    )
    distance = 255 * difference.abs().mean(0)
    return {
        "l1_face": float(distance[face].mean()),
        "l1_mouth": None if regions.mouth is None else float(distance[regions.mouth].mean()),
        "psnr": math.inf if error == 0 else -10 * math.log10(error),
        "ssim": float(torch.as_tensor(similarity)[0].mean(0)[face].mean()),
        "sharpness": _edges(picture, face) / max(_edges(target, face), 1e-9),
    }


def means(rows: Sequence[Figures]) -> Figures:
    """The mean of each measure over the rows that have a finite value of it; None without one."""
    found: Figures = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [value for row in rows if (value := row[name]) is not None]
        finite = [value for value in values if math.isfinite(value)]
        found[name] = sum(finite) / len(finite) if finite else None
    return found


def better_percent(ours: Sequence[Figures], others: Sequence[Figures]) -> Figures:
    """In how many percent of the pictures one method is better than another, by each measure.

    A face that is found only in the picture of one makes that one better; pictures for which
    neither has a value do not count.

    Args:
        ours: Of each picture.
        others: Of the same pictures.
    """
    found: Figures = {}
    for name, more in MEASURES.items():
        if more is None:
            continue
        wins = []
        for one, other in zip(ours, others, strict=True):
            a, b = one[name], other[name]
            if a is not None and b is not None:
                wins.append(a > b if more else a < b)
            elif (a is None) != (b is None):
                wins.append(b is None)
        found[name] = 100 * sum(wins) / len(wins) if wins else None
    return found


def _of_fits(fit: FaceParameters, wanted: FaceParameters) -> Figures:
    turns = [rotation_from_vector(one.rotation) for one in (fit, wanted)]
    return {
        "expression": float((fit.expression - wanted.expression).abs().mean()),
        "pose": float(torch.rad2deg(angle_between(*turns))),
    }


def _edges(picture: Tensor, region: Tensor) -> float:
    """Standard deviation of the Laplacian of a picture's grey in a region."""
    grey = picture.mean(0)
    inner = 4 * grey[1:-1, 1:-1]
    for part in (grey[:-2, 1:-1], grey[2:, 1:-1], grey[1:-1, :-2], grey[1:-1, 2:]):
        inner = inner - part
    return float(inner[region[1:-1, 1:-1]].std())


def _extent(region: Tensor) -> tuple[slice, slice]:
    """The rows and columns of a region ``(S, S)``."""
    low, high = region.nonzero().amin(0).tolist(), (region.nonzero().amax(0) + 1).tolist()
    return slice(low[0], high[0]), slice(low[1], high[1])
