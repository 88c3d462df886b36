"""Start a Hydra job from overrides and end it as a command should: a user's error in one line, an
exit code.

Used by ``train.py``, ``infer.py`` and the ``facemorph`` command alike. Hydra's own entry point
reads ``sys.argv`` and prints its errors itself; here the overrides are an argument and errors come
back to be explained.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from facemorph.config.compose import conf_dir
from facemorph.config.explained import explain
from facemorph.config.overrides import COMPOSITION_ERRORS, complete_overrides, mode_of, quote_texts
from facemorph.entry.exits import guarded
from facemorph.errors import FacemorphError, OutputError


def run_job(task: Callable[[DictConfig], Any], config_name: str, overrides: Sequence[str]) -> None:
    """Compose a config and run a task with it, or many for ``--multirun``.

    Args:
        task: Called with the composed config.
        config_name: ``train``, ``infer`` or ``dataset``.
        overrides: What was typed: overrides and Hydra's own flags (``-m``, ``--cfg job``,
            ``--help``).

    Raises:
        FacemorphError: The task's own, or an override that is wrong.
    """
    from hydra import version

    parser = get_args_parser()
    # Intermixed: the launcher of a distributed run appends overrides after the options.
    arguments = parser.parse_intermixed_args(list(overrides))
    # Hydra would take `device=` for the group of that name, which is train's
    if config_name != "train":
        arguments.overrides = [
            f"torch_{word}" if word.startswith("device=") else word for word in arguments.overrides
        ]
    folder = Path(arguments.config_dir) if arguments.config_dir else None
    words = quote_texts(arguments.overrides)
    arguments.overrides = complete_overrides(config_name, words, folder)
    version.setbase("1.3")
    GlobalHydra.instance().clear()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands errors on instead of printing them
    failure: list[FacemorphError] = []
    started = False

    def quiet_task(cfg: DictConfig) -> Any:
        nonlocal started
        started = True
        # Hydra would announce every error in its own words; a sweep, though, must see that a job
        # failed.
        try:
            return task(cfg)
        except FacemorphError as error:
            if HydraConfig.get().mode != RunMode.RUN:
                raise
            failure.append(error)
            return None

    with ExitStack() as stack:
        stack.callback(_restore_logging, logging.root.level, logging.root.handlers[:])
        if arguments.config_name is None and not any("hydra.mode=" in word for word in words):
            stack.enter_context(_known_mode(mode_of(config_name, words, folder)))
        if _is_dry(arguments.overrides):
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="facemorph-dry-run-"))
            arguments.overrides += [
                f"hydra.run.dir={scratch}",
                f"paths.output_root={scratch}",
                "hydra.output_subdir=null",
                "hydra/job_logging=none",
            ]
        try:
            _run_hydra(
                args=arguments,
                args_parser=parser,
                task_function=quiet_task,
                config_path=str(conf_dir()),
                config_name=config_name,
            )
        except COMPOSITION_ERRORS as error:
            of_hydra = isinstance(error, (HydraException, OmegaConfBaseException))
            if started and not of_hydra:
                raise
            if isinstance(error, OSError) and not of_hydra and error.errno != errno.ENAMETOOLONG:
                raise OutputError(
                    f"the run's folder cannot be made: {error.strerror}",
                    where=error.filename,
                    remedy="Set paths.output_root to a folder that you can write.",
                ) from error
            raise explain(error, config_name, folder, arguments.overrides) from error
    if failure:
        raise failure[0]


@contextmanager
def _known_mode(mode: RunMode | None) -> Iterator[None]:
    """Hydra composes the whole config only to look for its mode; here it is told."""
    original = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: mode  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = original  # type: ignore[method-assign]


def _restore_logging(level: int, handlers: list[logging.Handler]) -> None:
    """Take away the handlers that Hydra gave to the root logger: their streams may be closed before
    the process.
    """
    logging.root.setLevel(level)
    for handler in logging.root.handlers[:]:
        if handler not in handlers:
            logging.root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        if handler not in logging.root.handlers:
            logging.root.addHandler(handler)


def _is_dry(overrides: Sequence[str]) -> bool:
    # A process started by another rank is told the folder.
    wanted = any(word.lstrip("+").lower() in ("dry_run=true", "dry_run=1") for word in overrides)
    return wanted and not any(word.startswith("hydra.run.dir=") for word in overrides)


def run_and_exit(
    task: Callable[[DictConfig], Any], config_name: str, overrides: Sequence[str] | None = None
) -> None:
    """`run_job` as a whole program.

    Args:
        task: Called with the composed config.
        config_name: ``train``, ``infer`` or ``dataset``.
        overrides: What was typed; None takes the command line.
    """
    words = sys.argv[1:] if overrides is None else overrides
    sys.exit(guarded(lambda: run_job(task, config_name, words)))
