"""VariTex trained tiny: it learns, resumes exactly, exports, loads and infers."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.resuming import assert_resumed_exactly, weights, whole_run
from helpers.varitex_files import write_varitex_files

from facemorph.cli import run
from facemorph.config.build import build
from facemorph.faces.files.image_io import load_image
from facemorph.networks.features.vgg import VGG
from facemorph.storage.checkpoint import load_checkpoint, load_system

SMALL = {
    "texture_size": 16,
    "encoder_widths": "[4,6,8]",
    "texture_widths": "[8,6,4]",
    "additive_widths": "[8,6,4,4]",
    "renderer_width": 4,
    "renderer_levels": 3,
}
TRAIN = ["train", "experiment=varitex/tiny", "logger=none"]


def train(faces: Path, folder: Path, *words: str) -> int:
    return run([*TRAIN, f"data.folder={faces}", f"paths.output_root={folder}", *words])


def test_training_moves_every_weight_and_its_release_infers(faces, tmp_path):
    assert train(faces, tmp_path / "runs") == 0
    checkpoint = next((tmp_path / "runs").rglob("last.ckpt"))
    system = load_system(checkpoint)
    torch.manual_seed(0)
    fresh = build(system.record["config"]["system"])
    for name in ("generator", "discriminator"):
        before = dict(getattr(fresh, name).named_parameters())
        for key, value in getattr(system, name).named_parameters():
            assert not torch.equal(value, before[key]), key
    sheets = sorted((tmp_path / "runs").rglob("samples/*.png"))
    assert [sheet.stem for sheet in sheets] == ["samples_000000012", "samples_000000024"]
    assert load_image(sheets[0]).shape == (3, 7 * 32, 4 * 32)  # the held-out pictures
    assert run(["export", str(checkpoint), str(tmp_path / "release")]) == 0
    released = load_system(tmp_path / "release")
    assert released.discriminator is None
    words = [f"checkpoint={tmp_path / 'release'}", f"output={tmp_path / 'sheet'}"]
    assert run(["infer", *words, "+count=3"]) == 0
    sheet = load_image(tmp_path / "sheet/people.png")
    assert sheet.shape == (3, 3 * 32, 7 * 32)
    assert run(["infer", *words[:1], f"output={tmp_path / 'one'}", "+count=1"]) == 0
    assert torch.equal(load_image(tmp_path / "one/people.png"), sheet[:, :32])  # a seed for each


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("generator", []),
        ("discriminator", ["system.parity=true"]),
        ("discriminator", ["data.cross_views=0.5", "data.num_workers=1"]),
        ("r1", ["system.discriminator.channels_in=6"]),
    ],
)
def test_resume_after_an_end_in_any_phase_is_exact(faces, tmp_path, monkeypatch, phase, words):
    train_on, words = functools.partial(train, faces), tuple(words)
    whole = whole_run(train_on, tmp_path / "whole", words)
    assert_resumed_exactly(train_on, tmp_path / "parts", whole, monkeypatch, phase, 4, words)


def test_parity_runs_the_generator_twice_and_the_batch_statistics_with_it(faces, tmp_path):
    """The released code does so in each batch; without parity it is once."""
    for parity, passes in (("true", 12), ("false", 6)):
        folder = tmp_path / parity
        assert train(faces, folder, f"system.parity={parity}", "callbacks.samples=null") == 0
        counts = {
            int(value) for name, value in weights(folder).items() if "num_batches_tracked" in name
        }
        assert counts == {passes}


def test_checkpoints_have_both_optimizers_and_no_feature_network(faces, tmp_path):
    words = ["system.perceptual=descriptor", "system.loss.perceptual_weight=2.0"]
    assert train(faces, tmp_path, *words, "trainer.max_epochs=1") == 0
    content = load_checkpoint(next(tmp_path.rglob("last.ckpt")))
    for one in content["optimizer_states"]:
        assert len(one["state"]) > 0
        assert one["param_groups"][0]["lr"] == 1e-3
        assert tuple(one["param_groups"][0]["betas"]) == (0.9, 0.999)
    assert {name.partition(".")[0] for name in content["state_dict"]} == {
        "generator",
        "discriminator",
    }


def test_a_set_without_held_out_pictures(faces, tmp_path):
    shutil.copytree(faces, tmp_path / "set")
    index = json.loads((tmp_path / "set/index.json").read_text())
    index["split"] = ["training"] * len(index["split"])
    (tmp_path / "set/index.json").write_text(json.dumps(index))
    assert train(tmp_path / "set", tmp_path / "runs", "trainer.max_epochs=1") == 0
    assert load_image(next(tmp_path.rglob("samples/*.png"))).shape == (3, 7 * 32, 8 * 32)


def test_reconstruction_alone_needs_no_discriminator(faces, tmp_path, capsys):
    words = ["system.discriminator=null", "trainer.max_epochs=1"]
    assert train(faces, tmp_path / "a", *words) == 2
    assert "system.discriminator" in capsys.readouterr().err
    words += [f"system.loss.{name}_weight=0.0" for name in ("adversarial", "feature_matching")]
    assert train(faces, tmp_path / "b", *words) == 0
    assert load_system(next((tmp_path / "b").rglob("last.ckpt"))).discriminator is None


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["system.model=ict"], "system.model"),
        (["data.size=64", "system.generator.picture_size=32"], "data.size"),
        (
            ["data=conditioned_faces", "+data.model=makehuman", "~data.steps_per_epoch"],
            "data=uv_faces",
        ),
        (["system.discriminator.channels_in=4"], "system.discriminator.channels_in"),
        (["system.perceptual=vgg19"], "system.perceptual_file"),
        (["system.loss.perceptual_weight=1.0"], "loss.perceptual"),
        (["data.moves.zoom=0.5"], "data.moves.zoom"),
        (["data.cross_views=2"], "data.cross_views"),
        (["system.r1_weight=-1"], "system.r1_weight"),
    ],
)
def test_what_does_not_fit_is_refused(faces, tmp_path, capsys, words, where):
    assert train(faces, tmp_path, *words) == 2
    assert where in capsys.readouterr().err


def test_the_published_losses_on_the_authors_files(tmp_path, capsys):
    """All of ``varitex/paper`` but its size, with random weights in VGG19's file."""
    folder, images, _ = write_varitex_files(tmp_path, 48)
    words = ["train", "experiment=varitex/paper", "logger=none", f"data.folder={folder}"]
    words += [f"data.images={images}", f"paths.output_root={tmp_path}", "data.size=32"]
    words += ["data.steps_per_epoch=2", "trainer.max_epochs=1", "data.batch_size=3"]
    words += ["data.num_workers=0", "system.parity=true", "callbacks.samples.every_images=6"]
    words += [f"+system.generator.{name}={value}" for name, value in SMALL.items()]
    words += ["+system.discriminator.width=4"]
    assert run(words) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth" in error
    assert "system.perceptual_file" in error
    file = tmp_path / "vgg19-dcbb9e9d.pth"
    torch.save(VGG(19).state_dict(), file)
    assert run([*words, f"system.perceptual_file={file}"]) == 0
    checkpoint = next(tmp_path.rglob("last.ckpt"))
    assert checkpoint.stat().st_size < 5e6
    system = load_system(checkpoint)
    assert all(bool(torch.isfinite(one).all()) for one in system.state_dict().values())
    assert load_image(next(tmp_path.rglob("samples/*.png"))).shape == (3, 7 * 32, 2 * 32)
    words = ["infer", f"checkpoint={checkpoint}", f"output={tmp_path / 'out'}", "+count=1"]
    assert run(words) == 2
    assert "+model=FILE" in capsys.readouterr().err
    assert run([*words, "+model=makehuman"]) == 0
