"""GIF trained tiny: every phase, resumed in each, in two processes as in one."""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, forked
from helpers.resuming import assert_resumed_exactly, weights, whole_run

from facemorph.cli import run
from facemorph.config.build import build
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.storage.checkpoint import load_system

TRAIN = ["train", "experiment=gif/tiny", "logger=none"]


def train(faces: Path, folder: Path, *words: str) -> int:
    return run([*TRAIN, f"data.folder={faces}", f"paths.output_root={folder}", *words])


def test_all_phases_move_their_network(faces, tmp_path):
    assert train(faces, tmp_path) == 0
    system = load_system(next(tmp_path.rglob("last.ckpt")))
    assert system.people.known
    codes, albedo, _ = system.people.sample(3, torch.Generator().manual_seed(0))
    assert codes.shape == (3, 6)
    assert albedo.shape == (3, 13)
    pictures = system(codes, torch.zeros(3, 9, 16, 16))
    assert pictures.shape == (3, 3, 16, 16)
    assert torch.isfinite(pictures).all()
    torch.manual_seed(0)
    for name in ("generator", "discriminator"):
        moved = {key for key, value in getattr(system, name).named_parameters()}
        fresh = dict(getattr(build(system.record["config"]["system"]), name).named_parameters())
        trained = dict(getattr(system, name).named_parameters())
        assert all(not torch.equal(trained[key], fresh[key]) for key in moved), name


SHORT = ("trainer.limit_train_batches=5",)  # of each of two epochs


@pytest.fixture(scope="module")
def whole(faces, tmp_path_factory):
    train_on = functools.partial(train, faces)
    return whole_run(train_on, tmp_path_factory.mktemp("whole"), SHORT)


@pytest.mark.parametrize("phase", ["discriminator", "r1", "generator"])
def test_resume_after_an_end_in_any_phase_is_exact(faces, whole, tmp_path, monkeypatch, phase):
    train_on = functools.partial(train, faces)
    assert_resumed_exactly(train_on, tmp_path, whole, monkeypatch, phase, 4, SHORT)


def test_micro_batches_change_nothing(faces, tmp_path):
    words = ["+system.augmentation.target=0.6", "+system.augmentation.probability=0.3"]
    words += SHORT
    assert train(faces, tmp_path / "whole", *words) == 0
    assert train(faces, tmp_path / "parts", *words, "system.micro_batches=2") == 0
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert float(whole["augmentation.level"]) != pytest.approx(0.3, abs=1e-7)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_the_whole_batch(faces, tmp_path):
    # In double precision: Adam makes much of the rounding of gradients that are almost 0.
    precise = "trainer.precision=64-true"
    assert train(faces, tmp_path / "cpu", "device=cpu", precise, *SHORT) == 0
    words = [*TRAIN, f"data.folder={faces}", "device=ddp_cpu", precise, *SHORT]
    words += [f"paths.output_root={tmp_path / 'ddp_cpu'}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = forked.finish("train.py", *words[1:], folder=ROOT, environment=environment)
    assert found.returncode == 0, found.stderr
    one, two = weights(tmp_path / "cpu"), weights(tmp_path / "ddp_cpu")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-6)


SMALL = [
    "data.size=16",
    "data.batch_size=4",
    "data.num_workers=0",
    "data.stored=true",
    "trainer.precision=32-true",
    "trainer.max_epochs=1",
    "callbacks.budget.max_images=20",
    "system.generator.resolution=16",
    "system.generator.widths=[128,12]",
    "system.generator.style_size=16",
    "system.generator.mapping_layers=2",
    "system.generator.num_codes=40",
    "system.discriminator.widths=[128,12]",
    "system.discriminator.group=2",
]
PRESETS = ["full", "normal_only", "texture_only", "no_texture_consistency", "vector"]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_train_and_load(faces, tmp_path, preset):
    words = ["train", f"experiment=gif/{preset}", "logger=none", f"data.folder={faces}"]
    words += [*SMALL, f"paths.output_root={tmp_path}", "system.path_interval=2"]
    assert run(words) == 0
    system = load_system(next(tmp_path.rglob("last.ckpt")))
    given = torch.zeros(2, 185) if preset == "vector" else torch.zeros(2, 9, 16, 16)
    pictures = system(torch.tensor([0, 3]), given)
    assert pictures.shape == (2, 3, 16, 16)
    assert torch.isfinite(pictures).all()
    assert float(system.path_mean) > 0
    checkpoint = next(tmp_path.rglob("last.ckpt"))
    assert sample(checkpoint, tmp_path / "faces").shape == (4, 3, 16, 16)
    assert run(["infer", f"checkpoint={checkpoint}", f"output={tmp_path / 'out'}"]) == 0
    assert load_image(tmp_path / "out" / "faces.png").shape == (3, 32, 96)
    photograph = str(ROOT / "data" / "sample" / "sample_hopper.png")
    words = ["invert", photograph, "--checkpoint", str(checkpoint), "-o", str(tmp_path / "x")]
    assert run(words) == 2


