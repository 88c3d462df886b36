"""The index of runs: one line of JSON for every run, so that ``@last`` and ``resume=auto`` find the
newest.

The index lies in the output root (``outputs/runs.jsonl``). Lines are only ever appended, each in
one write, so that runs side by side do not disturb each other; a run whose folder is gone is passed
over.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from facemorph.errors import CheckpointError
from facemorph.storage.files import ASSETS

INDEX = "runs.jsonl"
CHECKPOINTS = "checkpoints"
NAMES = ("last.ckpt", "interrupted.ckpt")
BEST = "best.ckpt"


def names_a_checkpoint(word: str | Path) -> bool:
    """Whether a word stands for a trained system: a run (``@last``), a ``.ckpt`` or ``.pth``, or a
    path that exists.
    """
    text = str(word)
    return text.startswith("@") or text.endswith((".ckpt", ".pth")) or os.path.exists(text)


def output_root() -> Path:
    """The default output root: ``$FACEMORPH_OUTPUT``, or ``outputs`` in the working folder."""
    return Path(os.environ.get("FACEMORPH_OUTPUT", "outputs"))


def register_run(
    root: Path, folder: Path, *, system: str, experiment: str | None, key: str
) -> None:
    """Append one run to the index.

    Args:
        root: Output root.
        folder: Folder of the run.
        system: Short name of the system.
        experiment: Name of the experiment file, if one was used.
        key: Digest of what makes two runs the same training, for ``resume=auto``.
    """
    root.mkdir(parents=True, exist_ok=True)
    entry = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "folder": str(folder.resolve()),
        "system": system,
        "experiment": experiment,
        "key": key,
    }
    with (root / INDEX).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def runs(root: Path | None = None) -> list[dict[str, Any]]:
    """All runs of the index whose folder is there, oldest first."""
    path = (root or output_root()) / INDEX
    entries = []
    for line in (
        path.read_text(encoding="utf-8", errors="replace").splitlines()
        if os.path.isfile(path)
        else []
    ):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a line cut off by a full disk must not hide the others
        if isinstance(entry, dict) and _is_folder(entry.get("folder")):
            entries.append(entry)
    return entries


def _is_folder(value: object) -> bool:
    return isinstance(value, str) and os.path.isdir(value)


def checkpoint_of(folder: Path) -> Path | None:
    """Newest of a run's ``last.ckpt`` and ``interrupted.ckpt``; None where there is none."""
    found = [path for name in NAMES if (path := folder / CHECKPOINTS / name).is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns) if found else None


def latest_checkpoint(
    alias: str = "@last", *, root: Path | None = None, key: str | None = None
) -> Path:
    """Checkpoint of the newest run that has one, or the release folder of a model that comes with
    facemorph.

    Args:
        alias: ``@last``, or ``@last:NAME`` for the newest of a system or experiment; ``@best`` and
            ``@best:NAME`` for the best checkpoint of that same run instead of its last;
            ``@open:NAME``, a model of ``open_models``.
        root: Output root.
        key: Only runs of this training.

    Raises:
        CheckpointError: There is none.
    """
    word, _, name = alias.partition(":")
    if word == "@open":
        return _open_model(name)
    if word not in ("@last", "@best"):
        raise CheckpointError(
            "there is no such alias",
            where=alias,
            expected="@last, @best, @last:NAME, @best:NAME or @open:NAME",
        )
    root = root or output_root()
    for entry in reversed(runs(root)):
        if name and name not in (entry.get("system"), entry.get("experiment")):
            continue
        if key is not None and entry.get("key") != key:
            continue
        if found := checkpoint_of(Path(entry["folder"])):
            if word == "@best":
                return _best_beside(found)
            return found
    raise CheckpointError(
        f"there is no run{f' of {name}' if name else ''} with a checkpoint yet",
        where=root.resolve(),
        remedy="Train first, or give the path of a checkpoint or one of "
        + ", ".join(f"@open:{one}" for one in open_models())
        + ".",
    )


def open_models() -> dict[str, Path]:
    """Release folders of the trained models that come with facemorph, by name."""
    return {path.name: path for path in sorted((ASSETS / "open").glob("*")) if os.path.isdir(path)}


def _open_model(name: str) -> Path:
    known = open_models()
    if name not in known:
        raise CheckpointError(
            "no such model comes with facemorph",
            where=f"@open:{name}",
            expected=" | ".join(f"@open:{one}" for one in known),
            found=name or "no name",
        )
    return known[name]


def _best_beside(checkpoint: Path) -> Path:
    best = checkpoint.with_name(BEST)
    if not os.path.isfile(best):
        raise CheckpointError(
            "this run has no best checkpoint",
            where=checkpoint.parent,
            remedy="Use @last; or train with callbacks.checkpoints.monitor=METRIC.",
        )
    return best
