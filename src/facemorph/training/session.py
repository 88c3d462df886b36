"""One training from its config to its last checkpoint."""

from __future__ import annotations

import logging
import resource
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import (
    Callback,
    LightningDataModule,
    LightningModule,
    Trainer,
    seed_everything,
)
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from facemorph import console
from facemorph.config.build import build
from facemorph.config.compose import suggestion
from facemorph.errors import CheckpointError, ConfigError, FacemorphError
from facemorph.ops.memory import is_out_of_memory
from facemorph.storage.checkpoint import RECORD, load_checkpoint, load_system, save_atomic
from facemorph.storage.runs import CHECKPOINTS, latest_checkpoint
from facemorph.training.budget import with_batches_for_steps
from facemorph.training.checkpoint_io import AtomicCheckpointIO
from facemorph.training.gradient_sync import with_own_sync
from facemorph.training.run_card import RunCard, training_key

DRY_BATCHES = 4


@dataclass
class Session:
    """What a config describes, built."""

    config: dict[str, Any]
    # a LightningModule; Any, because the closed-form methods are a contract, not a class
    system: Any
    data: LightningDataModule
    card: RunCard
    folder: Path
    metrics: dict[str, Any] = field(default_factory=dict)  # the last values logged, once fitted

    @property
    def needs_training(self) -> bool:
        """False for a system with a closed-form solution: its ``requires_training`` says so."""
        return bool(getattr(self.system, "requires_training", True))


def open_session(config: dict[str, Any], *, experiment: str | None = None) -> Session:
    """Seed everything and build the system and its data.

    Args:
        config: The resolved config as a plain dict.
        experiment: Name of the experiment file, for the index of runs.

    Raises:
        ConfigError: No system or data is chosen, or one of them cannot be built.
    """
    be_quiet()
    for group in ("system", "data"):
        if not config.get(group):
            raise ConfigError(
                f"no {group} is chosen",
                where=group,
                remedy="Choose an experiment: `facemorph list "
                f"experiments` names them; or give {group}=... yourself.",
            )
    seed_everything(config["seed"], workers=True, verbose=False)
    folder = Path(config["paths"]["output_dir"])
    root = None if config["dry_run"] else config["paths"]["output_root"]
    data = _built(config, "data", LightningDataModule)
    # first weights do not depend on the data
    seed_everything(config["seed"], workers=True, verbose=False)
    system = _built(config, "system", LightningModule)
    return Session(config, system, data, RunCard(config, folder, root, experiment), folder)


def _built(config: dict[str, Any], key: str, kind: type) -> Any:
    found = build({key: config[key]})[key]  # inside its key, so that messages name it
    if not isinstance(found, kind):
        raise ConfigError(f"this is no {kind.__name__}", where=key, found=type(found).__name__)
    return found


def be_quiet() -> None:
    """Leave out Lightning's advertisements and what is no problem here."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*dataloader is not resumable.*",
        ".*LeafSpec.*",
        ".*smaller than the logging interval.*",
        ".*Checkpoint directory .* exists.*",
        ".*litlogger.*",
        ".*is not resumable.*",
        ".*found in eval mode.*",
        ".*defined a `validation_step`.*",
    ):
        warnings.filterwarnings("ignore", message=text)


def make_trainer(session: Session, **changes: Any) -> Trainer:
    """Build the trainer with its callbacks, logger and atomic checkpoints.

    Args:
        session: The session.
        **changes: Arguments that replace those of the config.
    """
    automatic = bool(getattr(session.system, "automatic_optimization", True))
    config = with_batches_for_steps(session.config, automatic)
    callbacks = [
        build({"callbacks": {name: node}})["callbacks"][name]
        for name, node in (config.get("callbacks") or {}).items()
        if node
    ]
    wrong = [type(c).__name__ for c in callbacks if not isinstance(c, Callback)]
    if wrong:
        raise ConfigError("this is no callback", where="callbacks", found=", ".join(wrong))
    # The card comes first, since it compares the configs of all processes.
    arguments: dict[str, Any] = {
        "callbacks": [session.card, *callbacks],
        "plugins": [AtomicCheckpointIO()],
        "enable_checkpointing": True,
        "enable_model_summary": False,
        "default_root_dir": str(session.folder),
    }
    arguments["logger"] = build(config["logger"]) if config.get("logger") else False
    try:
        return build(with_own_sync(config["trainer"], session.system), **{**arguments, **changes})
    except MisconfigurationException as error:  # such as a GPU that is not there
        raise ConfigError(
            str(error).splitlines()[0],
            where="trainer",
            found=f"device {config['trainer'].get('accelerator')}",
            remedy="`facemorph doctor` lists the devices; device=cpu always works.",
        ) from error


def find_resume(config: dict[str, Any]) -> Path | None:
    """The checkpoint that ``resume`` asks for; None starts anew.

    Raises:
        CheckpointError: The file cannot be read, or is no checkpoint of a training.
    """
    resume = config.get("resume")
    if not resume:
        return None
    if resume == "auto":
        try:
            path = latest_checkpoint(
                root=Path(config["paths"]["output_root"]), key=training_key(config)
            )
        except CheckpointError:
            console.err.print("resume=auto: no earlier run of this training; starting anew")
            return None
    elif str(resume).startswith("@"):
        path = latest_checkpoint(str(resume), root=Path(config["paths"]["output_root"]))
    else:
        path = Path(resume)
    content = load_checkpoint(path)
    if "loops" not in content and RECORD not in content:
        raise CheckpointError("this is not the checkpoint of a training", where=path)
    earlier = content.get(RECORD, {}).get("config", {})
    changed = [name for name in ("system", "data", "seed") if earlier.get(name) != config.get(name)]
    if changed:
        console.err.print(
            f"[yellow]resuming with another {' and '.join(changed)} than that of[/yellow] {path}"
        )
    console.err.print(f"resuming {path}")
    return path


def fit(session: Session) -> Path:
    """Train, or solve in closed form, and return the last checkpoint.

    Raises:
        FacemorphError: What the system, its data or a callback says.
    """
    last = session.folder / CHECKPOINTS / "last.ckpt"
    if not session.needs_training:
        session.metrics = dict(session.system.fit_closed_form(session.data) or {})
        session.card.write()
        log_metrics(session)
        save_atomic(closed_form_checkpoint(session), last)
        return last
    trainer = make_trainer(session)
    resume = find_resume(session.config)
    with explained_memory(session.config):
        trainer.fit(session.system, datamodule=session.data, ckpt_path=resume, weights_only=True)
    session.metrics = dict(trainer.callback_metrics)
    return last


def log_metrics(session: Session) -> None:
    """Give the metrics of a system that no trainer has seen to the config's logger."""
    if session.config.get("logger") and session.metrics:
        logger = build(session.config["logger"])
        logger.log_metrics(session.metrics, step=0)
        logger.finalize("success")


