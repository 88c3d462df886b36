"""The classic tools from files to files; each output has its recipe beside it.

Every function takes photographs as files or ``(3, H, W)`` tensors in [0, 1]; among several, a
folder stands for its pictures. ``points`` are landmark files, one for each photograph in the order
of the arguments, or their folder; without them the detector finds the landmarks. With
``output=None`` nothing is written. Every one raises a ``FacemorphError`` where something is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.errors import DataError
from facemorph.faces.choices import Background, MeanShape, Outline
from facemorph.faces.face_input import FaceInput, say_repeated
from facemorph.fields.warps.choices import Outside
from facemorph.jobs.input_files import check_picture_folder, check_picture_output
from facemorph.jobs.options import (
    Aligned,
    Detected,
    FrameSize,
    Frontal,
    MinScore,
    Option,
    Output,
    Photograph,
    Pictures,
    Points,
    checked,
)
from facemorph.jobs.picture_weights import Weights, weights_of
from facemorph.jobs.recipe import recorded
from facemorph.storage.suffixes import CLEAR, LANDMARKS, STILLS, holds_alpha

if TYPE_CHECKING:
    from facemorph.faces.pair import PreparedFace


@dataclass
class ClassicResult:
    """What a classic tool has made.

    Attributes:
        faces: Pictures with landmarks, usually one.
        files: Files written, the output first.
        used: How many photographs it is made of; None where that is how many there were.
    """

    faces: list[PreparedFace]
    files: list[Path] = field(default_factory=list)
    used: int | None = None


def _written(face: PreparedFace, output: str | Path | None) -> ClassicResult:
    if output is None:
        return ClassicResult([face])
    from facemorph.faces.files.image_output import save_image, uncovered

    image = uncovered(face.image, face.alpha)
    return ClassicResult([face], [save_image(image, Path(output), synthetic=True)])


def _prepared(
    given: FaceInput,
    output: str | Path | None,
    kinds: tuple[str, ...] = STILLS,
    keep_alpha: bool = True,
) -> tuple[list[PreparedFace], list[int]]:
    """The faces and the places of their photographs, once it is known that the output can be
    written; turned to the front where that is wanted.
    """
    if output is not None:
        check_picture_output(output, given.inputs, kinds)
    from facemorph.faces.pair import prepare_numbered_faces

    given = replace(given, keep_alpha=keep_alpha and holds_alpha(output))
    faces, numbers = prepare_numbered_faces(given)
    if given.frontal:
        from facemorph.apps.morphing.poses.frontal import turned_to_front

        faces = turned_to_front(faces, given)
    return faces, numbers


@checked
@recorded(files=("pictures", "points", "weights"), photographs=("pictures",))
def average(
    pictures: Pictures,
    output: Output = None,
    *,
    mean: MeanShape = "procrustes",
    weights: Weights = None,
    size: FrameSize = 512,
    points: Points = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
    align: Aligned = "portrait",
    skip_failed: bool = False,
    frontal: Frontal = False,
) -> ClassicResult:
    """The average of any number of faces: their mean shape in their mean colours.

    Args:
        pictures: Photographs, or folders of them.
        output: OUT.png, .jpg or .webp.
        mean: How the mean shape is found: ``procrustes`` leaves out how heads are turned, shifted
            and scaled; ``plain`` averages the landmarks as they are.
        weights: How much each photograph counts, in shape and colours: numbers by commas, or a CSV
            file of name,weight; all alike when not given.
        skip_failed: Leave out photographs that cannot be used, and name them.
    """
    given = FaceInput(pictures, points, size, detector, min_score, align, skip_failed, frontal)
    counted = None if weights is None else weights_of(weights, pictures)
    from facemorph.apps.morphing.averages import average_faces

    say_repeated(given.pictures)
    faces, numbers = _prepared(given, output)
    kept = None if counted is None else [counted[number] for number in numbers]
    return replace(_written(average_faces(faces, mean, kept), output), used=len(faces))


@checked
@recorded(files=("subject", "start", "end", "points"), photographs=("subject", "start", "end"))
def transform(
    subject: Photograph,
    start: Annotated[Sequence[Photograph], Option(("--from",), "A")],
    end: Annotated[Sequence[Photograph], Option(("--to",), "B")],
    output: Output = None,
    *,
    shape: float = 0.5,
    color: float = 0.0,
    texture: float = 0.0,
    size: FrameSize = 512,
    points: Points = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
    align: Aligned = "portrait",
    frontal: Frontal = False,
) -> ClassicResult:
    """A face changed by the difference of two others: shape, colour and fine detail apart.

    Args:
        subject: The photograph to change.
        start: Where the difference begins; several photographs, or a folder, count as their
            average.
        end: Where the difference ends, likewise.
        output: OUT.png, .jpg or .webp.
        shape: Share of the difference in shape that is added.
        color: Share of the difference in colour and shading.
        texture: Share of the difference in fine detail.
    """
    pictures = [subject, *start, *end]
    given = FaceInput(pictures, points, size, detector, min_score, align, frontal=frontal)
    if not start or not end:
        raise DataError(
            "a difference needs two ends",
            expected="a photograph for each",
            found=f"{len(start)} and {len(end)}",
        )
    (face, *others), _ = _prepared(given, output)
    from facemorph.apps.morphing.averages import average_faces, transform_face

    a, b = (average_faces(part) for part in (others[: len(start)], others[len(start) :]))
    return _written(transform_face(face, a, b, shape, color, texture), output)


@checked
@recorded(files=("subject", "average", "points"), photographs=("subject", "average"))
def caricature(
    subject: Photograph,
    average: Annotated[Sequence[Photograph], Option(("--average",), "FILE")],
    output: Output = None,
    *,
    shape: float = 0.5,
    color: float = 0.0,
    texture: float = 0.0,
    size: FrameSize = 512,
    points: Points = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
    align: Aligned = "portrait",
    frontal: Frontal = False,
) -> ClassicResult:
    """What sets a face apart from an average, exaggerated or reduced.

    Args:
        subject: The photograph.
        average: What the face is compared with; several photographs, or a folder, count as their
            average.
        output: OUT.png, .jpg or .webp.
        shape: 0.5 makes the differences in shape half as large again; below 0 reduces them, -1
            takes them away.
        color: The same for colour and shading.
        texture: The same for fine detail.
    """
    pictures = [subject, *average]
    given = FaceInput(pictures, points, size, detector, min_score, align, frontal=frontal)
    (face, *others), _ = _prepared(given, output)
    from facemorph.apps.morphing.averages import average_faces, caricature_face

    return _written(caricature_face(face, average_faces(others), shape, color, texture), output)


@checked
@recorded(files=("subject", "points"), photographs=("subject",))
def symmetrize(
    subject: Photograph,
    output: Output = None,
    *,
    shape: bool = True,
    texture: bool = True,
    size: FrameSize = 512,
    points: Points = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
    align: Aligned = "portrait",
    frontal: Frontal = False,
) -> ClassicResult:
    """The mean of a face and its mirror image.

    Args:
        subject: The photograph.
        output: OUT.png, .jpg or .webp.
        shape: Make the landmarks symmetric.
        texture: Make the colours symmetric.
    """
    given = FaceInput([subject], points, size, detector, min_score, align, frontal=frontal)
    ((face,), _) = _prepared(given, output)
    from facemorph.apps.morphing.averages import symmetrize_face

    return _written(symmetrize_face(face, shape, texture), output)


@checked
@recorded(files=("a", "b", "points"), photographs=("a", "b"))
def regions(
    a: Photograph,
    b: Photograph,
    output: Output = None,
    *,
    time: float = 0.5,
    eyes: float | None = None,
    brows: float | None = None,
    nose: float | None = None,
    mouth: float | None = None,
    face: float | None = None,
    outside: Outside = "source",
    size: FrameSize = 512,
    points: Points = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
    align: Aligned = "portrait",
    frontal: Frontal = False,
) -> ClassicResult:
    """A morph whose regions are at times of their own: eyes of one face, mouth of the other.

    Args:
        a: First photograph, time 0.
        b: Second photograph, time 1.
        output: OUT.png, .jpg or .webp.
        time: Time of all regions that are not given, 0 to 1.
        eyes: Time of the eyes: 0 is A, 1 is B.
        brows: Time of the brows.
        nose: Time of the nose.
        mouth: Time of the mouth.
        face: Time of jaw, cheeks and forehead.
        outside: Whose hair, clothes and background: ``source`` is A, ``target`` is B, ``mix`` both.
    """
    given = FaceInput([a, b], points, size, detector, min_score, align, frontal=frontal)
    own = {"eyes": eyes, "brows": brows, "nose": nose, "mouth": mouth, "face": face}
    times = {name: value for name, value in own.items() if value is not None}
    ((first, second), _) = _prepared(given, output)
    from facemorph.apps.morphing.region_morph import region_morph

    return _written(region_morph(first, second, times, time, outside), output)


@checked
@recorded(files=("pictures", "points"), photographs=("pictures",))
def align_faces(
    pictures: Pictures,
    output: Output = None,
    *,
    size: FrameSize = 512,
    points: Points = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
) -> ClassicResult:
    """Pictures turned, scaled and shifted so that each face fits the mean shape best.

    Each is cut once from its photograph, at the mean pose of the portraits; nothing is bent. The
    frame closes in on the faces, up to twofold, until no picture ends inside of it.

    Args:
        pictures: Photographs, or folders of them.
        output: Folder that gets STEM.png and its landmarks STEM.json for each.
        size: Side of the frame in pixels.
    """
    given = FaceInput(pictures, points, size, detector, min_score)
    if output is not None:
        output = check_picture_folder(output, given.pictures, given.landmark_files)
    if not pictures:
        raise DataError("no picture is given", expected="at least one")
    from facemorph.apps.morphing.averages import align_to_mean
    from facemorph.faces.files.image_output import save_image, uncovered
    from facemorph.faces.files.landmark_files import write_points

    result = ClassicResult(align_to_mean(given))
    if output is None:
        return result
    output.mkdir(exist_ok=True)
    for index, (item, face) in enumerate(zip(pictures, result.faces, strict=True)):
        path = isinstance(item, (str, Path))
        stem = Path(item).stem if path else f"picture_{index:04d}"  # type: ignore[arg-type]
        picture = uncovered(face.image, face.alpha)
        result.files.append(save_image(picture, output / f"{stem}.png", synthetic=True))
        result.files.append(write_points(face.points, output / f"{stem}.json", face.scheme))
    return result


@checked
@recorded(files=("template", "template_points", "picture"))
def delineate(
    template: Photograph,
    template_points: Annotated[str | Path, Option(metavar="POINTS")],
    picture: Photograph,
    output: Output = None,
    *,
    size: FrameSize = 512,
    detector: Detected = "embedded",
    min_score: MinScore = None,
) -> ClassicResult:
    """A template's landmarks, of any scheme, carried onto another picture.

    Args:
        template: Photograph with known landmarks.
        template_points: Its landmark file, of any scheme and kind.
        picture: Photograph to delineate.
        output: OUT.tem (with the template's lines), .pts, .json or .csv.
        size: Side in pixels of the crops in which both faces are compared.
    """
    if output is not None:
        check_picture_output(output, [template, template_points, picture], LANDMARKS)
    from facemorph.apps.morphing.delineation import carry_landmarks
    from facemorph.faces.files.image_io import load_image
    from facemorph.faces.files.landmark_files import read_points, write_points
    from facemorph.faces.pair import PreparedFace, prepare_face
    from facemorph.ops.frames import Frame

    known = load_image(template) if isinstance(template, (str, Path)) else template
    name = template if isinstance(template, (str, Path)) else None
    points, scheme = read_points(template_points, Frame.of(known), name)
    first, second = (
        prepare_face(item, size=size, detector=detector, min_score=min_score)
        for item in (template, picture)
    )
    carried = carry_landmarks(points, first, second)
    image = load_image(picture) if isinstance(picture, (str, Path)) else picture
    result = ClassicResult([PreparedFace(image, carried, scheme)])
    if output is not None:
        both = all(Path(item).suffix.lower() == ".tem" for item in (output, template_points))
        lines = template_points if both else None
        result.files = [write_points(carried, output, scheme, lines_from=lines)]
    return result


@checked
@recorded(files=("subject", "points"), photographs=("subject",))
def mask(
    subject: Photograph,
    output: Output = None,
    *,
    outline: Outline = "face",
    background: Background = "gray",
    feather: float = 0.05,
    size: FrameSize = 512,
    points: Points = None,
    detector: Detected = "embedded",
    min_score: MinScore = None,
    align: Aligned = "portrait",
) -> ClassicResult:
    """The face cut out of its picture.

    Args:
        subject: The photograph.
        output: OUT.png or .webp; .jpg too, unless the background is transparent.
        outline: What is left: ``face``, from jaw to forehead, or an ``oval``.
        background: What is put in the place of the rest.
        feather: Width of the soft border in units of the face size.
    """
    clear = background == "transparent"
    given = FaceInput([subject], points, size, detector, min_score, align)
    ((face,), _) = _prepared(given, output, CLEAR if clear else STILLS, clear)
    from facemorph.apps.morphing.cutout import cut_out

    image = cut_out(face, outline, background, feather)
    return _written(replace(face, image=image, alpha=None), output)
