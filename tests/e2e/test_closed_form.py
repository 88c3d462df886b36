"""Closed forms through the training command: metrics, sweeps, dry runs."""

from __future__ import annotations

import csv
import json

import pytest
import torch

from facemorph import cli
from facemorph.errors import CheckpointError
from facemorph.fields.image_fields import SirenImage
from facemorph.fields.warps.siren_warp import SirenWarp
from facemorph.ops.frames import Frame
from facemorph.storage.checkpoint import export_release, load_checkpoint, load_system, save_atomic
from facemorph.systems.ifmorph import system as neural_warp
from facemorph.systems.ifmorph.system import NeuralWarp


@pytest.fixture
def words(samples, tmp_path):
    a, b = samples
    return [
        "experiment=ifmorph/closed_form",
        f"data.a={a}",
        f"data.b={b}",
        "data.size=64",
        "device=cpu",
        f"paths.output_root={tmp_path}",
    ]


def test_metrics_are_logged_and_returned(words, tmp_path):
    from facemorph import train as module
    from facemorph.entry.launch import run_job

    returned = []
    run_job(lambda cfg: returned.append(module.train(cfg)), "train", words)
    with next(tmp_path.rglob("metrics.csv")).open() as file:
        row = next(csv.DictReader(file))
    assert float(row["quality/alignment_px"]) == pytest.approx(returned[0])
    system = load_system(next(tmp_path.rglob("last.ckpt")))
    assert {f"quality/{name}" for name in system.quality()} <= row.keys()


def test_sweep_over_the_smoothing(words, tmp_path):
    assert cli.run(["train", "-m", *words, "system.warp.smoothing=0,1e-1"]) == 0
    values = []
    for job in sorted(tmp_path.rglob("metrics.csv")):
        with job.open() as file:
            values.append(float(next(csv.DictReader(file))["quality/alignment_px"]))
    assert len(values) == 2
    assert values[0] < 0.1 < values[1]


def test_dry_run(words, tmp_path, capfd):
    assert cli.run(["train", *words, "dry_run=true"]) == 0
    assert "dry run: ok" in capfd.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_metric_that_closed_forms_do_not_have(words, capfd):
    assert cli.run(["train", *words, "optimized_metric=quality/alinment_px"]) == 2
    assert "quality/alignment_px" in capfd.readouterr().err


def test_an_untrusted_config_reads_nothing_when_built(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a file was read")

    system = NeuralWarp(SirenWarp([4]), source_field=SirenImage([4]), target_field=SirenImage([4]))
    system.source = system.target = torch.zeros(3, 2)
    system.frame_size = torch.tensor([8, 8])
    field = {"_target_": "facemorph.fields.image_fields.SirenImage", "hidden_features": [4]}
    config = {
        "system": {
            "_target_": "facemorph.systems.ifmorph.system.NeuralWarp",
            "source_field": field,
            "target_field": field,
            "source_checkpoint": "/etc/passwd",
            "target_checkpoint": str(tmp_path / "nothing.pth"),
            "warp": {
                "_target_": "facemorph.fields.warps.siren_warp.SirenWarp",
                "hidden_features": [4],
            },
        }
    }
    save_atomic(
        {"state_dict": system.state_dict(), "facemorph": {"config": config}}, tmp_path / "a.ckpt"
    )
    monkeypatch.setattr(neural_warp, "load_system", refuse)
    monkeypatch.setattr(neural_warp, "read_ifmorph_network", refuse)
    loaded = load_system(tmp_path / "a.ckpt")
    loaded.setup("predict")
    assert torch.equal(loaded.warp.network.layers[0].weight, system.warp.network.layers[0].weight)
    export_release(tmp_path / "a.ckpt", tmp_path / "release")
    assert json.loads((tmp_path / "release" / "MANIFEST.json").read_text())
    assert load_system(tmp_path / "release").checkpoints["source_field"] == "/etc/passwd"


def test_a_field_that_does_not_fit(tmp_path):
    torch.save(
        {
            "net.0.0.weight": torch.zeros(4, 2),
            "net.0.0.bias": torch.zeros(4),
            "net.1.0.weight": torch.zeros(3, 4),
            "net.1.0.bias": torch.zeros(3),
        },
        tmp_path / "a.pth",
    )
    with pytest.raises(CheckpointError, match=r"system\.source_field.*"):
        neural_warp._fill(SirenImage([8]), tmp_path / "a.pth", "system.source_field", Frame(8, 8))
    field = SirenImage([4])
    neural_warp._fill(field, tmp_path / "a.pth", "system.source_field", Frame(8, 8))
    assert not any(bool(value.any()) for value in field.state_dict().values())


def test_the_whole_training_leaves_a_best_checkpoint(samples, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEMORPH_OUTPUT", str(tmp_path))
    a, b = samples
    assert (
        cli.run(["train", "experiment=ifmorph/tiny", f"data.a={a}", f"data.b={b}", "device=cpu"])
        == 0
    )
    best = load_checkpoint(next(tmp_path.rglob("best.ckpt")))
    measured = [state["best"] for state in best["callbacks"].values() if "best" in state]
    assert load_system("@best:neural_warp").quality(coarse=True)["alignment_px"] == pytest.approx(
        measured[0], rel=1e-4
    )
