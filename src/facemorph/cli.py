"""The ``facemorph`` command. Only what a command needs is imported, and torch only when it
computes.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from facemorph.entry.exits import DEBUG, INTERRUPTED, guarded
from facemorph.entry.threads import leave_cores_free

# Name on the command line, module in facemorph.commands, and whether all words are passed on to
# Hydra.
COMMANDS = (
    ("morph", "morphing.morph", False),
    ("chain", "morphing.chain", False),
    ("morph-dataset", "morphing.morph_dataset", False),
    ("dataset", "morphing.dataset", True),
    ("average", "morphing.average", False),
    ("transform", "morphing.transform", False),
    ("caricature", "morphing.caricature", False),
    ("symmetrize", "morphing.symmetrize", False),
    ("regions", "morphing.regions", False),
    ("align", "morphing.align", False),
    ("delineate", "morphing.delineate", False),
    ("mask", "morphing.mask", False),
    ("redo", "tools.redo", False),
    ("landmarks", "heads.landmarks", False),
    ("data", "sets.data", False),
    ("evaluate", "attacks.evaluate", False),
    ("det", "attacks.det", False),
    ("degrade", "attacks.degrade", False),
    ("edit", "morphing.edit", False),
    ("train", "tools.train", True),
    ("infer", "tools.infer", True),
    ("list", "tools.list_options", False),
    ("doctor", "tools.doctor", False),
    ("export", "tools.export", False),
    ("download", "tools.download", False),
    ("import", "tools.import_models", False),
    ("import-ifmorph", "morphing.import_ifmorph", False),
    ("bench", "tools.bench", False),
    ("demo", "tools.demo", False),
    ("demo-imface", "implicit.demo_imface", False),
    ("fit", "heads.fit", False),
    ("reconstruct", "implicit.reconstruct", False),
    ("evaluate-scans", "implicit.evaluate_scans", False),
    ("sample", "implicit.sample", False),
    ("interpolate", "implicit.interpolate", False),
    ("transfer", "implicit.transfer", False),
    ("pca", "implicit.pca", False),
    ("render", "heads.render", False),
    ("animate", "heads.animate", False),
)
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
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of every error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Morph faces, and train the models that do it."""
    if debug:
        os.environ[DEBUG] = "1"


def _mount(name: str, module: str, pass_on: bool) -> None:
    """Add ``facemorph.commands.MODULE.MODULE`` as a command, or as a group of commands."""
    found: Any = getattr(
        importlib.import_module(f"facemorph.commands.{module}"), module.split(".")[-1]
    )
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name)
    else:
        app.command(
            name, context_settings=PASS_ON if pass_on else None, add_help_option=not pass_on
        )(found)


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
            returned = app(
                args=list(arguments) if arguments is not None else None, standalone_mode=False
            )
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
