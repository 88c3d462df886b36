"""What the data-set benchmark measures."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from facemorph.bench.dataset import run_measured, session_memory


def test_memory_of_a_session_counts_its_processes():
    code = (
        "import os, time; x = bytearray(60_000_000); os.fork(); x[::4096] = b'1' * len(x[::4096]); "
        "print(flush=True); time.sleep(900)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        process.stdout.readline(), process.stdout.readline()
        most = session_memory(process.pid)
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()
    assert 100_000_000 < most < 400_000_000


@pytest.mark.slow
def test_a_command_is_measured_and_a_failure_raised():
    # Its memory is looked at four times a second: a command that is over sooner is not seen.
    seconds, memory = run_measured(["doctor"])
    assert seconds > 0
    assert memory > 1_000_000
    with pytest.raises(subprocess.CalledProcessError):
        run_measured(["morph-dataset", "nothing.txt", "--images", ".", "-o", "/nowhere"])
