"""Two processes on the CPU: the same result as one, no different configs, and no orphans."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch
from helpers import SUPPORT, forked

SCRIPT = str(SUPPORT / "toy_train.py")
# (script, experiment, further overrides); other systems are added here.
CASES = [(SCRIPT, "toy/tiny", ()), (SCRIPT, "toy/steps", ())]


def start(folder: Path, script: str, *words: str) -> forked.Forked:
    """The first process; it starts the others itself, by the path of the script."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return forked.start(script, *words, folder=folder, environment=environment, session=True)


def processes_in_session(leader: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def assert_all_gone(leader: int, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while processes_in_session(leader) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes_in_session(leader)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(next(folder.rglob("last.ckpt")), weights_only=True)["state_dict"]


@pytest.mark.slow
@pytest.mark.parametrize(("script", "experiment", "words"), CASES, ids=[case[1] for case in CASES])
def test_two_processes_learn_what_one_learns_from_the_whole_batch(
    tmp_path, script, experiment, words
):
    for device in ("cpu", "ddp_cpu"):
        process = start(
            tmp_path / device,
            script,
            f"experiment={experiment}",
            f"device={device}",
            "logger=none",
            *words,
        )
        _, errors = process.communicate(timeout=900)
        assert process.returncode == 0, errors
    one, two = weights(tmp_path / "cpu"), weights(tmp_path / "ddp_cpu")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_different_configs_are_refused(tmp_path):
    wrapper = tmp_path / "script.py"
    wrapper.write_text(f"""
import os, sys
sys.path.insert(0, {str(SUPPORT)!r})
from facemorph.config.targets import trust_package
from facemorph.train import main
trust_package("facemorph_toy")
if os.environ.get("LOCAL_RANK") == "1":
    sys.argv.append("system.lr=0.5")      # as a sweeper without a seed would
main()
""")
    process = start(
        tmp_path,
        str(wrapper),
        "--config-dir",
        str(SUPPORT / "conf"),
        "experiment=toy/tiny",
        "device=ddp_cpu",
        "logger=none",
    )
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 2, errors
    assert "different configs" in errors
    assert not list(tmp_path.rglob("last.ckpt"))
    assert_all_gone(process.pid)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_job(tmp_path, rank):
    process = start(
        tmp_path,
        SCRIPT,
        "experiment=toy/tiny",
        "device=ddp_cpu",
        "logger=none",
        "trainer.max_epochs=500",
        "system.sleep=0.02",
        f"system.kill_rank={rank}",
    )
    process.communicate(timeout=900)
    assert process.returncode != 0
    assert_all_gone(process.pid)


@pytest.mark.slow
def test_sigterm_to_the_first_process_stops_all_and_saves(tmp_path):
    process = start(
        tmp_path,
        SCRIPT,
        "experiment=toy/tiny",
        "device=ddp_cpu",
        "logger=none",
        "trainer.max_epochs=500",
        "system.sleep=0.02",
    )
    limit = time.monotonic() + 600
    while not list(tmp_path.rglob("last.ckpt")) and time.monotonic() < limit:
        assert process.poll() is None, process.errors
        time.sleep(0.1)
    process.terminate()
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 143, errors
    assert list(tmp_path.rglob("interrupted.ckpt"))
    assert_all_gone(process.pid)
