"""Files made by facemorph 0.1, before its modules moved, still load and still find their runs."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from helpers import ROOT, SUPPORT

from facemorph.cli import run
from facemorph.config.build import build, config_digest
from facemorph.config.targets import MOVED, MOVED_CLASSES, first_name, present_name, resolve_target
from facemorph.faces.files.image_io import load_image
from facemorph.storage.checkpoint import load_checkpoint, load_system
from facemorph.storage.runs import latest_checkpoint
from facemorph.systems.ifmorph.system import NeuralWarp

pytestmark = pytest.mark.usefixtures("short_reports")

BEFORE = SUPPORT / "before_rooms"
TRAIN = ["train", "experiment=ifmorph/tiny", "logger=none", "device=cpu"]


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """An output root in which the run of before is the only one."""
    monkeypatch.chdir(ROOT)  # the run names its photographs relative to the checkout
    entry = json.loads((BEFORE / "runs.jsonl").read_text())
    shutil.copytree(BEFORE / "run", tmp_path / "run")
    (tmp_path / "runs.jsonl").write_text(
        json.dumps({**entry, "folder": str(tmp_path / "run")}) + "\n"
    )
    return tmp_path


@pytest.mark.parametrize("old", sorted(MOVED))
def test_every_class_is_found_under_both_names(old):
    module = MOVED[old]
    classes = [
        name
        for name, one in vars(__import__(module, fromlist=["x"])).items()
        if isinstance(one, type) and one.__module__ == module and not name.startswith("_")
    ]
    assert classes
    assert first_name(f"{module}.{classes[0]}") == f"{old}.{classes[0]}"
    assert present_name(f"{old}.{classes[0]}") == f"{module}.{classes[0]}"
    assert resolve_target(f"{old}.{classes[0]}") is resolve_target(f"{module}.{classes[0]}")


@pytest.mark.parametrize(("old", "new"), MOVED_CLASSES.items())
def test_classes_that_have_left_their_module(old, new):
    assert present_name(old) == new
    assert first_name(new) == old
    assert resolve_target(old) is resolve_target(new)


def test_a_checkpoint():
    system = load_system(BEFORE / "run/checkpoints/last.ckpt")
    assert isinstance(system, NeuralWarp)
    assert system.render(0.5).shape == (3, 64, 64)


def test_a_release_folder_has_the_same_weights():
    released = load_system(BEFORE / "release").state_dict()
    trained = load_system(BEFORE / "run/checkpoints/last.ckpt").state_dict()
    assert released.keys() == trained.keys()
    for name, value in released.items():
        torch.testing.assert_close(value, trained[name], rtol=0, atol=0)


def test_the_digest_is_that_of_before():
    record = load_checkpoint(BEFORE / "run/checkpoints/last.ckpt")["facemorph"]
    assert config_digest(record["config"]) == record["digest"]


def test_last_finds_the_run(outputs):
    expected = outputs / "run/checkpoints/last.ckpt"
    assert latest_checkpoint("@last", root=outputs) == expected
    assert latest_checkpoint("@last:neural_warp", root=outputs) == expected
    assert latest_checkpoint("@last:ifmorph/tiny", root=outputs) == expected


def test_a_finished_run_is_not_trained_again(outputs, capsys):
    assert run([*TRAIN, f"paths.output_root={outputs}", "skip_finished=true"]) == 0
    assert (
        f"finished before: {outputs}/run/checkpoints/last.ckpt"
        in capsys.readouterr().out.replace("\n", "")
    )


def test_auto_resumes_the_run(outputs):
    assert (
        run(
            [
                *TRAIN,
                f"paths.output_root={outputs}",
                f"paths.output_dir={outputs}/more",
                "resume=auto",
                "trainer.max_epochs=3",
            ]
        )
        == 0
    )
    before = load_checkpoint(outputs / "run/checkpoints/last.ckpt")
    after = load_checkpoint(outputs / "more/checkpoints/last.ckpt")
    assert (before["epoch"], after["epoch"]) == (1, 2)
    assert after["global_step"] == before["global_step"] + 5


@pytest.mark.parametrize("name", ["morph", "average"])
def test_a_recipe(name, tmp_path):
    output = tmp_path / "again.png"
    assert run(["redo", str(BEFORE / f"{name}.recipe.yaml"), "-o", str(output)]) in (0, 3)
    # Bytes may differ between processors; the picture does not.
    assert (load_image(output) - load_image(BEFORE / f"{name}.png")).abs().max() <= 2 / 255


def test_a_config_of_before_is_built():
    warp = build({"_target_": "facemorph.fields.siren_warp.ResidualSirenWarp"})
    assert type(warp).__module__ == "facemorph.fields.warps.siren_warp"
