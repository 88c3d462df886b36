"""``facemorph bench``: measure speed and quality on this machine."""

from __future__ import annotations

import importlib
import inspect
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Suite(StrEnum):
    """What can be measured."""

    morph = "morph"
    fields = "fields"
    training = "training"
    dataset = "dataset"
    blending = "blending"
    editor = "editor"
    studio = "studio"
    monkey = "monkey"
    warps = "warps"
    dense = "dense"
    raster = "raster"
    prepare = "prepare"
    fit = "fit"
    imface = "imface"
    gif = "gif"
    gdpw = "gdpw"
    varitex = "varitex"
    readers = "readers"


PAGES = (Suite.editor, Suite.studio, Suite.monkey)  # suites that drive a browser
ROOMS = {**dict.fromkeys(PAGES, "pages."), Suite.readers: "readers."}


def bench(
    suite: Annotated[Suite, typer.Argument(help="What to measure.")],
    json: Annotated[
        Path | None, typer.Option(help="Write the rows here too; .md gives a Markdown table.")
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of FRLL pairs where there are some; of `warps`: for the trained ones.",
        ),
    ] = None,
    actions: Annotated[
        int | None, typer.Option(min=2, help="Of `monkey`: how many random things are done.")
    ] = None,
    frll: Annotated[
        Path | None, typer.Option(help="Folder of the Face Research Lab London Set.")
    ] = None,
    changes: Annotated[
        int | None, typer.Option(min=1, help="Of `readers`: damaged files for each reader.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Of `readers`: names of those to try.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of `readers`: what the damages follow from.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Of `readers`: folder for files that did harm.")
    ] = None,
) -> int:
    """Measure one suite and compare it with its bars; a missed bar is reported, not an error, but
    that of a reader ends with 3.
    """
    from facemorph import console
    from facemorph.bench.table import report
    from facemorph.errors import ConfigError
    from facemorph.jobs.outputs import check_writable

    if json is not None:
        check_writable(json)
    run = importlib.import_module(f"facemorph.bench.{ROOMS.get(suite, '')}{suite.value}").run
    given = {
        "pairs": pairs,
        "actions": actions,
        "changes": changes,
        "only": only or None,
        "seed": seed,
        "keep": keep,
    }
    options = {name: value for name, value in given.items() if value is not None}
    for name in options:
        if name not in inspect.signature(run).parameters:
            raise ConfigError(f"this suite has no {name}", where=f"--{name}", found=suite.value)
    rows = run(frll, **options)
    report(suite.value, rows, json)
    following = [one for one in Suite if one > suite] or [Suite.fields]
    console.next_command(f"facemorph bench {following[0].value} --json bench.json")
    return 3 if suite is Suite.readers and any(one.ok is False for one in rows) else 0
