"""A warp between two prepared faces: fitted or trained by name, or one that a file holds."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from facemorph.apps.morphing.morph_options import CLOSED_FORMS, WARPS
from facemorph.config.build import build
from facemorph.config.compose import plain
from facemorph.config.explained import compose
from facemorph.errors import CheckpointError, ConfigError
from facemorph.faces.landmark_schemes import named_part
from facemorph.faces.pair import FacePair
from facemorph.fields.warps.ifmorph_files import read_ifmorph_network
from facemorph.fields.warps.warp import Warp
from facemorph.storage.checkpoint import load_system
from facemorph.storage.runs import names_a_checkpoint
from facemorph.systems.ifmorph.morphed_pair import MorphedPair

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, LightningModule

    from facemorph.systems.ifmorph.system import NeuralWarp

HAND_MADE_SCHEMES = ("frll189",)

EXPERIMENTS = {
    "siren_residual": "ifmorph/pair",
    "siren": "ifmorph/paper",
    "neural_ode": "ifmorph/neural_ode",
    "conjugate_flow": "ifmorph/conjugate_flow",
}
# the conjugate flow groups equal times, which a stack cannot
STACKED = ("siren_residual", "siren", "neural_ode")


def fit_warp(
    pair: FacePair,
    name: str,
    *,
    device: torch.device | str = "cpu",
    smoothing: float = 0.0,
    experiment: str | None = None,
) -> MorphedPair:
    """Fit or train a warp, with the settings of its experiment in ``conf/``.

    Args:
        pair: Both faces.
        name: One of ``WARPS``: the names of ``conf/warp/``; or a trained warp, see ``read_warp``.
        device: Where to fit and train.
        smoothing: Of the closed forms that have it.
        experiment: Where the settings come from; the warp's usual experiment when None.

    Returns:
        The system in evaluation mode on the device.

    Raises:
        ConfigError: The name is none of them.
        CheckpointError: The file of a trained warp cannot be read, or holds none.
        GeometryError: The landmarks do not determine a warp.
    """
    if is_file_of_warp(name):
        return read_warp(pair, name).eval().to(device)
    config = warp_config(name, smoothing, experiment)
    if name in CLOSED_FORMS:
        closed = MorphedPair(build(config["system"]["warp"]))
        closed.take_faces(pair)
        closed.to(device).warp.fit(pair.source, pair.target, pair.frame)
        return closed.eval().to(device)
    from lightning.pytorch import seed_everything

    from facemorph.systems.ifmorph.landmark_pair import LandmarkPair

    seed_everything(config["seed"], verbose=False)
    system: NeuralWarp = build(config["system"])
    options = {
        key: value for key, value in config["data"].items() if key not in ("_target_", "a", "b")
    }
    train_in_memory(system, LandmarkPair.of(pair, **options), config, torch.device(device))
    return system.eval().to(device)


def fit_stack(
    pairs: Sequence[FacePair], name: str, *, device: torch.device | str = "cpu"
) -> list[MorphedPair]:
    """Train the warps of several pairs as one stacked batch, see
    ``facemorph.systems.ifmorph.stack``.

    Args:
        pairs: Pairs of one frame and number of landmarks.
        name: A trained warp, one of ``STACKED``.
        device: Where to train.

    Returns:
        A system for each pair, in evaluation mode on the device, as ``fit_warp`` gives it.

    Raises:
        ConfigError: The name is none of them.
        DataError: The pairs cannot be stacked.
    """
    config = warp_config(name)
    from lightning.pytorch import seed_everything

    from facemorph.systems.ifmorph.landmark_pairs import LandmarkPairs
    from facemorph.systems.ifmorph.stack import NeuralWarpStack

    shared = {
        key: config["system"][key]
        for key in ("warp", "loss", "border_anchors", "learning_rate", "schedule")
        if key in config["system"]
    }
    seed_everything(config["seed"], verbose=False)
    stack = NeuralWarpStack(**build(shared))
    samples = {
        key: value for key, value in config["data"].items() if key not in ("_target_", "a", "b")
    }
    train_in_memory(stack, LandmarkPairs(pairs, **samples), config, torch.device(device))
    fitted = []
    for pair, warp in zip(pairs, stack.warps(), strict=True):
        system = MorphedPair(warp)
        system.take_faces(pair)
        fitted.append(system.eval().to(device))
    return fitted


def warp_config(name: str, smoothing: float = 0.0, experiment: str | None = None) -> dict[str, Any]:
    """The plain config of a warp's experiment: ``system``, ``data``, ``trainer`` and ``seed``.

    Args:
        name: One of ``WARPS``.
        smoothing: Of the closed forms that have it.
        experiment: Where the settings come from; the warp's usual experiment when None.

    Raises:
        ConfigError: There is no such warp or experiment.
    """
    if name not in WARPS:
        raise ConfigError(
            "no such warp",
            where="warp",
            expected=" | ".join(WARPS),
            found=name,
            remedy="Or give the path of a trained warp.",
        )
    usual = "ifmorph/closed_form" if name in CLOSED_FORMS else EXPERIMENTS[name]
    return deepcopy(_composed(name, smoothing, experiment or usual))


@lru_cache(maxsize=16)
def _composed(name: str, smoothing: float, experiment: str) -> dict[str, Any]:
    """As `warp_config`; composing takes longer than fitting a closed form."""
    overrides = [f"experiment={experiment}", f"warp@system.warp={name}"]
    if name in CLOSED_FORMS:
        overrides.append(
            "~system.warp.smoothing"
            if name == "piecewise_affine"
            else f"system.warp.smoothing={smoothing}"
        )
    composed = compose("train", [*overrides, "data.a=", "data.b="])
    config: dict[str, Any] = plain(
        {key: composed[key] for key in ("system", "data", "trainer", "seed")}
    )
    return config


def is_file_of_warp(name: str) -> bool:
    """Whether a warp's name is that of a file, folder or run (``@last``) with a trained one."""
    return name not in WARPS and names_a_checkpoint(name)


