"""Rows and files of `facemorph bench`, and the cheap parts of its suites."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch

from facemorph import cli
from facemorph.apps.morphing import warp_fitting
from facemorph.bench import dense, fields, morph, table, training, warps
from facemorph.bench.photographs import frll
from facemorph.bench.table import Row, markdown, missing, report, row
from facemorph.errors import DataError, OutputError
from facemorph.faces.pair import prepare_pair


@pytest.mark.parametrize(
    ("value", "bar", "ok"),
    [
        (1, "< 2", True),
        (2, "< 2", False),
        (2, "<= 2", True),
        (3, "> 2", True),
        (2, "> 2", False),
        (2, ">= 2", True),
        (0, "== 0", True),
        (0.1, "== 0", False),
        (math.nan, "< 2", False),
        (math.nan, ">= 2", False),
        (0.9991, ">= 0.999", True),
    ],
)
def test_row(value, bar, ok):
    made = row("name", value, "px", bar)
    assert made == Row("name", made.value, "px", bar, ok)
    assert isinstance(made.value, float)
    assert made.ok is ok


def test_rows_without_bar_or_value():
    assert row("a", 3, "s") == Row("a", 3.0, "s", None, None)
    assert missing("a", "not here", "< 1") == Row("a", None, "not here", "< 1", None)
    with pytest.raises(KeyError):
        row("a", 1, "s", "~ 3")


def test_report_and_its_file(tmp_path, capfd):
    rows = [
        row("speed", 1.5, "s", "< 2"),
        row("quality", 3.0, "px", "< 2"),
        missing("far", "no data"),
    ]
    path = tmp_path / "b.json"
    given = report("morph", rows, path)
    found = json.loads(path.read_text())
    assert found == given
    assert {"rows", "date", "commit", "hardware"} <= set(found)
    assert found["rows"] == [
        {"name": "speed", "value": 1.5, "unit": "s", "bar": "< 2", "ok": True},
        {"name": "quality", "value": 3.0, "unit": "px", "bar": "< 2", "ok": False},
        {"name": "far", "value": None, "unit": "no data", "bar": None, "ok": None},
    ]
    assert "cores" in found["hardware"]
    assert len(found["date"]) == len("2024-01-01 10:00")
    assert found["versions"]["torch"] == torch.__version__
    assert "MISSED" in capfd.readouterr().out
    with pytest.raises(OutputError):
        report("morph", rows, tmp_path / "nowhere" / "b.json")


def test_markdown(tmp_path):
    path = tmp_path / "b.md"
    given = report("fields", [row("speed", 1.5, "s", "< 1"), missing("far", "no data")], path)
    text = path.read_text()
    assert text == markdown(given)
    assert "| speed | 1.5 | s | `< 1` | **missed** |" in text
    assert "| far | - | no data |  |  |" in text


def test_a_missed_bar_is_no_error(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(fields, "run", lambda folder: [row("speed", 9, "s", "< 2")])
    assert cli.run(["bench", "fields", "--json", str(tmp_path / "b.json")]) == 0
    out = capfd.readouterr().out
    assert "MISSED" in out
    assert "next: facemorph bench" in out
    assert json.loads((tmp_path / "b.json").read_text())["rows"][0]["ok"] is False


def test_wrong_words(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(fields, "run", lambda folder: pytest.fail("checked before any work"))
    assert cli.run(["bench", "speed"]) == 2
    assert "morph" in capfd.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.run(["bench", "fields", "--json", str(tmp_path / "file" / "b.json")]) == 2


def protocol(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / frll.PROTOCOL).write_text("001_03.jpg 002_03.jpg\n\n003_03.jpg 003_03.jpg\n")
    return folder


def test_find_frll(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEMORPH_FRLL", raising=False)
    monkeypatch.setattr(frll, "__file__", "/nowhere/src/facemorph/bench/photographs/frll.py")
    assert frll.find_frll() is None
    near = protocol(tmp_path / "data/frll")
    assert frll.find_frll() == Path("data/frll")
    named = protocol(tmp_path / "elsewhere")
    monkeypatch.setenv("FACEMORPH_FRLL", str(named))
    assert frll.find_frll() == named
    assert frll.find_frll(near) == near
    with pytest.raises(DataError, match="--frll"):
        frll.find_frll(tmp_path)
    assert cli.run(["bench", "fields", "--frll", str(tmp_path)]) == 2


def test_frll_pairs(frll: Path):
    from facemorph.bench.photographs.frll import frll_pairs

    pairs, again = frll_pairs(frll, 2), frll_pairs(frll, 2)
    assert [pair.scheme for pair in pairs] == ["frll189"] * 2
    assert all(max(pair.image_a.shape) == 512 for pair in pairs)
    assert all(
        torch.equal(one.points_a, two.points_a) for one, two in zip(pairs, again, strict=True)
    )


def test_without_frll_the_rows_say_so(monkeypatch):
    monkeypatch.setattr(morph, "find_frll", lambda folder: None)
    monkeypatch.setattr(morph, "command_rows", list)
    monkeypatch.setattr(morph, "start_up_rows", list)
    monkeypatch.setattr(morph, "import_rows", list)
    rows = morph.run()
    assert rows[0].ok is True
    assert [one.value for one in rows[1:]] == [None, None]
    assert all("--frll" in one.unit for one in rows[1:])


def test_import_rows(monkeypatch):
    spent = iter([3.0, 8.0, 2.0, 6.0, 4.0, 7.0])
    seen = []

    def processor_time(words):
        seen.append(words[1])
        return next(spent)

    monkeypatch.setattr(morph, "_processor_time", processor_time)
    lean, ratio = morph.import_rows()
    assert (lean.value, ratio.value, ratio.ok) == (2.0, 3.0, True)
    assert seen == 3 * ["import facemorph, lightning.pytorch", "import lightning.pytorch"]


def test_the_time_of_a_process_is_that_of_its_processor():
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    assert morph._processor_time(["-c", busy]) >= 0.5


def test_identity_row():
    assert morph.identity_row().ok is True


def test_flow_rows(samples):
    rows = morph.flow_rows([prepare_pair(*samples, size=128)])
    bars = {one.name.split(": ")[1]: one.ok for one in rows if one.bar}
    assert bars["fold-over"] is True
    assert bars["inverse error, mean"] is True
    assert all(math.isfinite(one.value) for one in rows)


def test_warps_in_one_table(samples, tmp_path):
    pair = prepare_pair(*samples, size=96)
    rows = [
        one
        for name, fit in warps.closed_forms().items()
        for one in warps.warp_rows(name, fit, [pair])
    ]
    found = {tuple(one.name.rsplit(": ", 1)): one.value for one in rows}
    assert len(found) == len(rows) == 5 * len(warps.FIGURES)
    assert all(math.isfinite(value) for value in found.values())
    distance = float((pair.source - pair.target).norm(dim=1).mean()) * 256
    assert found["none, 1 pairs", "landmark error"] == pytest.approx(distance, rel=0.05)
    for name in ("thin_plate_flow", "tps", "piecewise_affine"):
        assert found[f"{name}, 1 pairs", "landmark error"] < 0.1
        assert (
            found[f"{name}, 1 pairs", "gradient correlation in the face"]
            > found["none, 1 pairs", "gradient correlation in the face"]
        )
    text = markdown(report("warps", rows, tmp_path / "w.md"))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 5
    assert {line.count("|") for line in lines} == {2 + len(warps.FIGURES)}
    assert "half-way alignment, px" in lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", warps.EXPERIMENTS)
def test_trained_warps_are_measured_like_the_others(samples, name, monkeypatch):
    small = {key: f"ifmorph/{key}_tiny" for key in ("neural_ode", "conjugate_flow")}
    monkeypatch.setattr(warp_fitting, "EXPERIMENTS", warps.EXPERIMENTS | small)
    fit = partial(warps.train_warp, name, seconds=0.1)
    figures = warps.measure_warp(fit, prepare_pair(*samples, size=48))
    assert set(warps.FIGURES) <= set(figures)
    assert all(math.isfinite(value) for value in figures.values())
    assert figures["seconds"] > 0.05


def test_dense_rows(samples):
    rows = {one.name: one for one in dense.dense_rows([prepare_pair(*samples, size=96)])}
    before, after = (
        rows[f"{state}, 1 pairs: gradient correlation outside the face"].value
        for state in ("thin_plate_flow", "refined")
    )
    assert after > before
    assert rows["refined, 1 pairs: landmarks in the face move by at most"].ok is True
    assert rows["refined, 1 pairs: exp(u) o exp(-u), largest error"].value < 0.3
    held = [
        rows[f"{state}, 1 pairs: held-out landmarks in the face"].value
        for state in ("thin_plate_flow", "refined")
    ]
    assert held[1] == pytest.approx(held[0], abs=0.05)


def test_tables_of_cases_need_several_of_them():
    names = ("a: x", "a: y", "b: x", "b: y")
    rows = [{"name": name, "value": 1.0, "unit": "px", "ok": None, "bar": None} for name in names]
    assert table.cases_by_figure(rows) == [
        "| | x, px | y, px |",
        "|---|---|---|",
        "| a | 1 | 1 |",
        "| b | 1 | 1 |",
    ]
    assert table.cases_by_figure(rows[:2]) == []
    assert (
        table.cases_by_figure(
            [*rows, {"name": "plain", "value": 1.0, "unit": "", "ok": None, "bar": None}]
        )
        == []
    )
    rows[3] |= {"ok": False, "bar": "< 1"}
    assert table.cases_by_figure(rows)[-1] == "| b | 1 | 1 (`< 1` **missed**) |"


def test_pairs_by_option(monkeypatch, capfd):
    seen = []
    monkeypatch.setattr(warps, "run", lambda folder, pairs=3: seen.append(pairs) or [])
    assert cli.run(["bench", "warps", "--pairs", "7"]) == 0
    assert cli.run(["bench", "warps"]) == 0
    assert seen == [7, 3]
    assert cli.run(["bench", "training", "--pairs", "2"]) == 2
    assert cli.run(["bench", "warps", "--pairs", "0"]) == 2


def test_loss_rows():
    rows = {one.name: one for one in fields.loss_rows(samples=200)}
    assert rows["largest relative difference of a term"].ok is True
    assert all(one.value > 0 for one in rows.values())


def test_spline_rows(monkeypatch):
    real = fields.resize_image
    monkeypatch.setattr(fields, "resize_image", lambda image, size: real(image, (96, 96)))
    rows = fields.spline_rows()
    assert [one.ok for one in rows if one.bar] == [True]


def test_trained_rows(samples):
    grid = fields.grid_rows(samples[1], "Hopper", seconds=0.3)
    assert [one.unit for one in grid] == ["dB", "dB"]
    assert all(5 < one.value < 80 for one in grid)
    rows = {
        one.name.split(": ", 1)[1]: one
        for one in fields.residual_rows([prepare_pair(*samples, size=96)], 0.3)
    }
    assert rows["identity, largest difference"].ok is True
    assert rows["steps"].value >= 1


def test_train_for_reaches_a_minimum():
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    steps = fields.train_for(0.3, [weight], 0.1, lambda step: weight.square().sum())
    assert steps > 10
    assert weight.abs().item() < 0.5


def test_comparing_weights():
    one = {"a": torch.tensor([1.0, 2.0]), "b": torch.zeros(2)}
    assert training._differing(one, one) == 0
    assert training._differing(one, one | {"b": torch.ones(2)}) == 1
    assert training._differing(one, one | {"c": torch.ones(2)}) == 1
    assert training._largest(one, one | {"b": torch.full((2,), 0.5)}) == 0.5


def test_bench_suites_have_a_run():
    for suite in ("morph", "fields", "training", "warps", "dense", "raster"):
        assert callable(__import__(f"facemorph.bench.{suite}", fromlist=["run"]).run)
    assert table.hardware()
