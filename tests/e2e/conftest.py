"""What several end-to-end tests share: a tiny generator, trained in seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from facemorph.cli import run

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Whole commands from end to end are left out of `make test-fast`."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def short_evaluation(monkeypatch):
    """The evaluation of a generator inverts two people and turns six."""
    place = "facemorph.apps.generation.evaluation."
    monkeypatch.setattr(f"{place}generator_evaluation.INVERTED", 2)
    monkeypatch.setattr(f"{place}control.PEOPLE", 6)


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Forty synthetic pictures of twenty people, the last two for validation."""
    folder = tmp_path_factory.mktemp("gif_faces")
    words = ["data", "synth", "-o", str(folder), "--count", "40", "--same-identity", "2"]
    words += ["--size", "32", "--labels", "parameters", "--skins", "20", "--texture", "64"]
    assert run([*words, "--camera", "weak", "--workers", "1"]) == 0
    return folder


@pytest.fixture(scope="session")
def trained(faces, tmp_path_factory):
    """A set whose people are half held out, and a tiny generator trained on the other half."""
    folder = tmp_path_factory.mktemp("trained")
    half = folder / "set"
    shutil.copytree(faces, half)
    index = json.loads((half / "index.json").read_text())
    index["split"] = ["training" if int(who) < 10 else "test" for who in index["people"]]
    (half / "index.json").write_text(json.dumps(index))
    words = ["train", "experiment=gif/tiny", "logger=none", f"data.folder={half}"]
    assert run([*words, f"paths.output_root={folder / 'runs'}"]) == 0
    return half, next((folder / "runs").rglob("last.ckpt"))
