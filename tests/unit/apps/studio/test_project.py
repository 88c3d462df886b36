"""The folder of a studio project: what it keeps, and what it refuses."""

from __future__ import annotations

import json
import threading

import pytest

from facemorph.apps.studio.project import Project
from facemorph.errors import DataError, OutputError


@pytest.fixture
def project(tmp_path):
    with Project(tmp_path / "project").opened() as opened:
        yield opened


def test_what_is_open_survives(tmp_path, samples):
    folder = tmp_path / "project"
    with Project(folder).opened() as first:
        assert first.is_new
        names = [first.add(path).id for path in samples]
        assert first.add(samples[0]).id == names[0]  # once
        first.edited(names[1])
        first.keep_views({"head": {"edits": {"exp jawOpen": 0.3}}})
        first.keep_views({"morph": {"mode": "average"}})
    with Project(folder).opened() as second:
        assert not second.is_new
        assert [one.id for one in second.listed] == names
        assert [one.points_by for one in second.listed] == ["embedded", "file"]
        assert second.views == {
            "head": {"edits": {"exp jawOpen": 0.3}},
            "morph": {"mode": "average"},
        }


def test_photographs_of_the_project_move_with_it(tmp_path, samples):
    with Project(tmp_path / "old").opened() as first:
        path = first.place_for("face.png")
        path.write_bytes(samples[0].read_bytes())
        first.add(path)
        first.save()
    (tmp_path / "old").rename(tmp_path / "new")
    with Project(tmp_path / "new").opened() as second:
        assert second.listed[0].path == tmp_path / "new" / "photographs" / "face.png"
        assert second.listed[0].path.is_file()


def test_names_are_plain_and_different(project, tmp_path):
    paths = [tmp_path / folder / "Ülle O'Brien (1).png" for folder in "ab"]
    names = [project.add(path).id for path in paths]
    assert names == ["Ülle_O_Brien__1_", "Ülle_O_Brien__1_-2"]
    assert project.add(tmp_path / "..png").id.strip(".") != ""
    for name in ("../../etc/passwd", "/etc/passwd", "..", ".hidden", "a/b", "\x00", "x" * 500):
        place = project.place_for(name)
        assert place.parent == project.folder / "photographs"
        assert not place.name.startswith(".")
        assert len(place.name) < 200
        assert project.part(name).parent == project.folder / "parts"


def test_two_studios_do_not_share_a_folder(project):
    with pytest.raises(OutputError, match="another studio"), Project(project.folder).opened():
        pass


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        json.dumps({"format": "facemorph-studio", "views": {}, "photographs": [{"id": 1}]}),
        json.dumps({"format": "other", "views": {}, "photographs": []}),
        json.dumps(
            {
                "format": "facemorph-studio",
                "views": {},
                "photographs": [{"id": "../x", "path": "a.png", "points_by": "file"}],
            }
        ),
    ],
)
def test_a_broken_state_is_told_and_kept(tmp_path, content):
    folder = tmp_path / "project"
    with Project(folder).opened() as first:
        first.save()
    state = folder / "studio.json"
    state.write_text(content)
    with pytest.raises(DataError, match="cannot be read") as told, Project(folder).opened():
        pass
    assert told.value.where == state
    assert state.read_text() == content


def test_exports_are_found_and_nothing_else_is(project):
    first = project.export("a b", ".png")
    first.write_bytes(b"x")
    assert project.export("a b", ".png").name == "a_b-2.png"
    assert project.exported("a_b.png") == first
    (project.folder / "secret.txt").write_text("secret")
    (project.folder / "exports" / "link.txt").symlink_to(project.folder / "secret.txt")
    for name in ("../secret.txt", "/etc/passwd", "", ".", "absent.png", "link.txt"):
        with pytest.raises(DataError):
            project.exported(name)


def test_too_much_to_keep_is_refused(project):
    with pytest.raises(DataError, match="too much"):
        project.keep_views({"head": "x" * 1_100_000})
    assert "head" not in project.views


def test_removing_forgets_what_was_found(project, samples):
    one = project.add(samples[0])
    project.points_of(one.id).write_text("{}")
    project.head_of(one.id).write_bytes(b"x")
    project.remove(one.id)
    assert not project.points_of(one.id).exists()
    assert not project.head_of(one.id).exists()
    assert samples[0].is_file()
    with pytest.raises(DataError):
        project.remove(one.id)


def test_saving_from_two_threads_leaves_a_whole_file(project, samples):
    for path in samples:
        project.add(path)

    def keep(name):
        for number in range(30):
            project.keep_views({name: {"value": number}})

    threads = [threading.Thread(target=keep, args=(name,)) for name in ("head", "morph")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    kept = json.loads(project.state_file.read_text())["views"]
    assert kept == {"head": {"value": 29}, "morph": {"value": 29}}


def test_exports_that_wait_have_names_of_their_own(tmp_path):
    with Project(tmp_path / "project").opened() as project:
        promised = [project.export("face", suffix) for suffix in ("", "", ".mp4", ".mp4")]
        assert [path.name for path in promised] == ["face", "face-2", "face.mp4", "face-2.mp4"]
        assert not any(path.exists() for path in promised)


@pytest.mark.parametrize(
    "name", ["", "exports", "exports/", "exports/..", "points/x", "/etc/passwd"]
)
def test_results_are_folders_of_the_project(tmp_path, name):
    with Project(tmp_path / "project").opened() as project:
        (project.folder / "parts" / "person-1").mkdir()
        assert project.result("parts/person-1") == project.folder / "parts" / "person-1"
        with pytest.raises(DataError):
            project.result(name)
