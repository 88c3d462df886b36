"""Morphs of many pairs as a Hydra job: ``facemorph dataset pairs=PAIRS.txt images=DIR output=OUT``.

The same work as ``facemorph morph-dataset``, for sweeps and job launchers: with ``-m
shard=0/4,1/4,2/4,3/4`` and ``hydra/launcher=submitit_slurm`` four Slurm jobs share the list.
Whatever the config has beside ``pairs``, ``images``, ``output`` and ``device`` is an option of
``facemorph.apps.morphing.morph_dataset.morph_dataset``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig


def dataset(cfg: DictConfig) -> None:
    """Run the job of one composed config.

    Args:
        cfg: The config.

    Raises:
        FacemorphError: The list, an option or the folder is at fault, or some pairs failed (exit
            code 3).
    """
    from facemorph.apps.morphing.morph_dataset import morph_dataset, say
    from facemorph.apps.morphing.morph_options import checked_options
    from facemorph.config.compose import plain
    from facemorph.errors import FacemorphError

    config = plain(cfg)
    config["device"] = config.pop("torch_device")
    own = ("pairs", "images", "output", "name", "workers", "shard", "device")
    checked_options({key: value for key, value in config.items() if key not in own})
    report = morph_dataset(**config)
    code = say(report, Path(config["output"]))
    if code:
        error = FacemorphError("some pairs failed", where=config["output"], found=report["counts"])
        error.exit_code = code
        raise error


def main() -> None:
    """Entry point: Hydra overrides on the command line."""
    from facemorph.entry.launch import run_and_exit
    from facemorph.entry.threads import leave_cores_free

    leave_cores_free()
    run_and_exit(dataset, "dataset")


if __name__ == "__main__":
    main()
