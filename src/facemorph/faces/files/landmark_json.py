"""Landmark files in JSON: facemorph's own, labelme's, menpo's, MediaPipe's, and those of keypoints
of whole bodies.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facemorph.errors import DataError
from facemorph.faces.files.landmark_formats import (
    AT_CENTRE,
    AT_EDGE,
    KNOWN,
    LEAST_SCORE,
    FoundPoints,
    TextFile,
    choose_face,
    in_order,
    number,
    pair,
    pairs,
    shown,
)

BODY, FACE = 133, slice(23, 91)  # keypoints of COCO-WholeBody, and those of the face
OPENPOSE = 70  # iBUG's 68 and the pupils
MESHES = ("faceLandmarks", "face_landmarks", "multiFaceLandmarks", "multi_face_landmarks")
REMEDY = 'Write it as {"points": [[x, y], ...]}, or as CSV with a first line x,y.'

logger = logging.getLogger(__name__)


def read_json(file: TextFile) -> FoundPoints:
    """Points of a JSON file, whose kind its keys tell.

    Raises:
        DataError: It is damaged, of none of the known kinds, or has no face of the picture or
            several.
    """
    try:
        content = json.loads(file.text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise DataError(
            "not a JSON file", where=f"{file.path}, line {line}", found=str(error)[:80]
        ) from error
    for looks_like, read in _DIALECTS:
        if looks_like(content):
            return read(file, content)
    return _read_own(file, content)


def _list(value: Any, path: Path, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(
            f"{name} is no list", where=path, expected="a list", found=shown(value), remedy=REMEDY
        )
    return value


def _objects(value: Any, path: Path, name: str) -> list[dict[str, Any]]:
    items = _list(value, path, name)
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise DataError(
                f"{name} has something else than objects",
                where=f"{path}, {name} {index}",
                expected="{...}",
                found=shown(item),
            )
    return items


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_own(file: TextFile, content: Any) -> FoundPoints:
    """A list of pairs, or an object that names the scheme too."""
    own = isinstance(content, dict)
    points, scheme = (content.get("points"), content.get("scheme")) if own else (content, None)
    if not isinstance(points, list) or not isinstance(scheme, (str, type(None))):
        keys = ", ".join(map(str, content))[:60] if own else ""
        raise DataError(
            "not a list of points",
            where=file.path,
            expected='{"scheme": "ibug68", "points": [[x, y], ...]}',
            found=f"an object of {keys}" if keys else type(points).__name__,
            remedy=f"facemorph reads {KNOWN}.",
        )
    if points and all(isinstance(point, dict) for point in points):
        return _read_named(file, points)
    return FoundPoints(pairs(points, file.path), AT_EDGE, scheme, free=scheme is None)


def _read_named(file: TextFile, points: list[dict[str, Any]]) -> FoundPoints:
    """A list of ``{"x": ..., "y": ...}``, as programs in browsers and MediaPipe write it."""
    rows = [
        pair([point.get("x"), point.get("y")], f"{file.path}, point {index}")
        for index, point in enumerate(points)
    ]
    return FoundPoints(rows, AT_EDGE, free=True)


def _is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and "shapes" in content


def _read_labelme(file: TextFile, content: dict[str, Any]) -> FoundPoints:
    """Shapes of the kind point, in the order of their labels where these are numbers."""
    path = file.path
    shapes = _objects(content["shapes"], path, "shape")
    groups: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for index, shape in enumerate(shapes):
        if shape.get("shape_type") == "point":
            groups.setdefault(shown(shape.get("group_id")), []).append((index, shape))
    if shapes and not groups:
        raise DataError(
            "this file of labelme has no points",
            where=path,
            expected='shapes of the kind "point"',
            found=", ".join(sorted({shown(shape.get("shape_type")) for shape in shapes})[:5]),
            remedy="Mark each landmark as a point.",
        )
    picture = _text(content.get("imagePath"))
    marked = choose_face(
        path, [(picture, group) for group in groups.values()], file.picture, "labelme"
    )
    rows = []
    for index, shape in marked:
        points = _list(shape.get("points"), path, f"points of shape {index}")
        if len(points) != 1:
            raise DataError(
                "not a point",
                where=f"{path}, shape {index}",
                expected="one point",
                found=len(points),
                remedy="Get the file again.",
            )
        rows += pairs(points, path)
    labels = [shown(shape.get("label")).strip("'") for _, shape in marked]
    numbers = [re.fullmatch(r"\D*(\d{1,6})\D*", label) for label in labels]
    if all(numbers) and len(set(labels)) == len(labels):
        named = [(str(match[1]), row) for match, row in zip(numbers, rows, strict=True) if match]
        rows = in_order(named, path)
    return FoundPoints(rows, AT_EDGE, size=_size(content, "imageWidth", "imageHeight", path))


def _size(content: dict[str, Any], wide: str, high: str, path: Path) -> tuple[float, float] | None:
    if content.get(wide) is None or content.get(high) is None:
        return None
    return number(content[wide], f"{path}, {wide}"), number(content[high], f"{path}, {high}")


def _is_menpo(content: Any) -> bool:
    return isinstance(content, dict) and (
        isinstance(content.get("landmarks"), dict)
        or isinstance(content.get("groups"), (list, dict))
    )


def _read_menpo(file: TextFile, content: dict[str, Any]) -> FoundPoints:
    """LJSON of the versions 1 to 3, whose points are (y, x)."""
    path, groups = file.path, content.get("groups")
    if isinstance(groups, list):  # version 1: groups are parts of one face
        points = [
            mark.get("point")
            for group in _objects(groups, path, "group")
            for mark in _objects(group.get("landmarks"), path, "landmark")
        ]
    else:
        if isinstance(groups, dict):
            faces = [(None, group) for group in groups.values()]
            content = choose_face(path, faces, None, "menpo")
        marks = content.get("landmarks") if isinstance(content, dict) else None
        points = _list(marks.get("points") if isinstance(marks, dict) else None, path, "points")
    for index, point in enumerate(points):
        if isinstance(point, list) and None in point:
            raise DataError(
                "menpo marks this point as missing",
                where=f"{path}, point {index}",
                expected="two numbers",
                found="null",
                remedy="Add it: a warp needs all points.",
            )
    rows = [[x, y] for y, x in pairs(points, path)]
    return FoundPoints(rows, AT_CENTRE)


def _mesh_key(content: Any) -> str | None:
    if not isinstance(content, dict):
        return None
    return next((key for key in (*MESHES, "landmark") if key in content), None)


def _read_mesh(file: TextFile, content: dict[str, Any]) -> FoundPoints:
    """Faces of MediaPipe's results: lists of objects, or objects with such a list."""
    key = _mesh_key(content) or ""
    faces = _list(content[key], file.path, key)
    if faces and all(isinstance(item, dict) and "x" in item for item in faces):
        faces = [faces]
    named = [(None, face) for face in faces]
    face = choose_face(file.path, named, file.picture, "MediaPipe")
    if isinstance(face, dict):
        face = face.get("landmark", face.get("landmarks"))
    return _read_named(file, _objects(face, file.path, "point"))


