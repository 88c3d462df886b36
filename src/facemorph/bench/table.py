"""A benchmark's rows, its date, commit and hardware, printed and written as JSON."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from facemorph import console
from facemorph.storage.files import write_whole
from facemorph.storage.versions import versions
from facemorph.training.run_card import git_commit

MOSTLY = 0.4  # share of cells that a wide table has
OPERATIONS = {
    "<": float.__lt__,
    "<=": float.__le__,
    ">": float.__gt__,
    ">=": float.__ge__,
    "==": float.__eq__,
}


@dataclass(frozen=True)
class Row:
    """One measured value.

    Attributes:
        name: What was measured.
        value: The value; None where it could not be measured, and ``unit`` says why.
        unit: Its unit.
        bar: What it must reach, such as ``< 15``; None for a value without a bar.
        ok: Whether it does; None without a bar or value.
    """

    name: str
    value: float | None
    unit: str
    bar: str | None = None
    ok: bool | None = None


def row(name: str, value: float, unit: str, bar: str | None = None) -> Row:
    """A row whose ``ok`` follows from its bar.

    >>> row("a morph", 12.0, "s", "< 15").ok
    True
    """
    if bar is None:
        return Row(name, float(value), unit)
    operation, limit = bar.split()
    return Row(
        name, float(value), unit, bar, bool(OPERATIONS[operation](float(value), float(limit)))
    )


def missing(name: str, reason: str, bar: str | None = None) -> Row:
    """A row that could not be measured, with the reason in place of the unit."""
    return Row(name, None, reason, bar)


def hardware() -> str:
    """Processor, cores, memory and GPUs in words."""
    import torch

    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":")[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    memory = (
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        if hasattr(os, "sysconf")
        else 0
    )
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB, {', '.join(gpus) or 'no GPU'}"


def markdown(result: dict[str, Any]) -> str:
    """A result of ``report`` as a section of a Markdown page.

    Rows that are named ``CASE: FIGURE``, several cases having the same figures, are one line for
    each case.
    """
    lines = [
        f"## facemorph bench {result['suite']}",
        "",
        f"{result['date']}, {result['hardware']}, torch {result['versions']['torch']}, "
        f"commit {str(result['commit'])[:12]}",
        "",
    ]
    if wide := cases_by_figure(result["rows"]):
        return "\n".join([*lines, *wide]) + "\n"
    lines += ["| what | value | unit | bar | |", "|---|---|---|---|---|"]
    for one in result["rows"]:
        value = "-" if one["value"] is None else f"{one['value']:.4g}"
        verdict = {True: "ok", False: "**missed**", None: ""}[one["ok"]]
        bar = f"`{one['bar']}`" if one["bar"] else ""
        lines.append(f"| {one['name']} | {value} | {one['unit']} | {bar} | {verdict} |")
    return "\n".join(lines) + "\n"


def cases_by_figure(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown table with a line for each case of rows named ``CASE: FIGURE``.

    Nothing where they are not all so, or where most cells would be empty.
    """
    cells = {tuple(one["name"].rsplit(": ", 1)): one for one in rows}
    cases, figures = (
        list(dict.fromkeys(key[index] for key in cells if len(key) == 2)) for index in (0, 1)
    )
    full = len(cells) >= MOSTLY * len(cases) * len(figures)
    if not 1 < len(cases) <= len(cells) / 2 or not full or any(len(key) != 2 for key in cells):
        return []
    units = {key[1]: one["unit"] for key, one in cells.items()}
    heads = [f"{figure}, {units[figure]}" if units[figure] else figure for figure in figures]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for case in cases:
        values = [cells.get((case, figure)) for figure in figures]
        lines.append(f"| {case} | {' | '.join(_cell(one) for one in values)} |")
    return lines


def _cell(one: dict[str, Any] | None) -> str:
    """A value with its bar, where it has one."""
    if one is None or one["value"] is None:
        return "" if one is None else "-"
    bar = f" (`{one['bar']}` {'ok' if one['ok'] else '**missed**'})" if one["bar"] else ""
    return f"{one['value']:.4g}{bar}"


def report(suite: str, rows: Sequence[Row], path: Path | None = None) -> dict[str, Any]:
    """Print the rows and write them, with date, commit and hardware.

    Args:
        suite: Name of the suite.
        rows: Its rows.
        path: JSON file, or Markdown where it ends in ``.md``; None does not write one.

    Returns:
        What the file holds.

    Raises:
        OutputError: The file cannot be written.
    """
    table = Table(title=f"facemorph bench {suite}")
    for heading in ("what", "value", "unit", "bar", ""):
        table.add_column(heading)
    for one in rows:
        value = "-" if one.value is None else f"{one.value:.4g}"
        table.add_row(
            one.name,
            value,
            one.unit,
            one.bar or "",
            {True: "ok", False: "MISSED", None: ""}[one.ok],
        )
    result = {
        "suite": suite,
        "rows": [asdict(one) for one in rows],
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "commit": git_commit(Path(__file__).parent),
        "hardware": hardware(),
        "versions": versions(),
    }
    console.out.print(table)
    console.out.print(
        f"{result['date']}, {result['hardware']}, commit {str(result['commit'])[:12]}"
    )
    if path is not None:
        text = markdown(result) if path.suffix == ".md" else json.dumps(result, indent=2) + "\n"
        write_whole(path, text.encode())
    return result
