"""Odd landmark files, meshes and videos: the right result, or it is said what is wrong."""

from __future__ import annotations

import gzip
import json
import os
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from facemorph import load_image
from facemorph.apps.fitting.scan_fitting import read_scan_mesh
from facemorph.errors import DataError, FacemorphError
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.files.landmark_files import read_points
from facemorph.faces.files.video_io import numbered_frames
from facemorph.faces.files.video_sound import open_sound
from facemorph.faces.pair import prepare_faces
from facemorph.geometry.meshes.mesh_files import Mesh, glb_bytes, obj_files
from facemorph.ops.frames import Frame

WIDTH, HEIGHT = 256, 300
SHIFT = np.array([25, -12])


# ------------------------------------------------------------
# landmark files
@pytest.fixture(scope="module")
def marked(samples, tmp_path_factory):
    """A photograph and its landmarks."""
    path = tmp_path_factory.mktemp("odd") / "face.png"
    Image.open(samples[1]).convert("RGB").resize((WIDTH, HEIGHT)).save(path)
    return path, EmbeddedDetector()(load_image(path))[0].points.double().numpy()


def table(points, separator=","):
    return "\n".join(f"{x:.3f}{separator}{y:.3f}" for x, y in points)


def pts(points):
    return f"version: 1\nn_points: {len(points)}\n{{\n{table(points + 0.5, ' ')}\n}}\n"


def numbered(points):
    order = np.random.default_rng(0).permutation(len(points))
    rows = [f"{index},{points[index, 0]:.3f},{points[index, 1]:.3f}" for index in order]
    return "\n".join(["id,x,y", *rows])


def shares(points):
    return points / [WIDTH, HEIGHT]


ARABIC = {ord(str(digit)): 0x0660 + digit for digit in range(10)}
RIGHT = {
    "pts with a byte order mark": (".pts", lambda p: "\ufeff" + pts(p)),
    "pts with the line ends of old Macs": (".pts", lambda p: pts(p).replace("\n", "\r")),
    "pts in UTF-16": (".pts", lambda p: pts(p).encode("utf-16")),
    "pts without blanks after the colons": (".pts", lambda p: pts(p).replace(": ", ":")),
    "rows in another order, with their numbers": (".csv", numbered),
    "numbers as texts in JSON": (
        ".json",
        lambda p: json.dumps({"points": [[str(x), str(y)] for x, y in p.tolist()]}),
    ),
    "shares of the picture": (
        ".csv",
        lambda p: "\n".join(f"{x:.6f},{y:.6f}" for x, y in shares(p)),
    ),
    "Arabic digits": (".txt", lambda p: table(p - 0.5, " ").translate(ARABIC)),
}
SAID = {
    "points of half the size": (".csv", lambda p: table(p / 2), "another size"),
    "points of a quarter of the size": (".pts", lambda p: pts(p / 4), "another size"),
    "percent of the picture": (".csv", lambda p: table(shares(p) * 100), "in percent"),
    "points of a cut around the face": (".csv", lambda p: table(p - p.min(0) + 1), "cut of"),
    "points of a picture that is shifted": (".csv", lambda p: table(p + SHIFT), "not on the"),
    "y counted upwards": (
        ".csv",
        lambda p: table(np.stack([p[:, 0], HEIGHT - p[:, 1]], 1)),
        "mirrored",
    ),
    "67 points": (".csv", lambda p: table(p[:67]), "67 points, and iBUG has 68"),
    "69 points": (".csv", lambda p: table(np.vstack([p, p[:1] + 3])), "69 points"),
    "two faces under one another": (".txt", lambda p: table(np.vstack([p, p + 3]), " "), "twice"),
}
REFUSED = {
    "decimal commas in pts": (".pts", lambda p: pts(p).replace(".", ","), "line 4"),
    "points from -1 to 1": (".csv", lambda p: table(shares(p) * 2 - 1), "outside of the picture"),
    "three columns without names": (
        ".csv",
        lambda p: "\n".join(f"{x},{y},0.1" for x, y in p),
        "name the columns",
    ),
    "x and y in lists of their own": (
        ".json",
        lambda p: json.dumps({"x": p[:, 0].tolist(), "y": p[:, 1].tolist()}),
        "an object of x, y",
    ),
    "one list of numbers": (".json", lambda p: json.dumps(p.ravel().tolist()), "not a point"),
    "brackets around points": (
        ".txt",
        lambda p: "\n".join(f"({x:.2f}, {y:.2f})" for x, y in p),
        "Name the columns",
    ),
    "an array as NumPy prints it": (".txt", str, "not a JSON file"),
    "a compressed table": (".csv", lambda p: gzip.compress(table(p).encode()), "not a text file"),
    "words at the end": (".txt", lambda p: table(p, " ") + "\nend of file", "line 69"),
    "a typographic minus": (".txt", lambda p: "\u2212" + table(p, " "), "first line"),
}


