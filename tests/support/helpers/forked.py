"""Commands as processes of their own, without the seven seconds in which each would import torch
and Lightning.

One helper per pytest process imports them once and forks a child for each command (the fork server
of `multiprocessing`, on one thread). A child has its own working folder, environment, words, output
and process group, gets signals, and ends with an exit code as a started Python does.

A real process is for what this cannot show: starting itself and what it imports, signals meanwhile,
memory, the wheel, and launchers that start Pythons by themselves (joblib's workers wait for ever).
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
import types
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

# What takes long to import; no module that a command runs as its main one. The compiler is what an
# optimizer imports at its first step.
IMPORTED = [
    "torch",
    "torch._dynamo",
    "lightning.pytorch",
    "facemorph.training.session",
    "facemorph.entry.launch",
]
CONTEXT = multiprocessing.get_context("forkserver")


class Forked:
    """A command that runs; its methods are those of `subprocess.Popen`.

    Attributes:
        pid: Number of the process.
        returncode: Exit code, or minus the signal that killed it; None until it was waited for.
    """

    def __init__(
        self, words: list[str], folder: Path, environment: Mapping[str, str], session: bool
    ):
        self._said = tempfile.TemporaryDirectory()
        self._paths = [Path(self._said.name) / name for name in ("output", "errors")]
        for path in self._paths:
            path.touch()
        start_server()
        self._process = CONTEXT.Process(
            target=_child, args=(words, folder, dict(environment), self._paths, session)
        )
        self._process.start()
        self.pid = self._process.pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for its end: what it wrote on standard output and error."""
        self.wait(timeout)
        return self.output, self.errors

    @property
    def output(self) -> str:
        """What it wrote on standard output so far."""
        return self._paths[0].read_text()

    @property
    def errors(self) -> str:
        """What it wrote on standard error so far."""
        return self._paths[1].read_text()

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start_server(_: object = None) -> None:
    """Start the helper where it does not run yet; processes of facemorph's own pools are forked
    from it too, whatever they would have imported.
    """
    forkserver.set_forkserver_preload(IMPORTED)
    with mock.patch.dict(os.environ, OMP_NUM_THREADS="1"):
        forkserver.ensure_running()


def start(
    *words: object,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    session: bool = False,
) -> Forked:
    """Start what ``python WORDS`` would.

    Args:
        words: ``-m MODULE``, ``-c CODE`` or a script, and the words after it.
        folder: Working folder.
        environment: All of its environment; that of the tests by default.
        session: Whether it leads a session of its own.
    """
    chosen = os.environ if environment is None else environment
    return Forked([str(word) for word in words], folder, chosen, session)


def finish(
    *words: object, folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run what ``python WORDS`` would to its end, as `start`."""
    process = start(*words, folder=folder, environment=environment)
    try:
        process.wait(timeout=900)
    finally:
        process.kill()
    return subprocess.CompletedProcess(words, process.returncode, process.output, process.errors)


def _child(
    words: list[str], folder: Path, environment: dict[str, str], paths: list[Path], session: bool
) -> None:
    if session:
        os.setsid()
    for number, path in enumerate(paths, start=1):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()  # or all children draw the same numbers
    code = _exit_code_of(words)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code == -signal.SIGINT:  # as Python ends by a Ctrl-C that nobody catches
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


def _exit_code_of(words: list[str]) -> int:
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        _run(words)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException as error:
        traceback.print_exc()
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _run(words: list[str]) -> None:
    if words[0] == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv = ["-m", *words[2:]]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *words[2:]]
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(words[1], main.__dict__)
    else:
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