def closed_form_checkpoint(session: Session) -> dict[str, Any]:
    """A checkpoint with all that inference reads, of a system that no trainer has seen."""
    import lightning.pytorch as pl

    return {
        "state_dict": session.system.state_dict(),
        RECORD: session.card.record,
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": pl.__version__,
        "loops": {},
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
    }


class explained_memory:  # noqa: N801
    """Context that turns running out of memory into what to lower, with the current numbers."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: Any
    ) -> None:
        """Raise the explained error in the place of torch's or Python's."""
        if not is_out_of_memory(error):
            return
        knobs = [
            f"data.{name}={value}"
            for name, value in self.config.get("data", {}).items()
            if isinstance(value, int)
            and any(w in name for w in ("batch", "size", "chunk", "points", "resolution"))
        ]
        raise FacemorphError(
            "out of memory",
            where="trainer",
            found=f"peak {peak_memory():.1f} GB" + (f" with {', '.join(knobs)}" if knobs else ""),
            remedy="Lower the batch size, resolution or chunk size.",
        ) from error


def peak_memory() -> float:
    """Most memory used so far in GB: of the GPU where one is used, else of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def metric_of(trainer_metrics: dict[str, Any], name: str | None) -> float | None:
    """The metric that a sweep looks at.

    Raises:
        ConfigError: No such metric was logged.
    """
    if name is None:
        return None
    if name not in trainer_metrics:
        raise ConfigError(
            "no such metric was logged",
            where="optimized_metric",
            found=name,
            remedy=suggestion(name, trainer_metrics),
        )
    return float(trainer_metrics[name])


class _Clock(Callback):
    """Time of every batch."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())


def dry_run(session: Session) -> None:
    """Try everything once, from the first batch to the checkpoint's reload; print what a run would
    take.
    """
    if not session.needs_training:
        session.system.fit_closed_form(session.data)
        last = session.folder / CHECKPOINTS / "last.ckpt"
        save_atomic(closed_form_checkpoint(session), last)
        load_system(last)
        console.out.print(f"dry run: ok; closed form, memory {peak_memory():.2f} GB")
        return
    trainer = make_trainer(
        session,
        limit_train_batches=DRY_BATCHES,
        limit_val_batches=1,
        max_epochs=1,
        max_steps=-1,
        logger=False,
        check_val_every_n_epoch=1,
        val_check_interval=1.0,
    )
    clock = _Clock()
    trainer.callbacks.append(clock)  # type: ignore[attr-defined]
    with explained_memory(session.config):
        trainer.fit(session.system, datamodule=session.data)
    if not trainer.is_global_zero:
        return
    last = session.folder / CHECKPOINTS / "last.ckpt"
    load_system(last)
    steps = [b - a for a, b in zip(clock.times, clock.times[1:], strict=False)] or [0.0]
    step = sorted(steps)[len(steps) // 2]
    total = planned_batches(session)
    estimate = (
        f"{total} batches take about {step * total / 60:.1f} min"
        if total
        else "the number of batches is open"
    )
    console.out.print(
        f"dry run: ok; {1000 * step:.1f} ms per batch, {estimate} without validation; "
        f"memory {peak_memory():.2f} GB; a checkpoint is {last.stat().st_size / 1e6:.1f} MB"
    )


def planned_batches(session: Session) -> int | None:
    """Batches of the whole run, as far as the config and the loader tell."""
    automatic = bool(getattr(session.system, "automatic_optimization", True))
    config = with_batches_for_steps(session.config, automatic)
    trainer, budget = config["trainer"], (config.get("callbacks") or {}).get("budget") or {}
    loader = session.data.train_dataloader()
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    limits = [steps * trainer.get("accumulate_grad_batches", 1)] if steps and steps > 0 else []
    limits += [budget["max_batches"]] if budget.get("max_batches") else []
    if epochs and epochs > 0 and hasattr(loader, "__len__"):
        limits.append(epochs * len(loader))
    return min(limits) if limits else None
