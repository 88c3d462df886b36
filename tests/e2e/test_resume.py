"""A run that was stopped at any batch ends with the same weights, bit for bit."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from facemorph_toy import ToyData, ToyGan, ToyNet, ToySteps, ToySystem
from lightning.pytorch import Callback

from facemorph.errors import Interrupted
from facemorph.storage.checkpoint import load_checkpoint, weights_of
from facemorph.training.checkpoint_io import AtomicCheckpointIO
from facemorph.training.checkpoints import RunCheckpoints
from facemorph.training.ema import EMA
from facemorph.training.exact_resume import ExactResume
from facemorph.training.nan_guard import NaNGuard

BATCHES, EPOCHS = 5, 3


class StopAfter(Callback):
    """As if a signal came in the middle of batch number `batches` (or in the validation
    after it).
    """

    def __init__(self, batches: int, hook: str = "train"):
        self.batches, self.hook, self.count = batches, hook, 0

    def _raise_signal(self, trainer):
        checkpoints = next(c for c in trainer.callbacks if isinstance(c, RunCheckpoints))
        checkpoints._received = 15

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.count += 1
        if self.hook == "train" and self.count == self.batches:
            self._raise_signal(trainer)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if self.hook == "validation" and self.count == self.batches:
            self._raise_signal(trainer)


def run(
    folder: Path,
    *,
    kind: str,
    workers: int = 0,
    stop: StopAfter | None = None,
    resume: Path | None = None,
    epochs: int = EPOCHS,
    val_check_interval: float | int = 1.0,
) -> dict[str, torch.Tensor]:
    pl.seed_everything(3, verbose=False)
    net = ToyNet(dropout=0.3)
    system = ToyGan(net, ToyNet(dropout=0.1)) if kind == "gan" else ToySystem(net)
    data = ToySteps(BATCHES) if kind == "steps" else ToyData(num_workers=workers)
    torch.rand(17 if resume else 3)  # what a process drew before it resumed must not matter
    callbacks = [EMA(["net"]), ExactResume(), NaNGuard(), RunCheckpoints(folder)]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[*callbacks, *([stop] if stop else [])],
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        val_check_interval=val_check_interval,
    )
    if stop is None:
        trainer.fit(system, datamodule=data, ckpt_path=resume, weights_only=True)
    else:
        with pytest.raises(Interrupted):
            trainer.fit(system, datamodule=data, ckpt_path=resume, weights_only=True)
        return {}
    content = load_checkpoint(folder / "last.ckpt")
    moments = {
        f"moment {i} {k}": v["exp_avg_sq"]
        for i, optimizer in enumerate(content["optimizer_states"])
        for k, v in optimizer["state"].items()
    }
    raw = {f"raw {name}": value for name, value in content["state_dict"].items()}
    assert raw.keys() == {f"raw {n}" for n in system.state_dict()}
    return raw | moments | {f"average {n}": v for n, v in weights_of(content).items()}


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    cache: dict = {}

    def get(kind, workers):
        if (kind, workers) not in cache:
            cache[kind, workers] = run(tmp_path_factory.mktemp("whole"), kind=kind, workers=workers)
        return cache[kind, workers]

    return get


@pytest.mark.parametrize("kind", ["gan", "plain", "steps"])
@pytest.mark.parametrize("batches", range(1, BATCHES * EPOCHS + 1))
def test_stop_at_any_batch_and_resume(tmp_path, whole, kind, batches):
    run(tmp_path / "a", kind=kind, stop=StopAfter(batches))
    resumed = run(tmp_path / "b", kind=kind, resume=tmp_path / "a" / "interrupted.ckpt")
    assert equal(resumed, whole(kind, 0))


@pytest.mark.slow
@pytest.mark.parametrize("batches", [2, 5, 8, 10])
def test_with_two_workers(tmp_path, whole, batches):
    run(tmp_path / "a", kind="gan", workers=2, stop=StopAfter(batches))
    resumed = run(tmp_path / "b", kind="gan", workers=2, resume=tmp_path / "a" / "interrupted.ckpt")
    assert equal(resumed, whole("gan", 2))
    assert equal(whole("gan", 0), whole("gan", 2))


@pytest.mark.parametrize("batches", [5, 10])
def test_stop_in_the_validation(tmp_path, whole, batches):
    run(tmp_path / "a", kind="gan", stop=StopAfter(batches, "validation"))
    resumed = run(tmp_path / "b", kind="gan", resume=tmp_path / "a" / "interrupted.ckpt")
    assert equal(resumed, whole("gan", 0))


def test_validation_inside_an_epoch_changes_nothing(tmp_path, whole):
    every_two = run(tmp_path / "a", kind="gan", val_check_interval=2)
    assert equal(every_two, whole("gan", 0))


def test_stop_twice(tmp_path, whole):
    run(tmp_path / "a", kind="gan", stop=StopAfter(4))
    run(tmp_path / "b", kind="gan", stop=StopAfter(3), resume=tmp_path / "a" / "interrupted.ckpt")
    resumed = run(tmp_path / "c", kind="gan", resume=tmp_path / "b" / "interrupted.ckpt")
    assert equal(resumed, whole("gan", 0))


def test_a_finished_run_goes_on(tmp_path, whole):
    run(tmp_path / "a", kind="gan", epochs=1)
    longer = run(tmp_path / "b", kind="gan", resume=tmp_path / "a" / "last.ckpt")
    assert equal(longer, whole("gan", 0))
