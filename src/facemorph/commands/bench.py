"""``facemorph bench``: measure speed and quality on this machine."""

from __future__ import annotations

import importlib
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


def bench(
    suite: Annotated[Suite, typer.Argument(help="What to measure.")],
    json: Annotated[Path | None, typer.Option(help="Write the rows here too; .md gives a Markdown table.")] = None,
    frll: Annotated[Path | None, typer.Option(help="Folder of the Face Research Lab London Set.")] = None,
) -> None:
    """Measure one suite and compare it with its bars; a missed bar is reported, not an error."""
    from facemorph import console
    from facemorph.apps.preflight import check_writable
    from facemorph.bench.table import report

    if json is not None:
        check_writable(json)
    report(suite.value, importlib.import_module(f"facemorph.bench.{suite.value}").run(frll), json)
    following = [one for one in Suite if one > suite] or [Suite.fields]
    console.next_command(f"facemorph bench {following[0].value} --json bench.json")
