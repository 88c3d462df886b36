"""`facemorph evaluate` and `facemorph det` as a user runs them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from facemorph import cli, load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.pair import prepare_face
from facemorph.jobs.pages.gallery import write_gallery


@pytest.fixture(scope="module")
def dataset(samples, tmp_path_factory):
    """Three subjects, further photographs of them, and a data set of morphs."""
    folder = tmp_path_factory.mktemp("evaluation")
    for name in ("photographs", "probes"):
        (folder / name).mkdir()
    for subject, sample, flip in (
        ("001", samples[0], False),
        ("002", samples[1], False),
        ("003", samples[1], True),
    ):
        image = prepare_face(sample, size=256).image
        image = image.flip(-1) if flip else image
        save_image(image, folder / f"photographs/{subject}_03.png")
        save_image((image * 0.85 + 0.05).clamp(0, 1), folder / f"probes/{subject}_08.png")
    (folder / "pairs.txt").write_text("001_03 002_03\n001_03 003_03\n")
    assert (
        cli.run(
            [
                "morph-dataset",
                str(folder / "pairs.txt"),
                "--images",
                str(folder / "photographs"),
                "-o",
                str(folder / "morphs"),
                "--size",
                "256",
                "--workers",
                "1",
            ]
        )
        == 0
    )
    return folder


def result_of(folder):
    return json.loads((folder / "evaluation.json").read_text())


def test_a_data_set_with_probes(dataset, tmp_path, capfd):
    assert (
        cli.run(
            [
                "evaluate",
                str(dataset / "morphs"),
                "--probes",
                str(dataset / "probes"),
                "-o",
                str(tmp_path),
            ]
        )
        == 0
    )
    assert "mmpmr" in capfd.readouterr().out
    result = result_of(tmp_path)
    summary, rows = result["summary"], result["rows"]
    assert summary["morphs"] == len(rows) == 2
    assert summary["without_a_face"] == 0
    for row in rows:
        assert 0.1 < row["identity_distance_a"] < 0.9
        assert row["landmark_error_px"] < 5
        assert row["identity_imbalance"] == pytest.approx(
            abs(row["identity_distance_a"] - row["identity_distance_b"])
        )
    assert summary["compared"] == 2
    assert 0 <= summary["prodavg_mmpmr"] <= summary["mmpmr"] <= 1
    assert summary["probes"] == "further photographs"
    assert summary["false_non_match_rate"] == 0  # the probes are the sources, brighter
    assert summary["rmmr"] == summary["mmpmr"]
    assert summary["fd_descriptor128"] > 0
    assert not any(key.startswith("fid") for key in summary)
    table = list(csv.DictReader((tmp_path / "evaluation.csv").open()))
    assert [row["name"] for row in table] == ["001_03_002_03", "001_03_003_03"]
    page = (tmp_path / "gallery.html").read_text()
    assert "001_03_002_03" in page
    assert not re.findall(r"https?://", page)


def test_thresholds_decide(dataset, tmp_path):
    rates = []
    for threshold in ("0.01", "2"):
        assert (
            cli.run(
                ["evaluate", str(dataset / "morphs"), "-o", str(tmp_path), "--threshold", threshold]
            )
            == 0
        )
        rates.append(result_of(tmp_path)["summary"]["mmpmr"])
    assert rates == [0, 1]


def test_any_folder_against_a_reference(dataset, tmp_path):
    plain, noisy = tmp_path / "plain", tmp_path / "noisy"
    shutil.copytree(dataset / "photographs", plain)
    noisy.mkdir()
    for file in plain.iterdir():
        image = load_image(file)
        save_image((image + 0.05 * torch.randn(image.shape)).clamp(0, 1), noisy / file.name)
    assert (
        cli.run(["evaluate", str(noisy), "--reference", str(plain), "--bona-fide", str(plain)]) == 0
    )
    result = result_of(noisy)
    assert 25 < result["summary"]["mean_psnr"] < 28  # 20 log10(1 / 0.05) = 26
    assert 0 < result["summary"]["mean_ssim"] < 1
    assert "mmpmr" not in result["summary"]
    (plain / "002_03.png").unlink()
    assert cli.run(["evaluate", str(noisy), "--reference", str(plain)]) == 2


def test_a_morph_without_a_face_is_counted(dataset, tmp_path):
    copied = tmp_path / "morphs"
    shutil.copytree(dataset / "morphs", copied)
    save_image(torch.rand(3, 256, 256), copied / "001_03_002_03.png")
    assert cli.run(["evaluate", str(copied)]) == 0
    result = result_of(copied)
    assert result["summary"]["without_a_face"] == 1
    assert result["summary"]["compared"] == 1
    assert [row["no_face"] for row in result["rows"]] == [True, False]


@pytest.mark.parametrize(
    "words",
    [
        ["nowhere"],
        ["{tmp}", "--lpips-alexnet", "x.pth"],
        ["{tmp}", "--inception", "nothing.pth"],
        ["{tmp}", "--probes", "nowhere"],
    ],
)
def test_wrong_inputs(words, dataset, tmp_path, capfd):
    chosen = [word.replace("{tmp}", str(dataset / "morphs")) for word in words]
    assert cli.run(["evaluate", *chosen, "-o", str(tmp_path)]) == 2
    assert "Traceback" not in capfd.readouterr().err


def test_a_gallery_escapes_names(tmp_path):
    rows = [
        {
            "file": "a b#.png",
            "name": "</script><b>x",
            "score": 1.5,
            "flag": True,
            "bad": float("nan"),
        }
    ]
    page = write_gallery(rows, tmp_path / "g.html", "<i>t", {"k<": 2}).read_text()
    assert "</script><b>" not in page
    assert "<i>t" not in page
    data = json.loads(re.search(r"id=data>(.*?)</script>", page, re.S)[1])
    assert data == {
        "items": [{"src": "a%20b%23.png", "name": "</script><b>x", "score": 1.5}],
        "metrics": ["score"],
    }


# ------------------------------------------------------------
# det
def test_scores_to_a_table_and_a_plot(tmp_path, capfd):
    path = tmp_path / "scores.csv"
    lines = ["score,label,attack"] + [f"{k / 10},bona_fide," for k in range(10)]
    lines += [f"{k / 10 + 0.55},attack,opencv" for k in range(10)] + [
        f"{k / 10 + 2},morph,gan<x>" for k in range(10)
    ]
    path.write_text("\n".join(lines))
    assert cli.run(["det", str(path), "-o", str(tmp_path / "det.svg"), "--threshold", "0.6"]) == 0
    assert "opencv" in capfd.readouterr().out
    errors = json.loads((tmp_path / "det.json").read_text())["errors"]
    assert errors["gan<x>"]["d_eer"] == 0
    assert errors["opencv"]["apcer"] == pytest.approx(0.1)
    assert errors["opencv"]["bpcer"] == pytest.approx(0.4)
    assert errors["worst"]["d_eer"] == errors["opencv"]["d_eer"] > 0.15
    picture = ElementTree.parse(tmp_path / "det.svg").getroot()
    texts = {node.text for node in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"APCER (%)", "BPCER (%)", "opencv", "gan<x>"} <= texts
    flipped = tmp_path / "flipped.csv"
    flipped.write_text(
        "\n".join(
            ["score,label,attack"]
            + [f"-{line}" if not line.startswith("score") else line for line in lines[1:]]
        )
    )
    assert (
        cli.run(["det", str(flipped), "-o", str(tmp_path / "two.svg"), "--higher", "bona_fide"])
        == 0
    )
    again = json.loads((tmp_path / "two.json").read_text())["errors"]
    assert again["opencv"]["d_eer"] == pytest.approx(errors["opencv"]["d_eer"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("score,label\n0.1,bona_fide\n", "both kinds"),
        ("a,b\n1,2\n", "line 2"),
        ("score,label\nx,attack\n", "a number"),
        ("score,label\n1,other\n", "bona_fide or attack"),
        ("", "both kinds"),
    ],
)
def test_wrong_scores(text, says, tmp_path, capfd):
    (tmp_path / "scores.csv").write_text(text)
    assert cli.run(["det", str(tmp_path / "scores.csv")]) == 2
    assert says in capfd.readouterr().err
    assert cli.run(["det", str(tmp_path / "nothing.csv")]) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "score,label\n0.1,bona_fide\nnan,attack\n",
            "scores.csv, line 3: not a score (expected a number, not nan",
        ),
        ("score,label\n-inf,bona_fide\n1,attack\n", "scores.csv, line 2"),
        ("score,label,attack\n0,bona_fide,\n1,attack,worst\n1,attack,b\n", "worst"),
    ],
)
def test_scores_that_would_be_miscounted(text, says, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("scores.csv").write_text(text)
    assert cli.run(["det", "scores.csv"]) == 2
    assert says in " ".join(capfd.readouterr().err.split())


def test_comparisons_that_cannot_be_made_are_refused(dataset, tmp_path, capfd):
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    shutil.copy(dataset / "probes/001_08.png", strangers / "999_08.png")
    morphs = str(dataset / "morphs")
    for words, says in (
        (["--probes", str(strangers)], "probes of 999"),
        (["--threshold", "nan"], "threshold"),
        (["--reference", str(strangers)], "the reference of a morph is not there"),
        (["--reference", str(tmp_path / "no")], "no such folder"),
    ):
        assert cli.run(["evaluate", morphs, *words, "-o", str(tmp_path / "out")]) == 2
        assert says in " ".join(capfd.readouterr().err.split())
    plain = [str(dataset / "photographs"), "--probes", str(dataset / "probes")]
    assert cli.run(["evaluate", *plain, "-o", str(tmp_path / "out")]) == 2
    assert "not known who" in capfd.readouterr().err


def test_morphs_and_photographs_that_are_gone(dataset, tmp_path, capfd, caplog):
    copied = tmp_path / "morphs"
    shutil.copytree(dataset / "morphs", copied)
    report = (copied / "report.json").read_text()
    (copied / "report.json").write_text(report.replace(str(dataset / "photographs"), "elsewhere"))
    assert cli.run(["evaluate", str(copied)]) == 0
    assert "3 of 3 photographs" in caplog.text
    (copied / "001_03_002_03.png").unlink()
    assert cli.run(["evaluate", str(copied)]) == 2
    assert "001_03_002_03.png: a morph of the report is not there" in " ".join(
        capfd.readouterr().err.split()
    )
