"""What `make demo-imface` does after the installation, with fewer people, a smaller network and
shorter fits, and trained in the same process: `test_demo` starts the real one.
"""

from __future__ import annotations

import json

import pytest
from helpers import forked

from facemorph.cli import run
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")

SHORT_DEMO = """
import runpy
from facemorph.apps.implicit import reconstruct, transfer
from facemorph.apps.sets import scan_preparation
from facemorph.cli import run
from facemorph.jobs import training_process

def with_options(module, name, **changed):
    original = getattr(module, name)
    setattr(module, name, lambda *words, **options: original(*words, **options | changed))

def train(words):
    if run(["train", *words]) != 0:
        raise SystemExit(1)

with_options(reconstruct, "reconstruct", steps=15, points=512, resolution=64, samples=20_000)
with_options(transfer, "transfer", resolution=64)
with_options(scan_preparation, "prepare_scans", workers=1)
training_process.train_in_process = train
runpy.run_module("facemorph.commands.implicit.demo_imface", run_name="__main__")
"""
SMALL = ["trainer.max_epochs=10", "data.batch_size=4", "data.points=64"]
SMALL += ["system.hidden=32", "system.code=16", "system.layers=1"]


@pytest.mark.slow
def test_demo_imface(tmp_path):
    words = ["-o", "demo", "--people", "16", *SMALL]
    done = forked.finish("-c", SHORT_DEMO, *words, folder=tmp_path)
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
