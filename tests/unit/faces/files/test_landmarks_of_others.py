"""Landmark files of other programs: read by their content, or refused with the conversion."""

from __future__ import annotations

import io
import json
import pickle
import random

import numpy as np
import pytest
import torch

from facemorph.bench.readers import landmark_texts as texts
from facemorph.errors import DataError, GeometryError
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import read_points
from facemorph.faces.pair import prepare_faces
from facemorph.ops.frames import Frame

FRAME = Frame(texts.HEIGHT, texts.WIDTH)
FACE = torch.tensor(texts.face(), dtype=torch.float64)


def stored(tmp_path, content, name="a.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path, *said, frame=FRAME, picture="a.jpg"):
    with pytest.raises(DataError) as caught:
        read_points(path, frame, picture)
    message = str(caught.value)
    assert str(path) in message
    for part in said:
        assert part in message
    return message


@pytest.mark.parametrize("suffix", [None, "", ".dat"])
@pytest.mark.parametrize("name", sorted(texts.FILES))
def test_each_is_read_by_its_content(tmp_path, caplog, name, suffix):
    own = texts.FILES[name][0]
    path = stored(tmp_path, texts.written(name), f"a{own if suffix is None else suffix}")
    points, scheme = read_points(path, FRAME, "somewhere/A.jpg")
    torch.testing.assert_close(points, FACE, rtol=0, atol=1e-9)
    assert scheme == "ibug68"
    assert not caplog.records


@pytest.mark.parametrize("name", sorted(set(texts.FILES) - {"dlib"}))
def test_no_picture_is_needed_where_there_is_one_face(tmp_path, name):
    path = stored(tmp_path, texts.written(name))
    torch.testing.assert_close(read_points(path)[0], FACE, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", sorted(texts.FILES))
def test_cut_files_are_refused_or_hold_fewer_points(tmp_path, name):
    content = texts.written(name)
    for share in (0.2, 0.5, 0.9, 0.97):
        path = stored(tmp_path, content[: int(share * len(content))])
        try:
            points, scheme = read_points(path, FRAME, "a.jpg")
        except DataError:
            continue
        # Tables have no end that could be missed: the count tells.
        assert name in ("blanks", "spreadsheet", "unicode_text", "columns_exchanged")
        assert len(points) < 68
        assert scheme == f"points{len(points)}"


@pytest.mark.parametrize("name", sorted(set(texts.FILES) - {"array"}))
def test_numbers_that_are_none(tmp_path, name):
    x = texts.face()[5][0]
    for known in (f"{x:.2f}", f"{x:g}", f"{x - 0.5:.2f}", f"{x - 0.5:g}"):
        for mark in (known, known.replace(".", ",")):
            encoding = "utf-16" if name == "unicode_text" else "utf-8"
            text = texts.written(name).decode(encoding)
            if mark in text:
                broken = text.replace(mark, "NaN", 1)
    refused(stored(tmp_path, broken.encode(encoding)), "not a coordinate")


def test_arrays(tmp_path):
    def saved(values, name="a.npy"):
        np.save(tmp_path / name, np.asarray(values), allow_pickle=True)
        return tmp_path / name

    face = np.asarray(texts.at_centre(texts.face()))
    for values in (face[None], np.asfortranarray(face), face.astype(">f8")):
        torch.testing.assert_close(read_points(saved(values))[0], FACE, rtol=0, atol=1e-9)
    refused(saved(face.T), "(2, 68)", "points.T")
    refused(saved(np.pad(face, ((0, 0), (0, 1)))), "(68, 3)", "points[:, :2]")
    refused(saved(face.ravel()), "(136,)", "reshape(-1, 2)")
    refused(saved(np.stack([face, face])), "several faces", "points[0]")
    refused(saved(np.where(face == face[5], np.nan, face)), "point 5")
    refused(saved(np.array([{"x": 1}], object)), "pickled objects", "never read")
    refused(saved(np.zeros((0, 2))), "no points")
    content = saved(face).read_bytes()
    refused(stored(tmp_path, content + b"\0"), "damaged", "np.save")
    huge = content.replace(b"(68, 2), ", b"(1000000000000, 2), ".ljust(9))
    refused(stored(tmp_path, huge), "damaged")


def test_files_that_are_never_read(tmp_path):
    packed = io.BytesIO()
    np.savez(packed, points=np.zeros((3, 2)))
    for content, said in (
        (pickle.dumps([[1, 2]]), "pickle"),
        (packed.getvalue(), "np.save"),
        (b"MATLAB 5.0 MAT-file", "writematrix"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\xff\xd8\xff\xe0", "a picture"),
        (b"%PDF-1.7", "PDF"),
        (b"\x00\x01\x02\x03", "not a text file"),
        (b"<annotations><image/></annotations>", "<annotations>"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><dataset/>', "entities"),
        (b'{"type": "FeatureCollection", "features": []}', "type, features"),
    ):
        refused(stored(tmp_path, content), said)
    refused(stored(tmp_path, "- [0.1, 0.2]\n", "a.yaml"), "import-ifmorph")


def test_the_face_of_the_picture_is_taken(tmp_path):
    path = stored(tmp_path, texts.dlib(texts.face()))
    refused(path, "no face of the picture", "b.jpg", "a.jpg, other.jpg", picture="b.jpg")
    refused(path, "several faces", picture=None)
    refused(path, "another size", "300 x 200", frame=Frame(400, 600))
    twice = texts.dlib(texts.face(), "a.jpg").replace("faces/other", "a")
    refused(stored(tmp_path, twice), "several faces", "one face of dlib")
    renamed = stored(tmp_path, texts.dlib(texts.face(), r"C:\faces\A.png"))
    torch.testing.assert_close(read_points(renamed, FRAME, "a.jpg")[0], FACE)


def test_parts_of_dlib(tmp_path):
    text = texts.dlib(texts.face())
    refused(stored(tmp_path, text.replace("name='07'", "name='06'")), "missing: 7")
    refused(stored(tmp_path, text.replace("name='07'", "name='chin'")), "no order", "chin")
    refused(stored(tmp_path, text.replace("name='67'", "name='999999999'")), "67")
    refused(stored(tmp_path, text.replace("<part", "<point")), "without landmarks", "imglab")
    refused(stored(tmp_path, text.replace("</images>", "")), "not an XML file", "line")


def test_openface(tmp_path):
    heading, row = texts.openface(texts.face()).splitlines()
    lost = row.replace("0.98, 1,", "0.02, 0,")
    refused(stored(tmp_path, f"{heading}\n{lost}"), "found no face", "line 2")
    refused(stored(tmp_path, f"{heading}\n{row}\n{row}"), "several faces")
    torch.testing.assert_close(
        read_points(stored(tmp_path, f"{heading}\n{lost}\n{row}"))[0], FACE, rtol=0, atol=1e-9
    )
    refused(stored(tmp_path, f"{heading}\n{row[:-6]}"), "not complete")
    refused(stored(tmp_path, f"{heading}\n{row}".replace("y_67", "y_70")), "missing: 67")
    refused(stored(tmp_path, f"{heading}\n"), "no points")
    spatial = stored(tmp_path, f"{heading}\n{row}".replace(" x_", " q_").replace(" y_", " r_"))
    refused(spatial, "-2Dfp")


def test_faces_that_the_other_program_is_not_sure_of(tmp_path, caplog):
    read_points(stored(tmp_path, texts.openface(texts.face()).replace("0.98", "0.3")))
    assert "confidence 0.3" in caplog.text
    read_points(stored(tmp_path, texts.openpose(texts.face()).replace("0.8", "0.2")))
    assert "mean score 0.20" in caplog.text


def test_keypoints(tmp_path):
    face = texts.face()
    people = json.loads(texts.openpose(face))
    people["people"][0]["face_keypoints_2d"][3 * 9 + 2] = 0
    refused(stored(tmp_path, json.dumps(people)), "not marked", "1: 9", "facemorph edit")
    refused(stored(tmp_path, '{"people": []}'), "no points")
    body = {"image_id": 1, "keypoints": [1, 2, 2] * 17}
    refused(stored(tmp_path, json.dumps([body])), "found 51", "COCO-WholeBody")
    refused(stored(tmp_path, json.dumps({"annotations": [body]})), "no face")
    refused(stored(tmp_path, texts.coco(face)), "another size", frame=Frame(9, 9))
    scores = texts.mmpose(face).replace("0.8, ", "", 1)
    refused(stored(tmp_path, scores), "scores", "132")


def test_labelme(tmp_path):
    text = texts.labelme(texts.face())
    refused(stored(tmp_path, text), "another size", frame=Frame(400, 600))
    refused(stored(tmp_path, text), "b.jpg", picture="b.jpg")
    refused(stored(tmp_path, text.replace('"5"', '"105"')), "missing: 5")
    refused(stored(tmp_path, text.replace('"point"', '"circle"')), "circle", "polygon")
    refused(stored(tmp_path, text.replace("null", "1", 1)), "several faces")
    # Labels without numbers leave the order of the file.
    words = json.loads(text)
    for shape in words["shapes"]:
        shape["label"] = "mark"
    points = read_points(stored(tmp_path, json.dumps(words)))[0]
    torch.testing.assert_close(points, FACE.flip(0))


def test_menpo_with_missing_points(tmp_path):
    content = json.loads(texts.ljson(texts.face()))
    content["groups"]["LJSON"]["landmarks"]["points"][4] = [None, None]
    refused(stored(tmp_path, json.dumps(content)), "missing", "point 4")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1;2\n3;5\n8;6\n", [[1.5, 2.5], [3.5, 5.5], [8.5, 6.5]]),
        ("1,5;2,25\n3;5\n8;6\n", [[2, 2.75], [3.5, 5.5], [8.5, 6.5]]),
        ("1,5 2,25\n3,0 5,0\n8,0 6,0\n", [[2, 2.75], [3.5, 5.5], [8.5, 6.5]]),
        ("1\t1,5\t2,5\n2\t3\t5\n3\t8\t6\n", [[2, 3], [3.5, 5.5], [8.5, 6.5]]),
        ("Y (px),X (px)\n2,1\n5,3\n6,8\n", [[1, 2], [3, 5], [8, 6]]),
        ("id,x,y,z\n2,8,6,1\n1,3,5,1\n0,1,2,1\n", [[1, 2], [3, 5], [8, 6]]),
        ('"x","y"\n"1","2"\n"3","5"\n"8","6"\n', [[1, 2], [3, 5], [8, 6]]),
        ("# scheme: points3;\nx;y\n1;2\n3;5\n8;6\n", [[1, 2], [3, 5], [8, 6]]),
        ("1, 2\n3, 5\n8, 6", [[1, 2], [3, 5], [8, 6]]),
        ("image,x,y\nb.jpg,9,9\na.jpg,1,2\nA.JPG,3,5\n", None),
        ("image,x,y\nb.jpg,9,9\na.jpg,1,2\na.jpg,3,5\n", [[1, 2], [3, 5]]),
        ("x0;y0;x1;y1\n1;2;3;5\n", [[1.5, 2.5], [3.5, 5.5]]),
    ],
)
def test_tables(tmp_path, text, expected):
    path = stored(tmp_path, text)
    if expected is None:
        refused(path, "several faces")
    else:
        assert read_points(path, picture="a.jpg")[0].tolist() == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a;b\n1;2\n", "line 1"),
        ("x;x;y\n1;2;3\n", "each once"),
        ("x;y\n1;2\n3\n", "line 3"),
        ("1,5;2.5\n2;3\n", "decimal comma and some a decimal point"),
        ("1.234,5;2\n", "line 1"),
        ("1,5,2,5\n", "found 4"),
        ("1 2 3\n4 5 6\n7 8 9\n", "name the columns"),
        ("0 1 2\n1 4 5\n3 7 8\n", "name the columns"),
        ("id,x,y\n0,1,2\n2,3,5\n3,4,4\n", "missing: 1"),
        ("id,x,y\n0,1,2\n0,3,5\n", "do not count them"),
        ("face,x,y\n0,1,2\n1,3,5\n", "several faces"),
        ("1 2\n3 4\nchin 5\n", "line 3"),
        ("A photograph of a man.\n", "line 1"),
    ],
)
def test_tables_that_do_not_say_enough(tmp_path, text, said):
    refused(stored(tmp_path, text), said)


