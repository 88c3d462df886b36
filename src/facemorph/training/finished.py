"""Which trainings are finished, so that a batch of experiments that is started again leaves them
out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facemorph.config.build import config_digest
from facemorph.storage.files import read_json, write_atomic
from facemorph.storage.runs import checkpoint_of, runs

FINISHED = "finished.json"


def finished_key(config: Mapping[str, Any]) -> str:
    """Digest of what makes two runs the same work: system, data, seed and the length of the
    training.
    """
    parts = {name: config.get(name) for name in ("system", "data", "seed", "trainer")}
    budget = (config.get("callbacks") or {}).get("budget") or {}
    if limits := {name: value for name, value in budget.items() if name != "_target_" and value}:
        parts["budget"] = limits
    return config_digest(parts)


def mark_finished(folder: Path, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Write ``finished.json`` into the folder of a run that has come to its end, with its last
    metrics.
    """
    numbers = {name: float(value) for name, value in metrics.items()}
    record = {
        "key": finished_key(config),
        "metrics": {k: v if math.isfinite(v) else None for k, v in numbers.items()},
    }
    write_atomic(
        folder / FINISHED, lambda file: file.write((json.dumps(record, indent=1) + "\n").encode())
    )


def find_finished(config: Mapping[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Checkpoint and metrics of the newest finished run of the same work under the config's output
    root; or None.
    """
    key = finished_key(config)
    for entry in reversed(runs(Path(config["paths"]["output_root"]))):
        folder = Path(entry["folder"])
        try:
            record = read_json(folder / FINISHED)
        except (OSError, ValueError):
            continue  # not finished
        checkpoint = checkpoint_of(folder)
        if record.get("key") == key and checkpoint is not None:
            return checkpoint, dict(record["metrics"])
    return None
