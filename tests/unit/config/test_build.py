"""What a config may build, and what it says when it may not."""

from __future__ import annotations

import functools

import pytest
import torch
from helpers import SUPPORT
from omegaconf import OmegaConf

from facemorph.config.build import build, check_same_config_on_all_ranks, config_digest
from facemorph.config.compose import conf_dir, plain
from facemorph.config.explained import compose
from facemorph.config.overrides import complete_overrides
from facemorph.config.targets import resolve_target, trust_package
from facemorph.errors import ConfigError

trust_package("facemorph_toy")

HOSTILE = [
    "os.system",
    "logging.os.system",
    "posix.system",
    "os.popen",
    "subprocess.run",
    "subprocess.Popen",
    "subprocess.check_output",
    "builtins.eval",
    "builtins.exec",
    "builtins.open",
    "io.open",
    "pathlib.Path.write_text",
    "pathlib.Path",
    "pickle.load",
    "pickle.loads",
    "yaml.load",
    "yaml.unsafe_load",
    "shutil.rmtree",
    "shutil.os.system",
    "urllib.request.urlretrieve",
    "importlib.import_module",
    "runpy.run_path",
    "code.interact",
    "functools.partial",
    "numpy.load",
    "numpy.fromfile",
    "joblib.load",
    "pandas.read_pickle",
    "hydra.utils.instantiate",
    "hydra.utils.get_method",
    "torch.load",
    "torch.save",
    "torch.nn.functional.torch.load",
    "torch.optim.optimizer.torch.load",
    "torch.optim.lr_scheduler.torch.save",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "torch.utils.cpp_extension.load",
    "torch.jit.load",
    "torch.compile",
    "torch.nn.modules.module.functools.partial",
    "torch.nn.init.warnings.sys.exit",
    "torch.distributed.nn.RemoteModule",
    "torch.distributed.nn.api.remote_module.RemoteModule",
    "torch.nn.Module.load_state_dict",
    "torch.nn.utils.parametrize.register_parametrization",
    "lightning.pytorch.LightningModule.load_from_checkpoint",
    "lightning.pytorch.cli.LightningCLI",
    "lightning.pytorch.utilities.model_registry.download_model",
    "lightning.fabric.utilities.cloud_io._load",
    "torchmetrics.utilities.data.torch.load",
    "torchmetrics.functional.image.lpips.torch.load",
    "facemorph.storage.checkpoint.load_checkpoint",
    "facemorph.storage.checkpoint.save_atomic",
    "facemorph.storage.checkpoint.torch.load",
    "facemorph.storage.checkpoint.shutil.rmtree",
    "facemorph.train.main",
    "facemorph.storage.pretrained.fetch",
    "facemorph.storage.runs.os.system",
    "facemorph.errors.FacemorphError",
    "facemorph.faces.files.image_io.read_image",
    "facemorph.config.build.build",
    "facemorph.entry.launch.run_job",
    "torch.nn.modules.__builtins__",
    "torch.nn.__loader__",
    "torch.nn._reduction",
    "facemorph",
    "torch",
    "",
    "torch..nn.Linear",
    ".torch.nn.Linear",
    "torch.nn.Linear()",
    "torch/nn/Linear",
    None,
    3,
    ["torch.nn.Linear"],
    {"a": 1},
]
ORDINARY = [
    "torch.nn.Linear",
    "torch.nn.Sequential",
    "torch.nn.L1Loss",
    "torch.optim.Adam",
    "torch.optim.SGD",
    "torch.optim.lr_scheduler.CosineAnnealingLR",
    "torch.optim.lr_scheduler.OneCycleLR",
    "torchmetrics.MeanMetric",
    "torchmetrics.image.PeakSignalNoiseRatio",
    "facemorph.ops.frames.Frame",
    "facemorph.ops.shapes.check_shape",
    "facemorph_toy.ToySystem",
]
ORDINARY_TO_RUN = [
    "facemorph.faces.optional_detectors.FileDetector",
    "facemorph.faces.optional_detectors.FaceAlignmentDetector",
    "lightning.pytorch.Trainer",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.loggers.WandbLogger",
    "lightning.pytorch.callbacks.EarlyStopping",
    "lightning.pytorch.callbacks.ModelCheckpoint",
    "lightning.pytorch.strategies.DDPStrategy",
    "facemorph.training.ema.EMA",
    "facemorph.training.checkpoints.RunCheckpoints",
    "facemorph_toy.ToyData",
]


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("target", HOSTILE, ids=str)
def test_hostile_targets_are_refused(target, trusted):
    with pytest.raises(ConfigError):
        resolve_target(target, trusted=trusted)


@pytest.mark.parametrize("target", HOSTILE[:40], ids=str)
def test_hostile_targets_are_refused_wherever_they_hide(target):
    for config in (
        {"a": [{"b": {"_target_": target}}]},
        {"_target_": "torch.nn.Linear", "x": {"_target_": target}},
        {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": target}]},
        OmegaConf.create({"name": target, "part": {"_target_": "${name}", "_partial_": True}}),
    ):
        with pytest.raises(ConfigError):
            build(config)


def test_nothing_ran(tmp_path):
    for target, arguments in (
        ("os.system", ["touch X"]),
        ("torch.nn.functional.torch.save", [{}, "X"]),
        ("builtins.open", ["X", "w"]),
    ):
        words = [str(a).replace("X", str(tmp_path / "x")) for a in arguments]
        with pytest.raises(ConfigError):
            build({"_target_": target, "_args_": words})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ORDINARY)
