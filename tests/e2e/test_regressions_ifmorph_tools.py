"""The defects of the authors' scripts and documentation that must not come back in ours
(docs/parity.md).
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer.main

from facemorph import cli
from facemorph.apps.heads.landmark_folder import find_landmarks
from facemorph.errors import DataError
from facemorph.faces.files.pair_lists import read_pair_list
from facemorph.storage.checkpoint import load_checkpoint
from facemorph.storage.runs import checkpoint_of, runs

OPTIONAL = (
    "dlib",
    "mediapipe",
    "torchvision",
    "starlette",
    "uvicorn",
    "websockets",
    "optuna",
    "submitit",
    "joblib",
    "matplotlib",
    "trimesh",
    "h5py",
    "playwright",
)

# Modules of apps/studio that are the extra `ui` itself.
SERVERS = ("editor_server", "server", "panels", "views.landmark_editing", "views.morph")


def test_d1_nothing_optional_is_needed_to_import():
    code = f"""
import sys, importlib, pkgutil
for name in {OPTIONAL!r}:
    sys.modules[name] = None
import facemorph
names = [one.name for one in pkgutil.walk_packages(facemorph.__path__, "facemorph.")]
names = [one for one in names if one.partition("apps.studio.")[2] not in {SERVERS!r}]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 100


def test_d9_a_name_stands_for_a_picture_only(tmp_path):
    """The authors' own layout has .pth, .png and .dat of one stem in one folder."""
    for name in (
        "001_03.dat",
        "001_03.png",
        "001_03.pth",
        "001_03.tem",
        "002_03.pth",
        "002_03.jpg",
        "001_03.yaml",
    ):
        (tmp_path / name).touch()
    (tmp_path / "pairs.txt").write_text("001_03 002_03\n")
    (pair,) = read_pair_list(tmp_path / "pairs.txt", tmp_path)
    assert (pair.a.name, pair.b.name) == ("001_03.png", "002_03.jpg")


def test_d10_what_is_measured_is_written(samples, tmp_path):
    """Keys are the morphs' names, and two folders never share a file of statistics."""
    for name, sample in zip(("001_03", "002_03"), samples, strict=True):
        (tmp_path / f"{name}.png").write_bytes(sample.read_bytes())
    (tmp_path / "pairs.txt").write_text("001_03 002_03\n")
    for output in ("one", "two"):
        assert (
            cli.run(
                [
                    "morph-dataset",
                    str(tmp_path / "pairs.txt"),
                    "--images",
                    str(tmp_path),
                    "-o",
                    str(tmp_path / output),
                    "--size",
                    "96",
                    "--workers",
                    "1",
                ]
            )
            == 0
        )
        assert cli.run(["evaluate", str(tmp_path / output)]) == 0
        found = json.loads((tmp_path / output / "evaluation.json").read_text())
        assert [row["name"] for row in found["rows"]] == ["001_03_002_03"]
        assert "identity_distance_a" in found["rows"][0]


def documented_commands(root):
    """Every line of the documentation's shell blocks that begins with ``facemorph``, with its
    continuation.
    """
    for page in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        blocks = page.read_text().split("```")[1::2]  # every second part lies between fences
        for block in blocks:
            language, _, text = block.partition("\n")
            if language not in ("", "bash", "sh"):
                continue
            for line in text.replace("\\\n", " ").splitlines():
                if line.startswith("facemorph "):
                    yield page.name, line.split(" #")[0].split("&&")[0].strip()


def test_d11_every_command_and_option_of_the_documentation_exists(root):
    group = typer.main.get_command(cli.make_app())
    lines = list(documented_commands(root))
    assert len(lines) > 60
    for page, line in lines:
        words = shlex.split(line)[1:]
        command = group.commands.get(words[0])
        assert command is not None, f"{page}: {line}"
        if hasattr(command, "commands"):
            command = command.commands.get(words[1])
            assert command is not None, f"{page}: {line}"
        if command.context_settings.get("ignore_unknown_options"):
            continue  # these are Hydra's; D11 for them below
        known = {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for word in words:
            if word.startswith("--"):
                assert word.split("=")[0] in known, f"{page}: {line}"


def test_d11_every_experiment_of_the_documentation_exists(root):
    for page, line in documented_commands(root):
        for name in re.findall(r"experiment=([\w/]+)", line):
            if "/" in name and not name.isupper():
                assert (root / "conf/experiment" / f"{name}.yaml").is_file(), (page, line)
        for name in re.findall(r"hparams_search=(\w+)", line):
            assert (root / "conf/hparams_search" / f"{name}.yaml").is_file(), (page, line)


def test_d11_what_the_table_of_parity_names_exists(root):
    page = (root / "docs/parity.md").read_text()
    tests = "\n".join(path.read_text() for path in (root / "tests").rglob("test_*.py"))
    assert len(re.findall(r"^\| F\d+ \|", page, re.M)) == 23
    assert len(re.findall(r"^\| D\d+ \|", page, re.M)) == 16
    for name in re.findall(r"`(tests/[\w/]+\.py)`", page):
        assert (root / name).is_file(), name
    for name in re.findall(r"`(test_\w+)`", page):
        assert f"def {name}(" in tests, name
    for name in re.findall(r"\]\((\w+\.md)\)", page):
        assert (root / "docs" / name).is_file(), name


@pytest.fixture
def here(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setenv("FACEMORPH_OUTPUT", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


SHORT = [
    "logger=none",
    "data.size=64",
    "data.num_samples=32",
    "data.steps_per_epoch=2",
    "trainer.max_epochs=1",
]


@pytest.mark.slow
def test_d12_a_failure_in_a_batch_is_told(here, samples, capfd):
    words = ["train", "-m", "experiment=ifmorph/tiny", f"data.a={samples[0]},nowhere.png", *SHORT]
    assert cli.run(words) != 0
    assert "nowhere.png" in capfd.readouterr().err


@pytest.mark.slow
def test_d12_results_do_not_depend_on_the_order(here):
    for seeds in ("1,2", "2,1"):
        assert cli.run(["train", "-m", "experiment=ifmorph/tiny", f"seed={seeds}", *SHORT]) == 0
    states = {}
    for run in runs(here):
        content = load_checkpoint(checkpoint_of(Path(run["folder"])))
        states.setdefault(content["facemorph"]["config"]["seed"], []).append(content["state_dict"])
    assert {seed: len(found) for seed, found in states.items()} == {1: 2, 2: 2}
    for first, second in states.values():
        assert all(torch.equal(first[name], second[name]) for name in first)
    name = next(key for key in states[1][0] if key.endswith("weight"))
    assert not torch.equal(states[1][0][name], states[2][0][name])


def test_d13_two_pictures_never_write_one_file(samples, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "face.png").write_bytes(samples[0].read_bytes())
    with pytest.raises(DataError, match="same name"):
        find_landmarks([tmp_path / "x", tmp_path / "y"], tmp_path / "out")
    (tmp_path / "pairs.txt").write_text("x/face.png y/face.png\ny/face.png x/face.png\n")
    with pytest.raises(DataError, match="name of that in line 1"):
        read_pair_list(tmp_path / "pairs.txt", tmp_path)