def test_shares_of_the_picture(tmp_path):
    shares = (FACE / FACE.new_tensor([texts.WIDTH, texts.HEIGHT])).tolist()
    for text in (json.dumps(shares), "\n".join(f"{x},{y}" for x, y in shares)):
        path = stored(tmp_path, text)
        torch.testing.assert_close(read_points(path, FRAME)[0], FACE, rtol=0, atol=1e-9)
        refused(path, "shares of a picture", "Multiply x", frame=None)


def test_counting_from_one_is_told_by_the_border(tmp_path, caplog):
    frame = Frame(20, 30)
    assert read_points(stored(tmp_path, "0 0\n29 19\n5 9\n"), frame)[0][1].tolist() == [29.5, 19.5]
    assert not caplog.records
    assert read_points(stored(tmp_path, "1 1\n30 20\n5 9\n"), frame)[0][1].tolist() == [29.5, 19.5]
    assert "count pixels from 1" in caplog.text
    assert read_points(stored(tmp_path, "0 0\n30 20\n5 9\n"), frame)[0].tolist()[:2] == [
        [0, 0],
        [30, 20],
    ]
    assert "from the picture's edge" in caplog.text


def test_rows_and_columns_exchanged(tmp_path, caplog):
    wrong = FACE.flip(1).tolist()
    wrong[3][1] = 280
    path = stored(tmp_path, "\n".join(f"{x} {y}" for x, y in wrong))
    refused(path, "x and y of these points seem to be exchanged")
    read_points(path)
    assert "x and y seem to be exchanged" in caplog.text
    caplog.clear()
    mirrored = "\n".join(f"{300 - x} {y}" for x, y in FACE.tolist())
    read_points(stored(tmp_path, mirrored), FRAME)
    assert "left and right seem to be exchanged" in caplog.text


