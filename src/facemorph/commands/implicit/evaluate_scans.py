"""``facemorph evaluate-scans``: errors of a trained ImFace on unseen scans, beside linear models
and the template.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.implicit.evaluate_scans import evaluate_scans as evaluate
from facemorph.commands.from_signature import options_of
from facemorph.jobs.records import REPORT


@options_of(evaluate)
def evaluate_scans(output: Path, **options: Any) -> int:
    """Measure a trained ImFace on the set's test scans, beside the template and linear models."""
    report = evaluate(output=output, **options)
    from facemorph.apps.implicit.scan_evaluation import TABLE, say

    for line in say(report):
        console.out.print(line, markup=False)
    console.say_files([output / REPORT, output / TABLE])
    for row in report["failed"]:
        console.err.print(f"{row['name']}: {row['reason']}", markup=False)
    return 3 if report["failed"] else 0
