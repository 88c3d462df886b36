"""Landmark files as other programs write them, each by the rules of its format."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np

WIDTH, HEIGHT = 300, 200
Rows = list[list[float]]


def face() -> Rows:
    """68 points of a plain face in a picture of 300 x 200, with pixel centres at i + 0.5."""
    jaw = [
        [150 - 60 * np.cos(angle), 70 + 90 * np.sin(angle)] for angle in np.linspace(0, np.pi, 17)
    ]
    brow = [[105, 55], [113, 50], [121, 49], [129, 50], [137, 54]]
    nose = [[150, 66], [150, 76], [150, 86], [150, 95]]
    base = [[140, 101], [145, 103], [150, 104], [155, 103], [160, 101]]
    eye = [[112, 67], [118, 63], [127, 63], [133, 68], [127, 71], [118, 71]]
    outer = [[128, 124], [136, 119], [145, 117], [150, 118], [155, 117], [164, 119], [172, 124]]
    outer += [[164, 131], [156, 134], [150, 135], [144, 134], [136, 131]]
    inner = [[131, 124], [144, 122], [150, 122], [156, 122], [169, 124]]
    inner += [[156, 127], [150, 127], [144, 127]]
    other_brow = [[300 - x, y] for x, y in brow[::-1]]
    other_eye = [[300 - eye[index][0], eye[index][1]] for index in (3, 2, 1, 0, 5, 4)]
    points = [*jaw, *brow, *other_brow, *nose, *base, *eye, *other_eye, *outer, *inner]
    return [[round(float(x) + 0.25, 2), round(float(y) + 0.25, 2)] for x, y in points]


def at_centre(points: Rows) -> Rows:
    """As programs count that call the centre of the first pixel 0."""
    return [[round(x - 0.5, 2), round(y - 0.5, 2)] for x, y in points]


def openface(points: Rows) -> str:
    """One face as ``FaceLandmarkImg`` writes it, with the points in space that must be left out."""
    count = range(len(points))
    names = ["frame", "face_id", "timestamp", "confidence", "success", "eye_lmk_x_0"]
    values = ["1", "0", "0.000", "0.98", "1", "12.5"]
    for axis in (0, 1):
        names += [f"{'xy'[axis]}_{index}" for index in count]
        values += [f"{point[axis]:.2f}" for point in at_centre(points)]
    names += [f"{axis}_{index}" for axis in "XYZ" for index in count]
    values += ["-31.5"] * (3 * len(points))
    return ", ".join(names) + "\n" + ", ".join(values) + "\n"


def dlib(points: Rows, picture: str = "faces/a.jpg") -> str:
    """A data set of imglab with another picture before this one, and the parts as words sort."""
    parts = "\n".join(
        f"      <part name='{index:02d}' x='{x}' y='{y}'/>"
        for index, (x, y) in sorted(enumerate(at_centre(points)), reverse=True)
    )
    return f"""<?xml version='1.0' encoding='ISO-8859-1'?>
<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>
<dataset>
<name>faces</name>
<images>
  <image file='faces/other.jpg' width='10' height='10'>
    <box top='1' left='1' width='5' height='5'>
      <part name='00' x='oops' y='1'/>
    </box>
  </image>
  <image file='{picture}' width='{WIDTH}' height='{HEIGHT}'>
    <box top='40' left='80' width='140' height='140'>
{parts}
    </box>
  </image>
</images>
</dataset>
"""


def labelme(points: Rows) -> str:
    """A file of labelme with a polygon beside the points, which are not in order."""
    shapes: list[dict[str, object]] = [
        {
            "label": str(index),
            "points": [point],
            "group_id": None,
            "shape_type": "point",
            "flags": {},
        }
        for index, point in enumerate(points)
    ]
    polygon = {"label": "hair", "points": [[1, 1], [5, 1], [5, 9]], "shape_type": "polygon"}
    return json.dumps(
        {
            "version": "5.4.1",
            "flags": {},
            "shapes": [polygon, *shapes[::-1]],
            "imagePath": "a.jpg",
            "imageData": None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        }
    )


def ljson(points: Rows) -> str:
    """LJSON of version 3, whose points are (y, x)."""
    marks = {"points": [[y, x] for x, y in at_centre(points)], "connectivity": [[0, 1]]}
    group = {"landmarks": marks, "labels": [{"label": "all", "mask": [*range(len(points))]}]}
    return json.dumps({"version": 3, "groups": {"LJSON": group}})


def ljson_1(points: Rows) -> str:
    """LJSON of version 1, whose groups are parts of the face."""
    marks = [{"point": [y, x]} for x, y in at_centre(points)]
    groups = [
        {"label": "jaw", "connectivity": [], "landmarks": marks[:17]},
        {"label": "rest", "connectivity": [], "landmarks": marks[17:]},
    ]
    return json.dumps({"version": 1, "groups": groups})


def ljson_2(points: Rows) -> str:
    """LJSON of version 2."""
    marks = {"points": [[y, x] for x, y in at_centre(points)], "connectivity": None}
    return json.dumps({"version": 2, "landmarks": marks, "labels": []})


def array(points: Rows) -> bytes:
    """An array of NumPy."""
    file = io.BytesIO()
    np.save(file, np.asarray(at_centre(points)))
    return file.getvalue()


def coco(points: Rows) -> str:
    """Annotations of COCO-WholeBody; the other person's face is not marked."""
    flat = [value for x, y in at_centre(points) for value in (x, y, 0.9)]
    people = [
        {"image_id": 7, "id": 1, "face_valid": False, "face_kpts": [0] * 204},
        {"image_id": 7, "id": 2, "face_valid": True, "face_kpts": flat, "keypoints": [0] * 51},
    ]
    pictures = [{"id": 7, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}]
    return json.dumps({"images": pictures, "annotations": people, "categories": []})


