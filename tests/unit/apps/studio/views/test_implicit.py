"""The view Implicit without a browser: codes, meshes, expressions of others, scans, exports."""

from __future__ import annotations

import json
import shlex
import time

import numpy as np
import pytest
import torch

from facemorph.apps.implicit.codes import draw_codes
from facemorph.apps.implicit.face_meshes import FaceCodes, load_imface, read_codes
from facemorph.apps.studio.messages import Request
from facemorph.apps.studio.scans import Scans
from facemorph.apps.studio.views.implicit import ImplicitPanel
from facemorph.apps.studio.views.implicit_faces import COARSE, FINE, Face, ImplicitFaces, packed
from facemorph.cli import run
from facemorph.errors import FacemorphError
from facemorph.geometry.meshes.mesh_files import Mesh, ply_bytes, read_mesh
from facemorph.geometry.scans.scan_placement import UNIT
from facemorph.systems.imface.code_statistics import expression_table, principal_components
from facemorph.systems.imface.evaluation import ImFaceEvaluation

EDITS = {"identity 1": 1.5, "expression 2": -1.0}


@pytest.fixture(scope="module")
def panel(library, exports):
    return ImplicitPanel(library.project, Scans(library.project), exports)


@pytest.fixture(scope="module")
def system():
    return load_imface("@open:imface")


def ask(panel, kind, window=0, **content):
    answer = panel.handlers()[kind](Request(1, kind, content, b"", window))
    return answer if isinstance(answer, tuple) else (answer, b"")


def mesh_of(header, data):
    """Triangles, places and normals of a mesh as the page reads them."""
    end = header["faces"] * 12
    faces = np.frombuffer(data[:end], np.uint32).reshape(-1, 3)
    corners = np.frombuffer(data[end : end + header["vertices"] * 24], np.float32).reshape(-1, 6)
    return torch.from_numpy(faces.astype(np.int64)), torch.from_numpy(corners.copy())


def distances(system, codes, vertices):
    """How far vertices in millimetres are from the face of codes, in millimetres."""
    evaluation = ImFaceEvaluation(system.field, codes.identity, codes.expression)
    return evaluation.distance(vertices / UNIT).abs() * UNIT


@pytest.mark.slow
def test_the_mean_face_and_drawn_ones_are_those_of_sample(panel, system):
    mean, drawn = draw_codes(system, count=1, seed=4, spread=0.7, expression=0)
    for content, codes in (({}, mean), ({"seed": 4, "spread": 0.7}, drawn)):
        header, data = ask(panel, "implicit.draw", **content)
        faces, corners = mesh_of(header, data)
        expected = system.surface(codes.identity, codes.expression, COARSE).mesh
        assert torch.equal(faces, expected.faces)
        assert torch.allclose(corners[:, :3], (expected.vertices * UNIT).float(), atol=1e-3)
        assert torch.allclose(corners[:, 3:].norm(dim=1), torch.ones(len(corners)), atol=1e-3)
        assert header["followed"] is False


def test_sliders_go_along_the_components_of_pca(panel, system):
    header, _ = ask(panel, "implicit.open")
    people = system.identity_codes.weight.detach()
    table = expression_table(system)
    found = panel.faces.codes(Face(None, 4, 1.0, EDITS))
    start = draw_codes(system, count=1, seed=4, expression=0)[1]
    for part, of, name in (
        (start.identity, people, "identity 1"),
        (start.expression, table.flatten(0, 1), "expression 2"),
    ):
        kind, number = name.split()
        own = principal_components(of, int(number))
        step = own.deviations[-1] * own.directions[-1]
        assert torch.allclose(getattr(found, kind), part + EDITS[name] * step, atol=1e-4)
        labels = [one["label"] for one in header["groups"][kind.capitalize()]]
        assert f"{own.explained[-1]:.0%}" in labels[int(number) - 1]
    for group in header["groups"].values():
        for one in group:
            panel.faces.codes(Face(None, 4, 1.0, {one["name"]: one["high"]}))


def test_a_mesh_that_follows_stays_on_the_face(panel, system):
    ask(panel, "implicit.draw", window=5, seed=4)
    for value in np.linspace(0.1, 2.0, 12):
        edits = {"expression 1": float(value), "identity 1": float(value)}
        header, data = ask(panel, "implicit.draw", window=5, seed=4, edits=edits, moving=True)
        codes = panel.faces.codes(Face(None, 4, 1.0, edits))
        _, corners = mesh_of(header, data)
        far = distances(system, codes, corners[:, :3])
        assert float(far.quantile(0.95)) < 0.2  # an extraction's cells are 6 mm
        assert float(far.max()) < 6
    assert header["followed"] is True
    rested, _ = ask(panel, "implicit.draw", window=5, seed=4, edits=edits)
    assert rested["followed"] is False


