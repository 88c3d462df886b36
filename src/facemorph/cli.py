"""The ``facemorph`` command. Only what a command needs is imported, and torch only when it computes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from facemorph.exits import DEBUG, INTERRUPTED, guarded
from facemorph.threads import leave_cores_free

# Name on the command line, module in facemorph.commands, and whether all words are passed on to Hydra.
COMMANDS = (("morph", "morph", False), ("chain", "chain", False),
            ("morph-dataset", "morph_dataset", False), ("dataset", "dataset", True),
            ("average", "average", False), ("transform", "transform", False), ("caricature", "caricature", False),
            ("symmetrize", "symmetrize", False), ("regions", "regions", False), ("align", "align", False),
            ("delineate", "delineate", False), ("mask", "mask", False), ("redo", "redo", False),
            ("landmarks", "landmarks", False), ("data", "data", False), ("evaluate", "evaluate", False),
            ("det", "det", False), ("degrade", "degrade", False), ("edit", "edit", False),
            ("train", "train", True), ("infer", "infer", True), ("list", "list_options", False),
            ("doctor", "doctor", False), ("export", "export", False), ("download", "download", False),
            ("import", "import_models", False), ("import-ifmorph", "import_ifmorph", False),
            ("bench", "bench", False), ("demo", "demo", False), ("demo-imface", "demo_imface", False),
            ("fit", "fit", False), ("reconstruct", "reconstruct", False), ("evaluate-scans", "evaluate_scans", False),
            ("sample", "sample", False), ("interpolate", "interpolate", False),
            ("transfer", "transfer", False), ("pca", "pca", False),
            ("render", "render", False), ("animate", "animate", False))
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    name="facemorph",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from facemorph import console

        console.out.print(f"facemorph {version('facemorph-torch')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True,
                                          callback=_show_version)] = False,
) -> None:
    """Morph faces, and train the models that do it."""
    if debug:
        os.environ[DEBUG] = "1"


def _mount(name: str, module: str, pass_on: bool) -> None:
    """Add ``facemorph.commands.MODULE.MODULE`` as a command, or as a group of commands."""
    found: Any = getattr(importlib.import_module(f"facemorph.commands.{module}"), module)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name)
    else:
        app.command(name, context_settings=PASS_ON if pass_on else None, add_help_option=not pass_on)(found)


for command in COMMANDS:
    _mount(*command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after ``facemorph``; None takes the command line.

    Returns:
        The exit code: 0 ok, 2 a wrong word or input, 3 some inputs failed, 130 or 143 interrupted.
    """
    from typer import rich_utils

    code = 0

    def call() -> None:
        nonlocal code
        try:
            returned = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
            code = returned if isinstance(returned, int) else 0
        except typer.Abort:
            code = INTERRUPTED
        except Exception as error:
            if not hasattr(error, "format_message"):  # what typer raises for a wrong word
                raise
            rich_utils.rich_format_error(error)  # type: ignore[arg-type]
            code = getattr(error, "exit_code", 2)

    return guarded(call) or code


def main() -> None:
    """Entry point of the ``facemorph`` script."""
    leave_cores_free()
    sys.exit(run())


if __name__ == "__main__":
    main()
