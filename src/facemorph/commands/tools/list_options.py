"""``facemorph list``: what can be chosen, with one line each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Kind(StrEnum):
    """What can be listed."""

    experiments = "experiments"
    systems = "systems"
    warps = "warps"
    fields = "fields"
    data = "data"
    sweeps = "sweeps"
    pretrained = "pretrained"
    runs = "runs"


GROUPS = {
    Kind.experiments: "experiment",
    Kind.systems: "system",
    Kind.warps: "warp",
    Kind.fields: "field",
    Kind.data: "data",
    Kind.sweeps: "sweep",
}


NEXT = {
    Kind.experiments: "facemorph train experiment=NAME dry_run=true",
    Kind.systems: "facemorph list experiments",
    Kind.warps: "facemorph morph A.jpg B.jpg -o out.mp4 --warp NAME",
    Kind.fields: "facemorph train experiment=ifmorph/image field@system.field=NAME "
    "data.image=A.jpg",
    Kind.data: "facemorph list experiments",
    Kind.sweeps: "facemorph train sweep=NAME experiment=ifmorph/tiny",
    Kind.pretrained: "facemorph download NAME",
    Kind.runs: "facemorph infer checkpoint=@last output=out/",
}


def list_options(kind: Annotated[Kind, typer.Argument(help="What to list.")]) -> None:
    """List experiments, systems, warps, fields, data, sweeps, pretrained weights or runs."""
    from rich.table import Table

    from facemorph import console

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, line in _entries(kind):
        table.add_row(f"[bold]{name}[/bold]", line)
    console.out.print(table)
    console.next_command(NEXT[kind])


def _entries(kind: Kind) -> list[tuple[str, str]]:
    if kind is Kind.pretrained:
        from facemorph.storage.pretrained import registry

        return [(name, f"{entry.what} ({entry.licence})") for name, entry in registry().items()]
    if kind is Kind.runs:
        from facemorph.storage.runs import checkpoint_of, runs

        return [
            (
                entry["time"],
                f"{entry['experiment'] or entry['system']}  "
                f"{checkpoint_of(Path(entry['folder'])) or entry['folder'] + ' (no checkpoint)'}",
            )
            for entry in runs()
        ]
    from facemorph.config.compose import conf_dir, group_options

    group = GROUPS[kind]
    return [
        (name, first_comment(conf_dir() / group / f"{name}.yaml"))
        for name in group_options(group, [conf_dir()])
    ]


def first_comment(path: Path) -> str:
    """First comment line of a config file that is not its package."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""
