"""Whole training processes: interrupted, resumed, diverging, dry, swept, and with wrong words."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from helpers import SUPPORT, forked

TRAIN = SUPPORT / "toy_train.py"


def train(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return forked.finish(TRAIN, *words, folder=folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)]
)
def test_signal_saves_and_tells_how_to_go_on(tmp_path, number, code):
    words = ["experiment=toy/tiny", "system.sleep=0.05", "trainer.max_epochs=100", "logger=none"]
    process = forked.start(TRAIN, *words, folder=tmp_path)
    limit = time.monotonic() + 600
    while not list(tmp_path.rglob("last.ckpt")) and time.monotonic() < limit:
        assert process.poll() is None, process.errors
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == code, errors
    saved = next(tmp_path.rglob("interrupted.ckpt"))
    assert f"resume={saved}" in errors
    assert "Traceback" not in errors
    again = train(
        tmp_path, "experiment=toy/tiny", "trainer.max_epochs=100", f"resume={saved}", "logger=none"
    )
    assert again.returncode == 0, again.stderr
    assert "resuming" in again.stderr


@pytest.mark.slow
def test_resume_auto_finds_the_same_training_only(tmp_path):
    first = train(tmp_path, "experiment=toy/tiny", "resume=auto", "trainer.max_epochs=1")
    assert "starting anew" in first.stderr
    second = train(tmp_path, "experiment=toy/tiny", "resume=auto", "trainer.max_epochs=2")
    assert "resuming" in second.stderr
    other = train(tmp_path, "experiment=toy/tiny", "resume=auto", "seed=5", "trainer.max_epochs=1")
    assert "starting anew" in other.stderr
    assert {p.returncode for p in (first, second, other)} == {0}


@pytest.mark.slow
def test_nan_is_left_out_then_stops(tmp_path):
    few = train(tmp_path, "experiment=toy/tiny", "system.nan_from=2", "system.nan_for=3")
    assert few.returncode == 0, few.stderr
    assert "left out" in few.stderr
    for state in (torch.load(p, weights_only=True) for p in tmp_path.rglob("last.ckpt")):
        assert all(torch.isfinite(v).all() for v in state["state_dict"].values())
        assert [c["skipped"] for n, c in state["callbacks"].items() if "NaNGuard" in n] == [3]
    many = train(
        tmp_path, "experiment=toy/tiny", "system.nan_from=2", "callbacks.nan_guard.patience=4"
    )
    assert many.returncode == 2
    for text in (
        "4 steps in a row",
        "net.layers.0.weight",
        "index =",
        "nan_batch_rank0.pt",
        "trainer.gradient_clip_val",
    ):
        assert text in many.stderr
    batch = torch.load(next(tmp_path.rglob("nan_batch_rank0.pt")), weights_only=True)
    assert batch["batch"]["x"].shape == (8, 4)


@pytest.mark.slow
def test_dry_run_writes_nothing(tmp_path):
    for experiment in ("toy/gan", "toy/steps", "toy/closed"):
        done = train(tmp_path, f"experiment={experiment}", "dry_run=true")
        assert done.returncode == 0, done.stderr
        assert "dry run: ok" in done.stdout
        assert "memory" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "no system is chosen"),
        (("experiment=toy/tny",), "Did you mean 'toy/tiny'"),
        (("experiment=toy/tiny", "system.lrr=1"), "Did you mean 'system.lr'"),
        (("experiment=toy/tiny", "data.batch_size=1000"), "data.batch_size"),
        (("experiment=toy/tiny", "resume=nosuch.ckpt"), "no such file"),
        (("experiment=toy/tiny", "paths.output_root=/proc/nowhere"), "/proc/nowhere"),
        (("experiment=toy/tiny", "device=gpu"), "device"),
    ],
)
def test_user_errors_leave_with_2_and_without_traceback(tmp_path, words, text):
    if "device=gpu" in words and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = train(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_sweep(tmp_path):
    done = train(
        tmp_path, "-m", "experiment=toy/tiny", "system.lr=0.1,0.01", "trainer.max_epochs=1"
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("last.ckpt"))) == 2
