"""ifmorph from its configs: train, resume bit for bit, export, load, infer; two processes equal
one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from helpers import ROOT, forked

from facemorph import cli
from facemorph.config.compose import plain
from facemorph.config.explained import compose
from facemorph.entry.launch import run_job
from facemorph.errors import ConfigError, Interrupted
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.faces.files.video_io import read_video
from facemorph.infer import infer
from facemorph.storage.checkpoint import export_release, load_checkpoint, load_system
from facemorph.systems.ifmorph.image_field import ImageField
from facemorph.systems.ifmorph.system import NeuralWarp
from facemorph.train import train
from facemorph.training.checkpoints import RunCheckpoints

SYSTEMS = {"ifmorph/tiny": NeuralWarp, "ifmorph/image_tiny": ImageField}
EXPERIMENTS = list(SYSTEMS)
STEPS = 10


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)  # the committed photographs have relative paths


def run(folder: Path, *words: str) -> Path:
    """Train into ``folder``; its newest checkpoint."""
    run_job(train, "train", [*words, "device=cpu", "logger=none", f"paths.output_root={folder}"])
    return newest(folder)


def newest(folder: Path, name: str = "last.ckpt") -> Path:
    found = sorted(folder.rglob(name), key=lambda path: path.stat().st_mtime_ns)
    assert found, f"no {name} in {folder}"
    return found[-1]


def everything(path: Path) -> dict[str, torch.Tensor]:
    """Weights, buffers and the optimiser's moments."""
    content = load_checkpoint(path)
    moments = {
        f"{k} {i} {p}": v
        for i, optimizer in enumerate(content["optimizer_states"])
        for p, state in optimizer["state"].items()
        for k, v in state.items()
    }
    return content["state_dict"] | moments


def assert_equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(two[name])), name


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Uninterrupted runs of both experiments."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return {
            name: run(tmp_path_factory.mktemp("whole"), f"experiment={name}")
            for name in EXPERIMENTS
        }
    finally:
        os.chdir(before)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_training_leaves_a_system_that_loads(trained, experiment):
    content = load_checkpoint(trained[experiment])
    assert content["global_step"] == STEPS
    assert all(bool(value.isfinite().all()) for value in content["state_dict"].values())
    system = load_system(trained[experiment])
    assert isinstance(system, SYSTEMS[experiment])
    assert system.record["seed"] == 0
    assert not list(trained[experiment].parents[1].rglob("*.part"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_same_seed_trains_the_same_and_another_does_not(trained, experiment, tmp_path):
    again = run(tmp_path / "a", f"experiment={experiment}")
    assert_equal(everything(again), everything(trained[experiment]))
    other = everything(run(tmp_path / "b", f"experiment={experiment}", "seed=1"))
    assert any(
        not torch.equal(value, other[name])
        for name, value in everything(again).items()
        if name.endswith("weight")
    )


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("stop", [1, 4, 5, 7])
def test_a_run_stopped_at_any_step_is_resumed_bit_for_bit(
    trained, experiment, stop, tmp_path, monkeypatch
):
    system, count = SYSTEMS[experiment], [0]
    step = system.training_step

    def stopping(self, batch, batch_idx):
        count[0] += 1
        if count[0] == stop:
            next(c for c in self.trainer.callbacks if isinstance(c, RunCheckpoints))._received = 15
        return step(self, batch, batch_idx)

    monkeypatch.setattr(system, "training_step", stopping)
    with pytest.raises(Interrupted):
        run(tmp_path / "a", f"experiment={experiment}")
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)
    interrupted = newest(tmp_path / "a", "interrupted.ckpt")
    assert load_checkpoint(interrupted)["global_step"] == stop
    torch.rand(11)  # what happened in between must not matter
    resumed = run(tmp_path / "b", f"experiment={experiment}", f"resume={interrupted}")
    assert_equal(everything(resumed), everything(trained[experiment]))


def test_resume_auto_takes_up_the_stopped_run(trained, tmp_path, monkeypatch):
    step = NeuralWarp.training_step

    def stopping(self, batch, batch_idx):
        if self.global_step == 5:
            next(c for c in self.trainer.callbacks if isinstance(c, RunCheckpoints))._received = 15
        return step(self, batch, batch_idx)

    monkeypatch.setattr(NeuralWarp, "training_step", stopping)
    with pytest.raises(Interrupted):
        run(tmp_path, "experiment=ifmorph/tiny")
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)
    resumed = run(tmp_path, "experiment=ifmorph/tiny", "resume=auto")
    assert_equal(everything(resumed), everything(trained["ifmorph/tiny"]))


def test_a_warp_exported_loaded_and_used(trained, tmp_path):
    release = export_release(trained["ifmorph/tiny"], tmp_path / "release")
    one, two = load_system(trained["ifmorph/tiny"]), load_system(release)
    for time in (0.0, 0.5, 1.0):
        assert torch.equal(one.render(time), two.render(time))
    words = [f"checkpoint={release}"]
    run_job(infer, "infer", [*words, f"output={tmp_path / 'a.mp4'}", "+frames=3"])
    run_job(
        infer, "infer", [*words, f"output={tmp_path / 'a.png'}", "+times=[0.5]", "+blend=linear"]
    )
    run_job(
        infer,
        "infer",
        [*words, f"output={tmp_path / 'frames'}", "+times=[0,1]", "+outside=mix", "+size=32"],
    )
    assert len(list(read_video(tmp_path / "a.mp4"))) == 3
    expected = one.render(0.5, blend="linear")
    assert float((load_image(tmp_path / "a.png") - expected).abs().max()) <= 0.5 / 255 + 1e-6
    assert read_synthetic_tag(tmp_path / "a.png")["synthetic"] is True
    assert [load_image(path).shape for path in sorted((tmp_path / "frames").glob("*.png"))] == [
        (3, 32, 32)
    ] * 2
    with pytest.raises(ConfigError, match="tempo"):
        run_job(infer, "infer", [*words, f"output={tmp_path / 'b.mp4'}", "+tempo=3"])


