"""``facemorph bench training``: exact resume after a kill, two processes against one, overhead of
the training loop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder
from facemorph.bench.table import Row, row
from facemorph.storage.checkpoint import load_checkpoint

TINY = ("experiment=ifmorph/tiny", "logger=none", "trainer.max_epochs=4", "data.steps_per_epoch=25")


def run(folder: Path | None = None) -> list[Row]:
    """All rows of the suite; ``folder`` is not used."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        whole = _weights(_train(root / "whole", "device=cpu"))
        killed = _killed_and_resumed(root / "killed")
        # ifmorph/tiny as it is: 10 steps
        shipped = ("data.steps_per_epoch=5", "trainer.max_epochs=2")
        one, two = (
            _weights(_train(root / name, f"device={name}", *shipped)) for name in ("cpu", "ddp_cpu")
        )
        seconds, steps = _demo_rate(root / "rate")
    return [
        row(
            "resume after SIGKILL: weights that differ in any bit",
            _differing(whole, killed),
            "",
            "== 0",
        ),
        row(
            "2-rank DDP against one process, 10 steps, largest difference",
            _largest(one, two),
            "",
            "<= 1e-6",
        ),
        row("ifmorph/demo through train.py", steps / seconds, "steps/s"),
    ]


def _words(root: Path, *words: str) -> list[str]:
    a, b = (sample_folder() / name for name in PHOTOGRAPHS)
    own = [f"data.a={a}", f"data.b={b}", f"paths.output_root={root}"]
    return [sys.executable, "-m", "facemorph.train", *own, *words]


def _train(root: Path, *words: str) -> Path:
    subprocess.run(  # noqa: S603
        _words(root, *TINY, *words),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return _last(root)


def _last(root: Path) -> Path:
    return max(root.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)


def _killed_and_resumed(root: Path) -> dict[str, Tensor]:
    """Kill a training as soon as it has written a checkpoint, and let ``resume=auto`` end it."""
    words = (*TINY, "device=cpu", "callbacks.checkpoints.every_batches=7")
    process = subprocess.Popen(  # noqa: S603
        _words(root, *words),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and not list(root.rglob("last.ckpt")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return _weights(
        _train(root, "device=cpu", "callbacks.checkpoints.every_batches=7", "resume=auto")
    )


def _weights(checkpoint: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = load_checkpoint(checkpoint)["state_dict"]
    return state


def _differing(one: dict[str, Tensor], two: dict[str, Tensor]) -> int:
    return sum(not torch.equal(one[name], two[name]) for name in one) + abs(len(one) - len(two))


def _largest(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    return max(float((one[name].double() - two[name].double()).abs().max()) for name in one)


def _demo_rate(root: Path, steps: int = 200) -> tuple[float, int]:
    """Seconds of the training loop alone: a long run less a short one."""
    times = []
    for epochs in (1, 3):
        start = time.perf_counter()
        subprocess.run(  # noqa: S603
            _words(
                root,
                "experiment=ifmorph/demo",
                "device=cpu",
                "logger=none",
                f"trainer.max_epochs={epochs}",
                f"data.steps_per_epoch={steps // 2}",
            ),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - start)
    return times[1] - times[0], steps
