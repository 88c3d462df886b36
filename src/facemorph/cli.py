"""The ``facemorph`` command. Only the command that is called is imported, and torch only when it
computes.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from facemorph.entry.exits import DEBUG, INTERRUPTED, guarded
from facemorph.entry.threads import leave_cores_free
from facemorph.errors import ConfigError
from facemorph.jobs.memory import keep_freed_memory

MORPH, HEADS, IMPLICIT, GENERATE, SETS, ATTACKS, TRAIN, TOOLS = (
    "Morph",
    "Heads",
    "Implicit",
    "Generate",
    "Sets",
    "Attack detection",
    "Train and run",
    "Tools",
)


@dataclass(frozen=True)
class Command:
    """One command of the command line.

    Attributes:
        name: What is typed.
        module: Module of ``facemorph.commands``; the command has the name of its last part.
        panel: Panel of ``facemorph --help``.
        text: Its line there.
        pass_on: All words are handed on to Hydra.
    """

    name: str
    module: str
    panel: str
    text: str
    pass_on: bool = False


COMMANDS = (
    Command(
        "morph", "morphing.morph", MORPH, "Morph one face into another: video, GIF or picture."
    ),
    Command("chain", "morphing.chain", MORPH, "Morph from photograph to photograph in one video."),
    Command("average", "morphing.average", MORPH, "Average any number of faces."),
    Command("transform", "morphing.transform", MORPH, "Make a face older, younger, more feminine."),
    Command("caricature", "morphing.caricature", MORPH, "Exaggerate what sets a face apart."),
    Command("symmetrize", "morphing.symmetrize", MORPH, "Make a face symmetric."),
    Command("regions", "morphing.regions", MORPH, "Combine eyes, nose and mouth of several faces."),
    Command("align", "morphing.align", MORPH, "Bring faces to one place and size."),
    Command("delineate", "morphing.delineate", MORPH, "Carry landmarks from one face to others."),
    Command("mask", "morphing.mask", MORPH, "Cut faces out of their background."),
    Command("edit", "morphing.edit", MORPH, "Set landmarks by hand, with the morph beside them."),
    Command(
        "import-ifmorph", "morphing.import_ifmorph", MORPH, "Read experiment files of ifmorph."
    ),
    Command("fit", "heads.fit", HEADS, "Fit a 3-D head to photographs, videos or scans."),
    Command("render", "heads.render", HEADS, "Draw a fitted head: turned, smiling, lit anew."),
    Command("animate", "heads.animate", HEADS, "Let a photograph follow a video or recording."),
    Command(
        "reenact", "reenactment.reenact", HEADS, "Let a photograph move by video or words, sharp."
    ),
    Command(
        "evaluate-reenactment",
        "reenactment.evaluate_reenactment",
        HEADS,
        "Measure how well photographs are moved.",
    ),
    Command("landmarks", "heads.landmarks", HEADS, "Find the landmarks of photographs."),
    Command("sample", "generation.sample", GENERATE, "Make random faces of a trained model."),
    Command("invert", "generation.invert", GENERATE, "Find a photograph in a generator."),
    Command("texture", "generation.texture", GENERATE, "Paint on a generated person's skin."),
    Command(
        "evaluate-generator", "generation.evaluate_generator", GENERATE, "Measure a generator."
    ),
    Command("figure", "generation.figure", GENERATE, "Draw what a generator has learned."),
    Command("study", "generation.study", GENERATE, "Ask people which pictures are better."),
    Command("reconstruct", "implicit.reconstruct", IMPLICIT, "Fit an implicit face to scans."),
    Command("interpolate", "implicit.interpolate", IMPLICIT, "Morph between two implicit faces."),
    Command("transfer", "implicit.transfer", IMPLICIT, "Carry an expression to another person."),
    Command("pca", "implicit.pca", IMPLICIT, "Show what varies most among a model's people."),
    Command("evaluate-scans", "implicit.evaluate_scans", IMPLICIT, "Measure a model on scans."),
    Command("data", "sets.data", SETS, "Prepare photographs and scans, or make synthetic ones."),
    Command("morph-dataset", "morphing.morph_dataset", SETS, "Morph every pair of a list."),
    Command("dataset", "morphing.dataset", SETS, "The same from a config, for sweeps.", True),
    Command("evaluate", "attacks.evaluate", ATTACKS, "Measure how well morphs pass as people."),
    Command("det", "attacks.det", ATTACKS, "Error rates of a morph detector, with curves."),
    Command("degrade", "attacks.degrade", ATTACKS, "Print, scan and compress, as for passports."),
    Command("train", "tools.train", TRAIN, "Train a system: experiment=..., key=value.", True),
    Command("infer", "tools.infer", TRAIN, "Run a trained system: checkpoint=..., input=...", True),
    Command("export", "tools.export", TRAIN, "Make a release folder of a checkpoint."),
    Command("list", "tools.list_options", TRAIN, "List systems, experiments, models and data."),
    Command("download", "tools.download", TOOLS, "Download weights whose sha256 is known."),
    Command("import", "tools.import_models", TOOLS, "Read face models from your own files."),
    Command("studio", "tools.studio", TOOLS, "Do all of it in one page of the browser."),
    Command("redo", "tools.redo", TOOLS, "Make an output again from its recipe."),
    Command("doctor", "tools.doctor", TOOLS, "Look for what is wrong with the installation."),
    Command("bench", "tools.bench", TOOLS, "Measure speed and quality on this machine."),
    Command("demo", "tools.demo", TOOLS, "Morph the two photographs that come with facemorph."),
    Command(
        "demo-reenact", "reenactment.demo_reenact", TOOLS, "Move these two: words, speech, a video."
    ),
    Command(
        "demo-imface", "implicit.demo_imface", TOOLS, "Train a small implicit model and use it."
    ),
)
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
COMPLETION = "_FACEMORPH_COMPLETE"  # set while the shell completes words


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from facemorph import console

        console.out.print(f"facemorph {version('facemorph-torch')}")
        raise typer.Exit


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


def load(command: Command) -> Any:
    """What carries a command out: a function, or a group of commands."""
    module = importlib.import_module(f"facemorph.commands.{command.module}")
    return getattr(module, command.module.rpartition(".")[2])


def _in_the_list(command: Command) -> Callable[[], None]:
    def stand_in() -> None:
        raise RuntimeError(f"{command.name} was not loaded")

    stand_in.__doc__ = command.text
    return stand_in


def make_app(words: Sequence[str] | None = None) -> typer.Typer:
    """The command line, in which only what ``words`` call is loaded; None loads all commands."""
    app = typer.Typer(
        name="facemorph",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    called = next((word for word in words or () if not word.startswith("-")), None)
    all_of_them = words is None or COMPLETION in os.environ
    for command in COMMANDS:
        wanted = all_of_them or command.name == called
        found = load(command) if wanted else _in_the_list(command)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=command.name, rich_help_panel=command.panel)
        else:
            app.command(
                command.name,
                context_settings=PASS_ON if command.pass_on else None,
                add_help_option=not command.pass_on,
                rich_help_panel=command.panel,
            )(found)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after ``facemorph``; None takes the command line.

    Returns:
        The exit code: 0 ok, 2 a wrong word or input, 3 some inputs failed, 130 or 143 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    code = 0

    def call() -> None:
        nonlocal code
        if "" in words:  # as a path it would be the working folder
            raise ConfigError(
                "an empty word",
                where=f"word {words.index('') + 1}",
                remedy="Leave it out; maybe a variable of the shell has no value.",
            )
        try:
            returned = make_app(words)(args=words, standalone_mode=False)
            code = returned if isinstance(returned, int) else 0
        except typer.Abort:
            code = INTERRUPTED
        except Exception as error:
            if not hasattr(error, "format_message"):  # what typer raises for a wrong word
                raise
            from typer import rich_utils

            rich_utils.rich_format_error(error)  # type: ignore[arg-type]
            code = getattr(error, "exit_code", 2)

    return guarded(call) or code


def main() -> None:
    """Entry point of the ``facemorph`` script."""
    leave_cores_free()
    if sys.argv[1:2] == ["train"]:
        keep_freed_memory()
    sys.exit(run())


if __name__ == "__main__":
    main()
