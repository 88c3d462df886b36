"""Words to typed edits, and what is said where they are wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from facemorph.apps.reenactment.editing.edit_words import (
    CameraEdit,
    ExpressionEdit,
    PoseEdit,
    Reset,
    ShapeEdit,
    Undo,
    parse_edits,
    read_edits,
)
from facemorph.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ,\n# nothing\n", []),
        ("shape 0 1.5", [ShapeEdit(0, 1.5)]),
        ("shape 0 1.5 exp 0 -1", [ShapeEdit(0, 1.5), ExpressionEdit(0, -1.0)]),
        ("shape 3 +.5,exp jawOpen 6e-1", [ShapeEdit(3, 0.5), ExpressionEdit("jawOpen", 0.6)]),
        ("global_pose yaw -15", [PoseEdit("global_pose", "yaw", -15.0)]),
        ("global_pose pitch 40 global_pose roll -60", [
            PoseEdit("global_pose", "pitch", 40.0), PoseEdit("global_pose", "roll", -60.0)]),
        ("jaw_pose pitch 8", [PoseEdit("jaw_pose", "pitch", 8.0)]),
        ("leye_pose yaw 3\nreye_pose yaw 4", [
            PoseEdit("leye_pose", "yaw", 3.0), PoseEdit("reye_pose", "yaw", 4.0)]),
        ("cam scale 2 cam tx -0.5, cam ty 0.5", [
            CameraEdit("scale", 2.0), CameraEdit("tx", -0.5), CameraEdit("ty", 0.5)]),
        ("shape 1\n  2 # a comment: shape 9 9\nundo reset", [ShapeEdit(1, 2.0), Undo(), Reset()]),
    ],
)  # fmt: skip
def test_words_and_what_they_mean(text, expected):
    assert [statement.edit for statement in parse_edits(text)] == expected


def test_statements_keep_their_words_and_place():
    first, second = parse_edits("shape  0,1.50 exp jawOpen 1")
    assert (first.text, second.text) == ("shape 0 1.50", "exp jawOpen 1")
    assert (first.where, second.where) == ("edit 1: shape 0 1.50", "edit 2: exp jawOpen 1")
    assert parse_edits("undo\n\nreset")[1].where == "line 3, edit 2: reset"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("shapes 0 1", r"^edit 1: shapes: no statement begins with this word .*mean 'shape'"),
        ("Exp 0 1", "mean 'exp'"),
        ("xyz", r"There are: cam, exp, global_pose, jaw_pose, leye_pose, reset"),
        ("shape 0 1 2", r"^edit 2: 2: no statement begins with this word \(found 2\)"),
        ("shape 0", r"^edit 1: shape 0: a value is missing \(expected shape NUMBER VALUE\)"),
        ("shape", "a value is missing"),
        ("undo exp jawOpen", r"^edit 2: exp jawOpen: a value is missing .*exp NUMBER\|NAME VALUE"),
        ("exp jawOpen undo 1", r"^edit 1: exp jawOpen undo: this is no number .*found undo\)"),
        ("shape -1 0.5", r"^edit 1: shape -1 0.5: coefficients have numbers .*found -1\)"),
        ("shape 1.5 0.5", "coefficients have numbers"),
        ("shape jawOpen 0.5", "coefficients have numbers"),
        ("shape ² 0.5", "coefficients have numbers"),
        ("shape 9999999999 0.5", "coefficients have numbers"),
        ("exp -1 0.5", r"coefficients have numbers \(expected 0, 1, 2, ..., found -1\)"),
        ("exp nan 0.5", "coefficients have numbers"),
        ("shape 0 nan", r"^edit 1: shape 0 nan: this is no finite number \(found nan\)"),
        ("exp jawOpen -inf", "no finite number"),
        ("exp jawOpen 1e400", "no finite number"),
        ("cam tx NaN", "no finite number"),
        ("exp jawOpen 0,5 shape 0 1", r"^edit 2: 5: no statement"),
        ("global_pose jaw 3", r"no such choice \(expected yaw \| pitch \| roll, found jaw\)"),
        ("jaw_pose ptch 3", "Did you mean 'pitch'"),
        ("global_pose yaw 61", r"out of range \(expected -60 to 60 degrees, found 61.0\)"),
        ("global_pose pitch -41", "-40 to 40 degrees"),
        ("global_pose roll 60.5", "-60 to 60 degrees"),
        ("cam zoom 2", r"expected scale \| tx \| ty, found zoom"),
        ("cam scale 0", r"^edit 1: cam scale 0: out of range \(expected 0.5 to 2, found 0.0\)"),
        ("cam scale 2.1", "0.5 to 2"),
        ("cam tx -0.6", "-0.5 to 0.5"),
        ("cam ty 0.6", "-0.5 to 0.5"),
        ("shape 0 1\n\nexp a b # c", r"^line 3, edit 2: exp a b: this is no number"),
        ("shape 0 " + 500 * "x", r"found x{60}\)"),
    ],
)  # fmt: skip
def test_wrong_words_are_named(text, match):
    with pytest.raises(ConfigError, match=match):
        parse_edits(text)


def test_edits_from_the_command_line_and_from_a_file(tmp_path):
    path = tmp_path / "smile.txt"
    path.write_bytes("\ufeff# a smile\r\nexp mouthSmile 0.5\r\n".encode())
    assert read_edits(None, None) == ""
    assert read_edits("shape 0 1", None) == "shape 0 1"
    (statement,) = parse_edits(read_edits(None, path))
    assert statement.edit == ExpressionEdit("mouthSmile", 0.5)


def test_errors_of_a_file_name_it_and_the_line(tmp_path):
    path = tmp_path / "edits.txt"
    path.write_text("shape 0 1\nexp jawOpen\n")
    with pytest.raises(ConfigError, match=r"edits.txt, line 2, edit 2: exp jawOpen: a value"):
        read_edits(None, path)
    path.write_text("xyz")
    with pytest.raises(ConfigError, match=r"edits.txt, line 1, edit 1: xyz: no statement"):
        read_edits(None, path)
    with pytest.raises(ConfigError, match=r"^edit 1: xyz: no statement"):
        read_edits("xyz", None)
    with pytest.raises(ConfigError, match="given twice"):
        read_edits("shape 0 1", path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"edits.txt: this file of edits cannot be read"):
        read_edits(None, path)
    with pytest.raises(DataError, match="No such file"):
        read_edits(None, tmp_path / "none.txt")


def test_reading_words_loads_nothing_heavy():
    code = (
        "import sys; from facemorph.apps.reenactment.editing import edit_words, edit_prompt;"
        "edit_words.read_edits('shape 0 1', None);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'PIL', 'lightning')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
