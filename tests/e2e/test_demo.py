"""What `make demo` does after the installation, as one process; training is two fifths as long,
and the videos have 8 frames where the demo's have 48.
"""

from __future__ import annotations

import json

import pytest
from helpers import forked

from facemorph import load_system
from facemorph.faces.files.video_io import read_video

# Both trainings, that of the warp and that without the held-out landmarks; and short reports.
SHORT_DEMO = """
import runpy
from facemorph.apps.morphing import morph, morph_result, warp_fitting
from facemorph.jobs import training_process

compose, train, made = warp_fitting.compose, training_process.train_in_process, morph.morph

def short(words):
    return [*words, "trainer.max_epochs=2"] if "experiment=ifmorph/demo" in words else words

warp_fitting.compose = lambda name, words: compose(name, short(words))
training_process.train_in_process = lambda words: train(short(words))
morph.morph = lambda *words, frames: made(*words, frames={48: 8}[frames])
morph_result.REPORT_FRAMES = 3
runpy.run_module("facemorph.commands.tools.demo", run_name="__main__")
"""


@pytest.mark.slow
def test_demo(tmp_path, root):
    done = forked.finish("-c", SHORT_DEMO, "-o", "demo", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    folder = tmp_path / "demo"
    names = {path.name for path in folder.iterdir() if path.is_file()}
    both = {
        f"{stem}.{ending}"
        for stem in ("closed_form", "trained")
        for ending in ("mp4", "metrics.json", "sheet.png", "report.html")
    }
    assert names == both | {"report.html", "closed_form.recipe.yaml"}
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}  # nothing elsewhere
    metrics = {
        stem: json.loads((folder / f"{stem}.metrics.json").read_text())
        for stem in ("closed_form", "trained")
    }
    bounds = {"landmark_error_px": 1.0, "heldout_landmark_error_px": 2.0, "inverse_error_px": 0.05}
    for key, limit in bounds.items():
        assert 0 <= metrics["closed_form"][key] < limit, key
    bounds = {
        "landmark_error_px": 4.0,
        "alignment_px": 2.5,
        "heldout_landmark_error_px": 5.0,
        "inverse_error_px": 2.0,
    }
    for key, limit in bounds.items():
        assert 0 <= metrics["trained"][key] < limit, key
    for one in metrics.values():
        assert one["fold_over_percent"] == 0
        assert one["min_determinant"] > 0
        assert 0.2 < one["identity_distance_a"] < 1
        assert 0.2 < one["identity_distance_b"] < 1
        assert set(one["inputs"]) == {"a", "b"}
    assert metrics["trained"]["config"]["warp"] == "siren_residual"
    for stem in metrics:
        frames = list(read_video(folder / f"{stem}.mp4"))
        assert len(frames) == 8
        assert frames[0].shape == (512, 512, 3)
    page = (folder / "report.html").read_text()
    assert page.count("<section>") == page.count("<input type=range") == 2
    for text in ("closed_form.mp4", "trained.mp4", "report.html", "next: "):
        assert text in done.stdout
    # It was trained by the real entry point: there is a checkpoint that loads and renders.
    (checkpoint,) = [path for path in folder.rglob("last.ckpt") if not path.parent.is_symlink()]
    assert load_system(checkpoint).render(0.5).shape == (3, 512, 512)
