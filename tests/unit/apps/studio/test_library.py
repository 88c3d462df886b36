"""The photographs of a studio while they are dropped, removed and changed, all at once."""

from __future__ import annotations

import threading

import pytest
import torch
from PIL import Image

from facemorph.apps.studio import library as library_module
from facemorph.apps.studio.drivers import Drivers
from facemorph.apps.studio.exports import Exports
from facemorph.apps.studio.library import Library
from facemorph.apps.studio.messages import Request
from facemorph.apps.studio.project import Project
from facemorph.apps.studio.views.head import HeadPanel
from facemorph.apps.studio.views.landmark_editing import LandmarkEditing
from facemorph.apps.studio.work import Workshop
from facemorph.errors import DataError, FacemorphError
from facemorph.faces.files.landmark_files import read_points, write_points

PATIENCE = 120


@pytest.fixture
def own(tmp_path):
    """A library without photographs."""
    with Project(tmp_path / "project").opened() as project:
        library = Library(project, lambda photograph: None)
        yield library
        library.close()


def looked_at(library):
    """Wait until the library's thread has nothing more to do."""
    library._thread.submit(lambda: None).result(PATIENCE)
    return library.photographs


def test_who_sees_that_one_has_been_looked_at_sees_all_of_it(own, samples, tmp_path, monkeypatch):
    Image.new("RGB", (200, 200), (90, 120, 60)).save(tmp_path / "meadow.png")
    seen = []

    def change(photograph, name, value):
        object.__setattr__(photograph, name, value)
        if photograph.state != "waiting":
            seen.append(photograph.describe())

    names = own.add_files([samples[0], tmp_path / "meadow.png"])
    looked_at(own)
    monkeypatch.setattr(library_module.Photograph, "__setattr__", change, raising=False)
    for name in names:
        own._look_at(name, own.project.find(name).path)
    assert seen == [looked_at(own)[name].describe() for name in names]


def test_one_that_is_removed_while_it_is_looked_at_leaves_nothing_behind(own, samples, monkeypatch):
    reached, go = threading.Event(), threading.Event()
    fit = own.fit

    def slow(face):
        reached.set()
        assert go.wait(PATIENCE)
        return fit(face)

    monkeypatch.setattr(own, "fit", slow)
    first = own.take_upload("face.png", samples[0].read_bytes())
    assert reached.wait(PATIENCE)
    own.remove(first)
    monkeypatch.setattr(own, "fit", fit)
    second = own.take_upload("face.png", samples[1].read_bytes())
    go.set()
    photographs = looked_at(own)
    assert list(photographs) == [second]
    assert photographs[second].state == "ready"
    points, _ = read_points(own.project.points_of(second))
    detected = own.located(second).landmarks
    assert torch.allclose(points.float(), detected)
    own.remove(second)
    assert not list((own.project.folder / "points").iterdir())
    assert not list((own.project.folder / "heads").iterdir())


def test_a_name_that_comes_again_has_another_version(own, samples):
    seen = set()
    for path in (samples[0], samples[1], samples[0]):
        name = own.take_upload("face.png", path.read_bytes())
        version = looked_at(own)[name].version
        assert (name, version) not in seen
        seen.add((name, version))
        own.remove(name)


def test_uploads_of_one_name_at_once_are_all_kept(own, samples):
    content = samples[0].read_bytes()
    names = []
    threads = [
        threading.Thread(target=lambda: names.append(own.take_upload("a.png", content)))
        for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    looked_at(own)
    assert len(set(names)) == 4
    assert len({one.path for one in own.project.listed}) == 4


@pytest.mark.parametrize("name", ["顔" * 90 + ".png", "x" * 300 + ".png", "é ß.png"])
def test_long_and_foreign_names_are_kept(own, samples, name):
    for _ in range(2):
        taken = own.take_upload(name, samples[0].read_bytes())
        path = own.project.find(taken).path
        assert path.is_file()
        assert len(path.name.encode()) < 150
        assert own.project.points_of(taken).parent == own.project.folder / "points"
    looked_at(own)
    assert all(one.state == "ready" for one in own.photographs.values())


def test_pictures_at_hand_are_bounded_by_their_size(own, samples, monkeypatch):
    for path in samples:
        own.add_files([path])
    looked_at(own)
    assert len(own._located) == 2
    monkeypatch.setattr(library_module, "MOST_AT_HAND", 1)
    own.located(next(iter(own.photographs)))
    own._keep("another", own.located(next(iter(own.photographs))))
    assert list(own._located) == ["another"]


def test_an_editor_of_a_photograph_that_is_gone_gives_the_points_of_the_other(own, samples):
    names = own.add_files(list(samples))
    looked_at(own)
    editing = LandmarkEditing(own)
    path = editing.open(*names)
    session = editing._open[path][1].session
    session.take(session.points + 2.0, session.ids)
    own.remove(names[0])
    editing.close_all()
    assert looked_at(own)[names[1]].state == "ready"
    assert own.has_own_points(names[1])
    assert not own.project.points_of(names[0]).exists()


def test_what_has_no_face_cannot_be_exported(own, tmp_path):
    Image.new("RGB", (200, 200), (90, 120, 60)).save(tmp_path / "meadow.png")
    (name,) = own.add_files([tmp_path / "meadow.png"])
    assert looked_at(own)[name].state == "failed"
    exports = Exports(own.project, Workshop("exports", lambda work: None))
    handlers = HeadPanel(own, exports, Drivers(own)).handlers()
    for content in ({"format": ".json"}, {"format": ".npz"}, {"format": ".png"}):
        with pytest.raises(DataError, match="no face"):
            handlers["head.export"](Request(1, "", {"photograph": name, **content}))
    with pytest.raises(DataError, match="no face"):
        handlers["head.command"](Request(1, "", {"photograph": name}))
    assert exports.names() == []


# ------------------------------------------------------------
# landmark files


def test_landmarks_with_the_name_of_a_photograph_become_its_points(own, samples, tmp_path):
    (name,) = own.add_files([samples[0]])
    looked_at(own)
    before = own.located(name).landmarks
    version = own.photographs[name].version
    for suffix in (".pts", ".json", ".csv"):
        file = tmp_path / f"{name}{suffix}"
        write_points(before.double() + 2, file, "ibug68")
        assert own.take_points(file.name, file.read_bytes()) == name
        photograph = looked_at(own)[name]
        assert photograph.state == "ready"
        assert photograph.version > version
        assert own.has_own_points(name)
        assert torch.allclose(own.located(name).landmarks, before + 2, atol=0.01)


def test_landmarks_that_fit_no_photograph_are_refused(own, samples, tmp_path):
    (name,) = own.add_files([samples[0]])
    looked_at(own)
    kept = own.project.points_of(name).read_bytes()
    good = own.located(name).landmarks.double()
    outside, few = tmp_path / "outside.json", tmp_path / "few.json"
    write_points(good + 5000, outside, "ibug68")
    write_points(good[:3], few, "points3")
    for file, content, words in (
        ("nobody.json", outside.read_bytes(), "of one photograph"),
        (f"{name}.json", outside.read_bytes(), "outside"),
        (f"{name}.json", few.read_bytes(), "points3"),
        (f"{name}.pts", b"no landmarks", name),
        (f"{name}.npy", b"\x93NUMPY\x01\x00", name),
    ):
        with pytest.raises(FacemorphError, match=words):
            own.take_points(file, content)
    assert own.project.points_of(name).read_bytes() == kept
    assert not own.has_own_points(name)
