"""The published GDPW trained tiny: it learns, resumes exactly, exports, loads and infers."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from helpers.clips import write_clips
from helpers.pairs import write_pairs
from helpers.resuming import assert_resumed_exactly, whole_run

from facemorph.cli import run
from facemorph.config.build import build
from facemorph.faces.files.image_io import load_image
from facemorph.networks.features.vgg import VGG
from facemorph.storage.checkpoint import load_checkpoint, load_system
from facemorph.systems.gdpw.generator import KINDS

TRAIN = ["train", "experiment=gdpw/paper_tiny", "logger=none"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gdpw_pairs")
    write_pairs(folder, 32)
    return folder


def train(pairs: Path, folder: Path, *words: str) -> int:
    return run([*TRAIN, f"data.folders={pairs}", f"paths.output_root={folder}", *words])


@pytest.mark.parametrize("guidance", KINDS)
def test_training_moves_every_weight_and_its_release_infers(pairs, tmp_path, guidance):
    word = f"system.generator.guidance={guidance}"
    assert train(pairs, tmp_path / "runs", word) == 0
    checkpoint = next((tmp_path / "runs").rglob("last.ckpt"))
    system = load_system(checkpoint)
    torch.manual_seed(0)
    fresh = build(system.record["config"]["system"])
    for name in ("generator", "discriminator"):
        before = dict(getattr(fresh, name).named_parameters())
        for key, value in getattr(system, name).named_parameters():
            unused = key.startswith("shortcuts.3.")  # as published, see the generator
            assert torch.equal(value, before[key]) == unused, key
    sheets = sorted((tmp_path / "runs").rglob("samples/*.png"))
    assert [sheet.stem for sheet in sheets] == ["samples_000000006", "samples_000000012"]
    assert load_image(sheets[0]).shape == (3, 4 * 32, 2 * 32)
    assert run(["export", str(checkpoint), str(tmp_path / "release")]) == 0
    released = load_system(tmp_path / "release")
    assert released.discriminator is None
    assert released.generator.guidance == guidance
    words = [f"checkpoint={tmp_path / 'release'}", f"output={tmp_path / 'sheet'}", "+size=32"]
    assert run(["infer", *words, f"+pairs={pairs}", "+count=2"]) == 0
    sheet = load_image(tmp_path / "sheet/pairs.png")
    assert sheet.shape == (3, 4 * 32, 2 * 32)
    assert float(sheet.std()) > 0.05


@pytest.fixture(scope="module")
def whole(pairs, tmp_path_factory):
    return whole_run(functools.partial(train, pairs), tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("phase", ["generator", "discriminator"])
def test_resume_after_an_end_in_any_phase_is_exact(pairs, whole, tmp_path, monkeypatch, phase):
    train_on = functools.partial(train, pairs)
    assert_resumed_exactly(train_on, tmp_path, whole, monkeypatch, phase, 4)


def test_checkpoints_have_both_optimizers_and_no_feature_network(pairs, tmp_path):
    """The released code's had no moments, so that a resumed run began them anew."""
    words = ["system.perceptual=descriptor", "system.loss.perceptual_weight=1.0"]
    words += ["system.loss.warp_perceptual_weight=1.0", "trainer.max_epochs=1"]
    assert train(pairs, tmp_path, *words) == 0
    content = load_checkpoint(next(tmp_path.rglob("last.ckpt")))
    assert [len(one["state"]) > 0 for one in content["optimizer_states"]] == [True, True]
    for one in content["optimizer_states"]:
        assert one["param_groups"][0]["lr"] == 2e-4
        assert tuple(one["param_groups"][0]["betas"]) == (0.9, 0.999)
    parts = {name.partition(".")[0] for name in content["state_dict"]}
    assert parts == {"generator", "discriminator"}


def test_reconstruction_alone_needs_no_discriminator(pairs, tmp_path, capsys):
    words = ["system.discriminator=null", "trainer.max_epochs=1"]
    assert train(pairs, tmp_path / "a", *words) == 2
    assert "system.discriminator" in capsys.readouterr().err
    names = ("adversarial", "feature_matching", "warp_adversarial", "warp_feature_matching")
    words += [f"system.loss.{name}_weight=0.0" for name in names]
    assert train(pairs, tmp_path / "b", *words) == 0
    assert load_system(next((tmp_path / "b").rglob("last.ckpt"))).discriminator is None


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["system.model=ict"], "system.model"),
        (["system.generator.num_vertices=5023"], "system.generator.num_vertices"),
        (["data=paired_faces", "+data.model=makehuman"], "data=paired_vertices"),
        (["data.colours=2"], "data.colours"),
        (["system.perceptual=vgg19"], "system.perceptual_file"),
        (["system.loss.perceptual_weight=1.0"], "loss.perceptual"),
    ],
)
def test_what_does_not_fit_is_refused(pairs, tmp_path, capsys, words, where):
    assert train(pairs, tmp_path, *words) == 2
    assert where in capsys.readouterr().err


def test_missing_weights_of_vgg_say_where_they_are(pairs, tmp_path, capsys):
    """The released code downloaded them at every first start."""
    words = ["train", "experiment=gdpw/paper", "logger=none", "data=paired_vertices"]
    words += [f"data.folders={pairs}", f"paths.output_root={tmp_path}", "data.size=32"]
    words += ["system.generator.num_vertices=4929", "system.generator.widths=[4,6]"]
    assert run(words) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "vgg19-dcbb9e9d.pth" in error
    assert "https://download.pytorch.org" in error
    assert "system.perceptual_file" in error


def test_the_published_losses_on_the_authors_clips(tmp_path, capsys):
    """All of ``gdpw/paper`` but its size, with random weights in VGG19's file."""
    write_clips(tmp_path / "clips", 64)
    file = tmp_path / "vgg19-dcbb9e9d.pth"
    torch.save(VGG(19).state_dict(), file)
    words = ["train", "experiment=gdpw/paper", "logger=none", f"data.folder={tmp_path / 'clips'}"]
    words += [f"paths.output_root={tmp_path}", "data.model=makehuman", "data.size=64"]
    words += ["data.steps_per_epoch=2", "trainer.max_epochs=1", f"system.perceptual_file={file}"]
    words += ["system.generator.num_vertices=4929", "system.generator.widths=[4,6,8,10]"]
    words += ["system.discriminator.width=4", "data.batch_size=3"]
    assert run(words) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "data.size" in error
    assert "128 or more" in error
    assert run([*words, "system.loss.pyramid=3"]) == 0
    checkpoint = next(tmp_path.rglob("last.ckpt"))
    assert checkpoint.stat().st_size < 5e6
    system = load_system(checkpoint)
    assert system.record["config"]["system"]["model"] == "makehuman"
    assert all(bool(torch.isfinite(one).all()) for one in system.state_dict().values())
