"""Videos and recordings that are dropped into the studio: kept when they can be read, and followed
by a photograph.
"""

from __future__ import annotations

import io

import pytest
import torch

from facemorph.apps.studio import drivers as drivers_module
from facemorph.apps.studio.drivers import Drivers
from facemorph.apps.studio.messages import Request
from facemorph.apps.studio.project import DRIVERS
from facemorph.apps.studio.views.head import HeadPanel
from facemorph.apps.studio.work import Work
from facemorph.errors import DataError, FacemorphError
from facemorph.faces.files.video_io import write_frames
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.recordings.live_link import ANGLES, TIME

NAME = "sample_collins"
FRAMES = b'{"fps": 30, "frames": [{"blendShapes": {"jawOpen": 0.5}}]}'


@pytest.fixture
def drivers(library):
    yield Drivers(library)
    for path in (library.project.folder / DRIVERS).iterdir():
        path.unlink()


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_frames([torch.full((3, 64, 64), share) for share in (0.2, 0.5, 0.8)], path)
    return path.read_bytes()


def recording(library):
    """Rows of Live Link Face for the model's expressions."""
    names = [name[0].upper() + name[1:] for name in library.model.expression_names]
    rows = [
        f"00:00:0{second}:00.0," + ",".join(["0.1"] * len(names + list(ANGLES)))
        for second in (1, 2)
    ]
    return "\n".join([",".join([TIME, *names, *ANGLES]), *rows]).encode()


def test_what_can_drive_is_kept_as_it_came(drivers, film, library):
    head = FaceParameters.load(library.project.head_of(NAME))
    path = library.project.folder / "head.npz"
    head.save(path)
    parameters = path.read_bytes()
    path.unlink()
    files = {
        "film.mp4": film,
        "take 2.csv": recording(library),
        "fit.npz": parameters,
        "take.json": FRAMES,
    }
    for name, content in files.items():
        assert drivers.takes(name, io.BytesIO(content))
        assert drivers.take_upload(name, io.BytesIO(content)) == name.replace(" ", "_")
    assert drivers.names() == ["film.mp4", "fit.npz", "take.json", "take_2.csv"]
    assert drivers.find("film.mp4").read_bytes() == film
    assert drivers.take_upload("film.mp4", io.BytesIO(film)) == "film-2.mp4"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("film.mp4", b""),
        ("film.mp4", b"\x00\x00\x00\x18ftypmp42" + bytes(300)),
        ("film.gif", b"GIF89a"),
        ("head.npz", b"PK\x03\x04" + bytes(60)),
        ("take.csv", b"Timecode,Nothing\n1,2\n"),
        ("take.json", b"{}"),
        ("walk.bvh", b"HIERARCHY\nROOT hips\n{\n}\n"),
    ],
)
def test_what_cannot_is_refused_and_leaves_nothing(drivers, name, content):
    with pytest.raises(FacemorphError):
        drivers.take_upload(name, io.BytesIO(content))
    assert not list((drivers._folder).iterdir())


def test_tables_of_landmarks_are_no_drivers(drivers, library):
    assert not drivers.takes("face.csv", io.BytesIO(b"x,y\n1,2\n"))
    assert not drivers.takes("face.json", io.BytesIO(b'{"points": [[1, 2]]}'))
    assert drivers.takes("face.json", io.BytesIO(FRAMES))
    assert not drivers.takes("face.png", io.BytesIO(b"x"))
    content = io.BytesIO(b"\xef\xbb\xbf" + recording(library))
    assert drivers.takes("face.csv", content)
    assert content.tell() == 0


def test_a_project_holds_only_so_many(drivers, film, monkeypatch):
    monkeypatch.setattr(drivers_module, "MOST", 1)
    drivers.take_upload("film.mp4", io.BytesIO(film))
    with pytest.raises(DataError, match="full"):
        drivers.take_upload("film.mp4", io.BytesIO(film))


def test_a_photograph_follows_a_driver(drivers, film, library, exports, monkeypatch):
    drivers.take_upload("film.mp4", io.BytesIO(film))
    begun = []
    monkeypatch.setattr(exports, "run", lambda words, output: begun.append(words) or Work(3, "x"))
    follow = HeadPanel(library, exports, drivers).handlers()["head.follow"]
    header = follow(Request(1, "head.follow", {"photograph": NAME, "driver": "film.mp4"}))
    assert header["work"] == 3
    (words,) = begun
    assert words[:2] == ["reenact", str(library.photograph(NAME).path)]
    assert words[-2:] == ["--driving", str(drivers.find("film.mp4"))]
    assert words[words.index("-o") + 1].endswith(f"{NAME}_film.mp4")
    for content in (
        {"photograph": NAME, "driver": "../film.mp4"},
        {"photograph": "nobody", "driver": "film.mp4"},
    ):
        with pytest.raises(DataError):
            follow(Request(1, "head.follow", content))
    assert len(begun) == 1
