"""What a run was: config, versions, seed, hardware, git commit; beside its results and in its
checkpoints.
"""

from __future__ import annotations

import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import OmegaConf

from facemorph.config.build import check_same_config_on_all_ranks, config_digest
from facemorph.config.targets import first_name
from facemorph.storage.checkpoint import RECORD
from facemorph.storage.files import write_atomic
from facemorph.storage.runs import register_run
from facemorph.storage.versions import versions


def hardware() -> dict[str, Any]:
    """Processor, threads and GPUs."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
    }


def git_commit(folder: Path) -> str | None:
    """Commit of the checkout a folder lies in, with ``+changes`` if files differ; None outside of
    one.
    """
    command = [
        "git",
        "-C",
        str(folder),
        "describe",
        "--always",
        "--dirty=+changes",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        found = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def make_record(config: dict[str, Any]) -> dict[str, Any]:
    """The record that goes into checkpoints: plain values only.

    Args:
        config: The resolved config as a plain dict.
    """
    return {
        "config": config,
        "digest": config_digest(config),
        "versions": versions(),
        "seed": config.get("seed"),
        "hardware": hardware(),
        "git": git_commit(Path(__file__).parent),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def training_key(config: dict[str, Any]) -> str:
    """Digest of what makes two runs the same training: system, data and seed, not devices or
    folders.
    """
    return config_digest({name: config.get(name) for name in ("system", "data", "seed")})


class RunCard(Callback):
    """Write ``run_card.yaml``, put the record into checkpoints, check that all processes have one
    config.

    Args:
        config: The resolved config as a plain dict.
        folder: Folder of the run.
        root: Output root with the index of runs; None leaves the run out of it.
        experiment: Name of the experiment file.
    """

    def __init__(
        self,
        config: dict[str, Any],
        folder: str | Path,
        root: str | Path | None = None,
        experiment: str | None = None,
    ) -> None:
        self.record = make_record(config)
        self.experiment = experiment
        self.folder, self.root = Path(folder), Path(root) if root is not None else None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the configs of all processes, then write the card."""
        check_same_config_on_all_ranks(self.record["digest"])
        if trainer.is_global_zero:
            self.write()

    def write(self) -> None:
        """Write the card into the run's folder and the run into the index."""
        text = OmegaConf.to_yaml(OmegaConf.create(self.record))
        write_atomic(self.folder / "run_card.yaml", lambda file: file.write(text.encode()))
        if self.root is not None:
            config = self.record["config"]
            register_run(
                self.root,
                self.folder,
                system=system_name(config),
                experiment=self.experiment,
                key=training_key(config),
            )

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the record into the checkpoint."""
        checkpoint[RECORD] = self.record


def system_name(config: dict[str, Any]) -> str:
    """Short name of a config's system, as in ``@last:NAME``: ``neural_warp``, ``imface``, ``gif``.

    It is the name of the file that the class was first released in, and the folder's where that is
    ``system.py``.
    """
    parts = first_name(str(config.get("system", {}).get("_target_", "unknown"))).split(".")
    modules = [part for part in parts[:-1] if part != "system"] or parts
    return modules[-1]
