"""The classics: averages of faces, transforms along a difference of two, caricatures, symmetric
faces.

Textures are averaged as they are in psychomorph and webmorph: in sRGB values, not in linear light.

Source: Rowland and Perrett, *Manipulating facial appearance through shape and color*, 1995;
Tiddeman, Burt and Perrett, *Prototyping and transforming facial textures for perception research*,
2001; Brennan, *Caricature generator*, 1985; Gower, *Generalized Procrustes analysis*, 1975.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import torch
from torch import Tensor

from facemorph.apps.morphing.warp_fitting import smoothing_of
from facemorph.errors import ConfigError, DataError
from facemorph.faces.agreement import PictureSize, say_scaled
from facemorph.faces.alignment import AlignedFace, apply_affine, crop, fit_similarity, invert_affine
from facemorph.faces.checks.face_cut import cut_alpha
from facemorph.faces.choices import MEANS
from facemorph.faces.face_input import FaceInput
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import read_points
from facemorph.faces.landmark_schemes import mirror_ibug68, to_ibug68
from facemorph.faces.masks import face_mask
from facemorph.faces.pair import PreparedFace, prepare_face
from facemorph.faces.procrustes import mean_shape, procrustes_align
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.warps.maps import dense_map
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.metrics.warp_quality import say_gave_way
from facemorph.ops.frames import Frame

LARGEST_AMOUNT = 10.0
COLOR_SCALE = 1 / 64  # of the longer side: the Gaussian between colour and texture


def warp_face(face: PreparedFace, points: Tensor) -> Tensor:
    """The picture of ``face`` with its landmarks carried to ``points``.

    Args:
        face: The face.
        points: ``(P, 2)`` pixels of the same frame.

    Returns:
        ``(3, H, W)``; the picture itself, to the last bit, where its landmarks are there already.

    Raises:
        GeometryError: No warp without folds does that.
    """
    if torch.equal(points, face.points):
        return face.image
    frame = face.frame
    warp = ThinPlateFlow(smoothing_of(face.scheme))
    with torch.no_grad():
        warp.fit(frame.from_pixels(points), frame.from_pixels(face.points), frame)
        say_gave_way(warp, face.scheme, "a face")
        return SplineImage(face.image).sample(dense_map(warp, frame, 0.0, 1.0)).clamp(0, 1)


def warp_alpha(face: PreparedFace, points: Tensor) -> Tensor:
    """How opaque the picture of ``warp_face`` is: ``(1, H, W)``, 1 without transparency."""
    if face.alpha is None:
        return torch.ones_like(face.image[:1])
    layer = PreparedFace(face.alpha.expand(3, -1, -1).contiguous(), face.points, face.scheme)
    return warp_face(layer, points)[:1]


def average_faces(
    faces: Sequence[PreparedFace],
    mean: str = "procrustes",
    weights: Sequence[float] | None = None,
) -> PreparedFace:
    """The average: every face warped to the mean shape, and the mean of these pictures.

    Args:
        faces: At least one, in one frame and of one scheme.
        mean: ``procrustes``: the shape that remains without rotation, scale and shift, at the mean
            pose; ``plain``: the mean of each landmark, as psychomorph has it.
        weights: How much each face counts, 0 or more, one above 0; all alike when None.

    Returns:
        Picture and landmarks of the average, in the same frame. The order of the faces does not
        matter.

    Raises:
        ConfigError: ``mean`` is neither of the two, or the weights are unusable.
        DataError: There is no face, or frames or schemes differ.
        GeometryError: The landmarks have no mean shape, or no warp leads there.
    """
    check_alike(faces)
    if mean not in MEANS:
        raise ConfigError("no such mean", where="mean", expected=" | ".join(MEANS), found=mean)
    counts = torch.tensor([1.0] * len(faces) if weights is None else weights).double()
    if len(counts) != len(faces) or not bool((counts >= 0).all() and counts.sum() > 0):
        raise ConfigError(
            "unusable weights",
            where="weights",
            expected=f"{len(faces)} of 0 or more, one above 0",
            found=counts.tolist(),
        )
    counts = counts / counts.sum()
    faces = [face for face, count in zip(faces, counts, strict=True) if count > 0]
    counts = counts[counts > 0]
    points = [face.points.double() for face in faces]
    if mean == "plain" and any(not torch.equal(one, points[0]) for one in points):
        shape = (torch.stack(points) * counts[:, None, None]).sum(0)
    else:
        shape = mean_shape(points, counts)
    total = torch.zeros_like(faces[0].image, dtype=torch.float64)
    alpha = torch.zeros_like(total[:1])
    for face, count in zip(faces, counts.tolist(), strict=True):
        total += count * warp_face(face, shape)
        alpha += count * warp_alpha(face, shape)
    opaque = all(face.alpha is None for face in faces)
    kind = faces[0].image.dtype
    kept = None if opaque else alpha.to(kind)
    return PreparedFace(total.to(kind), shape, faces[0].scheme, kept)


def transform_face(
    subject: PreparedFace,
    a: PreparedFace,
    b: PreparedFace,
    shape: float = 0.5,
    color: float = 0.0,
    texture: float = 0.0,
) -> PreparedFace:
    """Move a face along the difference of two others, in shape, colour and texture apart.

    Both references are first brought to the subject's pose. The landmarks move by ``shape`` (B -
    A). With all three faces warped to the new shape, the difference of their pictures inside a soft
    face mask is split by a Gaussian of 1/64 of the frame's longer side (8 px of 512): what it keeps
    is colour, added by ``color``; the rest, pores, stubble and lines, is texture, added by
    ``texture``. Outside the mask the subject is only warped. Departure: Tiddeman, Burt and Perrett
    split texture by wavelets.

    Args:
        subject: The face to change.
        a: Where the difference begins, often an average: women, the young, a neutral expression.
        b: Where it ends.
        shape: Share of the difference in shape; 0 for none, negative for the other direction.
        color: Share of the difference in colour and shading.
        texture: Share of the difference in fine detail.

    Returns:
        Picture and landmarks; the subject's own, to the last bit, where all shares are 0.

    Raises:
        DataError: Frames or schemes differ.
        ConfigError: A share is not finite or beyond 10.
        GeometryError: No warp without folds leads to the new shape.
    """
    check_alike([subject, a, b])
    for name, amount in (("shape", shape), ("color", color), ("texture", texture)):
        if not math.isfinite(amount) or abs(amount) > LARGEST_AMOUNT:
            raise ConfigError(
                "a face cannot be changed so far",
                where=name,
                found=amount,
                expected=f"-{LARGEST_AMOUNT:g} to {LARGEST_AMOUNT:g}",
            )
    start, end = (procrustes_align(face.points, subject.points) for face in (a, b))
    points = subject.points + shape * (end - start)
    image = warp_face(subject, points)
    if color or texture:
        change = warp_face(b, points) - warp_face(a, points)
        mask = face_mask(points, subject.scheme, subject.frame).to(image)
        mask = mask * warp_alpha(a, points) * warp_alpha(b, points)  # nothing is known behind white
        coarse = smooth_inside(change, mask, COLOR_SCALE * max(image.shape[1:]))
        image = (image + mask * (color * coarse + texture * (change - coarse))).clamp(0, 1)
    alpha = None if subject.alpha is None else warp_alpha(subject, points)
    return PreparedFace(image, points, subject.scheme, alpha)


def smooth_inside(image: Tensor, mask: Tensor, sigma: float) -> Tensor:
    """Gaussian mean of ``image`` (3, H, W) over a soft ``mask`` (1, H, W): nothing bleeds in from
    outside.

    Normalised convolution of Knutsson and Westin, 1993. Where the mask is empty the result is 0.

    Args:
        image: Any values.
        mask: In [0, 1].
        sigma: In pixels.
    """
    weighted = torch.cat([image * mask, mask.to(image)]).permute(1, 2, 0).contiguous().numpy()
    smooth = torch.from_numpy(
        cv2.GaussianBlur(weighted, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    )
    smooth = smooth.permute(2, 0, 1)
    return smooth[:3] / smooth[3:].clamp_min(1e-6)


def caricature_face(
    subject: PreparedFace,
    average: PreparedFace,
    shape: float = 0.5,
    color: float = 0.0,
    texture: float = 0.0,
) -> PreparedFace:
    """Exaggerate what sets a face apart from an average: the transform from the average to the face
    itself.

    Args:
        subject: The face.
        average: What it is compared with.
        shape: 0.5 makes the differences in shape half as large again, -0.5 halves them, -1 gives
            the average's shape.
        color: The same for colour.
        texture: The same for texture.

    Raises:
        FacemorphError: As ``transform_face``.
    """
    return transform_face(subject, average, subject, shape, color, texture)


def symmetrize_face(face: PreparedFace, shape: bool = True, texture: bool = True) -> PreparedFace:
    """The mean of a face and its mirror image, upright in the middle of the frame.

    Args:
        face: The face; landmarks that are not ibug68 are converted to it, for their mirror images
            are known.
        shape: Make the landmarks symmetric.
        texture: Make the colours symmetric; without ``shape``, to the lopsided landmarks.

    Returns:
        Picture and landmarks of the scheme ibug68; the face's own picture with neither of both.

    Raises:
        DataError: The scheme cannot be converted to ibug68.
        GeometryError: No warp without folds does it.
    """
    marks = to_ibug68(face.points, face.scheme)
    own = PreparedFace(face.image, marks, "ibug68", face.alpha)
    mirrored = PreparedFace(
        face.image.flip(-1),
        mirror_ibug68(marks, face.frame.width),
        "ibug68",
        None if face.alpha is None else face.alpha.flip(-1),
    )
    points = mean_shape([own.points, mirrored.points]) if shape else own.points
    image, alpha = warp_face(own, points), warp_alpha(own, points)
    if texture:
        image = (image + warp_face(mirrored, points)) / 2
        alpha = (alpha + warp_alpha(mirrored, points)) / 2
    return PreparedFace(image, points, "ibug68", None if face.alpha is None else alpha)


def check_alike(faces: Sequence[PreparedFace]) -> None:
    """See that faces lie in one frame and have one landmark scheme.

    Raises:
        DataError: They do not, or there is none.
    """
    if not faces:
        raise DataError("no face is given", expected="at least one")
    for face in faces[1:]:
        for what, first, other in (
            ("schemes", faces[0].scheme, face.scheme),
            ("frames", faces[0].frame, face.frame),
        ):
            if first != other:
                raise DataError(
                    f"the faces have different {what}",
                    expected=first,
                    found=other,
                    remedy="Load all of them by one call of prepare_faces.",
                )


def align_to_mean(given: FaceInput) -> list[PreparedFace]:
    """Pictures turned, scaled and shifted so that each face fits the mean shape best.

    The frame closes in on the faces, up to twofold, until no picture ends inside of it.

    Args:
        given: The photographs; their faces are cut as portraits first.

    Raises:
        DataError: The landmark files are of different schemes.
        FacemorphError: As ``facemorph.faces.pair.prepare_pair``.
    """
    files = given.landmark_files
    images = [item if isinstance(item, Tensor) else load_image(item) for item in given.pictures]
    schemes = {
        read_points(file, Frame.of(image), None if isinstance(item, Tensor) else item)[1]
        for item, image, file in zip(given.pictures, images, files, strict=True)
        if file is not None
    } or {"ibug68"}
    if len(schemes) > 1:
        raise DataError(
            "the faces have different schemes", where="points", found=" and ".join(sorted(schemes))
        )
    options = {"size": given.size, "detector": given.detector, "min_score": given.min_score}
    cut = [
        prepare_face(item, points=file, **options)
        for item, file in zip(given.pictures, files, strict=True)
    ]
    shape = mean_shape([face.points.double() for face in cut])
    for zoom in range(100, 201, 2):
        zoomed = (shape - shape.mean(0)) * (zoom / 100) + shape.mean(0)
        matrices = [_pose(face, zoomed) for face in cut]
        both = zip(images, matrices, strict=True)
        if all(_covers(image, matrix, given.size) for image, matrix in both):
            break
    labels = [
        f"picture {number}" if isinstance(item, Tensor) else str(item)
        for number, item in enumerate(given.pictures, 1)
    ]
    sizes = zip(labels, map(Frame.of, images), matrices, strict=True)
    say_scaled([PictureSize(*one) for one in sizes], given.size)
    faces = []
    for item, image, matrix, face in zip(given.pictures, images, matrices, cut, strict=True):
        picture = crop(image, matrix, given.size, mode="bicubic", padding="border").clamp(0, 1)
        source = apply_affine(face.points.double(), face.matrix.double())
        points = apply_affine(source, invert_affine(matrix))
        alpha = cut_alpha(item, AlignedFace(picture, points, matrix), keep=True)
        faces.append(PreparedFace(picture, points, next(iter(schemes)), alpha))
    return faces


def _pose(face: AlignedFace, shape: Tensor) -> Tensor:
    """Aligned pixels to source pixels ``(2, 3)``, float64."""
    back = invert_affine(fit_similarity(face.points.double(), shape))  # to pixels of the crop
    outer = face.matrix.double()
    return torch.cat([outer[:, :2] @ back[:, :2], apply_affine(back[:, 2], outer)[:, None]], 1)


def _covers(image: Tensor, matrix: Tensor, size: int) -> bool:
    """Whether a picture has pixels for the whole of a square crop."""
    corners = apply_affine(
        torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64) * size, matrix
    )
    limit = corners.new_tensor([image.shape[2], image.shape[1]])
    return bool(((corners >= -0.5) & (corners <= limit + 0.5)).all())