def bring(marked, tmp_path, suffix, make):
    picture, points = marked
    content = make(points)
    path = tmp_path / f"odd{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    face = prepare_faces([picture], points=[path], size=64, align="none")[0]
    return path, read_points(path, Frame(HEIGHT, WIDTH))[0].numpy(), face


@pytest.mark.parametrize("name", RIGHT)
def test_odd_landmark_files_that_are_read(marked, tmp_path, caplog, name):
    _, found, _ = bring(marked, tmp_path, *RIGHT[name])
    np.testing.assert_allclose(found, marked[1], atol=0.01)
    assert not [one for one in caplog.messages if "odd" in one]


@pytest.mark.parametrize("name", SAID)
def test_landmarks_of_something_else_are_said(marked, tmp_path, caplog, name):
    suffix, make, text = SAID[name]
    path, _, _ = bring(marked, tmp_path, suffix, make)
    assert any(str(path) in one and text in one for one in caplog.messages), caplog.messages


@pytest.mark.parametrize("name", REFUSED)
def test_landmark_files_that_are_refused(marked, tmp_path, name):
    suffix, make, text = REFUSED[name]
    with pytest.raises(FacemorphError) as caught:
        bring(marked, tmp_path, suffix, make)
    assert f"odd{suffix}" in str(caught.value)
    assert text in str(caught.value)


# ------------------------------------------------------------
# meshes
BALL = trimesh.creation.icosphere(subdivisions=1, radius=100.0)
COUNT = len(BALL.faces)


def obj():
    mesh = Mesh(torch.from_numpy(np.array(BALL.vertices)).float(), torch.tensor(BALL.faces))
    return obj_files(mesh, "a")["a.obj"].decode()


def each(change, start="v "):
    return "\n".join(change(line) if line.startswith(start) else line for line in obj().split("\n"))


def ply(kind="ascii", type_="double"):
    """A PLY file of text, or its header alone."""
    head = f"ply\nformat {kind} 1.0\nelement vertex {len(BALL.vertices)}\n"
    head += "".join(f"property {type_} {axis}\n" for axis in "xyz")
    head += f"element face {COUNT}\nproperty list uchar int vertex_indices\nend_header\n"
    if kind != "ascii":
        return head
    rows = [" ".join(map(repr, row)) for row in BALL.vertices.tolist()]
    return head + "\n".join([*rows, *("3 " + " ".join(map(str, f)) for f in BALL.faces.tolist())])


def big_endian(line_end="\n"):
    body = np.array(BALL.vertices, ">f4").tobytes()
    body += b"".join(b"\3" + np.array(face, ">i4").tobytes() for face in BALL.faces)
    return ply("binary_big_endian", "float").replace("\n", line_end).encode() + body


def stl(count=COUNT, start=b"a binary one"):
    content = BALL.export(file_type="stl")
    return start.ljust(80) + struct.pack("<I", count) + content[84:]


def moved(line):
    x, y, z = (float(word) / 1000 for word in line.split()[1:])
    return f"v {x + 4e5:.4f} {y + 5e6:.4f} {z:.4f}"


READ_MESHES = {
    "OBJ with tabs": (".obj", lambda: obj().replace(" ", "\t")),
    "OBJ with tabs in some lines": (".obj", lambda: each(lambda line: line.replace(" ", "\t"))),
    "OBJ with blanks before lines": (".obj", lambda: each(lambda line: "  " + line, "f ")),
    "OBJ whose lines go on": (".obj", lambda: obj().replace("f ", "f \\\n ")),
    "OBJ with comments behind faces": (".obj", lambda: each(lambda line: line + " # one", "f ")),
    "OBJ with a byte order mark": (".obj", lambda: "\ufeff" + obj().split("\n", 1)[1]),
    "OBJ with the line ends of old Macs": (".obj", lambda: obj().replace("\n", "\r")),
    "OBJ with colours of vertices": (".obj", lambda: each(lambda line: line + " 0.1 0.2 0.3")),
    "big-endian PLY": (".ply", big_endian),
    "PLY with a header of Windows": (".ply", lambda: big_endian("\r\n")),
    "binary STL that begins as text": (".stl", lambda: stl(start=b"solid ball")),
}
REFUSED_MESHES = {
    "PLY that ends among its faces": (".ply", lambda: ply()[:-200], "cut off"),
    "PLY that ends among its vertices": (".ply", lambda: ply()[:1500], "cut off"),
    "STL with too small a count": (".stl", lambda: stl(10), "triangles"),
    "STL with too large a count": (".stl", lambda: stl(9999), "triangles"),
    "coordinates of a map": (".obj", lambda: each(moved), "too far from the origin"),
    "vertices with two numbers": (
        ".obj",
        lambda: each(lambda line: line.rsplit(" ", 1)[0]),
        "a vertex with 2 numbers",
    ),
    "decimal commas": (".obj", lambda: obj().replace(".", ","), "cannot be read"),
    "corner 0": (".obj", lambda: obj() + "f 0 1 2\n", "a vertex that it does not have"),
    "corners beyond all numbers": (".obj", lambda: obj() + f"f 1 2 {'9' * 30}\n", "corner 999"),
    "NURBS": (".obj", lambda: "v 0 0 0\nv 1 0 0\ncurv 0 1 1 2\n", "point cloud"),
    "GLB that is called OBJ": (".obj", lambda: glb_bytes(Mesh(*ball_tensors())), "triangles"),
    "glTF of text": (".gltf", lambda: "{}", "Save it as .obj"),
}