def whole_body(points: Rows) -> Rows:
    """133 keypoints of which the face is a part."""
    rest = [[1.0, 2.0]] * 133
    return [*rest[:23], *at_centre(points), *rest[91:]]


def mmpose(points: Rows) -> str:
    """A prediction of MMPose."""
    person = {"keypoints": whole_body(points), "keypoint_scores": [0.8] * 133}
    return json.dumps({"meta_info": {}, "instance_info": [person]})


def coco_result(points: Rows) -> str:
    """A result file of COCO-WholeBody."""
    flat = [value for x, y in whole_body(points) for value in (x, y, 0.7)]
    return json.dumps([{"image_id": 7, "category_id": 1, "keypoints": flat, "score": 0.9}])


def openpose(points: Rows) -> str:
    """One person of OpenPose, with two pupils after the 68."""
    pupils: Rows = [[122.0, 67.0], [178.0, 67.0]]
    flat = [value for x, y in at_centre([*points, *pupils]) for value in (x, y, 0.8)]
    person = {"person_id": [-1], "pose_keypoints_2d": [0] * 75, "face_keypoints_2d": flat}
    return json.dumps({"version": 1.3, "people": [person]})


def browser(points: Rows) -> str:
    """A list of objects, as scripts in browsers write it."""
    return json.dumps([{"x": x, "y": y} for x, y in points])


def blanks(points: Rows) -> str:
    """Two columns of text."""
    return "\n".join(f"{x} {y}" for x, y in at_centre(points))


def spreadsheet(points: Rows) -> bytes:
    """What Excel writes in German: semicolons, decimal commas, CRLF and a byte order mark."""
    rows = [f"{index + 1};{x};{y};".replace(".", ",") for index, (x, y) in enumerate(points)]
    return "\r\n".join(["\ufeffNr;x;y;", *rows]).encode()


def unicode_text(points: Rows) -> bytes:
    """What Excel calls Unicode text: UTF-16 with tabs."""
    rows = [f"{index}\t{x}\t{y}" for index, (x, y) in enumerate(at_centre(points))]
    return "\r\n".join(rows).encode("utf-16")


def columns_exchanged(points: Rows) -> str:
    """CSV of a data frame whose columns are named the other way round."""
    rows = [f"{index},{y},{x},0.9" for index, (x, y) in enumerate(points)]
    return "\n".join([",row,column,score", *rows])


FILES: dict[str, tuple[str, Callable[[Rows], str | bytes]]] = {
    "openface": (".csv", openface),
    "dlib": (".xml", dlib),
    "labelme": (".json", labelme),
    "ljson": (".ljson", ljson),
    "ljson_1": (".ljson", ljson_1),
    "ljson_2": (".ljson", ljson_2),
    "array": (".npy", array),
    "coco": (".json", coco),
    "mmpose": (".json", mmpose),
    "coco_result": (".json", coco_result),
    "openpose": (".json", openpose),
    "browser": (".json", browser),
    "blanks": (".txt", blanks),
    "spreadsheet": (".csv", lambda points: spreadsheet(at_centre(points))),
    "unicode_text": (".txt", unicode_text),
    "columns_exchanged": (".csv", columns_exchanged),
}


def written(name: str, points: Rows | None = None) -> bytes:
    """The bytes of a file of one of these formats."""
    content = FILES[name][1](face() if points is None else points)
    return content if isinstance(content, bytes) else content.encode()
