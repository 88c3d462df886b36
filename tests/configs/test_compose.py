"""Every config file composes, and every target in it takes the arguments given."""

from __future__ import annotations

import pytest
from omegaconf import DictConfig, ListConfig, OmegaConf

from facemorph.config.build import check_arguments
from facemorph.config.compose import conf_dir, group_options
from facemorph.config.explained import compose
from facemorph.config.targets import resolve_target


def bind_all(node, key=""):
    """Bind every `_target_` to its signature without building it."""
    count = 0
    if isinstance(node, ListConfig):
        return sum(bind_all(node._get_node(i), f"{key}[{i}]") for i in range(len(node)))
    if not isinstance(node, DictConfig) or node._is_none():
        return 0
    for name in node:
        count += bind_all(node._get_node(name), f"{key}.{name}" if key else str(name))
    if "_target_" in node:
        names = [str(n) for n in node if str(n) not in ("_target_", "_partial_", "_args_")]
        check_arguments(
            resolve_target(node["_target_"], key=key),
            dict.fromkeys(names, "a file, where one is meant"),
            partial=True,
            key=key,
        )
        count += 1
    return count


@pytest.mark.parametrize("experiment", group_options("experiment", [conf_dir()]))
def test_experiments(experiment):
    cfg = compose("train", [f"experiment={experiment}"])
    assert bind_all(cfg) > 5
    assert "_target_" in cfg.system
    assert "_target_" in cfg.data


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (group, option)
        for group in ("device", "logger", "callbacks", "trainer", "system", "data", "paths")
        for option in group_options(group, [conf_dir()])
    ],
)
def test_groups(group, option):
    bind_all(compose("train", [f"{group}={option}"]))


def test_infer():
    assert set(OmegaConf.to_container(compose("infer"), resolve=False)) == {
        "checkpoint",
        "output",
        "torch_device",
        "weights",
    }


def test_no_stray_keys():
    assert set(compose("train")) == {
        "trainer",
        "callbacks",
        "logger",
        "paths",
        "seed",
        "resume",
        "dry_run",
        "skip_finished",
        "optimized_metric",
    }
