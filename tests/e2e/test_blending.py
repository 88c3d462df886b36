"""All blends and masks through the commands: `morph`, `infer`, `train` of a neural Poisson blend,
`bench`.
"""

from __future__ import annotations

import json

import pytest
import torch

from facemorph import cli, load_image, load_system
from facemorph.bench import blending
from facemorph.faces.choices import MASKS
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.fields.warps.choices import BLENDS
from facemorph.systems.ifmorph.image_field import reconstruction_psnr

pytestmark = pytest.mark.usefixtures("short_reports")


@pytest.mark.parametrize("blend", BLENDS)
def test_morph_with_every_blend(samples, tmp_path, blend):
    output = tmp_path / "half.png"
    words = [*map(str, samples), "-o", str(output), "--size", "64", "--blend", blend, "--no-report"]
    assert cli.run(["morph", *words]) == 0
    assert load_image(output).shape == (3, 64, 64)
    assert read_synthetic_tag(output)["synthetic"] is True
    assert json.loads((tmp_path / "half.metrics.json").read_text())["config"]["blend"] == blend


def test_morph_with_every_mask(samples, tmp_path):
    polygon = tmp_path / "eyes.csv"
    polygon.write_text("x,y\n18,20\n46,20\n46,34\n18,34\n")
    pictures = {}
    for mask in (*MASKS, str(polygon)):
        output = tmp_path / f"{len(pictures)}.png"
        words = [
            *map(str, samples),
            "-o",
            str(output),
            "--size",
            "64",
            "--mask",
            mask,
            "--no-report",
        ]
        assert cli.run(["morph", *words]) == 0
        pictures[mask] = load_image(output)
        metrics = json.loads(output.with_suffix(".metrics.json").read_text())
        assert metrics["config"]["mask"] == mask
        assert metrics["inputs"].get("mask", {}).get("file") == (
            mask if mask == str(polygon) else None
        )
    names = list(pictures)
    assert not any(
        torch.equal(pictures[one], pictures[two]) for one in names for two in names if one < two
    )


def test_infer_with_a_blend_and_a_mask(samples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "experiment=ifmorph/closed_form",
        f"data.a={samples[0]}",
        f"data.b={samples[1]}",
        "data.size=64",
        "logger=none",
        f"paths.output_root={tmp_path}",
    ]
    assert cli.run(["train", *words]) == 0
    checkpoint = next(tmp_path.rglob("last.ckpt"))
    words = [f"checkpoint={checkpoint}", "output=half.png", "device=cpu", "+times=[0.5]"]
    assert cli.run(["infer", *words, "+blend=poisson_mix", "+mask=left_half"]) == 0
    expected = load_system(checkpoint).render(0.5, blend="poisson_mix", mask="left_half")
    torch.testing.assert_close(load_image(tmp_path / "half.png"), expected, rtol=0, atol=0.003)
    assert cli.run(["infer", *words, "+blend=poisson"]) == 2
    assert cli.run(["infer", *words, "+mask=nose"]) == 2


def test_neural_poisson_blend_from_a_morph(samples, tmp_path, monkeypatch, root):
    """A morph, a neural blend of it, and its picture: three commands."""
    monkeypatch.chdir(tmp_path)
    common = ["logger=none", "device=cpu"]
    words = [
        "experiment=ifmorph/closed_form",
        f"data.a={samples[0]}",
        f"data.b={samples[1]}",
        "data.size=64",
    ]
    assert cli.run(["train", *words, *common, f"paths.output_root={tmp_path / 'morph'}"]) == 0
    morph = next((tmp_path / "morph").rglob("last.ckpt"))
    words = [
        "experiment=ifmorph/poisson",
        f"data.checkpoint={morph}",
        "data.gradient=mix",
        "data.batch_size=1024",
        "system.field.hidden_features=[48,48]",
        "system.learning_rate=2e-3",
        "data.steps_per_epoch=100",
        "trainer.max_epochs=2",
        f"paths.output_root={tmp_path / 'blend'}",
    ]
    assert cli.run(["train", *words, *common]) == 0
    blend = next((tmp_path / "blend").rglob("last.ckpt"))
    assert cli.run(["infer", f"checkpoint={blend}", "output=blend.png", "device=cpu"]) == 0
    direct = load_system(morph).render(0.5, blend="poisson_mix")
    assert reconstruction_psnr(load_system(blend).field, direct)["psnr"] > 22
    picture = load_image(tmp_path / "blend.png")
    assert float((picture - direct).square().mean()) < 10**-2.2


def test_tiny_neural_poisson_blend(tmp_path, monkeypatch, root):
    monkeypatch.chdir(root)
    assert (
        cli.run(
            [
                "train",
                "experiment=ifmorph/poisson_tiny",
                "logger=none",
                f"paths.output_root={tmp_path}",
            ]
        )
        == 0
    )
    assert list(tmp_path.rglob("best.ckpt"))


def test_wrong_neural_blends(samples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = [f"data.a={samples[0]}", f"data.b={samples[1]}"]
    for words in (
        [],
        [*both, "data.gradient=all"],
        [*both, "data.checkpoint=morph.ckpt"],
        [*both, "data.mask=nose"],
    ):
        assert (
            cli.run(
                ["train", "experiment=ifmorph/poisson", *words, f"paths.output_root={tmp_path}"]
            )
            == 2
        )
    assert not list(tmp_path.rglob("*.ckpt"))


def test_the_program_of_the_docs(tmp_path, monkeypatch, root):
    """As it stands on the page, at a smaller size and into another folder."""
    program = (root / "docs/blending.md").read_text().rsplit("```python\n", 1)[1].split("```")[0]
    assert program.count("docs/images/") == program.count("size=256") == 1
    monkeypatch.chdir(root)
    exec(program.replace("docs/images/", f"{tmp_path}/").replace("size=256", "size=64"), {})
    assert read_synthetic_tag(tmp_path / "blending.jpg")["synthetic"] is True
    assert load_image(tmp_path / "blending.jpg").shape[2] > 1000


def test_bench_blending(tmp_path, monkeypatch):
    real = blending.run
    monkeypatch.setattr(blending, "run", lambda folder: real(folder, size=96))
    assert cli.run(["bench", "blending", "--json", str(tmp_path / "b.json")]) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "b.json").read_text())["rows"]}
    assert all(any(name.startswith(f"{blend}, ") for name in rows) for blend in BLENDS)
    differences = [row for name, row in rows.items() if "largest difference" in name]
    assert len(differences) == 8
    assert all(row["ok"] for row in differences)
