"""The trained models that come with facemorph."""

from __future__ import annotations

import json

import pytest
import torch
from omegaconf import OmegaConf

from facemorph.cli import run
from facemorph.errors import CheckpointError
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.scans.scan_placement import align_scan
from facemorph.geometry.scans.scan_sheets import prepare_scan, signed_distance
from facemorph.geometry.scans.sheet_outlines import over_sheet
from facemorph.storage.checkpoint import load_system
from facemorph.storage.runs import open_models

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")


def test_each_has_a_card_and_loads():
    assert "imface" in open_models()
    for name, folder in open_models().items():
        card = OmegaConf.load(folder / "card.yaml")
        assert card.licence != "not stated"
        assert card.data != "not stated"
        system = load_system(f"@open:{name}")
        assert all(bool(torch.isfinite(one).all()) for one in system.parameters())


def test_an_unknown_one_is_answered_with_those_there_are():
    with pytest.raises(CheckpointError, match="@open:imface"):
        load_system("@open:nobody")


def test_its_mean_face_is_a_face():
    """Within millimetres of a head that it has never seen, of another model, and far nearer than a
    ball.
    """
    system = load_system("@open:imface")
    model = load_makehuman()
    marks = model.landmarks(model.mean[None])[0]
    scan = prepare_scan(
        Mesh(model.mean, model.topology.faces),
        marks,
        torch.Generator().manual_seed(0),
        unit=1.0,
        num_surface=100,
        num_free=10,
    )
    identity, expression = system.mean_codes()
    face = over_sheet(system.surface(identity, expression, 64).mesh, scan.sheet)
    assert 100 * float(signed_distance(scan.sheet, face.vertices)[0].abs().mean()) < 6
    placed = align_scan(Mesh(model.mean, model.topology.faces), marks, 1.0)[1]
    assert 100 * float((system.template_landmarks - placed).norm(dim=1).mean()) < 10


def test_sampling_needs_nothing_else(tmp_path):
    assert (
        run(
            [
                "sample",
                "--checkpoint",
                "@open:imface",
                "-o",
                str(tmp_path),
                "--count",
                "1",
                "--resolution",
                "64",
            ]
        )
        == 0
    )
    assert len(json.loads((tmp_path / "report.json").read_text())["rows"]) == 2
    assert float(load_image(tmp_path / "faces.png").std()) > 0.05
