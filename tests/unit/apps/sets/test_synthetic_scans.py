"""Synthetic scans: exact landmarks and correspondences, what no linear model explains, resumable,
splits that stay.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from facemorph.apps.sets.scan_making import (
    HOLES,
    NOISE,
    ScansOptions,
    SyntheticScans,
    held_out,
    scan_name,
)
from facemorph.apps.sets.synthetic_scans import make_scans
from facemorph.errors import DataError, FacemorphError
from facemorph.geometry.meshes.mesh_files import check_surface, read_mesh
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.synthetic.random_scans import (
    JAW_JOINT,
    SCAN_EXPRESSIONS,
    ScanOptions,
    jaw_weights,
    random_scan,
    smooth_warp,
    turn_jaw,
)


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    return folder, make_scans(
        folder, 3, 4, noise=True, holes=True, obj=True, held_identities=0.34, held_expressions=0.25
    )


def scan_of(model, expression="surprise", **options):
    return random_scan(
        model,
        expression,
        np.random.default_rng(1),
        np.random.default_rng(2),
        ScanOptions(**options),
    )


def test_without_extras_a_scan_is_the_model(model):
    scan = scan_of(model, warp=0, jaw=0, turn=False)
    expected = model.vertices(scan.identity[None], scan.expression[None])[0]
    assert torch.equal(scan.vertices, expected)
    assert torch.allclose(scan.landmarks, model.landmarks(expected[None])[0])
    assert float(scan.jaw.abs().max()) == 0


def test_landmarks_are_on_the_clean_surface(model):
    scan = scan_of(model, noise=0.5)
    assert torch.equal(scan.landmarks, model.landmarks(scan.clean[None])[0])
    distance = (scan.vertices - scan.clean).norm(dim=1)
    assert 0.3 < float(distance.mean()) < 0.5  # of a half-normal of 0.5: 0.4


def test_jaw_goes_on_circles_about_its_joint(model):
    weights = jaw_weights(model)
    joint = (
        torch.tensor(JAW_JOINT)
        * float(
            (
                model.topology.landmarks.of(model.mean)[45]
                - model.topology.landmarks.of(model.mean)[36]
            ).norm()
        )
        / 82
    )
    turned = turn_jaw(model, model.mean, torch.tensor([0.2, 0.0, 0.0]))
    before, after = (model.mean - joint).norm(dim=1), (turned - joint).norm(dim=1)
    assert torch.allclose(before, after, atol=1e-3)
    chin = model.landmarks(turned[None])[0][8] - model.landmarks(model.mean[None])[0][8]
    nose = model.landmarks(turned[None])[0][30] - model.landmarks(model.mean[None])[0][30]
    assert float(chin[1]) < -8  # the chin goes down, the nose stays
    assert float(nose.norm()) < 1
    assert float(weights[model.topology.masks["scalp"]].mean()) < 0.02
    assert float(weights.max()) == 1


def test_no_linear_combination_explains_a_scan(model):
    """The part of warps, jaw and neck beyond the model's own bases and a rigid move is of
    millimetres.
    """
    scan = scan_of(model)
    face = model.topology.masks["face"]
    basis = torch.cat([model.identity_basis, model.expression_basis])[:, face].flatten(1).T.double()
    points, axes = model.mean[face], torch.eye(3)
    rigid = torch.stack(
        [
            *(torch.linalg.cross(points, axis.expand_as(points)).flatten() for axis in axes),
            *(axis.repeat(len(points)) for axis in axes),
        ],
        1,
    ).double()
    # some units do not move the face: rank deficient
    columns = torch.cat([basis, rigid], 1).numpy()

    def left_over(vertices):
        target = (vertices - model.mean)[face].flatten().double().numpy()
        return (target - columns @ np.linalg.lstsq(columns, target, rcond=1e-7)[0]).reshape(-1, 3)

    assert np.abs(left_over(scan_of(model, warp=0, jaw=0, turn=False).clean)).max() < 1e-3
    residual = np.linalg.norm(left_over(scan.clean), axis=1)
    assert residual.mean() > 0.1
    assert residual.max() > 0.5


def test_warp_is_smooth_and_bounded(model):
    offsets = smooth_warp(model, np.random.default_rng(0), 1.6)
    assert 0.79 <= float(offsets.norm(dim=1).max()) <= 1.6
    edges = model.topology.faces[:, :2]
    length = (model.mean[edges[:, 0]] - model.mean[edges[:, 1]]).norm(dim=1)
    slope = (offsets[edges[:, 0]] - offsets[edges[:, 1]]).norm(dim=1) / length.clamp(min=0.5)
    assert float(slope.max()) < 0.6  # no folds
    assert float(smooth_warp(model, np.random.default_rng(0), 0).abs().max()) == 0


def test_holes_touch_no_landmark(model):
    whole = scan_of(model)
    for seed in range(6):
        scan = random_scan(
            model,
            "smile",
            np.random.default_rng(1),
            np.random.default_rng(seed),
            ScanOptions(holes=6),
        )
        used = scan.faces.unique()
        distance = torch.cdist(scan.landmarks, scan.clean[used]).amin(1)
        near = torch.cdist(scan.landmarks, scan.clean[whole.faces.unique()]).amin(1)
        assert torch.allclose(distance, near, atol=1e-6)
        assert len(scan.faces) <= len(whole.faces)


def test_files_agree(made, model):
    folder, report = made
    index = json.loads((folder / "index.json").read_text())
    assert report["counts"]["done"] == 12
    assert index["expressions"][0] == "neutral"
    for one in index["scans"]:
        mesh, arrays = read_mesh(folder / one["mesh"]), np.load(folder / one["arrays"])
        assert float(mesh.vertices.abs().max()) < 400
        assert np.abs(mesh.vertices.numpy() - arrays["vertices"][arrays["used"]]).max() < 6 * NOISE
        lines = (folder / one["landmarks"]).read_text().splitlines()
        assert len(lines) == 68
        points = np.array([[float(value) for value in line.split()] for line in lines])
        assert np.abs(points - arrays["landmarks"]).max() < 1e-5
        again = model.topology.landmarks.of(torch.from_numpy(arrays["vertices"]))
        assert np.abs(points - again.numpy()).max() < 1e-4
        obj = read_mesh((folder / one["mesh"]).with_suffix(".obj"))
        assert torch.allclose(obj.vertices, mesh.vertices, atol=1e-3)
        check_surface(mesh, one["mesh"])
    template = read_mesh(folder / "template.ply")
    assert torch.allclose(template.vertices, model.mean, atol=1e-4)
    assert len(index["template_landmarks"]) == 68


def test_neutral_is_the_person_without_expression(made):
    folder, _ = made
    arrays = [
        [np.load(folder / f"{scan_name(person, expression)}.npz") for expression in range(4)]
        for person in range(3)
    ]
    for row in arrays:
        assert np.abs(row[0]["expression"]).max() == 0
        assert np.abs(row[1]["expression"]).max() > 0.3
        for one in row[1:]:
            assert np.array_equal(one["identity"], row[0]["identity"])
    assert not np.array_equal(arrays[0][0]["identity"], arrays[1][0]["identity"])


def test_split_holds_out_people_and_expressions(made):
    folder, report = made
    index = json.loads((folder / "index.json").read_text())
    held = set(report["test_identities"])
    assert len(held) == 1
    for one in index["scans"]:
        expected = one["identity"] in held or one["expression"] == 3
        assert (one["split"] == "test") == expected
    assert report["test_expressions"][0] in SCAN_EXPRESSIONS
    assert "neutral" not in report["test_expressions"]


def test_split_of_more_people_keeps_who_was_held_out():
    small, large = held_out(64, 0.125, 0), held_out(200, 0.125, 0)
    assert len(small) == 8
    assert {number for number in large if number < 64} == small
    assert held_out(10, 0, 0) == set()


def test_same_scans_again_and_more_of_them(made, tmp_path):
    folder, _ = made
    options = {
        "noise": True,
        "holes": True,
        "obj": True,
        "held_identities": 0.34,
        "held_expressions": 0.25,
    }
    make_scans(tmp_path, 1, 2, **options)
    (tmp_path / f"{scan_name(0, 1)}.bnd").unlink()
    make_scans(tmp_path, 3, 4, **options)
    for path in folder.rglob("*.ply"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes()
    for path in folder.rglob("*.bnd"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes()
    with pytest.raises(DataError) as caught:
        make_scans(tmp_path, 3, 4, **{**options, "holes": False})
    assert caught.value.expected == "holes=True"
    assert caught.value.found == "holes=False"


@pytest.mark.slow
def test_two_processes_make_the_same_scans(made, tmp_path):
    folder, report = made
    again = make_scans(
        tmp_path,
        3,
        4,
        workers=2,
        noise=True,
        holes=True,
        obj=True,
        held_identities=0.34,
        held_expressions=0.25,
    )
    assert again["counts"] == report["counts"]
    for path in folder.rglob("*.*"):
        if path.name not in ("report.json", "records.0-of-1.jsonl"):
            assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path


def test_one_scan_that_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    real = SyntheticScans.scan

    def scan(self, identity, expression):
        if (identity, expression) == (0, 1):
            raise ZeroDivisionError("oops")
        return real(self, identity, expression)

    monkeypatch.setattr(SyntheticScans, "scan", scan)
    report = make_scans(tmp_path, 1, 3)
    assert report["counts"] | {"training": 0, "test": 0} == {
        "done": 2,
        "failed": 1,
        "missing": 0,
        "training": 0,
        "test": 0,
    }
    assert "oops" in report["failed"][0]["reason"]
    monkeypatch.undo()
    assert make_scans(tmp_path, 1, 3)["counts"]["done"] == 3


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"identities": 0}, "identities"),
        ({"expressions": 21}, "expressions"),
        ({"expressions": 0}, "expressions"),
        ({"seed": -1}, "seed"),
        ({"held_identities": 1.0}, "held_identities"),
        ({"model": "nobody"}, "nobody"),
    ],
)
def test_bad_options_are_named(tmp_path, options, where):
    with pytest.raises(FacemorphError) as caught:
        make_scans(tmp_path / "set", **options)
    assert where in str(caught.value)
    assert not (tmp_path / "set").exists()


def test_options_reach_the_scan():
    scans = SyntheticScans(ScansOptions(noise=True, holes=True))
    assert scans._how == replace(ScanOptions(), noise=NOISE, holes=HOLES)
