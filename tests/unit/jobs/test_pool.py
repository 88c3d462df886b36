"""Processes of a pool have what they need without importing it each."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MODULE = """
import os

IMPORTED_BY = os.getpid()


def ready():
    pass


def who(_):
    return IMPORTED_BY, os.getpid()
"""
PROGRAM = """
import json, sys
from pathlib import Path
import needed
from facemorph.jobs.pool import StopSignals, results_from_pool

if __name__ == "__main__":
    pool = results_from_pool(
        range(8), needed.who, 2, StopSignals(), Path(sys.argv[1]), needed.ready, (), ["needed"]
    )
    print(json.dumps([needed.IMPORTED_BY, list(pool)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked from a server on Linux")
def test_one_process_imports_for_all(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    (tmp_path / "needed.py").write_text(MODULE)
    (tmp_path / "program.py").write_text(PROGRAM)
    said = subprocess.run(
        [sys.executable, tmp_path / "program.py", tmp_path],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    here, found = json.loads(said.stdout)
    importers, processes = ({row[at] for row in found} for at in (0, 1))
    assert len(importers) == 1
    assert not importers & {here, *processes}