def test_an_image_exported_loaded_and_used(trained, tmp_path):
    release = export_release(trained["ifmorph/image_tiny"], tmp_path / "release")
    for source, name in ((trained["ifmorph/image_tiny"], "one.png"), (release, "two.png")):
        run_job(infer, "infer", [f"checkpoint={source}", f"output={tmp_path / name}"])
    one, two = load_image(tmp_path / "one.png"), load_image(tmp_path / "two.png")
    assert one.shape == (3, 64, 64)
    assert torch.equal(one, two)
    assert read_synthetic_tag(tmp_path / "one.png")["synthetic"] is True


def test_infer_on_a_named_device(trained, tmp_path):
    run_job(
        infer,
        "infer",
        [
            f"checkpoint={trained['ifmorph/image_tiny']}",
            "device=cpu",
            f"output={tmp_path / 'a.png'}",
        ],
    )
    assert (tmp_path / "a.png").is_file()


def test_images_become_initial_states_of_a_warp(trained, tmp_path):
    words = [
        "+field@system.source_field=siren",
        "system.source_field.hidden_features=[32,32]",
        f"system.source_checkpoint={trained['ifmorph/image_tiny']}",
    ]
    system = load_system(run(tmp_path, "experiment=ifmorph/tiny", *words))
    field = load_system(trained["ifmorph/image_tiny"]).field
    assert all(
        torch.equal(value, field.state_dict()[name])
        for name, value in system.source_field.state_dict().items()
    )
    assert system.render(0.5).shape == (3, 64, 64)


def test_the_closed_form_needs_no_loop(samples, tmp_path):
    path = run(
        tmp_path,
        "experiment=ifmorph/closed_form",
        f"data.a={samples[0]}",
        f"data.b={samples[1]}",
        "data.size=64",
    )
    system = load_system(path)
    assert not system.requires_training
    system.infer(tmp_path / "a.png", times=[0.5])
    assert load_image(tmp_path / "a.png").shape == (3, 64, 64)
    assert system.quality()["fold_over_percent"] == 0


@pytest.mark.parametrize(
    "name", ["paper", "paper_no_data", "paper_no_identity_inverse", "paper_no_thin_plate"]
)
def test_a_few_steps_of_the_papers_settings(samples, tmp_path, name):
    """The experiment as it is, with fewer steps and samples."""
    path = run(
        tmp_path,
        f"experiment=ifmorph/{name}",
        f"data.a={samples[0]}",
        f"data.b={samples[1]}",
        "data.size=64",
        "data.num_samples=200",
        "trainer.max_steps=3",
        "data.steps_per_epoch=3",
    )
    system = load_system(path)
    weights = {"data": 1e4, "identity": 1e3, "inverse": 1e4, "thin_plate": 1e3}
    for term in (
        name.removeprefix("paper_no_").replace("identity_inverse", "identity inverse").split()
    ):
        if term in ("data", "identity", "inverse"):
            weights[term] = 0
    if name.endswith("thin_plate"):
        weights["thin_plate"] = 0
    assert system.loss.weights == weights
    assert sum(p.numel() for p in system.warp.parameters()) == 17282
    assert load_checkpoint(path)["global_step"] == 3


def test_the_papers_settings_are_those_of_the_paper():
    composed = compose("train", ["experiment=ifmorph/paper", "data.a=a", "data.b=b"])
    config = plain({name: composed[name] for name in ("system", "data", "trainer")})
    assert config["system"]["warp"]["_target_"].endswith("SirenWarp")
    assert config["system"]["learning_rate"] == 1e-4
    assert config["system"]["schedule"] == "constant"
    assert config["system"]["loss"]["thin_plate_weight"] == 1e3
    assert config["data"]["sampling"] == "grid"
    assert config["data"]["num_samples"] == 20000
    assert config["trainer"]["max_steps"] == 20001


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_two_processes_learn_what_one_learns_from_the_whole_batch(trained, experiment, tmp_path):
    process = forked.finish(
        "-m",
        "facemorph.train",
        f"experiment={experiment}",
        "device=ddp_cpu",
        "logger=none",
        f"paths.output_root={tmp_path}",
        folder=ROOT,
        environment={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr
    one = load_checkpoint(trained[experiment])["state_dict"]
    two = load_checkpoint(newest(tmp_path))["state_dict"]
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-6)


def test_the_command_line_says_what_is_wrong_in_one_paragraph(tmp_path, capsys):
    words = ["experiment=ifmorph/tiny", "data.sampling=sobol", f"paths.output_root={tmp_path}"]
    assert cli.run(["train", *words]) == 2
    error = capsys.readouterr().err
    assert "data.sampling" in error
    assert "jittered" in error
    assert "Traceback" not in error