def test_parity_has_no_path_length_and_a_weak_penalty(faces, tmp_path):
    words = ["train", "experiment=gif/full", "logger=none", f"data.folder={faces}"]
    words += [*SMALL, f"paths.output_root={tmp_path}", "system.parity=true"]
    assert run(words) == 0
    system = load_system(next(tmp_path.rglob("last.ckpt")))
    assert float(system.path_mean) == 0
    names = {phase.name: phase for phase in system.phases()}
    assert set(names) == {"discriminator", "r1", "generator"}
    assert names["r1"].gain == 1.0
    assert names["r1"].interval == 16


def sample(checkpoint: Path, output: Path, *words: str) -> torch.Tensor:
    given = ["sample", "--checkpoint", str(checkpoint), "-o", str(output), "--count", "4", *words]
    assert run(given) == 0
    pictures = [load_image(output / f"face_{number:03d}.png") for number in range(1, 5)]
    return torch.stack(pictures)


def test_samples_follow_from_seed_and_number(trained, tmp_path):
    _, checkpoint = trained
    first = sample(checkpoint, tmp_path / "a")
    assert torch.equal(sample(checkpoint, tmp_path / "b"), first)
    assert not torch.equal(sample(checkpoint, tmp_path / "c", "--seed", "1"), first)
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    assert report["faces"] == 4
    assert report["settings"]["vary"] == "all"
    assert (tmp_path / "a" / "faces.png").is_file()


def test_releases_have_no_discriminator_and_make_the_same_faces(trained, tmp_path):
    _, checkpoint = trained
    assert run(["export", str(checkpoint), str(tmp_path / "release")]) == 0
    released = load_system(tmp_path / "release")
    assert released.discriminator is None
    assert not [name for name in released.state_dict() if "discriminator" in name]
    first = sample(checkpoint, tmp_path / "a")
    assert torch.equal(sample(tmp_path / "release", tmp_path / "b"), first)
    assert run(["export", str(checkpoint), str(tmp_path / "half"), "--half"]) == 0
    rounded = sample(tmp_path / "half", tmp_path / "c")
    assert (rounded - first).abs().max() < 0.05
    words = [f"checkpoint={tmp_path / 'release'}", f"output={tmp_path / 'out'}", "+count=3"]
    assert run(["infer", *words]) == 0
    assert len(list((tmp_path / "out").glob("face_*.png"))) == 3


@pytest.mark.parametrize(
    ("group", "moves"),
    [("expression", "expression"), ("pose", "rotation"), ("light", "light"), ("style", None)],
)
def test_only_what_is_asked_for_varies(trained, tmp_path, group, moves):
    sample(trained[1], tmp_path, "--vary", group)
    parameters = FaceParameters.load(tmp_path / "parameters.npz").tensors()
    for name in ("identity", "albedo", "expression", "rotation", "light"):
        values = parameters[name].flatten(1)
        same = bool((values == values[:1]).all())
        assert same == (name != moves), name
    codes = np.load(tmp_path / "codes.npz")["codes"]
    assert bool((codes == codes[:1]).all()) == (group != "style")


def test_faces_of_an_earlier_sample_are_changed(trained, tmp_path):
    sample(trained[1], tmp_path / "a")
    words = ["--from", str(tmp_path / "a"), "--set", "jawOpen=0.5", "--yaw", "20"]
    sample(trained[1], tmp_path / "b", *words, "--light", "left")
    before, after = (FaceParameters.load(tmp_path / one / "parameters.npz") for one in "ab")
    assert torch.equal(before.identity, after.identity)
    assert torch.allclose(
        after.expression[:, after.expression_names.index("jawOpen")], torch.tensor(0.5)
    )
    assert torch.allclose(after.rotation.norm(dim=1), torch.tensor(math.radians(20)), atol=1e-5)
    assert bool((after.light == after.light[:1]).all())