def test_a_mesh_that_cannot_follow_is_made_anew(panel):
    ask(panel, "implicit.draw", window=6, seed=4)
    far = {f"identity {number}": 3.0 for number in range(1, 7)}
    header, _ = ask(panel, "implicit.draw", window=6, seed=900, edits=far, moving=True)
    assert header["followed"] is False


def test_each_window_follows_its_own_mesh(panel):
    ask(panel, "implicit.draw", window=7, seed=4)
    header, _ = ask(panel, "implicit.draw", window=8, seed=4, moving=True)
    assert header["followed"] is False
    panel.window_closed(7)
    header, _ = ask(panel, "implicit.draw", window=7, seed=4, moving=True)
    assert header["followed"] is False


def fine(panel, step, **content):
    limit = time.monotonic() + 600
    while time.monotonic() < limit:
        header, data = ask(panel, "implicit.refine", step=step, **content)
        if header["ready"]:
            return header, data
        time.sleep(0.1)
    raise TimeoutError


@pytest.mark.slow
def test_fine_meshes_are_extractions(panel, system):
    codes = panel.faces.codes(Face(None, 4, 1.0, EDITS))
    for step, resolution in enumerate(FINE):
        header, data = fine(panel, step, seed=4, edits=EDITS)
        expected = system.surface(codes.identity, codes.expression, resolution).mesh
        faces, corners = mesh_of(header, data)
        assert torch.equal(faces, expected.faces)
        assert torch.allclose(corners[:, :3], (expected.vertices * UNIT).float(), atol=1e-3)
        assert header["steps"] == len(FINE)


def test_a_wish_that_is_left_is_not_made(panel):
    header, _ = ask(panel, "implicit.refine", step=1, seed=77)
    assert header["ready"] is False
    ask(panel, "implicit.draw", seed=78)
    fine(panel, 0, seed=78)
    header, _ = ask(panel, "implicit.refine", step=1, seed=77)
    assert header["ready"] is False  # it had ended, and is begun again
    panel.refiner.leave()


def test_expressions_of_others(panel, system):
    table, people = expression_table(system), system.identity_codes.weight.detach()
    start = draw_codes(system, count=1, seed=4, expression=0)[1]
    for giver, rows in ((-1, table.mean(1)), (3, table[:, 3])):
        found = panel.faces.codes(Face(None, 4, 1.0, {}, 2, giver, 0.5))
        assert torch.equal(found.identity, start.identity)
        assert torch.allclose(
            found.expression, start.expression + 0.5 * (rows[2] - rows[0]), atol=1e-5
        )
    assert people.shape[0] == table.shape[1]


def test_the_copied_line_makes_what_is_shown(panel, system, tmp_path):
    content = {"seed": 4, "edits": EDITS, "expression": 1}
    line = ask(panel, "implicit.command", **content)[0]["command"]
    words = shlex.split(line)
    assert words[:3] == ["facemorph", "sample", "--from"]
    words[words.index("-o") + 1] = str(tmp_path)
    words[words.index("--resolution") + 1] = "32"
    words[words.index("glb")] = "ply"
    assert run(words[1:]) == 0
    [path] = tmp_path.glob("face-*.ply")
    _, data = ask(panel, "implicit.draw", **content)
    header, _ = ask(panel, "implicit.draw", **content)
    _, corners = mesh_of(header, data)
    assert torch.allclose(read_mesh(path).vertices.float(), corners[:, :3], atol=1e-2)
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["rows"]) == 1
    assert report["settings"]["from"] == words[3]


@pytest.mark.parametrize("kind", [".glb", ".obj", ".png", ".mp4"])
def test_exports_are_commands(panel, kind, monkeypatch):
    begun = []

    class Begun:
        id = 7

    monkeypatch.setattr(panel.exports, "run", lambda *words: begun.append(words) or Begun())
    header, _ = ask(panel, "implicit.export", seed=4, format=kind)
    [(words, made)] = begun
    assert words[0] == ("interpolate" if kind == ".mp4" else "sample")
    assert header["command"] == panel.exports.command(words)
    assert made.suffix == kind


def test_codes_are_exported_at_once(panel, system):
    header, _ = ask(panel, "implicit.export", seed=4, edits=EDITS, format=".npz")
    found = read_codes(panel.project.exported(header["files"][0]), system)
    expected = panel.faces.codes(Face(None, 4, 1.0, EDITS))
    assert torch.allclose(found.identity, expected.identity)
    assert torch.allclose(found.expression, expected.expression)


