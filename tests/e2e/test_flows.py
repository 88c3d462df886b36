"""The flows of FLOWING, refinement and chains through the command line."""

from __future__ import annotations

import json

import pytest
import torch

from facemorph import cli
from facemorph.apps.morphing import warp_fitting
from facemorph.faces.files.video_io import read_video
from facemorph.storage.checkpoint import load_system

pytestmark = pytest.mark.usefixtures("short_reports", "coarse_lattices")

FLOWS = ("neural_ode", "conjugate_flow")


@pytest.fixture
def tiny(monkeypatch):
    small = {name: f"ifmorph/{name}_tiny" for name in FLOWS}
    monkeypatch.setattr(warp_fitting, "EXPERIMENTS", warp_fitting.EXPERIMENTS | small)


@pytest.mark.parametrize("name", FLOWS)
def test_morph(samples, tmp_path, name, tiny, capfd):
    words = [
        "morph",
        *map(str, samples),
        "-o",
        str(tmp_path / "m.png"),
        "--size",
        "64",
        "--warp",
        name,
    ]
    assert cli.run(words) == 0
    out = capfd.readouterr().out
    metrics = json.loads((tmp_path / "m.metrics.json").read_text())
    assert metrics["config"]["warp"] == name
    assert metrics["heldout_landmark_error_px"] > 0
    assert f"inverse {metrics['inverse_error_px']:.2g} px" in out
    assert "Inverse error" in (tmp_path / "m.report.html").read_text()


@pytest.mark.parametrize("name", FLOWS)
def test_train_and_use_the_checkpoint(samples, tmp_path, name):
    a, b = map(str, samples)
    assert (
        cli.run(
            [
                "train",
                f"experiment=ifmorph/{name}_tiny",
                f"data.a={a}",
                f"data.b={b}",
                "device=cpu",
                "logger=none",
                f"paths.output_root={tmp_path}",
            ]
        )
        == 0
    )
    checkpoint = next(tmp_path.rglob("last.ckpt"))
    system = load_system(checkpoint)
    points = torch.rand(20, 2)
    with torch.no_grad():
        assert torch.equal(system.warp(points, 0.5, 0.5), points)
    assert (
        cli.run(
            [
                "morph",
                a,
                b,
                "-o",
                str(tmp_path / "m.png"),
                "--size",
                "64",
                "--warp",
                str(checkpoint),
                "--no-report",
            ]
        )
        == 0
    )
    assert (
        cli.run(
            [
                "infer",
                f"checkpoint={checkpoint}",
                f"output={tmp_path / 'v.mp4'}",
                "+frames=3",
                "+refine=true",
                "+outside=mix",
            ]
        )
        == 0
    )
    assert len(list(read_video(tmp_path / "v.mp4"))) == 3


def test_a_wrong_loss_is_an_error_with_a_remedy(samples, tmp_path, capfd):
    a, b = map(str, samples)
    assert (
        cli.run(
            [
                "train",
                "experiment=ifmorph/tiny",
                f"data.a={a}",
                f"data.b={b}",
                "warp@system.warp=neural_ode",
                "device=cpu",
                "logger=none",
                f"paths.output_root={tmp_path}",
            ]
        )
        == 2
    )
    error = capfd.readouterr().err
    assert "cannot train this warp" in error
    assert "Traceback" not in error


def test_refined_morph(samples, tmp_path):
    words = ["morph", *map(str, samples), "--size", "96", "--outside", "mix", "--frames", "3"]
    for name, more in (("plain", []), ("fine", ["--refine"])):
        assert cli.run([*words, "-o", str(tmp_path / name), *more]) == 0
    plain, fine = (
        json.loads((tmp_path / f"{name}.metrics.json").read_text()) for name in ("plain", "fine")
    )
    assert fine["config"]["refine"] is True
    assert fine["landmark_error_px"] == pytest.approx(plain["landmark_error_px"], abs=0.05)
    assert fine["min_determinant"] > 0
    assert fine["seconds"]["refine"] > 0
    pictures = {name: sorted((tmp_path / name).glob("*.png")) for name in ("plain", "fine")}
    same = [
        one.read_bytes() == two.read_bytes() for one, two in zip(*pictures.values(), strict=True)
    ]
    assert same == [True, False, True]  # both ends are the photographs
    assert cli.run(["redo", str(tmp_path / "fine.recipe.yaml")]) == 0


def test_chain(samples, tmp_path, capfd):
    a, b = map(str, samples)
    words = [
        "chain",
        a,
        b,
        "-o",
        str(tmp_path / "c.gif"),
        "--size",
        "64",
        "--frames",
        "2",
        "--loop",
    ]
    assert cli.run([*words, "--easing", "ease"]) == 0
    out = capfd.readouterr().out
    assert f"{samples[0].stem} to {samples[1].stem}: landmarks" in out
    assert f"{samples[1].stem} to {samples[0].stem}: landmarks" in out
    assert "next: facemorph chain" in out
    assert {path.name for path in tmp_path.iterdir()} == {
        "c.gif",
        "c.metrics.json",
        "c.report.html",
        "c.recipe.yaml",
    }
    assert cli.run(["redo", str(tmp_path / "c.recipe.yaml")]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--frames", "0"],
        ["--blend", "source"],
        ["--warp", "what"],
        ["--easing", "0.3"],
        ["--points", "/nowhere"],
        ["--fps", "0"],
    ],
)
def test_chains_that_cannot_be(samples, tmp_path, capfd, words):
    assert (
        cli.run(
            ["chain", *map(str, samples), "-o", str(tmp_path / "c.mp4"), "--size", "64", *words]
        )
        == 2
    )
    assert "Traceback" not in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_chain_of_one(samples, tmp_path):
    assert cli.run(["chain", str(samples[0]), "-o", str(tmp_path / "c.mp4")]) == 2
