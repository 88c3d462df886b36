"""Folders among the arguments of a function become the files in them."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import DataError, ImageError
from facemorph.jobs.input_files import check_some_exist, picture_files, spell_out_folders


@pytest.fixture
def folders(tmp_path):
    """Two photographs in a folder, one beside it, and landmark files of all three."""
    for name in ("in/b.png", "in/a.jpg", "c.png", "points/a.tem", "points/b.pts", "points/c.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def test_a_folder_stands_for_its_pictures_in_the_order_of_names(folders):
    one = torch.zeros(3, 4, 4)
    arguments = {"pictures": [folders / "c.png", folders / "in", one], "points": None}
    spell_out_folders(arguments, ["pictures"])
    paths = [folders / name for name in ("c.png", "in/a.jpg", "in/b.png")]
    assert arguments["pictures"][:3] == paths
    assert arguments["pictures"][3] is one
    assert arguments["points"] is None


def test_a_folder_of_points_gives_one_file_for_each_picture_in_the_order_of_the_arguments(folders):
    arguments = {
        "end": [str(folders / "in")],
        "subject": str(folders / "c.png"),
        "points": str(folders / "points"),
    }
    spell_out_folders(arguments, ["subject", "end"])
    names = ("c.json", "a.tem", "b.pts")
    assert arguments["points"] == [folders / "points" / name for name in names]


def test_one_file_of_points_is_a_list_of_one(folders):
    file = folders / "points/c.json"
    arguments = {"subject": folders / "c.png", "points": file}
    spell_out_folders(arguments, ["subject"])
    assert arguments["points"] == [file]


def test_what_cannot_be_spelled_out_is_named(folders):
    (folders / "points/b.pts").unlink()
    with pytest.raises(DataError, match=r"b\.png"):
        spell_out_folders(
            {"pictures": [folders / "in"], "points": folders / "points"}, ["pictures"]
        )
    with pytest.raises(DataError, match="points"):
        spell_out_folders(
            {"subject": torch.zeros(3, 4, 4), "points": folders / "points"}, ["subject"]
        )
    with pytest.raises(DataError, match="nowhere"):
        spell_out_folders({"pictures": [folders / "nowhere"], "points": None}, ["pictures"])


def test_other_functions_keep_their_points(folders):
    arguments = {"source": folders / "c.png", "points": folders / "points"}
    spell_out_folders(arguments, [])
    assert arguments["points"] == folders / "points"


def test_what_is_missing_is_named_only_where_nothing_is_there(folders):
    check_some_exist([folders / "no.png", folders / "c.png"])
    check_some_exist([folders / "in"])
    with pytest.raises(ImageError, match=r"no\.png: file not found"):
        check_some_exist([folders / "no.png", folders / "no.obj"])


@pytest.mark.parametrize(("name", "kind"), [("no.obj", "file"), ("no", "folder")])
def test_missing_scans_and_folders_are_told_apart(folders, name, kind):
    with pytest.raises(DataError, match=f"there is no such {kind}"):
        picture_files([folders / "c.png", folders / name])