def test_scans_are_kept_and_fitted_by_a_command(panel, system, monkeypatch):
    codes = draw_codes(system, count=1, seed=4, expression=0)[1]
    mesh = system.surface(codes.identity, codes.expression, 32).mesh
    content = ply_bytes(Mesh(mesh.vertices * UNIT, mesh.faces))
    name = panel.scans.take_upload("my scan.PLY", content)
    again = panel.scans.take_upload("my scan.PLY", content)
    assert name != again
    assert {name, again} <= set(ask(panel, "implicit.scans")[0]["scans"])
    begun = []

    class Begun:
        id = 7

    monkeypatch.setattr(panel.exports, "run", lambda *words: begun.append(words) or Begun())
    header, _ = ask(panel, "implicit.fit", scan=name, unit="cm")
    [(words, _, _)] = begun
    assert words[:2] == ["reconstruct", str(panel.project.folder / "scans" / name)]
    assert words[-2:] == ["--unit", "cm"]
    assert header["folder"].startswith("exports/")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("scan.exe", b"MZ"),
        ("scan.ply", b"no mesh"),
        ("scan.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"),
        ("scan.glb", b"glTF"),
        ("scan.stl", b""),
    ],
)
def test_what_is_no_scan_is_not_kept(panel, name, content):
    before = panel.scans.names()
    with pytest.raises(FacemorphError):
        panel.scans.take_upload(name, content)
    assert panel.scans.names() == before


def test_a_fitted_scan_has_colours_and_figures(panel, system):
    """Of files as ``facemorph reconstruct`` writes them."""
    codes = draw_codes(system, count=1, seed=4, expression=0)[1]
    mesh = system.surface(codes.identity, codes.expression, 32).mesh
    folder = panel.project.folder / "exports" / "face_fitted"
    folder.mkdir()
    colours = torch.rand(len(mesh.vertices), 3, generator=torch.Generator().manual_seed(0))
    (folder / "face_error.ply").write_bytes(
        ply_bytes(Mesh(mesh.vertices * UNIT, mesh.faces), colours)
    )
    (folder / "face_codes.npz").write_bytes(codes.content())
    row = {"name": "face", "fitted": {"chamfer": 0.5}, "mean_mm": 0.4, "within_95_mm": 1.1}
    (folder / "report.json").write_text(json.dumps({"rows": [row]}))
    header, data = ask(panel, "implicit.errors", folder="exports/face_fitted")
    _, corners = mesh_of(header, data)
    assert torch.allclose(corners[:, :3], mesh.vertices.float() * UNIT, atol=1e-3)
    shown = np.frombuffer(data[-3 * header["vertices"] :], np.uint8).reshape(-1, 3)
    assert np.abs(shown / 255 - colours.numpy()).max() < 0.01
    assert header["figures"] == {"mean_mm": 0.4, "within_95_mm": 1.1}
    found = panel.faces.codes(Face(folder / "face_codes.npz", -1, 1.0, {}))
    assert torch.equal(found.identity, codes.identity)
    header, _ = ask(panel, "implicit.draw", folder="exports/face_fitted")
    assert header["vertices"] == len(mesh.vertices)


def test_meshes_without_an_expression_code_are_neutral(library, system):
    faces = ImplicitFaces(library.project)
    people = system.identity_codes.weight.detach()
    path = library.project.part("neutral_codes.npz")
    path.write_bytes(FaceCodes(people[0]).content())
    found = faces.codes(Face(path, -1, 1.0, {}))
    assert torch.equal(found.expression, torch.zeros_like(people[0]))


def test_packed_meshes_are_in_millimetres_and_have_colours():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2]]))
    header, data = packed(mesh, torch.ones(3, 3))
    assert header == {"vertices": 3, "faces": 1, "colours": True}
    faces, corners = mesh_of(header, data)
    assert faces.tolist() == [[0, 1, 2]]
    assert corners[1].tolist() == [100, 0, 0, 0, 0, 1]
    assert data[-9:] == b"\xff" * 9


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("draw", {"seed": -2}),
        ("draw", {"spread": 99}),
        ("draw", {"edits": {"identity 99": 1}}),
        ("draw", {"edits": {"hair 1": 1}}),
        ("draw", {"edits": {"identity 1": 9}}),
        ("draw", {"edits": {"identity 1": "much"}}),
        ("draw", {"expression": 99}),
        ("draw", {"expression": 1, "giver": 99_999}),
        ("draw", {"folder": "exports/nothing"}),
        ("draw", {"folder": "exports/../photographs"}),
        ("refine", {"step": 9}),
        ("fit", {"scan": "nobody.ply"}),
        ("fit", {"scan": "../studio.json"}),
        ("errors", {"folder": "parts"}),
        ("export", {"format": ".exe"}),
    ],
)
def test_wrong_requests_are_said(panel, kind, content):
    with pytest.raises(FacemorphError):
        ask(panel, f"implicit.{kind}", **content)


def test_a_broken_report_is_said(panel):
    folder = panel.project.folder / "exports" / "broken"
    folder.mkdir()
    (folder / "report.json").write_text('{"rows": [')
    with pytest.raises(FacemorphError, match="no scan was fitted"):
        ask(panel, "implicit.draw", folder="exports/broken")
