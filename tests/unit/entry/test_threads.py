"""How many CPU threads a command takes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from facemorph.entry.threads import leave_cores_free


@pytest.mark.parametrize(
    ("cores", "threads"), [(1, 1), (2, 1), (3, 1), (4, 2), (12, 6), (16, 8), (128, 8)]
)
def test_half_of_the_cores_at_most_eight(monkeypatch, cores, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    leave_cores_free()
    assert os.environ["OMP_NUM_THREADS"] == str(threads)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # restored at the end


def test_where_affinity_is_unknown(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    leave_cores_free()
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_the_users_number_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    leave_cores_free()
    assert os.environ["OMP_NUM_THREADS"] == "5"


@pytest.mark.slow
def test_torch_obeys():
    """Set before torch is imported, it counts for torch too."""
    code = (
        "import os; os.environ.pop('OMP_NUM_THREADS', None); os.sched_getaffinity = lambda _: "
        "range(2); "
        "from facemorph.entry.threads import leave_cores_free; leave_cores_free(); "
        "import torch; print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
