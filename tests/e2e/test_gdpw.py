"""The small GDPW trained tiny: it learns, resumes exactly, exports, loads and infers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.pairs import write_pairs
from helpers.resuming import weights

from facemorph.cli import run
from facemorph.config.build import build
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.video_io import read_video
from facemorph.storage.checkpoint import load_system
from facemorph.systems.gdpw.small_system import SmallGDPW

TRAIN = ["train", "experiment=gdpw/tiny", "logger=none"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gdpw_pairs")
    write_pairs(folder, 48)
    return folder


def train(pairs: Path, folder: Path, *words: str) -> int:
    return run([*TRAIN, f"data.folders={pairs}", f"paths.output_root={folder}", *words])


def test_training_moves_every_weight_and_its_release_moves_photographs(pairs, samples, tmp_path):
    assert train(pairs, tmp_path / "runs") == 0
    checkpoint = next((tmp_path / "runs").rglob("last.ckpt"))
    system = load_system(checkpoint)
    torch.manual_seed(0)
    fresh = dict(build(system.record["config"]["system"]).generator.named_parameters())
    for name, value in system.generator.named_parameters():
        assert not torch.equal(value, fresh[name]), name
    assert run(["export", str(checkpoint), str(tmp_path / "release"), "--half"]) == 0
    words = [f"checkpoint={tmp_path / 'release'}", f"output={tmp_path / 'sheet'}"]
    assert run(["infer", *words, f"+pairs={pairs}", "+count=2"]) == 0
    sheet = load_image(tmp_path / "sheet/pairs.png")
    assert sheet.shape == (3, 4 * 32, 2 * 32)
    assert float(sheet.std()) > 0.05
    reenact = ["reenact", str(samples[0]), "--checkpoint", str(tmp_path / "release"), "--size=96"]
    still, video = tmp_path / "open.png", tmp_path / "moved.mp4"
    assert run([*reenact, "--edit", "exp jawOpen 0.5", "-o", str(still)]) == 0
    assert load_image(still).shape == (3, 96, 96)
    driver = str(pairs / "parameters.npz")
    assert run([*reenact, "--driving", driver, "--compare", "-o", str(video)]) == 0
    frames = list(read_video(video))
    assert [one.shape for one in frames] == [(96, 192, 3)] * 5
    # Bit for bit, or to the last bits of the fit, which depend on how memory lies (LAPACK).
    again = tmp_path / "again.png"
    assert run(["redo", str(tmp_path / "open.recipe.yaml"), "-o", str(again)]) in (0, 3)
    assert float((load_image(again) - load_image(still)).abs().mean()) < 1e-3


def test_training_goes_on_from_a_release(pairs, tmp_path, capsys):
    assert train(pairs, tmp_path / "first") == 0
    first = next((tmp_path / "first").rglob("last.ckpt"))
    slow = ["system.learning_rate=1e-12", f"system.start={first}"]
    assert train(pairs, tmp_path / "second", *slow) == 0
    before = load_system(first).generator.state_dict()
    for name, value in weights(tmp_path / "second").items():
        if name.startswith("generator."):
            torch.testing.assert_close(
                value, before[name.removeprefix("generator.")], atol=1e-6, rtol=0
            )
    wider = ["system.generator.channels=[4,6]", f"system.start={first}"]
    assert train(pairs, tmp_path / "third", *wider) == 2
    assert "another variant" in capsys.readouterr().err
    assert train(pairs, tmp_path / "third", "system.start=@open:gif") == 2
    assert "no generator to begin with" in capsys.readouterr().err


def test_resume_is_exact(pairs, tmp_path, monkeypatch):
    words = ["callbacks.checkpoints.every_batches=1"]
    assert train(pairs, tmp_path / "whole", *words) == 0
    original = SmallGDPW.training_step

    def ending(self, batch, batch_idx):
        if self.global_step == 4:
            raise RuntimeError("killed")
        return original(self, batch, batch_idx)

    monkeypatch.setattr(SmallGDPW, "training_step", ending)
    with pytest.raises(RuntimeError, match="killed"):
        train(pairs, tmp_path / "parts", *words)
    monkeypatch.setattr(SmallGDPW, "training_step", original)
    assert train(pairs, tmp_path / "parts", *words, "resume=auto") == 0
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


@pytest.mark.parametrize(
    ("word", "where"),
    [("system.model=ict", "system.model"), ("data.size=48", "system.generator.resolution")],
)
def test_data_of_another_model_or_size_are_refused(pairs, tmp_path, capsys, word, where):
    assert train(pairs, tmp_path, word) == 2
    assert where in capsys.readouterr().err


def test_pairs_that_are_trained_on_are_not_shown_as_held_out(pairs, tmp_path, capsys):
    assert train(pairs, tmp_path / "runs") == 0
    shutil.copytree(pairs, tmp_path / "set")
    index = json.loads((tmp_path / "set/index.json").read_text())
    index["split"] = ["training"] * len(index["split"])
    (tmp_path / "set/index.json").write_text(json.dumps(index))
    words = [f"checkpoint={next((tmp_path / 'runs').rglob('last.ckpt'))}"]
    words += [f"output={tmp_path / 'sheet'}", f"+pairs={tmp_path / 'set'}"]
    assert run(["infer", *words]) == 2
    assert "validation" in capsys.readouterr().err