def _is_coco(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("annotations"), list)


def _read_coco(file: TextFile, content: dict[str, Any]) -> FoundPoints:
    """Annotations of COCO-WholeBody; the pictures' names choose among them."""
    path = file.path
    pictures = {
        shown(item.get("id")): item for item in _objects(content.get("images", []), path, "image")
    }
    people = _objects(content["annotations"], path, "annotation")
    faces = []
    for person in people:
        if "face_kpts" in person and person.get("face_valid") is not False:
            picture = pictures.get(shown(person.get("image_id")), {})
            faces.append((_text(picture.get("file_name")), (person, picture)))
    if people and not faces:
        raise DataError(
            "these annotations have no face",
            where=path,
            expected="face_kpts that are face_valid, as COCO-WholeBody has them",
            found=f"{len(people)} annotations without",
            remedy="Use the files of COCO-WholeBody: those of COCO have five points of a face.",
        )
    person, picture = choose_face(path, faces, file.picture, "COCO-WholeBody")
    rows = _scored(_list(person["face_kpts"], path, "face_kpts"), path, (68,))
    return FoundPoints(rows, AT_CENTRE, size=_size(picture, "width", "height", path))


def _people_of(content: Any) -> list[Any] | None:
    """The found people of OpenPose, MMPose or COCO's results, None for other files."""
    if isinstance(content, dict):
        people = content.get("people", content.get("instance_info"))
        return people if isinstance(people, list) else None
    listed = isinstance(content, list) and bool(content)
    return (
        content if listed and isinstance(content[0], dict) and "keypoints" in content[0] else None
    )


