"""``facemorph data prepare`` as a user calls it."""

from __future__ import annotations

import json
import shutil

from facemorph import cli


def test_prepare(samples, tmp_path, capfd):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in samples:
        shutil.copy(path, folder / path.name.removeprefix("sample_"))
    words = [
        "data",
        "prepare",
        str(folder),
        "--for",
        "gif",
        "-o",
        str(tmp_path / "set"),
        "--size",
        "64",
    ]
    assert cli.run(words) == 0
    assert "2 done; 2 people" in capfd.readouterr().out
    (folder / "broken.jpg").write_bytes(b"no picture")
    assert cli.run(words) == 3
    assert "broken" in capfd.readouterr().err
    assert json.loads((tmp_path / "set/report.json").read_text())["counts"]["done"] == 2
    assert cli.run([*words[:4], "nothing", *words[5:]]) == 2
    assert "varitex | gif | gdpw" in capfd.readouterr().err
