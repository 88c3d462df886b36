"""An experiment of the authors' project: imported, trained, used; and what is refused."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import numpy as np
import pytest
import torch
import yaml

from facemorph import cli
from facemorph.apps.morphing.morph import morph
from facemorph.config.compose import plain
from facemorph.config.explained import compose
from facemorph.errors import CheckpointError, ConfigError, DataError, FacemorphError, OutputError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import read_points
from facemorph.fields.image_fields import SirenImage, render_field
from facemorph.fields.warps.ifmorph_files import read_ifmorph_network
from facemorph.ops.frames import Frame
from facemorph.storage.checkpoint import load_checkpoint, load_system
from facemorph.systems.ifmorph.published_experiments import import_experiment

pytestmark = pytest.mark.usefixtures("short_reports")

# (row, column)
POINTS = [[-0.5, -0.4], [-0.5, 0.4], [0.1, 0.0], [0.5, -0.3], [0.5, 0.3], [0.8, 0.0]]


def pth(path, sizes=(2, 16, 16, 3), seed=3):
    torch.manual_seed(seed)
    state = OrderedDict()
    for index, (a, b) in enumerate(pairwise(sizes)):
        state[f"net.{index}.0.weight"] = (torch.rand(b, a) - 0.5) * 2
        state[f"net.{index}.0.bias"] = torch.rand(b) * 0.5
    torch.save(state, path)
    return path


@pytest.fixture
def theirs(tmp_path):
    """A small experiment file of theirs, as a dict, with its pictures beside it."""
    picture = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(1))
    save_image(torch.nn.functional.avg_pool2d(picture[None], 5, 1, 2)[0], tmp_path / "b.png")
    pth(tmp_path / "a.pth")
    (tmp_path / "targets.yaml").write_text(yaml.safe_dump([[r, c * 0.9 + 0.05] for r, c in POINTS]))
    return {
        "description": "two\nfaces",
        "device": "cuda:0",
        "experiment_name": "x",
        "initial_conditions": {"0": "a.pth", "1": "b.png"},
        "loss": {
            "sources": POINTS,
            "targets": "targets.yaml",
            "type": "featurematching",
            "intermediate_times": [0.3, 0.6],
            "constraint_weights": {
                "data_constraint": "1e4",
                "identity_constraint": 500,
                "inv_constraint": 0,
                "TPS_constraint": 1e3,
            },
        },
        "network": {
            "hidden_layers": [12, 10],
            "in_channels": 3,
            "out_channels": 2,
            "omega_0": 20,
            "omega_w": 15,
            "initialization": "siren",
        },
        "optimizer": {"lr": 2e-4},
        "reconstruct": {"fps": 20, "frame_dims": [32, 32], "n_frames": 5, "timerange": [0, 1]},
        "training": {
            "n_samples": 32,
            "n_steps": 3,
            "warmup_steps": 1,
            "checkpoint_steps": 2,
            "reconstruction_steps": 100,
        },
    }


def write(folder, content, name="small.yaml"):
    (folder / name).write_text(yaml.safe_dump(content))
    return folder / name


def test_import_train_and_infer(tmp_path, theirs, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["import-ifmorph", str(write(tmp_path, theirs)), "-o", "my experiments"]) == 0
    printed = capfd.readouterr().out
    assert "facemorph train --config-dir 'my experiments' experiment=small" in printed
    words = [
        "--config-dir",
        "my experiments",
        "experiment=small",
        "paths.output_root=runs",
        "logger=none",
    ]
    assert cli.run(["train", *words, "device=cpu"]) == 0
    system = load_system(next((tmp_path / "runs").rglob("last.ckpt")))
    assert load_checkpoint(next((tmp_path / "runs").rglob("last.ckpt")))["global_step"] == 3
    config = system.record["config"]
    assert config["system"]["warp"] == {
        "_target_": "facemorph.fields.warps.siren_warp.SirenWarp",
        "hidden_features": [12, 10],
        "omega_0": 20.0,
        "omega_hidden": 15.0,
    }
    assert config["system"]["loss"] | {"_target_": 0} == {
        "_target_": 0,
        "data_weight": 1e4,
        "identity_weight": 500.0,
        "inverse_weight": 0.0,
        "thin_plate_weight": 1e3,
        "intermediate_times": [0.3, 0.6],
    }
    assert (
        config["data"] | {"sampling": "grid", "num_samples": 32, "size": 32, "align": "none"}
        == config["data"]
    )
    assert (config["system"]["learning_rate"], config["system"]["border_anchors"]) == (2e-4, 0)
    # Landmarks in field coordinates are theirs with the axes exchanged; the first picture is their
    # network.
    torch.testing.assert_close(
        system.source.double(), torch.tensor(POINTS).double().flip(1), atol=1e-6, rtol=0
    )
    network = read_ifmorph_network(tmp_path / "a.pth")
    assert isinstance(system.source_field, SirenImage)
    assert all(
        torch.equal(value, network.state_dict()[name])
        for name, value in system.source_field.state_dict().items()
    )
    checkpoint = next((tmp_path / "runs").rglob("last.ckpt"))
    assert (
        cli.run(
            [
                "infer",
                f"checkpoint={checkpoint}",
                "output=half.png",
                "+times=[0.5]",
                "+blend=linear",
                "device=cpu",
            ]
        )
        == 0
    )
    assert load_image(tmp_path / "half.png").shape == (3, 32, 32)


def test_pictures_of_another_shape_are_stretched_as_theirs(tmp_path, theirs):
    theirs["reconstruct"]["frame_dims"] = [24, 36]
    theirs["initial_conditions"] = {1.0: "b.png", 0: "a.pth"}
    result = import_experiment(write(tmp_path, theirs), tmp_path / "out")
    config = plain({"data": compose("train", ["experiment=small"], folder=tmp_path / "out").data})[
        "data"
    ]
    for letter in "ab":
        assert load_image(config[letter]).shape == (3, 24, 36)
        points, _ = read_points(config[f"points_{letter}"])
        assert float(points[-1, 1]) == pytest.approx((POINTS[-1][0] + 1) / 2 * 24)
    expected = render_field(
        read_ifmorph_network(tmp_path / "a.pth", frame=Frame(24, 36)), Frame(24, 36).pixel_centres()
    ).clamp(0, 1)
    torch.testing.assert_close(load_image(config["a"]), expected.detach(), atol=0.003, rtol=0)
    assert result.unused == []


def test_their_defaults(tmp_path, theirs):
    small = {key: theirs[key] for key in ("initial_conditions",)}
    small["loss"] = {key: theirs["loss"][key] for key in ("sources", "targets")}
    small["extra"] = {"a": 1}
    result = import_experiment(write(tmp_path, small), tmp_path / "out")
    cfg = compose("train", ["experiment=small"], folder=tmp_path / "out")
    assert result.unused == ["extra"]
    assert list(cfg.system.warp.hidden_features) == [128, 128]
    assert cfg.system.warp.omega_0 == cfg.system.warp.omega_hidden == 24
    assert (
        cfg.data.num_samples,
        cfg.trainer.max_steps,
        cfg.data.size,
        cfg.system.learning_rate,
    ) == (20000, 20001, 512, 1e-4)
    assert list(cfg.system.loss.intermediate_times) == [0.25, 0.5, 0.75]
    assert cfg.callbacks.checkpoints.after_epochs == 2  # a tenth of the steps


def test_files_named_from_their_projects_root(tmp_path, theirs):
    (tmp_path / "experiments").mkdir()
    theirs["loss"]["targets"] = POINTS
    result = import_experiment(
        write(tmp_path / "experiments", theirs, "001_002-base.line.yaml"), tmp_path / "out"
    )
    assert result.name == "001_002-base_line"
    assert plain(
        {"data": compose("train", [f"experiment={result.name}"], folder=tmp_path / "out").data}
    )


def put(*keys):
    def change(content, value=keys[-1]):
        for key in keys[:-2]:
            content = content[key]
        content[keys[-2]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("initial_conditions", {}), "initial_conditions: not two pictures"),
        (put("initial_conditions", {"0": "a.pth", "x": "b.png"}), r"initial_conditions\.x"),
        (put("initial_conditions", "1", "no.png"), r"initial_conditions\.1: there is no such file"),
        (
            put("initial_conditions", "1", "n" * 5000),
            r"initial_conditions\.1: there is no such file",
        ),
        (put("initial_conditions", "1", 7), r"initial_conditions\.1: not the name"),
        (put("initial_conditions", "1", "targets.yaml"), "targets.yaml"),
        (put("loss", 3), "loss: not a mapping"),
        (put("loss", {}), "loss.sources"),
        (put("loss", "sources", POINTS[:4]), "different numbers of points"),
        (put("loss", "sources", [[0, "x"]] * 6), "point 0"),
        (put("loss", "targets", "none.yaml"), "none.yaml"),
        (put("loss", "constraint_weights", "data", 1), r"loss\.constraint_weights\.data"),
        (
            put("loss", "constraint_weights", "inv_constraint", -1),
            r"loss\.constraint_weights\.inv_constraint",
        ),
        (put("loss", "intermediate_times", [2]), r"intermediate_times\[0\]"),
        (put("loss", "intermediate_times", 0.5), "intermediate_times: not a list"),
        (put("network", "hidden_layers", []), "hidden_layers"),
        (put("network", "hidden_layers", [10.5]), "hidden_layers"),
        (put("network", "in_channels", 2), r"network\.in_channels"),
        (put("network", "omega_0", 0), r"network\.omega_0"),
        (put("optimizer", "lr", "fast"), r"optimizer\.lr"),
        (put("optimizer", "lr", True), r"optimizer\.lr"),
        (put("reconstruct", "frame_dims", [512]), "frame_dims"),
        (put("reconstruct", "n_frames", 1), r"reconstruct\.n_frames"),
        (put("training", "n_steps", 1.5), r"training\.n_steps"),
        (put("training", "n_samples", float("inf")), r"training\.n_samples"),
    ],
)
def test_malformed(tmp_path, theirs, change, message):
    change(theirs)
    with pytest.raises(DataError, match=message):
        import_experiment(write(tmp_path, theirs), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1, 2]",
        b"a: [",
        b"\xff\xfe\x00",
        b"!!python/object/apply:os.getcwd []",
        b"a: &a [*a]",
        b"? [1]\n: 2",
        b"x" * 5_000_000,
    ],
    ids=range(8),
)
def test_not_an_experiment_file(tmp_path, content):
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.yaml"):
        import_experiment(tmp_path / "x.yaml", tmp_path / "out")
    with pytest.raises(DataError, match=r"y\.yaml"):
        import_experiment(tmp_path / "y.yaml", tmp_path / "out")


def test_a_folder_that_cannot_be_made(tmp_path, theirs):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        import_experiment(write(tmp_path, theirs), tmp_path / "file" / "out")


def test_networks_that_are_no_pictures(tmp_path, theirs):
    pth(tmp_path / "a.pth", (3, 8, 2))
    with pytest.raises(DataError, match="no picture"):
        import_experiment(write(tmp_path, theirs), tmp_path / "out")
    torch.save({"stages": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="MRNet"):
        import_experiment(write(tmp_path, theirs), tmp_path / "out")


def test_a_trained_warp_by_its_file(tmp_path, samples):
    path = str(pth(tmp_path / "warp.pth", (3, 16, 2)))
    result = morph(*samples, size=64, frames=2, warp=path, device="cpu", outside="mix")
    assert result.metrics["heldout_landmark_error_px"] is None
    points = torch.tensor([[0.25, -0.5]])
    expected = read_ifmorph_network(path)(points, 0.0, 0.7)
    torch.testing.assert_close(result.system.warp(points, 0.0, 0.7), expected)
    assert result.frame(0.5).shape == (3, 64, 64)
    with pytest.raises(CheckpointError, match="holds no warp"):
        morph(*samples, size=64, warp=str(pth(tmp_path / "picture.pth")), device="cpu")
    with pytest.raises(CheckpointError, match="no such file"):
        morph(*samples, size=64, warp=str(tmp_path / "none.ckpt"), device="cpu")
    with pytest.raises(ConfigError, match="warp"):
        morph(*samples, size=64, warp="none", device="cpu")


def test_a_closed_form_warp_by_its_run(tmp_path, samples, monkeypatch, capfd):
    monkeypatch.setenv("FACEMORPH_OUTPUT", str(tmp_path / "runs"))
    a, b = samples
    common = [f"data.a={a}", f"data.b={b}", "data.size=64", "device=cpu"]
    assert cli.run(["train", "experiment=ifmorph/closed_form", *common]) == 0
    result = morph(a, b, size=64, frames=2, warp="@last", device="cpu")
    assert result.metrics["landmark_error_px"] < 3
    assert (
        cli.run(
            [
                "morph",
                str(a),
                str(b),
                "-o",
                str(tmp_path / "out.png"),
                "--warp",
                "@last",
                "--size",
                "64",
            ]
        )
        == 0
    )
    assert "held out not measured" in capfd.readouterr().out
    with pytest.raises(FacemorphError, match="no best checkpoint"):
        morph(a, b, size=64, warp="@best", device="cpu")


@pytest.mark.parametrize("kind", ["json", "pts"])
def test_pickled_landmarks_become_a_landmark_file(tmp_path, kind, capfd):
    """`detect-landmarks` of the authors pickles (row, column) in [-1, 1]; the picture here is not
    square.
    """
    import pickle

    save_image(torch.rand(3, 40, 80), tmp_path / "a.png")
    normalised = np.array([[-1.0, -1.0], [0.0, 0.5], [1.0, 1.0], [0.2, -0.3]])
    (tmp_path / "a.dat").write_bytes(pickle.dumps(normalised))
    words = ["import-ifmorph", str(tmp_path / "a.dat"), "-o", str(tmp_path / f"a.{kind}")]
    assert cli.run(words) == 2
    assert "--image" in capfd.readouterr().err
    assert cli.run([*words, "--image", str(tmp_path / "a.png")]) == 0
    points, _ = read_points(tmp_path / f"a.{kind}")
    expected = torch.tensor([[0.0, 0.0], [60.0, 20.0], [80.0, 40.0], [28.0, 24.0]])
    assert torch.allclose(points.float(), expected, atol=1e-3)
