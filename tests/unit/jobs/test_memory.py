"""Memory that a training frees stays for its next step; a server gives its own back."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from facemorph import cli
from facemorph.jobs import memory
from facemorph.jobs.memory import give_freed_memory_back, keep_freed_memory

STEPS = """
import resource
import numpy as np
from facemorph.jobs.memory import keep_freed_memory

def step():
    return sum(float(np.ones(size, np.float32).sum()) for size in (3_000_000, 12_000_000))

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

step()
plain = new_pages()
assert keep_freed_memory()
step()
print(plain, new_pages())
"""


def test_pages_are_not_made_anew():
    """Five steps of 60 MB: some 60,000 pages of 4 KiB, and next to none."""
    if not keep_here():
        pytest.skip("glibc on Linux only")
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    plain, kept = map(int, done.stdout.split())
    assert kept < plain / 50
    assert kept < 200


HELD = """
import numpy as np
from facemorph.jobs import memory
from facemorph.jobs.memory import give_freed_memory_back

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

arrays = [np.ones(12_000, np.float64) for _ in range(2000)]  # 96 KB each: below mmap's threshold
stays = arrays[::20]
del arrays
before = held()
given = give_freed_memory_back()
print(given, before - held(), len(stays))
"""


def test_what_was_freed_between_what_stays_is_given_back():
    """200 MB, of which a twentieth stays: nearly all of the rest is the system's again."""
    if not keep_here():
        pytest.skip("glibc on Linux only")
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    given, back, *_ = done.stdout.split()
    assert given == "True"
    assert int(back) > 150e6


def keep_here() -> bool:
    return sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()
    assert not give_freed_memory_back()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", None)
    assert not keep_freed_memory()
    assert not give_freed_memory_back()


@pytest.mark.parametrize(("command", "kept"), [("train", True), ("morph", False)])
def test_only_trainings_keep_it(monkeypatch, command, kept):
    called = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: called.append(True))
    monkeypatch.setattr(cli, "leave_cores_free", lambda: None)
    monkeypatch.setattr(cli, "run", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["facemorph", command])
    with pytest.raises(SystemExit):
        cli.main()
    assert bool(called) is kept


def test_the_parameters_are_glibcs():
    """malloc.h: M_TRIM_THRESHOLD -1, M_TOP_PAD -2, M_MMAP_MAX -4."""
    assert (memory.TRIM_THRESHOLD, memory.TOP_PAD, memory.MMAP_MAX) == (-1, -2, -4)
