"""The classic tools from files to files; each output has its recipe beside it.

Every function takes photographs as files or ``(3, H, W)`` tensors in [0, 1]. ``points`` are
landmark files, one for each photograph in the order of the arguments; without them the detector
finds the landmarks. With ``output=None`` nothing is written. Every one raises a ``FacemorphError``
where an input or option is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from facemorph.apps.morphing.averages import (
    average_faces,
    caricature_face,
    symmetrize_face,
    transform_face,
)
from facemorph.apps.morphing.cutout import cut_out
from facemorph.apps.morphing.delineation import carry_landmarks
from facemorph.apps.morphing.region_morph import region_morph
from facemorph.errors import ConfigError, DataError
from facemorph.faces.alignment import AlignedFace, apply_affine, crop, fit_similarity, invert_affine
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import SUFFIXES, read_points, write_points
from facemorph.faces.pair import PreparedFace, prepare_face, prepare_faces
from facemorph.faces.procrustes import mean_shape
from facemorph.jobs.input_files import check_distinct_names, check_picture_output
from facemorph.jobs.outputs import check_output
from facemorph.jobs.recipe import recorded
from facemorph.storage.suffixes import STILLS

Photograph = str | Path | Tensor


@dataclass
class ClassicResult:
    """What a classic tool has made.

    Attributes:
        faces: Pictures with landmarks, usually one.
        files: Files written, the output first.
    """

    faces: list[PreparedFace]
    files: list[Path] = field(default_factory=list)


def _written(face: PreparedFace, output: str | Path | None) -> ClassicResult:
    if output is None:
        return ClassicResult([face])
    return ClassicResult([face], [save_image(face.image, Path(output), synthetic=True)])


@recorded(files=("pictures", "points"))
def average(
    pictures: Sequence[Photograph],
    output: str | Path | None = None,
    *,
    mean: str = "procrustes",
    size: int = 512,
    points: Sequence[str | Path] | None = None,
    detector: str = "embedded",
    align: str = "portrait",
) -> ClassicResult:
    """The average of any number of faces, see ``facemorph.apps.morphing.averages.average_faces``.

    Args:
        pictures: Photographs.
        output: ``.png``, ``.jpg`` or ``.webp``.
        mean: ``procrustes`` or ``plain``.
        size: Longer side of the frame in pixels.
        points: Landmark files.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
        align: ``portrait``, ``ffhq``, ``ffhq_upright`` or ``none``.
    """
    if output is not None:
        output = check_picture_output(output, [*pictures, *(points or ())])
    faces = prepare_faces(pictures, size=size, points=points, detector=detector, align=align)
    return _written(average_faces(faces, mean), output)


@recorded(files=("subject", "start", "end", "points"))
def transform(
    subject: Photograph,
    start: Sequence[Photograph],
    end: Sequence[Photograph],
    output: str | Path | None = None,
    *,
    shape: float = 0.5,
    color: float = 0.0,
    texture: float = 0.0,
    size: int = 512,
    points: Sequence[str | Path] | None = None,
    detector: str = "embedded",
    align: str = "portrait",
) -> ClassicResult:
    """A face moved along the difference of two averages, see
    ``facemorph.apps.morphing.averages.transform_face``.

    Args:
        subject: The photograph to change.
        start: Photographs whose average is where the difference begins; one is enough.
        end: Where it ends.
        output: ``.png``, ``.jpg`` or ``.webp``.
        shape: Share of the difference in shape.
        color: Share of the difference in colour and shading.
        texture: Share of the difference in fine detail.
        size: Longer side of the frame in pixels.
        points: Landmark files: of the subject, of ``start``, of ``end``.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
        align: ``portrait``, ``ffhq``, ``ffhq_upright`` or ``none``.
    """
    pictures = [subject, *start, *end]
    if output is not None:
        output = check_picture_output(output, [*pictures, *(points or ())])
    if not start or not end:
        raise DataError(
            "a difference needs two ends",
            expected="a photograph for each",
            found=f"{len(start)} and {len(end)}",
        )
    face, *others = prepare_faces(
        pictures, size=size, points=points, detector=detector, align=align
    )
    a, b = (average_faces(part) for part in (others[: len(start)], others[len(start) :]))
    return _written(transform_face(face, a, b, shape, color, texture), output)


@recorded(files=("subject", "average", "points"))
def caricature(
    subject: Photograph,
    average: Sequence[Photograph],
    output: str | Path | None = None,
    *,
    shape: float = 0.5,
    color: float = 0.0,
    texture: float = 0.0,
    size: int = 512,
    points: Sequence[str | Path] | None = None,
    detector: str = "embedded",
    align: str = "portrait",
) -> ClassicResult:
    """What sets a face apart from an average, exaggerated; negative amounts make an
    anti-caricature.

    Args:
        subject: The photograph.
        average: Photographs whose average it is compared with; one is enough.
        output: ``.png``, ``.jpg`` or ``.webp``.
        shape: 0.5 makes the differences in shape half as large again, -1 takes them away.
        color: The same for colour and shading.
        texture: The same for fine detail.
        size: Longer side of the frame in pixels.
        points: Landmark files: of the subject, of ``average``.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
        align: ``portrait``, ``ffhq``, ``ffhq_upright`` or ``none``.
    """
    pictures = [subject, *average]
    if output is not None:
        output = check_picture_output(output, [*pictures, *(points or ())])
    face, *others = prepare_faces(
        pictures, size=size, points=points, detector=detector, align=align
    )
    return _written(caricature_face(face, average_faces(others), shape, color, texture), output)


@recorded(files=("subject", "points"))
def symmetrize(
    subject: Photograph,
    output: str | Path | None = None,
    *,
    shape: bool = True,
    texture: bool = True,
    size: int = 512,
    points: Sequence[str | Path] | None = None,
    detector: str = "embedded",
    align: str = "portrait",
) -> ClassicResult:
    """The mean of a face and its mirror image, see
    ``facemorph.apps.morphing.averages.symmetrize_face``.

    Args:
        subject: The photograph.
        output: ``.png``, ``.jpg`` or ``.webp``.
        shape: Make the landmarks symmetric.
        texture: Make the colours symmetric.
        size: Longer side of the frame in pixels.
        points: Its landmark file, as a list of one.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
        align: ``portrait``, ``ffhq``, ``ffhq_upright`` or ``none``.
    """
    if output is not None:
        output = check_picture_output(output, [subject, *(points or ())])
    (face,) = prepare_faces([subject], size=size, points=points, detector=detector, align=align)
    return _written(symmetrize_face(face, shape, texture), output)


@recorded(files=("a", "b", "points"))
def regions(
    a: Photograph,
    b: Photograph,
    output: str | Path | None = None,
    *,
    time: float = 0.5,
    eyes: float | None = None,
    brows: float | None = None,
    nose: float | None = None,
    mouth: float | None = None,
    face: float | None = None,
    outside: str = "source",
    size: int = 512,
    points: Sequence[str | Path] | None = None,
    detector: str = "embedded",
    align: str = "portrait",
) -> ClassicResult:
    """Eyes of one face, mouth of the other, see
    ``facemorph.apps.morphing.region_morph.region_morph``.

    Args:
        a: First photograph, time 0.
        b: Second photograph, time 1.
        output: ``.png``, ``.jpg`` or ``.webp``.
        time: Time in [0, 1] of the regions that are not given.
        eyes: Time of the eyes.
        brows: Time of the brows.
        nose: Time of the nose.
        mouth: Time of the mouth.
        face: Time of jaw, cheeks and forehead.
        outside: Hair, clothes and background: ``source``, ``target`` or ``mix``.
        size: Longer side of the frame in pixels.
        points: Landmark files of both.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
        align: ``portrait``, ``ffhq``, ``ffhq_upright`` or ``none``.
    """
    if output is not None:
        output = check_picture_output(output, [a, b, *(points or ())])
    given = {"eyes": eyes, "brows": brows, "nose": nose, "mouth": mouth, "face": face}
    times = {name: value for name, value in given.items() if value is not None}
    first, second = prepare_faces([a, b], size=size, points=points, detector=detector, align=align)
    return _written(region_morph(first, second, times, time, outside), output)


@recorded(files=("pictures", "points"))
def align_faces(
    pictures: Sequence[Photograph],
    output: str | Path | None = None,
    *,
    size: int = 512,
    points: Sequence[str | Path] | None = None,
    detector: str = "embedded",
) -> ClassicResult:
    """Procrustes alignment: each picture turned, scaled and shifted so that its face fits the mean
    shape best.

    Each is cut once from its photograph, at the mean pose of the portraits; nothing is bent. The
    frame closes in on the faces, up to twofold, until no picture ends inside of it.

    Args:
        pictures: Photographs.
        output: Folder: ``STEM.png`` and its landmarks ``STEM.json`` for each.
        size: Side of the frame in pixels.
        points: Landmark files.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
    """
    stems = [
        f"picture_{index:04d}" if isinstance(item, Tensor) else Path(item).stem
        for index, item in enumerate(pictures)
    ]
    if output is not None:
        output = check_output(output, pictures)
        if output.suffix:
            raise ConfigError("aligned pictures go to a folder", where="output", found=output)
        check_distinct_names(Path(item) for item in pictures if not isinstance(item, Tensor))
        for item in (*pictures, *(points or ())):
            if not isinstance(item, Tensor) and Path(item).resolve().parent == output.resolve():
                raise DataError(
                    "the output folder is that of an input",
                    where=item,
                    remedy="Choose another folder with -o.",
                )
    if not pictures:
        raise DataError("no picture is given", expected="at least one")
    files = points if points is not None else [None] * len(pictures)
    schemes = {read_points(file)[1] for file in files if file is not None} or {"ibug68"}
    if len(schemes) > 1:
        raise DataError(
            "the faces have different schemes", where="points", found=" and ".join(sorted(schemes))
        )
    cut = [
        prepare_face(item, size=size, points=file, detector=detector)
        for item, file in zip(pictures, files, strict=True)
    ]
    images = [item if isinstance(item, Tensor) else load_image(item) for item in pictures]
    shape = mean_shape([face.points.double() for face in cut])
    for zoom in range(100, 201, 2):
        matrices = [
            _pose(face, (shape - shape.mean(0)) * (zoom / 100) + shape.mean(0)) for face in cut
        ]
        if all(
            _covers(image, matrix, size) for image, matrix in zip(images, matrices, strict=True)
        ):
            break
    scheme = next(iter(schemes))
    faces = [
        PreparedFace(
            crop(image, matrix, size, mode="bicubic", padding="border").clamp(0, 1),
            apply_affine(
                apply_affine(face.points.double(), face.matrix.double()), invert_affine(matrix)
            ),
            scheme,
        )
        for image, matrix, face in zip(images, matrices, cut, strict=True)
    ]
    if output is None:
        return ClassicResult(faces)
    Path(output).mkdir(exist_ok=True)
    written = []
    for stem, face in zip(stems, faces, strict=True):
        written.append(save_image(face.image, Path(output) / f"{stem}.png", synthetic=True))
        written.append(write_points(face.points, Path(output) / f"{stem}.json", face.scheme))
    return ClassicResult(faces, written)


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


@recorded(files=("template", "template_points", "picture"))
def delineate(
    template: Photograph,
    template_points: str | Path,
    picture: Photograph,
    output: str | Path | None = None,
    *,
    size: int = 512,
    detector: str = "embedded",
) -> ClassicResult:
    """A template's landmarks, of any scheme, on another picture, see
    ``facemorph.apps.morphing.delineation``.

    Args:
        template: Photograph with known landmarks.
        template_points: Its landmark file.
        picture: Photograph to delineate.
        output: ``.tem`` (with the template's lines), ``.pts``, ``.json`` or ``.csv``.
        size: Side of the crops in which both faces are compared.
        detector: ``embedded``, ``face_alignment`` or ``dlib``; finds the points that both faces
            have.
    """
    if output is not None:
        output = check_picture_output(output, [template, template_points, picture], SUFFIXES)
    points, scheme = read_points(template_points)
    first, second = (
        prepare_face(item, size=size, detector=detector) for item in (template, picture)
    )
    carried = carry_landmarks(points, first, second)
    image = picture if isinstance(picture, Tensor) else load_image(picture)
    result = ClassicResult([PreparedFace(image, carried, scheme)])
    if output is not None:
        tem = [
            Path(item) for item in (output, template_points) if Path(item).suffix.lower() == ".tem"
        ]
        result.files = [
            write_points(
                carried, output, scheme, lines_from=template_points if len(tem) == 2 else None
            )
        ]
    return result


@recorded(files=("subject", "points"))
def mask(
    subject: Photograph,
    output: str | Path | None = None,
    *,
    outline: str = "face",
    background: str = "gray",
    feather: float = 0.05,
    size: int = 512,
    points: Sequence[str | Path] | None = None,
    detector: str = "embedded",
    align: str = "portrait",
) -> ClassicResult:
    """The face cut out of its picture, see ``facemorph.apps.morphing.cutout.cut_out``.

    Args:
        subject: The photograph.
        output: ``.png`` or ``.webp``; ``.jpg`` too, unless the background is transparent.
        outline: ``face`` or ``oval``.
        background: ``white``, ``gray``, ``black`` or ``transparent``.
        feather: Width of the soft border in units of the face size.
        size: Longer side of the frame in pixels.
        points: Its landmark file, as a list of one.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
        align: ``portrait``, ``ffhq``, ``ffhq_upright`` or ``none``.
    """
    if output is not None:
        kinds = (".png", ".webp") if background == "transparent" else STILLS
        output = check_picture_output(output, [subject, *(points or ())], kinds)
    (face,) = prepare_faces([subject], size=size, points=points, detector=detector, align=align)
    return _written(
        PreparedFace(cut_out(face, outline, background, feather), face.points, face.scheme), output
    )
