"""ImFace from the command line: scans, preparation, training, resuming, reconstruction, and what is
refused.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from helpers.scan_sets import made_scans, prepared_scans

from facemorph.cli import run
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.geometry.meshes.mesh_files import obj_files, read_mesh
from facemorph.storage.checkpoint import load_system
from facemorph.systems.imface.system import ImFace

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")

TINY = [
    "experiment=imface/tiny",
    "device=cpu",
    "logger=none",
    "data.steps_per_epoch=8",
    "trainer.max_epochs=2",
    "system.schedule=step",
]  # one_cycle looks at the end, which a test moves

QUICK = ["--resolution", "32", "--points", "256", "--samples", "2000"]

pytestmark = pytest.mark.usefixtures("few_newton_steps")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return made_scans(tmp_path_factory.mktemp("scans"), 3, 2, 0.34)


@pytest.fixture(scope="module")
def prepared(scans, tmp_path_factory):
    return prepared_scans(scans, tmp_path_factory.mktemp("set"))


def train(folder, prepared, *words):
    code = run(
        [
            "train",
            *TINY,
            f"data.folder={prepared}",
            f"paths.output_root={folder}",
            f"paths.output_dir={folder}/run",
            *words,
        ]
    )
    return code, folder / "run/checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    code, checkpoint = train(tmp_path_factory.mktemp("trained"), prepared)
    assert code == 0
    return checkpoint


def test_preparation(scans, prepared, capsys):
    report = json.loads((prepared / "report.json").read_text())
    assert report["counts"]["done"] == 6
    assert report["counts"]["test"] == 2
    before = {path: path.stat().st_mtime_ns for path in prepared.glob("*/*.npz")}
    assert len(before) == 6
    gone = next(iter(before))
    content = gone.read_bytes()
    gone.unlink()
    words = [
        "data",
        "prepare-scans",
        str(scans),
        "-o",
        str(prepared),
        "--surface",
        "1880",
        "--free",
        "120",
    ]
    assert run([*words, "--workers", "1"]) == 0
    assert gone.read_bytes() == content  # the same points for the same seed
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path != gone)
    assert run([*words[:-4], "--surface", "100"]) == 2  # other settings
    assert "surface=1880" in capsys.readouterr().err


def test_training_and_what_a_checkpoint_holds(trained):
    system = load_system(trained)
    assert isinstance(system, ImFace)
    assert (system.num_identities, system.num_expressions) == (2, 2)
    assert bool(system.template_landmarks.any())
    assert "num_identities" not in system.record["config"]["system"]


def test_compiling_without_a_compiler(prepared, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert train(tmp_path, prepared, "system.compile=true")[0] == 2
    assert "system.compile" in capsys.readouterr().err


def test_resuming_goes_on(prepared, trained, tmp_path):
    code, longer = train(tmp_path / "a", prepared, f"resume={trained}", "trainer.max_epochs=3")
    assert code == 0
    code, whole = train(tmp_path / "b", prepared, "trainer.max_epochs=3")
    assert code == 0
    one, other = (load_system(path).state_dict() for path in (longer, whole))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("system.motion=translation", "another variant"),
        ("system.hidden=16", "another variant"),
        ("data.identities=[1]", "another set"),
        ("system.num_identities=7", "another number"),
    ],
)
def test_resuming_another_variant_shows_both_values(
    prepared, trained, tmp_path, capsys, word, shown
):
    people = json.loads((prepared / "index.json").read_text())["scans"]
    known = next(row["identity"] for row in people if row["split"] == "training")
    code, _ = train(
        tmp_path,
        prepared,
        f"resume={trained}",
        "trainer.max_epochs=3",
        word.replace("[1]", f"[{known}]"),
        "data.batch_size=1",
    )
    error = capsys.readouterr().err
    assert code == 2
    assert shown in error
    assert "expected" in error
    assert "found" in error
    assert trained.is_file()


def test_mean_faces(trained, tmp_path):
    assert run(["infer", f"checkpoint={trained}", f"output={tmp_path}", "+resolution=32"]) == 0
    for name in ("neutral", "mean", "template"):
        assert float(read_mesh(tmp_path / f"{name}.ply").vertices.norm(dim=1).max()) < 100.001


def test_reconstruction(scans, trained, tmp_path):
    first = scans / "1/1.ply"
    words = ["--checkpoint", str(trained), *QUICK, "--steps", "5"]
    assert (
        run(["reconstruct", str(first), "-o", str(tmp_path / "one"), *words, "--thresholds", "1,5"])
        == 0
    )
    report = json.loads((tmp_path / "one/report.json").read_text())
    row = report["rows"][0]
    assert row["loss"] < row["loss_before"]
    assert {"chamfer", "f_score_1", "f_score_5"} <= set(row["fitted"]) & set(row["template"])
    # millimetres, the tip of the nose at (0, 0, 40)
    scan = read_mesh(tmp_path / "one/1_scan.ply").vertices
    assert float((scan - torch.tensor([0.0, 0.0, 40.0])).norm(dim=1).min()) < 2
    assert float(read_mesh(tmp_path / "one/1.ply").vertices.norm(dim=1).max()) < 100.001
    for name in row["files"]:
        assert (tmp_path / "one" / name).is_file()
    assert read_synthetic_tag(tmp_path / "one/faces.png")["synthetic"] is True
    assert float(load_image(tmp_path / "one/faces.png").std()) > 0.05
    with np.load(tmp_path / "one/1_codes.npz") as codes:
        assert codes["identity"].shape == codes["expression"].shape == (16,)


def test_several_scans_of_a_person_share_a_code(scans, trained, tmp_path):
    files = [str(scans / f"1/{number}.ply") for number in (1, 2)]
    (scans / "1/9.ply").write_bytes(b"broken")
    words = ["-o", str(tmp_path), "--checkpoint", str(trained), *QUICK, "--steps", "3"]
    assert (
        run(
            [
                "reconstruct",
                *files,
                str(scans / "1/9.ply"),
                "--same-person",
                "--kind",
                "glb",
                *words,
            ]
        )
        == 3
    )
    (scans / "1/9.ply").unlink()
    identities, expressions = zip(
        *[
            (file["identity"], file["expression"])
            for file in (np.load(tmp_path / f"{number}_codes.npz") for number in (1, 2))
        ],
        strict=True,
    )
    assert np.array_equal(*identities)
    assert not np.array_equal(*expressions)
    assert (tmp_path / "2.glb").is_file()
    assert json.loads((tmp_path / "report.json").read_text())["counts"] == {"done": 2, "failed": 1}


# ------------------------------------------------------------
# bad input
def broken_scan(folder, scans, change):
    mesh, landmarks = read_mesh(scans / "1/1.ply"), np.loadtxt(scans / "1/1.bnd")
    (folder / "7").mkdir(parents=True)
    vertices, landmarks = change(mesh.vertices.clone(), landmarks)
    mesh = type(mesh)(vertices, mesh.faces)
    (folder / "7/1.obj").write_bytes(obj_files(mesh, "1")["1.obj"])
    np.savetxt(folder / "7/1.bnd", landmarks)
    return folder / "7/1.obj"


def with_nan(vertices, landmarks):
    vertices[5] = torch.nan
    return vertices, landmarks


def with_few_landmarks(vertices, landmarks):
    landmarks[:65] = np.nan
    return vertices, landmarks


BROKEN = {
    "NaN": (with_nan, "not numbers"),
    "nothing in the sphere": (
        lambda vertices, landmarks: (vertices + 900, landmarks),
        "inside the sphere",
    ),
    "few landmarks": (with_few_landmarks, "too few landmarks"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_scans(scans, trained, tmp_path, capsys, kind):
    change, message = BROKEN[kind]
    path = broken_scan(tmp_path / "in", scans, change)
    assert (
        run(["reconstruct", str(path), "-o", str(tmp_path / "out"), "--checkpoint", str(trained)])
        == 2
    )
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert (
        run(
            [
                "data",
                "prepare-scans",
                str(tmp_path / "in"),
                "-o",
                str(tmp_path / "set"),
                "--workers",
                "1",
            ]
        )
        == 3
    )
    failed = json.loads((tmp_path / "set/report.json").read_text())["failed"]
    assert len(failed) == 1


def test_any_unit_is_known_or_made_known(scans, trained, tmp_path, caplog):
    figures = []
    for size in (1.0, 0.1, 0.001, 30.0):  # a millimetre in mm, cm and m, and in no unit
        folder = tmp_path / str(size)
        path = broken_scan(
            folder,
            scans,
            lambda vertices, landmarks, size=size: (vertices * size, landmarks * size),
        )
        assert (
            run(
                [
                    "reconstruct",
                    str(path),
                    "-o",
                    str(folder / "out"),
                    "--checkpoint",
                    str(trained),
                    "--steps",
                    "1",
                    *QUICK,
                ]
            )
            == 0
        )
        figures.append(
            json.loads((folder / "out/report.json").read_text())["rows"][0]["template"]["chamfer"]
        )
    known = figures[:3]
    assert max(known) - min(known) < 0.02  # six digits in the files
    (said,) = [text for text in caplog.messages if "no known unit" in text]
    assert said.startswith(str(tmp_path / "30.0"))
    assert figures[3] < 2 * max(known)


def test_a_mesh_without_landmarks_or_face(trained, tmp_path, capsys):
    import trimesh

    trimesh.creation.box((100, 100, 100)).export(tmp_path / "box.stl")
    assert (
        run(
            [
                "reconstruct",
                str(tmp_path / "box.stl"),
                "-o",
                str(tmp_path / "out"),
                "--checkpoint",
                str(trained),
            ]
        )
        == 2
    )
    assert "no face found" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--method", "newton"],
        ["--resolution", "100"],
        ["--kind", "fbx"],
        ["--thresholds", "one"],
        ["--thresholds", "0"],
        ["--points", "0"],
        ["--unit", "inch"],
        ["--landmarks", "nowhere.txt"],
    ],
)
def test_impossible_options(scans, trained, tmp_path, capsys, words):
    assert (
        run(
            [
                "reconstruct",
                str(scans / "1/1.ply"),
                "-o",
                str(tmp_path),
                "--checkpoint",
                str(trained),
                *words,
            ]
        )
        == 2
    )
    assert "Traceback" not in capsys.readouterr().err


def test_sets_and_checkpoints_of_another_kind(scans, tmp_path, capsys):
    assert run(["train", *TINY, f"data.folder={scans}", f"paths.output_root={tmp_path}"]) == 2
    assert "prepare-scans" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(["data", "prepare-scans", str(tmp_path / "empty"), "-o", str(tmp_path / "set")]) == 2
    shutil.copy(scans / "1/1.ply", tmp_path / "last.ckpt")
    assert (
        run(
            [
                "reconstruct",
                str(scans / "1/1.ply"),
                "-o",
                str(tmp_path / "out"),
                "--checkpoint",
                str(tmp_path / "last.ckpt"),
            ]
        )
        == 2
    )
