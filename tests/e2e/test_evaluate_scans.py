"""``facemorph evaluate-scans``: rows, summary, going on where it was stopped, and what is
refused.
"""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from helpers.scan_sets import made_scans, prepared_scans

from facemorph.apps.implicit import scan_evaluation
from facemorph.cli import run
from facemorph.geometry.meshes.mesh_files import Mesh, ply_bytes, read_mesh
from facemorph.systems.imface.code_fitting import FittingOptions

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")

QUICK = ["--resolution", "32", "--points", "256", "--samples", "2000", "--components", "2,4,64"]

pytestmark = pytest.mark.usefixtures("few_newton_steps")


@pytest.fixture(scope="module", autouse=True)
def short_fits():
    """Codes are fitted in five steps: no test asks how near a model of a few steps comes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FittingOptions, "most_steps", 5)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Raw scans, the prepared set, and a checkpoint of a few steps."""
    root = tmp_path_factory.mktemp("evaluate")
    made_scans(root / "scans", 4, 3, 0.25, 0.34)
    prepared_scans(root / "scans", root / "set")
    assert (
        run(
            [
                "train",
                "experiment=imface/tiny",
                "device=cpu",
                "logger=none",
                "data.steps_per_epoch=4",
                f"data.folder={root}/set",
                f"paths.output_root={root}",
                f"paths.output_dir={root}/run",
            ]
        )
        == 0
    )
    return root


def words(made, output, *more):
    return [
        "evaluate-scans",
        str(made / "set"),
        "-o",
        str(output),
        "--checkpoint",
        str(made / "run/checkpoints/last.ckpt"),
        "--scans",
        str(made / "scans"),
        *QUICK,
        *more,
    ]


@pytest.fixture(scope="module")
def evaluated(made, tmp_path_factory):
    """A finished evaluation; tests copy it."""
    output = tmp_path_factory.mktemp("evaluated") / "out"
    assert run(words(made, output, "--limit", "1")) == 0
    return output


def test_rows_summary_and_going_on(made, evaluated, tmp_path, monkeypatch, capsys):
    shutil.copytree(evaluated, tmp_path / "out")
    report = json.loads((tmp_path / "out/report.json").read_text())
    kinds = [kind for kind in report["summary"] if kind != "all"]
    assert kinds[0] == "new people, known expressions"
    assert len(kinds) == report["counts"]["done"] == 3
    models = set(report["summary"]["all"]) - {"scans"}
    # 64 components are more than the 6 scans have.
    assert models == {
        name + end
        for name in ("fitted", "template", "head", "pca_2", "pca_4")
        for end in ("", "_aligned")
    }
    with (tmp_path / "out/scans.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(models)
    for kind in kinds:
        mean = report["summary"][kind]["pca_4"]["chamfer"]
        own = [
            float(row["chamfer"]) for row in rows if row["kind"] == kind and row["model"] == "pca_4"
        ]
        assert mean == pytest.approx(sum(own) / len(own), abs=1e-3)
    assert (
        report["summary"]["all"]["pca_4"]["accuracy"]
        < report["summary"]["all"]["template"]["accuracy"]
    )

    def never(*_):
        raise AssertionError("a scan was measured twice")

    monkeypatch.setattr(scan_evaluation, "_measure", never)
    assert run(words(made, tmp_path / "out", "--limit", "1")) == 0
    assert "chamfer" in capsys.readouterr().out


def test_folders_of_older_versions_go_on(made, evaluated, tmp_path, monkeypatch):
    """Their rows had the models among their keys, and no stamp."""
    output = tmp_path / "out"
    shutil.copytree(evaluated, output)
    summary = json.loads((output / "report.json").read_text())["summary"]
    records = output / "records.0-of-1.jsonl"
    rows = [json.loads(line) for line in records.read_text().splitlines()]
    old = [{**row, **row.pop("models")} for row in rows]
    for row in old:
        del row["stamp"], row["seconds"]
        row.pop("models", None)
    records.write_text("".join(json.dumps(row) + "\n" for row in old))
    monkeypatch.setattr(scan_evaluation, "_measure", None)
    assert run(words(made, output, "--limit", "1")) == 0
    assert json.loads((output / "report.json").read_text())["summary"] == summary


def test_a_scan_as_it_is(made, tmp_path, capsys):
    """Not prepared, in centimetres, and without landmarks: as somebody's own scan."""
    row = next(
        row
        for row in json.loads((made / "scans/index.json").read_text())["scans"]
        if row["split"] == "test"
    )
    mesh = read_mesh(made / "scans" / row["mesh"])
    scan = tmp_path / "mine.ply"
    scan.write_bytes(ply_bytes(Mesh(mesh.vertices / 10, mesh.faces)))
    order = words(made, tmp_path / "out")
    order[1] = str(scan)
    assert run(order) == 0
    assert "the scan: 1 scans" in capsys.readouterr().out
    report = json.loads((tmp_path / "out/report.json").read_text())
    figures = report["summary"]["the scan"]
    # The head's own kind of scan: it is met, and better than by four components.
    assert figures["head"]["mean"] < 0.6 < figures["template"]["mean"]
    assert figures["head"]["mean"] < figures["pca_4"]["mean"]


def test_the_kinds_are_what_training_has_not_seen(made):
    kinds = scan_evaluation.kinds_of(made / "set")
    for kind, scans in kinds.items():
        assert all(scan.split == "test" for scan in scans), kind
    training = {
        scan.identity
        for scan in scan_evaluation.list_scans(made / "set")[0]
        if scan.split == "training"
    }
    assert all(
        (scan.identity in training) == ("known people" in kind)
        for kind, scans in kinds.items()
        for scan in scans
    )


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        (["--components", "a"], "components"),
        (["--samples", "0"], "samples"),
        (["--thresholds", "-1"], "thresholds"),
        (["--limit", "-1"], "limit"),
        (["--scans", "nowhere"], "nowhere"),
    ],
)
def test_what_is_refused(made, tmp_path, capsys, more, shown):
    assert run(words(made, tmp_path / "out", *more)) == 2
    assert shown in capsys.readouterr().err
    assert not (tmp_path / "out/report.json").exists()


def test_a_set_without_test_scans(made, tmp_path, capsys):
    whole = tmp_path / "whole"
    made_scans(whole / "scans", 1, 1)
    assert (
        run(
            [
                "data",
                "prepare-scans",
                str(whole / "scans"),
                "-o",
                str(whole / "set"),
                "--surface",
                "100",
                "--free",
                "10",
                "--workers",
                "1",
            ]
        )
        == 0
    )
    assert run(["evaluate-scans", str(whole / "set"), "-o", str(tmp_path / "out")]) == 2
    assert "no test scans" in capsys.readouterr().err
