"""What `make demo-imface` does after the installation, with fewer people and a shorter training."""

from __future__ import annotations

import json

import pytest
from helpers import forked

from facemorph.cli import run
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")


@pytest.mark.slow
def test_demo_imface(tmp_path):
    words = ["-m", "facemorph.commands.implicit.demo_imface", "-o", "demo", "--people", "16"]
    words += ["trainer.max_epochs=6", "data.batch_size=8"]
    done = forked.finish(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}  # nothing elsewhere
    folder = tmp_path / "demo"
    image = load_image(folder / "imface.png")
    assert image.shape[1] > 900
    assert float(image.std()) > 0.1
    assert read_synthetic_tag(folder / "imface.png")
    for person in folder.glob("person_*"):
        mean = json.loads((person / "report.json").read_text())["mean"]
        assert mean["fitted"]["chamfer"] < 0.8 * mean["template"]["chamfer"]
    assert (folder / "transfer/neutral_as_vowel_a.ply").is_file()


def test_too_few_people(tmp_path, capsys):
    assert run(["demo-imface", "-o", str(tmp_path / "demo"), "--people", "8"]) == 2
    assert "16 or more" in capsys.readouterr().err