def ball_tensors():
    return torch.from_numpy(np.array(BALL.vertices)).float(), torch.tensor(BALL.faces)


def stored(tmp_path, suffix, content):
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", READ_MESHES)
def test_odd_meshes_that_are_read(tmp_path, name):
    suffix, make = READ_MESHES[name]
    mesh = read_scan_mesh(stored(tmp_path, suffix, make()))
    assert len(mesh.faces) == COUNT
    corners = mesh.vertices[mesh.faces].double()
    np.testing.assert_allclose(corners.norm(dim=2).numpy(), 100, atol=1e-3)


@pytest.mark.parametrize("name", REFUSED_MESHES)
def test_meshes_that_are_refused(tmp_path, name):
    suffix, make, text = REFUSED_MESHES[name]
    path = stored(tmp_path, suffix, make())
    with pytest.raises(FacemorphError) as caught:
        read_scan_mesh(path)
    assert str(path) in str(caught.value)
    assert text in str(caught.value)


# ------------------------------------------------------------
# videos
def film(
    path, count=4, size=(32, 48), rate=24, pixels="yuv420p", codec="libx264", title="", **context
):
    """A video of one colour, (200, 100, 50)."""
    with av.open(str(path.absolute()), "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        picture = np.full((size[1], size[0], 3), (200, 100, 50), np.uint8)
        for _ in range(count):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


VIDEOS = {
    "one frame": ("a.mp4", {"count": 1}, (48, 32)),
    "odd sides": ("a.mkv", {"size": (33, 31), "pixels": "yuv444p"}, (31, 33)),
    "ten bits": ("a.mp4", {"pixels": "yuv420p10le"}, (48, 32)),
    "1000 frames a second": ("a.mp4", {"rate": 1000}, (48, 32)),
    "a frame in ten seconds": ("a.mp4", {"rate": Fraction(1, 10)}, (48, 32)),
    "wide pixels": ("a.mp4", {"sample_aspect_ratio": Fraction(2, 1)}, (48, 64)),
    "pixels of PAL": ("a.mp4", {"sample_aspect_ratio": Fraction(16, 15)}, (48, 34)),
    "a time as its name": ("10:30.mp4", {}, (48, 32)),
    "a pattern as its name": ("a_%d.mp4", {}, (48, 32)),
    "a name of two lines": ("a\nb.mp4", {}, (48, 32)),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_odd_videos_that_are_read(tmp_path, monkeypatch, caplog, name):
    monkeypatch.chdir(tmp_path)
    file, options, size = VIDEOS[name]
    film(tmp_path / file, **options)
    frames = list(numbered_frames(file))
    assert [number for number, _ in frames] == list(range(options.get("count", 4)))
    assert {picture.shape for _, picture in frames} == {(*size, 3)}
    np.testing.assert_allclose(frames[0][1].mean((0, 1)), (200, 100, 50), atol=4)
    assert not caplog.messages


@pytest.mark.parametrize(("transfer", "called"), [(16, "PQ"), (18, "HLG")])
def test_videos_of_high_dynamic_range_are_said(tmp_path, caplog, transfer, called):
    path = film(tmp_path / "a.mp4", pixels="yuv420p10le", color_trc=transfer)
    assert len(list(numbered_frames(path))) == 4
    assert any(str(path) in one and f"({called})" in one for one in caplog.messages)


def test_a_video_whose_pictures_change_their_size(tmp_path):
    parts = [film(tmp_path / f"{w}.ts", size=(w, 48), codec="mpeg2video") for w in (32, 64)]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(DataError, match=r"both\.ts, frame \d+: .*change their size.*64x48"):
        list(numbered_frames(path))


def test_titles_in_another_encoding(tmp_path):
    path = film(tmp_path / "b.mkv", title="Ueber uns")
    content = path.read_bytes()
    assert content.count(b"Ueber") == 1
    path.write_bytes(content.replace(b"Ueber", b"\xdcber "))  # Latin-1
    assert len(list(numbered_frames(path))) == 4
    assert open_sound(path) is None


@pytest.mark.parametrize("kind", ["pipe", "playlist", "subtitles", "no frames", "folder"])
def test_things_that_are_no_videos(tmp_path, kind):
    path = tmp_path / "a.mp4"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "no frames":
        film(path, count=0)
    else:
        texts = {"playlist": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n"}
        path.write_text(texts.get(kind, "1\n00:00:01,000 --> 00:00:02,000\nhi\n"))
    with pytest.raises(DataError, match=r"a\.mp4: .*Check that it plays elsewhere"):
        list(numbered_frames(path))