def _read_people(file: TextFile, content: Any) -> FoundPoints:
    path, faces = file.path, []
    numbered = file.picture is not None and Path(file.picture).stem.isdigit()
    for person in _objects(_people_of(content), path, "person"):
        name = person.get("image_id")
        if isinstance(name, int):  # COCO's pictures have numbers for names
            name = f"{name:012d}" if numbered else None
        if person.get("face_keypoints_2d", True):
            faces.append((_text(person.get("file_name", name)), person))
    person = choose_face(path, faces, file.picture, "one person")
    if "face_keypoints_2d" in person:
        values = _list(person["face_keypoints_2d"], path, "face_keypoints_2d")
        return FoundPoints(_scored(values, path, (OPENPOSE,))[:68], AT_CENTRE, free=True)
    values = _list(person.get("keypoints"), path, "keypoints")
    scores = person.get("keypoint_scores")
    if scores is not None and values and all(isinstance(point, list) for point in values):
        scores = _list(scores, path, "keypoint_scores")
        if len(scores) != len(values):
            raise DataError(
                "there are not as many scores as keypoints",
                where=path,
                expected=len(values),
                found=len(scores),
            )
        values = [
            value
            for point, score in zip(values, scores, strict=True)
            for value in (*point[:2], score)
        ]
    return FoundPoints(_scored(values, path, (BODY, 68)), AT_CENTRE)


def _scored(values: list[Any], path: Path, counts: tuple[int, ...]) -> list[list[float]]:
    """Points of a flat list x, y, score, ..., of which those of a face are taken."""
    if len(values) not in [3 * count for count in counts]:
        raise DataError(
            "these are not the keypoints of a face",
            where=path,
            expected=" or ".join(f"3 x {count} numbers" for count in counts),
            found=len(values),
            remedy="Keypoints of COCO's 17 have no face: use a model of COCO-WholeBody.",
        )
    first = FACE.start if len(values) == 3 * BODY else 0
    triples = [values[start : start + 3] for start in range(0, len(values), 3)]
    if len(triples) == BODY:
        triples = triples[FACE]
    rows = [pair(triple[:2], f"{path}, keypoint {first + i}") for i, triple in enumerate(triples)]
    scores = [
        number(triple[2], f"{path}, keypoint {first + i}") for i, triple in enumerate(triples)
    ]
    missing = [first + index for index, score in enumerate(scores) if score <= 0]
    if missing:
        raise DataError(
            "keypoints of this face are not marked",
            where=path,
            expected="a score above 0 for each",
            found=f"0 for {len(missing)}: {', '.join(map(str, missing[:8]))}",
            remedy="Let facemorph find the landmarks, or set them in `facemorph edit`.",
        )
    mean = sum(scores) / len(scores)
    if mean < LEAST_SCORE:
        logger.warning("%s: these keypoints are not sure (mean score %.2f).", path, mean)
    return rows


_DIALECTS: tuple[tuple[Callable[[Any], bool], Callable[[TextFile, Any], FoundPoints]], ...] = (
    (_is_labelme, _read_labelme),
    (_is_menpo, _read_menpo),
    (lambda content: _mesh_key(content) is not None, _read_mesh),
    (_is_coco, _read_coco),
    (lambda content: _people_of(content) is not None, _read_people),
)
