"""Error rates of a morph detector from a CSV of its scores."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from facemorph.errors import ConfigError, DataError
from facemorph.jobs.options import Option, checked
from facemorph.jobs.outputs import check_writable
from facemorph.storage.files import write_whole

BONA_FIDE = ("bona_fide", "bonafide", "bona fide", "genuine", "real", "0")
ATTACK = ("attack", "morph", "1")
Meaning = Literal["attack", "bona_fide"]


def read_scores(
    path: str | Path, higher: Meaning = "attack"
) -> tuple[list[float], dict[str, list[float]]]:
    """Scores of bona fide pictures, and of attacks by their kind.

    Args:
        path: CSV with the columns ``score`` and ``label`` (``bona_fide`` or ``attack``), and, if
            attacks are of several kinds, ``attack``.
        higher: What a higher score means: ``attack`` or ``bona_fide``.

    Raises:
        DataError: The file cannot be read, lacks a column or a label, or has a wrong value (the
            line is named).
    """
    sign = 1.0 if higher == "attack" else -1.0
    genuine: list[float] = []
    attacks: dict[str, list[float]] = defaultdict(list)
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            "these scores cannot be read",
            where=path,
            expected="a CSV file",
            found=getattr(error, "strerror", None) or type(error).__name__,
        ) from error
    for number, row in enumerate(rows, 2):
        score, label = _entry(row, f"{path}, line {number}")
        if label in BONA_FIDE:
            genuine.append(sign * score)
        else:
            attacks[(row.get("attack") or "attack").strip()].append(sign * score)
    if not genuine or not attacks:
        raise DataError(
            "scores of both kinds are needed",
            where=path,
            expected="bona_fide and attack",
            found=f"{len(genuine)} and {sum(map(len, attacks.values()))}",
        )
    return genuine, dict(attacks)


def _entry(row: Mapping[str, str | None], where: str) -> tuple[float, str]:
    score, label = row.get("score"), (row.get("label") or "").strip().lower()
    if score is None or label not in (*BONA_FIDE, *ATTACK):
        raise DataError(
            "not a score",
            where=where,
            expected="columns score and label (bona_fide or attack)",
            found=", ".join(f"{key}={value}" for key, value in row.items())[:80],
        )
    try:
        value = float(score)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            "not a score", where=where, expected="a number, not nan or inf", found=score[:40]
        )
    return value, label


@checked
def detector_errors(
    scores: Annotated[str | Path, Option(metavar="SCORES.csv")],
    output: Annotated[str | Path | None, Option(("-o", "--output"), "OUT.svg", kind=Path)] = None,
    *,
    higher: Meaning = "attack",
    threshold: float | None = None,
) -> dict[str, dict[str, float]]:
    """D-EER, BPCER10, BPCER20 and BPCER100 of every kind of attack, and the worst of them.

    Args:
        scores: CSV file with score, label (bona_fide or attack) and, if wanted, attack: its kind.
        output: DET plot; the table is written beside it as .json.
        higher: What a higher score means.
        threshold: Give APCER and BPCER at this score too.

    Returns:
        The table of ``facemorph.metrics.attack_detection.detection_table``.

    Raises:
        DataError: The scores are at fault.
        ConfigError: ``output`` is no ``.svg``.
        OutputError: It cannot be written.
    """
    genuine, attacks = read_scores(scores, higher)
    from facemorph.jobs.pages.det_plot import write_det_plot
    from facemorph.metrics.attack_detection import detection_curve, detection_table

    table = detection_table(
        genuine, attacks, threshold if threshold is None or higher == "attack" else -threshold
    )
    if output is not None:
        output = Path(output)
        if output.suffix.lower() != ".svg":
            raise ConfigError(
                "the DET plot is an SVG picture",
                where="output",
                expected=".svg",
                found=output.suffix,
            )
        check_writable(output)
        write_det_plot(
            {kind: detection_curve(genuine, own) for kind, own in attacks.items()}, output
        )
        content: dict[str, Any] = {
            "scores": str(scores),
            "higher": higher,
            "threshold": threshold,
            "errors": table,
        }
        write_whole(output.with_suffix(".json"), (json.dumps(content, indent=1) + "\n").encode())
    return table
