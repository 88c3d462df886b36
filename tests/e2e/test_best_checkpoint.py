"""``best.ckpt``: the epoch with the best value of a metric, also over an interruption."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from facemorph_toy import ToyNet, ToySteps, ToySystem

from facemorph.errors import CheckpointError, ConfigError, Interrupted
from facemorph.storage.checkpoint import load_checkpoint
from facemorph.storage.runs import latest_checkpoint, register_run
from facemorph.training.checkpoint_io import AtomicCheckpointIO
from facemorph.training.checkpoints import RunCheckpoints
from facemorph.training.exact_resume import ExactResume

VALUES = (5.0, 3.0, 4.0, 2.0, float("nan"), 2.5)
BATCHES, EPOCHS = 3, 6


class Measured(ToySystem):
    """Logs a given value at the end of each epoch."""

    def on_train_epoch_end(self):
        self.log("quality/error", VALUES[self.current_epoch])


def run(folder, epochs=EPOCHS, *, stop=None, resume=None, **options):
    pl.seed_everything(1, verbose=False)
    checkpoints = RunCheckpoints(folder, **{"monitor": "quality/error"} | options)

    class Stop(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if checkpoints.batches + 1 == stop:
                checkpoints._received = 15

    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[Stop(), ExactResume(), checkpoints],
        num_sanity_val_steps=0,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
    )
    trainer.fit(
        Measured(ToyNet()), datamodule=ToySteps(BATCHES), ckpt_path=resume, weights_only=True
    )
    return checkpoints


@pytest.mark.parametrize(
    ("options", "epoch", "value"),
    [
        ({}, 3, 2.0),
        ({"mode": "max"}, 0, 5.0),
        ({"after_epochs": 4}, 5, 2.5),
        ({"mode": "max", "after_epochs": 1}, 2, 4.0),
    ],
)
def test_the_best_epoch_is_kept(tmp_path, options, epoch, value):
    assert run(tmp_path, **options).best == value
    best, last = (load_checkpoint(tmp_path / name) for name in ("best.ckpt", "last.ckpt"))
    assert (best["epoch"], last["epoch"]) == (epoch, len(VALUES) - 1)
    assert [c["best"] for k, c in last["callbacks"].items() if "RunCheckpoints" in k] == [value]


def test_none_without_a_monitor_or_before_its_time(tmp_path):
    run(tmp_path / "a", 2, monitor=None)
    run(tmp_path / "b", 2, after_epochs=2)
    assert not list(tmp_path.rglob("best.ckpt"))


@pytest.mark.parametrize("stop", range(1, BATCHES * 5))
def test_an_interruption_changes_nothing(tmp_path, stop, whole_best):
    with pytest.raises(Interrupted):
        run(tmp_path / "a", stop=stop)
    resumed = run(tmp_path / "b", resume=tmp_path / "a" / "interrupted.ckpt")
    assert resumed.best == 2.0
    found = load_checkpoint(tmp_path / "b" / "best.ckpt")
    assert found["epoch"] == whole_best["epoch"]
    assert all(
        torch.equal(value, found["state_dict"][name])
        for name, value in whole_best["state_dict"].items()
    )


@pytest.fixture(scope="module")
def whole_best(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return load_checkpoint(folder / "best.ckpt")


def test_the_old_best_is_gone(tmp_path, capfd):
    run(tmp_path / "a", 4)
    (tmp_path / "a" / "best.ckpt").unlink()
    assert run(tmp_path / "b", resume=tmp_path / "a" / "last.ckpt").best == 2.5
    assert "best.ckpt" in capfd.readouterr().err


def test_a_metric_that_is_not_there(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"callbacks.checkpoints.monitor.*train/loss.*Did you mean 'quality/error'",
    ):
        run(tmp_path, monitor="quality/eror")
    with pytest.raises(ConfigError, match="mode"):
        RunCheckpoints(tmp_path, monitor="x", mode="best")


def test_a_full_disk_keeps_the_search_open(tmp_path, monkeypatch):
    real = AtomicCheckpointIO.save_checkpoint

    def save(self, checkpoint, path, storage_options=None):
        if Path(path).name == "best.ckpt" and checkpoint["epoch"] == 3:
            raise CheckpointError("disk full")
        real(self, checkpoint, path)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", save)
    assert run(tmp_path).best == 2.5
    assert load_checkpoint(tmp_path / "best.ckpt")["epoch"] == 5


def test_alias(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "last.ckpt").touch()
        register_run(tmp_path, tmp_path / name, system=name, experiment=None, key=name)
    best = tmp_path / "one" / "checkpoints" / "best.ckpt"
    best.touch()
    assert latest_checkpoint("@best:one", root=tmp_path).resolve() == best.resolve()
    with pytest.raises(CheckpointError, match=r"no best checkpoint.*@last"):
        latest_checkpoint("@best", root=tmp_path)