def test_ordinary_targets_are_accepted(target):
    assert resolve_target(target) is resolve_target(target, trusted=False)


@pytest.mark.parametrize("target", ORDINARY_TO_RUN)
def test_parts_of_a_run_only_from_the_users_own_config(target):
    resolve_target(target)
    if not target.startswith("facemorph_toy"):
        with pytest.raises(ConfigError):
            resolve_target(target, trusted=False)


def test_build_nested_partial_and_lists():
    layer = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}
    built = build(
        {"_target_": "torch.nn.Sequential", "_args_": [layer, {"_target_": "torch.nn.ReLU"}]}
    )
    assert built(torch.zeros(1, 2)).shape == (1, 3)
    optimizer = build({"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.5})
    assert isinstance(optimizer, functools.partial)
    assert optimizer(built.parameters()).defaults["lr"] == 0.5
    assert build({"layers": [layer], "n": 1})["layers"][0].out_features == 3
    assert build(None) is None


def test_build_takes_built_arguments_as_they_are():
    net = torch.nn.Linear(2, 2)
    assert build({"_target_": "facemorph_toy.ToySystem"}, net=net).net is net
    with pytest.raises(ConfigError, match="no _target_"):
        build({"a": 1}, net=net)


def test_interpolated_target():
    config = OmegaConf.create({"kind": "torch.nn.ReLU", "net": {"_target_": "${kind}"}})
    assert isinstance(build(config.net), torch.nn.ReLU)
    with pytest.raises(ConfigError, match="plain"):
        build(config.net, trusted=False)


def test_environment_is_not_read_from_a_checkpoints_config(monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    config = {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": "${oc.env:SECRET}"}
    with pytest.raises(ConfigError, match="plain") as caught:
        build(config, trusted=False)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"_target_": "torch.optim.Adam", "_partial_": True, "lrr": 1}, "Did you mean 'lr'"),
        ({"_target_": "torch.optim.Adm"}, "Did you mean 'Adam'"),
        ({"_target_": "torch.nn.Linear"}, "missing a required argument"),
        ({"_target_": "torch.nn.Linear", "in_features": "a", "out_features": 1}, "cannot be built"),
        ({"_target_": "torch.nn.Linear", "_recursive_": False}, "not supported"),
        ({"_target_": "torch.nn.nothing.Linear"}, "there is no 'nothing'"),
        ({"net": {"_target_": "os.system"}}, "net._target_"),
    ],
)
def test_messages_say_what_is_right(config, text):
    with pytest.raises(ConfigError, match=r".") as caught:
        build(config)
    assert text in str(caught.value)


def test_required_value():
    with pytest.raises(ConfigError, match=r"data\.a"):
        plain({"data": {"a": "???"}})
    with pytest.raises(ConfigError):
        plain({"a": "${b}"})


def test_digest_does_not_depend_on_the_output_folder():
    def one(folder, lr):
        return config_digest(
            {"lr": lr, "paths": {"output_dir": folder}, "callbacks": {"f": f"{folder}/x"}}
        )

    assert one("/tmp/a", 1) == one("/somewhere/else", 1) != one("/tmp/a", 2)
    check_same_config_on_all_ranks(one("a", 1))  # one process: nothing to compare


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("experiment=toy/tny", "Did you mean 'toy/tiny'"),
        ("experiment=tiny", "tiny"),
        ("devic=cpu", "'device'"),
        ("device=gpuu", "Did you mean 'gpu'"),
        ("system.lrr=1", "system.lr"),
        ("trainer.max_epoch=1", "trainer.max_epochs"),
        ("sed=1", "'seed'"),
        ("lr==", "parsing"),
        ("~nothing", "nothing"),
        ("+seed=1", "already"),
        ("nosuch.a.b=1", "There are"),
        ("logger=tensorbord", "'tensorboard'"),
    ],
)
def test_misspelt_overrides(override, text):
    overrides = (
        ["experiment=toy/tiny", override] if not override.startswith("experiment") else [override]
    )
    with pytest.raises(ConfigError) as caught:
        compose("train", overrides, folder=SUPPORT / "conf")
    assert text in str(caught.value)
    assert "hydra.cc" not in str(caught.value)


def test_arguments_that_the_yaml_leaves_at_their_default_can_be_set():
    typed = [
        "experiment=toy/tiny",
        "system.lr=1,2",
        "system.lrr=1",
        "data.batch_size=4",
        "seed=3",
        "system.net.width=2",
    ]
    got = complete_overrides("train", typed, SUPPORT / "conf")
    assert got == [
        "experiment=toy/tiny",
        "++system.lr=1,2",
        "system.lrr=1",
        "++data.batch_size=4",
        "seed=3",
        "++system.net.width=2",
    ]


def test_conf_dir():
    assert (conf_dir() / "infer.yaml").is_file()
