"""The small VariTex trained tiny: every phase, resumed, sampled, inverted, painted on."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers.resuming import assert_resumed_exactly, weights, whole_run
from PIL import Image

from facemorph.cli import run
from facemorph.config.build import build
from facemorph.errors import CheckpointError
from facemorph.faces.files.image_io import load_image
from facemorph.storage.checkpoint import load_system
from facemorph.storage.files import write_whole

PHOTOGRAPH = str(ROOT / "data" / "sample" / "sample_hopper.png")


def train(faces: Path, folder: Path, *words: str) -> int:
    given = ["train", "experiment=varitex/small_tiny", "logger=none", f"data.folder={faces}"]
    return run([*given, f"paths.output_root={folder}", *words])


@pytest.fixture(scope="module")
def varitex(faces, tmp_path_factory):
    """A set whose people are half held out, and a checkpoint of the other half."""
    folder = tmp_path_factory.mktemp("varitex_small")
    half = folder / "set"
    shutil.copytree(faces, half)
    index = json.loads((half / "index.json").read_text())
    index["split"] = ["training" if int(who) < 10 else "test" for who in index["people"]]
    (half / "index.json").write_text(json.dumps(index))
    assert train(half, folder / "runs") == 0
    return half, next((folder / "runs").rglob("last.ckpt"))


@pytest.fixture(scope="module")
def sampled(varitex, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampled")
    sample(varitex[1], folder)
    return folder


def sample(checkpoint: Path, output: Path, *words: str) -> torch.Tensor:
    given = ["sample", "--checkpoint", str(checkpoint), "-o", str(output), "--count", "4", *words]
    assert run(given) == 0
    return torch.stack([load_image(path) for path in sorted(output.glob("face_*.png"))])


def test_all_networks_move_and_people_are_known(varitex):
    system = load_system(varitex[1])
    fresh = build(system.record["config"]["system"])
    for name in ("generator", "encoder", "discriminator"):
        trained = dict(getattr(system, name).named_parameters())
        before = dict(getattr(fresh, name).named_parameters())
        assert all(not torch.equal(trained[key], before[key]) for key in before), name
    codes, albedo, identity = system.people.sample(5, torch.Generator().manual_seed(0))
    assert codes.shape == (5, 8)
    assert albedo.shape == (5, 13)
    assert len(identity) == 5


def test_random_people_are_like_those_who_are_named(faces, tmp_path, capsys):
    index = json.loads((faces / "index.json").read_text())
    one = index["people"][0]
    assert train(faces, tmp_path / "one", f"data.like='{one[:-1]}[{one[-1]}]'") == 0
    moments = load_system(next(tmp_path.rglob("last.ckpt"))).moments
    mean, covariance = moments.values()
    identity = torch.from_numpy(np.load(faces / "parameters.npz")["identity"])[0]
    torch.testing.assert_close(mean[-len(identity) :], identity, check_dtype=False)
    assert float(covariance.diagonal()[-len(identity) :].abs().max()) < 1e-6  # of one person
    assert float(covariance.diagonal()[:8].min()) > 0  # but not of one picture
    assert train(faces, tmp_path / "none", "data.like=us_*") == 2
    assert "data.like" in capsys.readouterr().err


@pytest.fixture(scope="module")
def whole(faces, tmp_path_factory):
    return whole_run(functools.partial(train, faces), tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("phase", ["discriminator", "generator"])
def test_resume_is_exact(faces, whole, tmp_path, monkeypatch, phase):
    train_on = functools.partial(train, faces)
    assert_resumed_exactly(train_on, tmp_path, whole, monkeypatch, phase, 6)


def test_micro_batches_change_nothing(faces, tmp_path):
    assert train(faces, tmp_path / "whole", "trainer.max_epochs=1") == 0
    words = ["system.micro_batches=2", "trainer.max_epochs=1"]
    assert train(faces, tmp_path / "parts", *words) == 0
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, value in whole.items():
        if name.partition(".")[0] in ("generator", "encoder", "discriminator"):
            torch.testing.assert_close(parts[name], value, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("short_evaluation")
def test_evaluation_shows_people_by_another_picture(varitex, tmp_path):
    half, checkpoint = varitex
    words = ["evaluate-generator", str(half), "--checkpoint", str(checkpoint), "-o", str(tmp_path)]
    assert run([*words, "--count", "20", "--features", "descriptor"]) == 0
    figures = json.loads((tmp_path / "report.json").read_text())["figures"]
    assert 5 < figures["psnr_head"] < 40
    assert 0 < figures["ssim_head"] < 1
    for view in ("head", "picture"):  # other people than those of the posteriors' Gaussian
        assert figures[f"frechet_{view}_standard_normal"] > 0
        assert figures[f"frechet_{view}_standard_normal"] != figures[f"frechet_{view}_generated"]
    assert figures["inversion_psnr"] > 5


def test_releases_make_the_same_people(varitex, sampled, tmp_path):
    assert run(["export", str(varitex[1]), str(tmp_path / "release")]) == 0
    released = load_system(tmp_path / "release")
    assert not [name for name in released.state_dict() if "discriminator" in name]
    again = sample(tmp_path / "release", tmp_path / "faces")
    first = torch.stack([load_image(path) for path in sorted(sampled.glob("face_*.png"))])
    assert torch.equal(again, first)


def test_weights_of_another_skin_are_refused(varitex):
    system = load_system(varitex[1])
    state = system.state_dict()
    state["generator.decoder.skin_digest"] = state["generator.decoder.skin_digest"] + 5
    with pytest.raises(CheckpointError, match="another skin"):
        system.load_state_dict(state)


def test_inversion_comes_nearer_and_is_turned(varitex, tmp_path):
    words = ["--checkpoint", str(varitex[1])]
    assert run(["invert", PHOTOGRAPH, *words, "-o", str(tmp_path / "a"), "--steps", "20"]) == 0
    figures = json.loads((tmp_path / "a" / "report.json").read_text())["figures"]
    assert figures["psnr_inversion"] > figures["psnr_code"] + 0.1
    words += ["--from", str(tmp_path / "a")]
    assert run(["sample", *words, "-o", str(tmp_path / "b"), "--yaw", "25"]) == 0
    assert np.load(tmp_path / "b" / "codes.npz")["added"].shape == (1, 4, 16, 16)


def test_more_photographs_say_more_of_the_skin(varitex, tmp_path, capsys):
    words = ["--checkpoint", str(varitex[1]), "--steps", "3", "-o"]
    other = str(ROOT / "data" / "sample" / "sample_collins.png")
    for name, given in (("one", [PHOTOGRAPH]), ("both", [PHOTOGRAPH, other])):
        assert run(["invert", *given, *words, str(tmp_path / name), "--no-refine"]) == 0
    kept = [np.load(tmp_path / name / "codes.npz") for name in ("one", "both")]
    assert all("added" not in one for one in kept)
    first, second = (torch.from_numpy(one["codes"]) for one in kept)
    assert not torch.allclose(first[:, :5], second[:, :5], atol=1e-3)
    encoded = load_image(tmp_path / "both" / "comparison.png")
    assert encoded.shape[0] == 3
    points = str(tmp_path / "points.csv")
    write_whole(Path(points), b"x,y\n1,2\n")
    given = ["invert", PHOTOGRAPH, other, *words, str(tmp_path / "x"), "--points", points]
    assert run(given) == 2
    assert "one landmark file" in capsys.readouterr().err


# ------------------------------------------------------------
# textures
@pytest.fixture(scope="module")
def exported(varitex, sampled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("texture")
    words = ["texture", "export", str(sampled), "--checkpoint", str(varitex[1])]
    assert run([*words, "--number", "2", "--size", "64", "-o", str(folder)]) == 0
    return folder


def applied(varitex, sampled, edited, output, *words: str) -> torch.Tensor:
    given = ["texture", "apply", str(sampled), str(edited), "--checkpoint", str(varitex[1])]
    assert run([*given, "--number", "2", "-o", str(output), *words]) == 0
    return load_image(output / "face_001.png")


def test_a_texture_that_nobody_touched_changes_nothing(varitex, sampled, exported, tmp_path):
    after = applied(varitex, sampled, exported / "texture.png", tmp_path)
    assert torch.equal(after, load_image(sampled / "face_002.png"))
    assert (exported / "head.glb").read_bytes()[:4] == b"glTF"
    colours = json.loads((exported / "report.json").read_text())["colours"]
    painted = np.asarray(Image.open(exported / "regions.png"))
    assert (painted == colours["lips"]).all(-1).any()


def test_paint_shows_on_the_person(varitex, sampled, exported, tmp_path):
    with Image.open(exported / "texture.png") as picture:
        painted = picture.convert("RGB")
    painted.paste((0, 255, 0), (0, 0, *painted.size))
    painted.save(tmp_path / "green.png")
    before = load_image(sampled / "face_002.png")
    after = applied(varitex, sampled, tmp_path / "green.png", tmp_path / "all")
    greener = (after - before)[1] - (after - before)[0]
    assert float(greener.mean()) > 0.02
    mask = np.zeros((64, 64), np.uint8)
    Image.fromarray(mask).save(tmp_path / "none.png")
    words = ["--mask", str(tmp_path / "none.png")]
    unmasked = applied(varitex, sampled, tmp_path / "green.png", tmp_path / "masked", *words)
    assert torch.equal(unmasked, before)


def test_regions_of_another_person(varitex, sampled, exported, tmp_path):
    before = load_image(sampled / "face_002.png")
    after = applied(varitex, sampled, sampled, tmp_path, "--regions", "face")
    assert not torch.equal(after, before)
    added = torch.from_numpy(np.load(tmp_path / "codes.npz")["added"])
    assert (added.abs().amax((0, 1)) == 0).any()  # not off the face


def test_bad_textures(varitex, sampled, exported, tmp_path, capsys):
    words = ["--checkpoint", str(varitex[1]), "-o", str(tmp_path / "x")]
    Image.new("RGB", (64, 32)).save(tmp_path / "wide.png")
    write_whole(tmp_path / "broken.png", b"no picture")
    for given, text in (
        ([str(tmp_path / "wide.png")], "square"),
        ([str(tmp_path / "broken.png")], "broken.png"),
        ([str(exported / "texture.png"), "--number", "9"], "1 to 4"),
        ([str(sampled)], "--regions"),
    ):
        assert run(["texture", "apply", str(sampled), *given, *words]) == 2
        assert text in capsys.readouterr().err
    words[1] = "@open:gif"
    assert run(["texture", "export", str(sampled), *words]) == 2
    capsys.readouterr()
    assert run(["sample", *words, "--count", "1"]) == 0
    assert run(["texture", "export", str(tmp_path / "x"), *words]) == 2
    assert "makes no textures" in capsys.readouterr().err


def test_data_of_other_systems_are_refused(faces, tmp_path, capsys):
    assert train(faces, tmp_path, "data=conditioned_faces") == 2
    assert "data=cross_views" in capsys.readouterr().err
    assert train(faces, tmp_path, "system.generator.face_code=9") == 2
    assert "additive_code" in capsys.readouterr().err
    assert train(faces, tmp_path, "system.model=ict") == 2
    assert "system.generator.skin=null" in capsys.readouterr().err
    assert train(faces, tmp_path, "system.model=ict", "system.generator.skin=null") == 2
    assert "different models" in capsys.readouterr().err
