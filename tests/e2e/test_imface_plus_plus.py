"""ImFace++ from the command line: training in stages, stopping and resuming in each, reconstruction
with details.
"""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch
from helpers.scan_sets import made_scans, prepared_scans

from facemorph.cli import run
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.storage.checkpoint import load_system
from facemorph.systems.imface.detail_system import ImFacePlusPlus

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")

# 12 steps: the base alone until 2, both until 6, then details alone.
TINY = [
    "experiment=imface_plus_plus/tiny",
    "system.stages=[0.2,0.5]",
    "device=cpu",
    "logger=none",
    "data.steps_per_epoch=6",
    "trainer.max_epochs=2",
    "data.points=128",
]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return made_scans(tmp_path_factory.mktemp("scans"), 2, 2)


@pytest.fixture(scope="module")
def prepared(scans, tmp_path_factory):
    return prepared_scans(scans, tmp_path_factory.mktemp("set"))


def train(folder, prepared, *words):
    code = run(
        [
            "train",
            *TINY,
            f"data.folder={prepared}",
            f"paths.output_root={folder}",
            f"paths.output_dir={folder}/run",
            *words,
        ]
    )
    return code, folder / "run/checkpoints"


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    code, checkpoints = train(tmp_path_factory.mktemp("trained"), prepared)
    assert code == 0
    return checkpoints / "last.ckpt"


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_a_run_that_is_stopped_in_any_stage_goes_on_bit_for_bit(
    prepared, trained, tmp_path, monkeypatch, steps
):
    original, count = ImFacePlusPlus.training_step, []

    def stopped(self, batch, batch_idx):
        count.append(None)
        if len(count) == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ImFacePlusPlus, "training_step", stopped)
        code, checkpoints = train(tmp_path / "a", prepared)
    assert code == 143
    code, checkpoints = train(
        tmp_path / "b", prepared, f"resume={checkpoints / 'interrupted.ckpt'}"
    )
    assert code == 0
    one, other = (load_system(path).state_dict() for path in (checkpoints / "last.ckpt", trained))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def base(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    assert (
        run(
            [
                "train",
                "experiment=imface/tiny",
                "device=cpu",
                "logger=none",
                f"data.folder={prepared}",
                "data.steps_per_epoch=2",
                "trainer.max_epochs=1",
                "data.points=128",
                "system.code=16",
                f"paths.output_root={folder}",
                f"paths.output_dir={folder}/run",
            ]
        )
        == 0
    )
    return folder / "run/checkpoints/last.ckpt"


def test_details_alone_on_a_trained_base_and_going_on_without_it(prepared, base, tmp_path):
    copied = tmp_path / "base.ckpt"
    copied.write_bytes(base.read_bytes())
    words = (f"system.base_checkpoint={copied}", "system.stages=[0,0]")
    code, checkpoints = train(tmp_path / "a", prepared, *words, "trainer.max_epochs=1")
    assert code == 0
    trained, own = load_system(checkpoints / "last.ckpt"), load_system(base)
    for name, value in own.state_dict().items():
        assert torch.equal(trained.state_dict()[name], value), name
    assert bool(trained.residual.networks.tensors[-2].any())
    copied.unlink()
    code, checkpoints = train(
        tmp_path / "b", prepared, *words, f"resume={checkpoints / 'last.ckpt'}"
    )
    assert code == 0
    assert torch.equal(
        load_system(checkpoints / "last.ckpt").identity_codes.weight, own.identity_codes.weight
    )


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("system.hidden=24",), "another variant"),
        (("data.identities=[1]",), "1 people x 2 expressions"),
        (("system.base_checkpoint=/nowhere.ckpt",), "no such file"),
    ],
)
def test_bases_that_do_not_fit(prepared, base, tmp_path, capsys, words, shown):
    code, _ = train(
        tmp_path, prepared, f"system.base_checkpoint={base}", "system.stages=[0,0]", *words
    )
    error = capsys.readouterr().err
    assert code == 2
    assert shown in error
    assert "Traceback" not in error


def test_reconstruction_with_details(scans, trained, tmp_path):
    assert (
        run(
            [
                "reconstruct",
                str(scans / "1/1.ply"),
                "-o",
                str(tmp_path),
                "--checkpoint",
                str(trained),
                "--steps",
                "4",
                "--resolution",
                "32",
                "--points",
                "256",
                "--samples",
                "2000",
            ]
        )
        == 0
    )
    report = json.loads((tmp_path / "report.json").read_text())
    row = report["rows"][0]
    assert row["fitted"].keys() == row["without_details"].keys() == row["template"].keys()
    assert set(report["mean"]) == {"fitted", "without_details", "template"}
    assert row["evaluations_of_loss"] > 4
    with np.load(tmp_path / "1_codes.npz") as codes:
        assert codes["identity"].shape == codes["expression"].shape == (16,)
        assert codes["detail"].shape == (20,)
    assert (tmp_path / "1.ply").is_file()
    assert read_synthetic_tag(tmp_path / "faces.png")["synthetic"] is True
    assert float(load_image(tmp_path / "faces.png").std()) > 0.05


def test_mean_faces(trained, tmp_path):
    assert run(["infer", f"checkpoint={trained}", f"output={tmp_path}", "+resolution=32"]) == 0
    assert {path.name for path in tmp_path.glob("*.ply")} == {
        "neutral.ply",
        "mean.ply",
        "template.ply",
    }


def test_checkpoints_of_imface_are_no_checkpoints_of_this(prepared, trained, tmp_path, capsys):
    code = run(
        [
            "train",
            "experiment=imface/tiny",
            "device=cpu",
            "logger=none",
            f"data.folder={prepared}",
            f"paths.output_root={tmp_path}",
            f"resume={trained}",
        ]
    )
    error = capsys.readouterr().err
    assert code == 2
    assert "expected ImFace, found ImFacePlusPlus" in error


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("system.residual=cubic", "sine | film"),
        ("system.detail_code=128", "a multiple of 5"),
        ("system.stages=[0.5,0.2]", "in order"),
        ("system.residual_loss.residual_sdf_weight=-1", "negative"),
    ],
)
def test_impossible_options(prepared, tmp_path, capsys, word, shown):
    code, _ = train(tmp_path, prepared, word)
    error = capsys.readouterr().err
    assert code == 2
    assert shown in error
    assert "Traceback" not in error
