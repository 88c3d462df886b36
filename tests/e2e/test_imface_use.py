"""A trained ImFace at work from the command line: samples, morphs, transfer, components,
correspondences, refusals.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.scan_sets import made_scans, prepared_scans

from facemorph.apps.implicit.face_meshes import FaceCodes, FaceMaker, load_imface, read_codes
from facemorph.cli import run
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.faces.files.video_io import read_video
from facemorph.geometry.meshes.mesh_files import read_mesh
from facemorph.systems.imface.code_statistics import expression_table

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")

TINY = [
    "experiment=imface/tiny",
    "device=cpu",
    "logger=none",
    "data.steps_per_epoch=20",
    "trainer.max_epochs=3",
]
COARSE = ["--resolution", "32"]

pytestmark = pytest.mark.usefixtures("few_newton_steps")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    made_scans(folder / "scans", 4, 2, 0.25)
    prepared_scans(folder / "scans", folder / "set")
    return folder


@pytest.fixture(scope="module")
def trained(scans, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    assert (
        run(
            [
                "train",
                *TINY,
                f"data.folder={scans}/set",
                f"paths.output_root={folder}",
                f"paths.output_dir={folder}/run",
            ]
        )
        == 0
    )
    return folder / "run/checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def faces(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    assert (
        run(
            [
                "sample",
                "-o",
                str(folder),
                "--checkpoint",
                str(trained),
                "--count",
                "3",
                "--topology",
                "template",
                "--colours",
                *COARSE,
            ]
        )
        == 0
    )
    return folder


def arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_samples_with_one_topology(faces, trained):
    report = json.loads((faces / "report.json").read_text())
    assert [row["name"] for row in report["rows"]] == ["mean", "face_001", "face_002", "face_003"]
    assert read_synthetic_tag(faces / "faces.png") is not None
    system = load_imface(trained).requires_grad_(False)
    meshes = {row["name"]: read_mesh(faces / f"{row['name']}.ply") for row in report["rows"]}
    for row in report["rows"]:
        name = row["name"]
        assert torch.equal(meshes[name].faces, meshes["mean"].faces)
        codes = read_codes(faces / f"{name}_codes.npz", system)
        held = arrays(faces / f"{name}_correspondence.npz")
        assert np.array_equal(
            held["template"], arrays(faces / "mean_correspondence.npz")["template"]
        )
        found = torch.from_numpy(held["found"])
        assert row["filled_vertices"] == int((~found).sum())
        assert float(found.float().mean()) > 0.9
        values = system.field(
            meshes[name].vertices[None] / 100, codes.identity[None], codes.expression[None]
        )
        assert float(values.distance[0, found].abs().max()) < 1e-4  # on the face
        place = torch.from_numpy(held["template"]) / 100
        distance, tape = system.field.template(place[None])
        normal = torch.nn.functional.normalize(
            system.field.template.blend.products(tape, torch.ones_like(distance))[0], dim=1
        )
        away = values.template[0] - place
        across = away - normal * (away * normal).sum(1, keepdim=True)
        assert float(across[found].norm(dim=1).max()) < 1e-4  # over their places
    assert float((meshes["face_001"].vertices - meshes["mean"].vertices).abs().max()) > 1e-3


def test_colours_are_places(faces):
    import trimesh

    colours = trimesh.load(faces / "face_001.ply", process=False).visual.vertex_colors[:, :3]
    place = arrays(faces / "face_001_correspondence.npz")["template"] / 100
    assert np.abs(colours / 255 - np.clip(place / 2 + 0.5, 0, 1)).max() <= 0.5 / 255 + 1e-6


def test_samples_repeat_and_have_the_peoples_covariance(trained):
    from facemorph.apps.implicit.codes import draw_codes

    system = load_imface(trained)
    one, other = (draw_codes(system, count=400, vary="identity", expression=1) for _ in range(2))
    assert all(torch.equal(a.identity, b.identity) for a, b in zip(one, other, strict=True))
    people, table = system.identity_codes.weight.detach(), expression_table(system)
    assert torch.allclose(one[0].identity, people.mean(0))
    assert torch.allclose(one[0].expression, table[1].mean(0))
    drawn = torch.stack([codes.identity for codes in one[1:]])
    expected = torch.cov(people.T)
    assert float((torch.cov(drawn.T) - expected).norm() / expected.norm()) < 0.35
    still = draw_codes(system, count=3, vary="expression")
    assert all(torch.equal(codes.identity, still[0].identity) for codes in still)
    assert all(
        torch.equal(codes.identity, one[0].identity)
        for codes in draw_codes(system, count=3, vary="identity", spread=0.0)
    )


def test_free_topology_and_kinds(trained, tmp_path):
    for kind in ("obj", "glb"):
        folder = tmp_path / kind
        assert (
            run(
                [
                    "sample",
                    "-o",
                    str(folder),
                    "--checkpoint",
                    str(trained),
                    "--count",
                    "1",
                    "--vary",
                    "expression",
                    "--kind",
                    kind,
                    "--colours",
                    *COARSE,
                ]
            )
            == 0
        )
        size = 1.0 if kind == "obj" else 0.001
        mesh = read_mesh(folder / f"face_001.{kind}")
        place = arrays(folder / "face_001_correspondence.npz")["template"]
        assert len(place) == len(mesh.vertices)
        system = load_imface(trained)
        codes = read_codes(folder / "face_001_codes.npz", system)
        values = system.field(
            mesh.vertices[None] / (100 * size), codes.identity[None], codes.expression[None]
        )
        assert np.abs(values.template[0].detach().numpy() * 100 - place).max() < 0.05


@pytest.mark.parametrize("topology", ["free", "template"])
def test_a_morph_is_a_video(faces, trained, tmp_path, topology):
    path = tmp_path / "morph.mp4"
    assert (
        run(
            [
                "interpolate",
                str(faces / "face_001_codes.npz"),
                str(faces / "face_002_codes.npz"),
                "-o",
                str(path),
                "--checkpoint",
                str(trained),
                "--frames",
                "5",
                "--size",
                "96",
                "--topology",
                topology,
                "--turn",
                "20",
                "--kind",
                "ply",
                *COARSE,
            ]
        )
        == 0
    )
    frames = [frame.astype(float) for frame in read_video(path)]
    assert len(frames) == 5
    assert frames[0].shape == (96, 96, 3)
    assert np.abs(frames[0] - frames[-1]).mean() > 0.1
    # a face before the plate
    assert all(frame[48, 48].mean() < 0.9 * frame[2, 2].mean() for frame in frames)
    assert read_synthetic_tag(tmp_path / "morph.strip.png") is not None
    assert json.loads((tmp_path / "morph.report.json").read_text())["settings"]["frames"] == 5
    meshes = [read_mesh(tmp_path / f"morph_meshes/frame_{index:04d}.ply") for index in range(5)]
    if topology == "template":
        first, last = (read_mesh(faces / f"face_00{index}.ply") for index in (1, 2))
        assert float((meshes[0].vertices - first.vertices).abs().max()) < 0.02
        assert float((meshes[-1].vertices - last.vertices).abs().median()) < 0.02
        assert all(torch.equal(mesh.faces, first.faces) for mesh in meshes)


def test_transfer(faces, trained, tmp_path):
    system = load_imface(trained)
    table, people = expression_table(system), system.identity_codes.weight.detach()
    for name, person, number in (("rest", 0, 0), ("shown", 0, 1), ("other", 1, 0)):
        (tmp_path / f"{name}_codes.npz").write_bytes(
            FaceCodes(people[person], table[number, person]).content()
        )
    words = [
        "transfer",
        "--expression",
        str(tmp_path / "shown_codes.npz"),
        "--identity",
        str(tmp_path / "other_codes.npz"),
        "--checkpoint",
        str(trained),
        *COARSE,
    ]
    for out, more, expected in (
        ("a", [], table[1, 0]),
        (
            "b",
            ["--neutral", str(tmp_path / "rest_codes.npz")],
            table[0, 1] + table[1, 0] - table[0, 0],
        ),
        ("c", ["--neutral", "mean"], table[0, 1] + table[1, 0] - table[0].mean(0)),
    ):
        assert run([*words, "-o", str(tmp_path / out), *more]) == 0
        made = read_codes(tmp_path / out / "other_as_shown_codes.npz", system)
        assert torch.equal(made.identity, people[1])
        assert torch.allclose(made.expression, expected, atol=1e-6)
    assert read_synthetic_tag(tmp_path / "a/transfer.png") is not None
    assert len(read_mesh(tmp_path / "a/other_as_shown.ply").vertices) > 100


def test_components(trained, tmp_path, capsys):
    assert (
        run(
            [
                "pca",
                "-o",
                str(tmp_path),
                "--checkpoint",
                str(trained),
                "--components",
                "2",
                "--columns",
                "3",
                "--kind",
                "ply",
                *COARSE,
            ]
        )
        == 0
    )
    held, report = (
        arrays(tmp_path / "components.npz"),
        json.loads((tmp_path / "report.json").read_text()),
    )
    people = load_imface(trained).identity_codes.weight.detach().double().numpy()
    values = np.linalg.eigvalsh(np.cov(people.T))[::-1]
    assert np.allclose(held["identity_deviations"] ** 2, values[:2], rtol=1e-3)
    assert np.allclose(report["explained"]["identity"], values[:2] / values.sum(), atol=1e-3)
    assert np.allclose(
        held["expression_directions"] @ held["expression_directions"].T, np.eye(2), atol=1e-5
    )
    for name in ("identity", "expression"):
        assert load_image(tmp_path / f"{name}.png").shape[0] == 3
        assert (tmp_path / f"{name}_2_+3.ply").is_file()
    assert (
        run(
            ["pca", "-o", str(tmp_path), "--checkpoint", str(trained), "--components", "3", *COARSE]
        )
        == 2
    )
    assert "1 to 2" in capsys.readouterr().err  # of three people


def test_reconstruction_writes_correspondences(scans, trained, tmp_path):
    scan = next((scans / "set/1").glob("*.npz"))
    assert (
        run(
            [
                "reconstruct",
                str(scan),
                "-o",
                str(tmp_path),
                "--checkpoint",
                str(trained),
                "--resolution",
                "32",
                "--points",
                "256",
                "--steps",
                "3",
                "--samples",
                "2000",
                "--topology",
                "template",
            ]
        )
        == 0
    )
    name = scan.stem
    assert len(arrays(tmp_path / f"{name}_correspondence.npz")["template"]) == len(
        read_mesh(tmp_path / f"{name}.ply").vertices
    )
    system = load_imface(trained)
    carried = read_mesh(tmp_path / f"{name}_template.ply")
    assert torch.equal(carried.faces, FaceMaker(system, "template", 32).template.faces)
    errors = json.loads((tmp_path / "report.json").read_text())["rows"][0]["landmarks"]
    assert set(errors) == {"carried", "nearest", "template"}
    assert all(0 < value < 100 for value in errors.values())


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["sample", "--count", "0"], "count"),
        (["sample", "--vary", "hair"], "vary"),
        (["sample", "--kind", "stl"], "ply | obj | glb"),
        (["sample", "--spread", "-1"], "spread"),
        (["sample", "--expression", "2"], "0 to 1"),
        (["sample", "--topology", "own"], "free | template"),
        (["sample", "--resolution", "100"], "power of 2"),
        (["sample", "--person", "FACE"], "expression"),
        (["sample", "--person", "nowhere.npz", "--vary", "expression"], "nowhere.npz"),
        (["pca", "--components", "0"], "components"),
        (["pca", "--columns", "4"], "columns"),
        (["pca", "--kind", "stl"], "kind"),
        (["interpolate", "FACE", "FACE", "--frames", "1"], "frames"),
        (["interpolate", "FACE", "a.ply"], "reconstruct"),
        (["interpolate", "FACE", "FACE", "--easing", "bounce"], "easing"),
        (["interpolate", "FACE", "LONG"], "16 numbers"),
        (["interpolate", "FACE", "BROKEN"], "cannot be read"),
        (["interpolate", "FACE", "NONE"], "identity"),
        (["interpolate", "FACE", "FACE", "--fps", "0"], "fps"),
        (["interpolate", "FACE", "FACE", "--size", "1"], "size"),
        (["interpolate", "FACE", "FACE", "-o", "still.png"], ".mp4"),
        (["transfer", "--expression", "FACE", "--identity", "scan.obj"], "reconstruct"),
        (
            ["transfer", "--expression", "FACE", "--expression", "FACE", "--identity", "FACE"],
            "name of its own",
        ),
        (
            ["transfer", "--expression", "FACE", "--identity", "FACE", "--neutral", "gone.npz"],
            "gone.npz",
        ),
    ],
)
def test_what_is_refused(faces, trained, tmp_path, capsys, words, shown):
    given = {
        "FACE": faces / "mean_codes.npz",
        "LONG": tmp_path / "long.npz",
        "BROKEN": tmp_path / "broken.npz",
        "NONE": tmp_path / "none.npz",
    }
    np.savez(given["LONG"], identity=np.zeros(17), expression=np.zeros(16))
    given["BROKEN"].write_bytes(given["FACE"].read_bytes()[:200])
    np.savez(given["NONE"], code=np.zeros(16))
    words = [str(given.get(word, word)) for word in words]
    output = [] if "-o" in words else ["-o", str(tmp_path / "out")]
    assert run([*words, *output, "--checkpoint", str(trained)]) == 2
    error = capsys.readouterr().err
    assert shown in error.replace("\n", " ")
    assert "Traceback" not in error


@pytest.mark.parametrize("command", ["sample", "pca"])
def test_checkpoints_of_something_else(faces, tmp_path, capsys, command):
    assert (
        run([command, "-o", str(tmp_path / "out"), "--checkpoint", str(faces / "mean_codes.npz")])
        == 2
    )
    assert "Traceback" not in capsys.readouterr().err
