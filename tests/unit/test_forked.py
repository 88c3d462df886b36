"""The children that tests run commands in are processes like those that a shell starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import forked

ENDS = [
    "raise SystemExit",
    "raise SystemExit(3)",
    "raise SystemExit('not so')",
    "raise ValueError('no')",
    "raise KeyboardInterrupt",
    "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "import atexit; atexit.register(print, 'at its end'); print('before')",
]


@pytest.fixture(autouse=True, scope="module")
def real(tmp_path_factory):
    """A Python that was started, for comparison: all ends at once, as this takes a while."""
    folder = tmp_path_factory.mktemp("real")
    return {
        code: subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
        )
        for code in ENDS
    }


@pytest.mark.parametrize("code", ENDS)
def test_ends_as_a_started_python(real, tmp_path, code):
    done = forked.finish("-c", code, folder=tmp_path)
    assert done.returncode == real[code].returncode
    assert done.stdout == real[code].stdout
    # Tracebacks have the same last line.
    assert done.stderr.splitlines()[-1:] == real[code].stderr.splitlines()[-1:]


def test_has_its_own_folder_words_environment_and_session(tmp_path):
    (tmp_path / "neighbour.py").write_text("name = 'neighbour'")
    (tmp_path / "script.py").write_text(
        "import os, sys, neighbour\n"
        "if __name__ == '__main__':\n"
        "    print(os.getcwd(), sys.argv, neighbour.name, dict(os.environ), os.getsid(0))\n"
    )
    process = forked.start(
        tmp_path / "script.py", "a", "--b", folder=tmp_path, environment={"C": "d"}, session=True
    )
    output, errors = process.communicate(timeout=900)
    words = [str(tmp_path / "script.py"), "a", "--b"]
    assert output.split(maxsplit=1)[0] == str(tmp_path), errors
    assert output.endswith(f" {words} neighbour {{'C': 'd'}} {process.pid}\n")
    assert Path.cwd() != tmp_path
    assert "C" not in os.environ


def test_is_the_main_module_of_a_command(tmp_path):
    done = forked.finish(
        "-m", "facemorph.cli", "morph", "a.png", "b.png", "-o", "m.mp4", folder=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: a.png: file not found")
    assert not list(tmp_path.iterdir())


def test_computes_on_one_thread_with_what_was_imported_before(tmp_path):
    code = """
import sys
loaded = {"torch", "lightning.pytorch", "facemorph.training.session"} <= set(sys.modules)
import numba, torch
@numba.njit
def twice(value):
    return 2 * value
ones = torch.ones(9, 9)
print(loaded, torch.get_num_threads(), twice(3), float((ones @ ones).sum()))
"""
    done = forked.finish("-c", code, folder=tmp_path)
    assert done.stdout.split() == ["True", "1", "6", "729.0"], done.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, -15), (signal.SIGKILL, -9)]
)
def test_gets_signals(tmp_path, number, code):
    process = forked.start(
        "-c", "print('on', flush=True); import time; time.sleep(900)", folder=tmp_path
    )
    # Where PYTHONUNBUFFERED is set, the end of the line is written after the word.
    while not process.output.endswith("\n") and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(timeout=900) == code
    assert process.output == "on\n"


def test_a_child_that_does_not_end_is_no_result(tmp_path):
    process = forked.start("-c", "import time; time.sleep(900)", folder=tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.1)
    process.kill()
    assert process.wait(timeout=900) == -signal.SIGKILL