@pytest.mark.usefixtures("short_evaluation")
def test_evaluation(trained, tmp_path):
    half, checkpoint = trained
    words = ["evaluate-generator", str(half), "--checkpoint", str(checkpoint), "-o", str(tmp_path)]
    assert run([*words, "--count", "20", "--features", "descriptor"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    figures = report["figures"]
    assert report["people"] == 10
    assert report["pictures"] == 20
    assert 5 < figures["psnr_head"] < 40
    assert 0 <= figures["identity_over_pose"] <= 1
    assert 0 < figures["identity_to_the_front"] < 2
    assert figures["frechet_head_floor"] > 0
    assert "frechet_head_standard_normal" not in figures  # a code of GIF has no prior
    assert figures["inversion_psnr"] > 5
    assert figures["inversion_seconds"] > 0
    assert (tmp_path / "sheet.png").is_file()


def test_bad_words(trained, tmp_path, capsys):
    half, checkpoint = trained
    words = ["sample", "--checkpoint", str(checkpoint), "-o", str(tmp_path / "x")]
    for given, text in (
        (["--topology", "template"], "no such option"),
        (["--count", "0"], "1 to 100000"),
        (["--set", "jawOpn=0.5"], "jawOpen"),
        (["--vary", "hair"], "person"),
        (["--from", str(tmp_path)], "no generated faces"),
    ):
        assert run([*words, *given]) == 2
        assert text in capsys.readouterr().err
    words = ["evaluate-generator", str(half), "--checkpoint", str(checkpoint), "-o", str(tmp_path)]
    assert run([*words, "--split", "validation"]) == 2
    assert "too few held-out pictures" in capsys.readouterr().err
    assert run(["sample", "--checkpoint", "@open:imface", "-o", str(tmp_path), "--yaw", "3"]) == 2
    assert "no such option" in capsys.readouterr().err


def test_sets_that_do_not_fit(faces, tmp_path, capsys):
    assert train(faces, tmp_path, "system.encoder.skin=30", "system.generator.code=32") == 2
    assert "too few examples" in capsys.readouterr().err
    assert train(faces, tmp_path, "system.model=ict") == 2
    assert "different models" in capsys.readouterr().err
    assert train(faces, tmp_path, "system.generator.code=9") == 2
    assert "system.generator.code" in capsys.readouterr().err
    assert train(faces, tmp_path, "system.discriminator.group=3") == 2
    assert "group" in capsys.readouterr().err
    assert train(faces, tmp_path, "system.micro_batches=3") == 2
    assert "micro" in capsys.readouterr().err


def test_inversion_comes_nearer_and_is_turned(trained, tmp_path):
    words = ["--checkpoint", str(trained[1])]
    photograph = str(ROOT / "data" / "sample" / "sample_hopper.png")
    given = ["invert", photograph, *words, "-o", str(tmp_path / "a"), "--steps", "30"]
    assert run(given) == 0
    figures = json.loads((tmp_path / "a" / "report.json").read_text())["figures"]
    assert figures["psnr_inversion"] > figures["psnr_code"] + 0.1
    words += ["--from", str(tmp_path / "a")]
    assert run(["sample", *words, "-o", str(tmp_path / "b")]) == 0
    assert run(["sample", *words, "-o", str(tmp_path / "c"), "--yaw", "25"]) == 0
    first, second = (load_image(tmp_path / one / "face_001.png") for one in "bc")
    assert (first - second).abs().mean() > 0.005
    with np.load(tmp_path / "a" / "codes.npz") as kept:
        codes, added = kept["codes"], kept["added"]
    styles = 6 * 8
    assert added.shape == (1, styles + 3 * 16**2)
    assert np.abs(added[:, styles:]).max() > 0.05
    assert (added[:, styles:] == 0).mean() > 0.02  # skin that the photograph does not show
    # without gains, as files were before: under two names of styles
    added[:, styles:] = 0
    pictures = []
    for name, array in (
        ("added", added),
        ("added", added[:, :styles].reshape(1, 6, 8)),
        ("styles", added[:, :styles].reshape(1, 6, 8)),
    ):
        (tmp_path / "a" / "codes.npz").unlink()
        np.savez(tmp_path / "a" / "codes.npz", **{"codes": codes, name: array})
        assert run(["sample", *words, "-o", str(tmp_path / "e")]) == 0
        pictures.append(load_image(tmp_path / "e" / "face_001.png"))
    assert all(torch.equal(one, pictures[0]) for one in pictures[1:])
    assert not torch.equal(pictures[0], first)
    assert run(["invert", photograph, *words[:2], "-o", str(tmp_path / "d"), "--steps", "-1"]) == 2


def test_a_larger_generator_grows_from_a_smaller_one(trained, tmp_path):
    half, checkpoint = trained
    words = ["system.generator.channels=[12,12,8,4]", f"system.start={checkpoint}", "data.size=32"]
    words += ["system.discriminator=null", "trainer.max_epochs=1", "system.learning_rate=1e-12"]
    assert train(half, tmp_path, *words) == 0
    larger = load_system(next(tmp_path.rglob("last.ckpt")))
    smaller = load_system(checkpoint)
    assert larger.generator.resolution == 32
    for name, value in smaller.encoder.state_dict().items():
        assert torch.equal(larger.encoder.state_dict()[name], value), name
    for name, value in smaller.generator.state_dict().items():
        torch.testing.assert_close(larger.generator.state_dict()[name], value, atol=1e-6, rtol=0)


def test_pictures_larger_than_the_generator_are_made_smaller(faces, tmp_path, capsys):
    assert train(faces, tmp_path, "data.size=32", "trainer.max_epochs=1") == 0
    assert train(faces, tmp_path, "data.size=24") == 2
    assert "a multiple of 16" in capsys.readouterr().err


def test_sheets_show_the_averaged_weights(faces, tmp_path):
    words = ["+callbacks.samples._target_=facemorph.engine.sample_grids.SampleGrids"]
    words += [f"+callbacks.samples.folder={tmp_path}/sheets", "+callbacks.samples.every_images=32"]
    assert train(faces, tmp_path, *words) == 0
    sheets = sorted((tmp_path / "sheets").glob("samples_*.png"))
    assert [sheet.stem for sheet in sheets] == ["samples_000000032", "samples_000000064"]
    shown = load_image(sheets[1])
    assert shown.shape[2] % 16 == 0
    assert float(shown.std()) > 0.05


def test_distances_are_logged_and_the_best_is_kept(trained, tmp_path, capsys):
    half, _ = trained
    folder = tmp_path / "set"
    shutil.copytree(half, folder)
    index = json.loads((folder / "index.json").read_text())
    index["split"] = [one.replace("test", "validation") for one in index["split"]]
    (folder / "index.json").write_text(json.dumps(index))
    words = ["+callbacks.distances._target_=facemorph.engine.distances.FeatureDistances"]
    words += ["+callbacks.distances.every_images=16", "callbacks.checkpoints.monitor=val/frechet"]
    assert train(folder, tmp_path / "runs", *words, "+callbacks.distances.count=20") == 0
    best = next((tmp_path / "runs").rglob("best.ckpt"))
    state = torch.load(best, weights_only=True)["callbacks"]
    value = next(one["best"] for one in state.values() if "best" in one)
    assert 0 < value < 10
    capsys.readouterr()
    assert train(half, tmp_path / "none", *words) == 2  # never those that are trained on
    assert "found 0" in capsys.readouterr().err
    index["split"][0:36] = ["training"] * 36
    (folder / "index.json").write_text(json.dumps(index))
    capsys.readouterr()
    assert train(folder, tmp_path / "runs", *words) == 2
    assert "too few held-out pictures" in capsys.readouterr().err


def test_penalties_do_not_use_compiled_networks(faces, tmp_path, monkeypatch):
    """Compiling takes minutes on a CPU: here it counts. Real ones gave the same weights to 1e-6."""
    calls = []

    def counting(network, **options):
        assert options == {"dynamic": False}

        def call(*arguments):
            calls.append(type(network).__name__)
            return network(*arguments)

        return call

    words = ["trainer.limit_train_batches=4", "trainer.max_epochs=1"]
    assert train(faces, tmp_path / "plain", *words) == 0
    monkeypatch.setattr(torch, "compile", counting)
    assert train(faces, tmp_path / "compiled", *words, "system.compile=true") == 0
    # Of four batches: the generator once each; the discriminator on real, fake and for the
    # generator, but not in the two penalties.
    assert calls.count("SmallGenerator") == 4
    assert calls.count("StyleGAN2Discriminator") == 12
    plain, compiled = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    for name, value in plain.items():
        assert torch.equal(compiled[name], value), name


def test_checkpoints_of_another_preset_are_refused(faces, tmp_path, capsys):
    words = ["train", "logger=none", f"data.folder={faces}", *SMALL]
    words += [f"paths.output_root={tmp_path}", "callbacks.budget.max_images=4"]
    assert run([*words, "experiment=gif/full"]) == 0
    checkpoint = next(tmp_path.rglob("last.ckpt"))
    assert run([*words, "experiment=gif/normal_only", f"resume={checkpoint}"]) == 2
    assert "another variant" in capsys.readouterr().err