def mesh(count):
    """Points like MediaPipe's, of which only the number is right."""
    return (torch.rand(count, 2, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2).double()


@pytest.mark.parametrize("count", [468, 478])
@pytest.mark.parametrize("kind", ["tasks", "python", "solutions", "list", "csv", "array"])
def test_mediapipe(tmp_path, count, kind):
    shares = mesh(count)
    marks = [{"x": x, "y": y, "z": 0.1, "visibility": 0} for x, y in shares.tolist()]
    content = {
        "tasks": json.dumps({"faceLandmarks": [marks], "faceBlendshapes": []}),
        "python": json.dumps({"multi_face_landmarks": [{"landmark": marks}]}),
        "solutions": json.dumps({"landmark": marks}),
        "list": json.dumps(marks),
        "csv": "\n".join(["x,y,z", *(f"{x!r},{y!r},0.1" for x, y in shares.tolist())]),
        "array": None,
    }[kind]
    path = tmp_path / "a.npy"
    np.save(path, shares.numpy())
    if content is not None:
        path = stored(tmp_path, content)
    points, scheme = read_points(path, FRAME)
    assert (tuple(points.shape), scheme) == ((68, 2), "ibug68")
    pixels = shares * shares.new_tensor([texts.WIDTH, texts.HEIGHT])
    for index, vertex in ((36, 33), (45, 263), (8, 152), (30, 4), (48, 61), (54, 291), (0, 127)):
        torch.testing.assert_close(points[index], pixels[vertex])
    refused(path, "shares of a picture", frame=None)
    two = {"faceLandmarks": [marks, marks]}
    refused(stored(tmp_path, json.dumps(two)), "several faces", "MediaPipe")


def test_a_declared_scheme_is_kept(tmp_path):
    points = mesh(478).tolist()
    content = json.dumps({"format": "facemorph-points", "scheme": "points478", "points": points})
    assert read_points(stored(tmp_path, content))[0].tolist() == points


def test_faces_are_prepared_with_them(tmp_path):
    image = torch.rand(3, texts.HEIGHT, texts.WIDTH)
    pictures = [save_image(image, tmp_path / f"{name}.png") for name in "ab"]
    both = texts.dlib(texts.face(), "a.png").replace("faces/other.jpg", "b.png")
    both = both.replace("width='10' height='10'", "width='300' height='200'").replace("oops", "1")
    file = stored(tmp_path, both)
    with pytest.raises(GeometryError, match="at least 3"):
        prepare_faces(pictures, points=[file, file], align="none", size=300)
    pictures = pictures[:1] * 2
    first, second = prepare_faces(pictures, points=[file, file], align="none", size=300)
    torch.testing.assert_close(first.points, FACE)
    assert torch.equal(first.points, second.points)


@pytest.mark.parametrize("name", sorted(texts.FILES))
def test_changed_bytes_raise_nothing_but_ours(tmp_path, name):
    randomness, original = random.Random(name), texts.written(name)
    path = tmp_path / f"a{texts.FILES[name][0]}"
    where: list[str] = []
    for _ in range(125):  # 2,000 of all
        content = bytearray(original)
        for _ in range(randomness.choice((1, 1, 3, 10))):
            at = randomness.randrange(len(content))
            piece = randomness.choice((b"", b"\0", b"9" * 30, b"\xff", b"-", bytes([at % 256])))
            content[at : at + randomness.randrange(3)] = piece
        path.write_bytes(content)
        try:
            points, _ = read_points(path, FRAME, "a.jpg")
        except DataError as error:
            where.append(str(error))
        else:
            assert bool(points.isfinite().all())
    assert where
    assert all(str(path) in message for message in where)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<dataset>" + b"<box/>" * 100_001, "too many faces"),
        (b"1,2\n" * 200_001, "at most 200000 lines"),
        (b"1 " * 2_000_001, "at most 4000000 bytes"),
        (b"[" * 100_000, "not a JSON file"),
    ],
)
def test_what_would_take_memory_without_end(tmp_path, content, said):
    refused(stored(tmp_path, content), said)