def read_warp(pair: FacePair, source: str) -> MorphedPair:
    """A trained warp with the pictures and landmarks of ``pair``; it was trained for faces placed
    as these are.

    Args:
        pair: Both faces.
        source: A finished ``.pth`` of the authors' project, a checkpoint of a ``NeuralWarp``, its
            release folder, ``@last`` or ``@last:NAME``.

    Raises:
        CheckpointError: It cannot be read or trusted, or holds no warp.
    """
    warp: object
    if source.endswith(".pth"):
        warp = read_ifmorph_network(source, frame=pair.frame)
    else:
        warp = getattr(load_system(source), "warp", None)
    if not isinstance(warp, Warp) or not isinstance(warp, nn.Module):
        raise CheckpointError(
            "this file holds no warp",
            where=source,
            found="a picture, or another system",
            expected="a warp of ours, or the authors' network from 3 to 2 values",
        )
    system = MorphedPair(warp)
    system.take_faces(pair)
    return system


def train_in_memory(
    system: LightningModule, data: LightningDataModule, config: dict, device: torch.device
) -> None:
    """Train by the experiment's trainer settings without leaving files."""
    from lightning.pytorch import Trainer

    from facemorph.training.nan_guard import NaNGuard
    from facemorph.training.progress import Progress
    from facemorph.training.session import be_quiet

    be_quiet()
    length = {
        key: config["trainer"][key]
        for key in ("max_epochs", "max_steps")
        if key in config["trainer"]
    }
    trainer = Trainer(
        **length,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index or 0] if device.type == "cuda" else 1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[Progress(), NaNGuard()],
    )
    trainer.fit(system, datamodule=data)


def smoothing_of(scheme: str) -> float:
    """Smoothing of the closed forms for landmarks of a scheme: detected points are noisy, hand-made
    ones are not.
    """
    return 0.0 if named_part(scheme) in HAND_MADE_SCHEMES else 1e-3
