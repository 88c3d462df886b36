"""Sweeps as the documentation gives them: over pairs, over hyperparameters, by Optuna, joblib and
W&B's agent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers import forked

from facemorph import cli
from facemorph.storage.runs import runs

pytestmark = pytest.mark.slow
SHORT = ["data.size=64", "data.num_samples=32", "data.steps_per_epoch=2", "trainer.max_epochs=1"]


@pytest.fixture
def here(root, tmp_path, monkeypatch):
    """Runs go to a folder of the test; experiments name the photographs relative to the
    checkout.
    """
    monkeypatch.chdir(root)
    monkeypatch.setenv("FACEMORPH_OUTPUT", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


def test_pairs_of_a_list(here, samples, tmp_path):
    (tmp_path / "pairs.txt").write_text(
        "sample_collins sample_hopper\nsample_hopper sample_collins\n"
    )
    words = [
        "train",
        "-m",
        "experiment=ifmorph/listed",
        f"data.pairs={tmp_path}/pairs.txt",
        f"data.images={samples[0].parent}",
        "data.index=range(0,2)",
        "logger=none",
        *SHORT,
    ]
    assert cli.run(words) == 0
    cards = [
        yaml.safe_load((Path(run["folder"]) / "run_card.yaml").read_text()) for run in runs(here)
    ]
    assert [card["config"]["data"]["index"] for card in cards] == [0, 1]
    assert cli.run([*words[:-4], "data.index=2", *SHORT]) != 0


def test_a_batch_leaves_out_what_is_finished(here, capfd):
    words = [
        "train",
        "-m",
        "experiment=ifmorph/tiny",
        "seed=1,2",
        "logger=none",
        "skip_finished=true",
        *SHORT,
    ]
    assert cli.run(words) == 0
    assert len(runs(here)) == 2
    assert cli.run([*words[:3], "seed=1,2,3", *words[4:]]) == 0
    assert capfd.readouterr().out.count("finished before") == 2
    assert len(runs(here)) == 3
    assert cli.run([*words, "trainer.max_epochs=2"]) == 0  # a longer training is another one
    assert len(runs(here)) == 5


def test_closed_forms_over_their_smoothing(here, samples):
    assert (
        cli.run(
            [
                "train",
                "-m",
                "experiment=ifmorph/closed_form",
                f"data.a={samples[0]}",
                f"data.b={samples[1]}",
                "data.size=64",
                "system.warp.smoothing=0,1e-2",
                "logger=csv",
            ]
        )
        == 0
    )
    found = [
        json.loads((Path(run["folder"]) / "finished.json").read_text())["metrics"]
        for run in runs(here)
    ]
    assert found[0]["quality/landmark_error_px"] < 0.01 < found[1]["quality/landmark_error_px"]
    assert found[0]["quality/bending_energy"] > found[1]["quality/bending_energy"]


def test_optuna(here, samples):
    pytest.importorskip(
        "hydra_plugins.hydra_optuna_sweeper", reason="the extra `sweep` is not installed"
    )
    assert (
        cli.run(
            [
                "train",
                "hparams_search=residual_warp",
                f"data.a={samples[0]}",
                f"data.b={samples[1]}",
                "hydra.sweeper.n_trials=2",
                "logger=none",
                *SHORT,
            ]
        )
        == 0
    )
    best = next(here.rglob("optimization_results.yaml"))
    found = yaml.safe_load(best.read_text())
    assert 0 < found["best_value"] < 512
    names = {name.lstrip("+") for name in found["best_params"]}
    assert names == {"system.learning_rate", "system.loss.thin_plate_weight", "system.warp.omega_0"}


def test_joblib_runs_them_side_by_side(here, root):
    pytest.importorskip(
        "hydra_plugins.hydra_joblib_launcher", reason="the extra `sweep` is not installed"
    )
    words = [
        sys.executable,
        "train.py",
        "-m",
        "experiment=ifmorph/tiny",
        "seed=1,2",
        "logger=none",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        *SHORT,
    ]
    done = subprocess.run(words, check=False, cwd=root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert len(runs(here)) == 2


def test_what_the_agent_of_wandb_runs(here, root):
    """The documented sweep with one choice of its parameters, logged offline."""
    sweep = yaml.safe_load((root / "docs/wandb_sweep.yaml").read_text())
    choice = [f"{name}={value['min']}" for name, value in sweep["parameters"].items()]
    words = []
    for word in sweep["command"]:
        words += {
            "${env}": [],
            "${program}": [sweep["program"]],
            "${args_no_hyphens}": choice,
            "python": [],
            "logger=wandb": ["logger=wandb_offline"],
        }.get(word, [word])
    environment = os.environ | {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    done = forked.finish(*words, *SHORT, folder=root, environment=environment)
    assert done.returncode == 0, done.stderr
    (run,) = runs(here)
    card = yaml.safe_load((Path(run["folder"]) / "run_card.yaml").read_text())
    assert card["config"]["system"]["learning_rate"] == 1e-4
    assert list(Path(run["folder"]).rglob("*.wandb"))
    metrics = json.loads((Path(run["folder"]) / "finished.json").read_text())["metrics"]
    assert sweep["metric"]["name"] in metrics


def test_videos_while_it_trains(here):
    assert (
        cli.run(
            [
                "train",
                "experiment=ifmorph/tiny",
                "callbacks=reconstructions",
                "logger=none",
                "+callbacks.reconstructions.options.frames=3",
                *SHORT,
                "trainer.max_epochs=2",
            ]
        )
        == 0
    )
    (run,) = runs(here)
    found = sorted(path.name for path in (Path(run["folder"]) / "reconstructions").iterdir())
    assert found == ["reconstruction_000002.mp4", "reconstruction_000004.mp4"]


def test_initial_states_of_many_pictures(here, samples):
    """ifmorph's `create-initial-states a.jpg b.jpg`: one image network for each picture."""
    assert (
        cli.run(
            [
                "train",
                "-m",
                "experiment=ifmorph/image_tiny",
                f"data.image={samples[0]},{samples[1]}",
                "logger=none",
                "trainer.max_epochs=1",
            ]
        )
        == 0
    )
    assert len(runs(here)) == 2
    assert all((Path(run["folder"]) / "checkpoints/last.ckpt").is_file() for run in runs(here))
