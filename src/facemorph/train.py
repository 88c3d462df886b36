"""Train a system from a config: ``python train.py experiment=ifmorph/tiny``, the same as
``facemorph train``.

Contract with what a config names:

- ``system``: a `lightning.pytorch.LightningModule` that takes its parts already built.
  `infer(output, **options)` writes its results and returns their paths.
- ``data``: a `lightning.pytorch.LightningDataModule`; with `facemorph.data.resumable` as its base a
  run that was stopped at any batch continues bit for bit.
- A system with ``requires_training = False`` has a closed-form solution: instead of the training
  loop its ``fit_closed_form(data)`` is called once; it may return metrics. The checkpoint is
  written as after a training, so that ``@last``, ``infer`` and ``export`` do not see a difference.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from facemorph import console

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train(cfg: DictConfig) -> float | None:
    """Run the job of one composed config.

    Args:
        cfg: The config, inside a Hydra job.

    Returns:
        The value of ``optimized_metric``, for a sweep.

    Raises:
        FacemorphError: The config, the data or the disk is at fault.
    """
    from hydra.core.hydra_config import HydraConfig

    from facemorph.config.compose import plain
    from facemorph.training.finished import find_finished, mark_finished
    from facemorph.training.session import dry_run, fit, metric_of, open_session

    config = plain(cfg)
    if cfg.skip_finished and not cfg.dry_run and (earlier := find_finished(config)):
        console.out.print(f"finished before: {earlier[0]}", markup=False)
        return metric_of(earlier[1], cfg.optimized_metric)
    try:
        session = open_session(
            config, experiment=HydraConfig.get().runtime.choices.get("experiment")
        )
        if cfg.dry_run:
            dry_run(session)
            return None
        checkpoint = fit(session)
        if not session.needs_training or session.system.trainer.is_global_zero:
            mark_finished(session.folder, config, session.metrics)
            console.next_command(f"facemorph infer checkpoint={checkpoint} output=out/")
        return metric_of(session.metrics, cfg.optimized_metric)
    finally:
        if "wandb" in sys.modules:  # else the jobs of a sweep run into one another
            sys.modules["wandb"].finish()


def main() -> None:
    """Entry point: Hydra overrides on the command line."""
    from facemorph.entry.launch import run_and_exit
    from facemorph.entry.threads import leave_cores_free
    from facemorph.jobs.memory import keep_freed_memory

    leave_cores_free()
    keep_freed_memory()
    run_and_exit(train, "train")


if __name__ == "__main__":
    main()
