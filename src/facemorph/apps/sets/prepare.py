"""Photographs and videos made into a training set: crops, landmarks, fitted parameters, masks,
splits, and a report.

    DIR/images/NAME.png          crops
    DIR/landmarks/NAME.json      68 landmarks, pixels of the crop
    DIR/masks/NAME.png           where the fitted head is, the user's own masks with it
    DIR/parameters.npz           FaceParameters of all, in the order of `names`, in pixels of the
    crops DIR/index.json               names, people, split of each DIR/overview.jpg             the
    first crops with their fits DIR/report.json              what became of each photograph

Landmarks are found once for each photograph, and that survives an interruption; fits, masks and
splits are made anew at the end of each run, from what is there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facemorph import console
from facemorph.apps.sets.prepare_fits import fit_prepared
from facemorph.apps.sets.prepare_pictures import (
    FILTERED,
    PicturePreparer,
    PrepareOptions,
    Source,
    settings_of,
)
from facemorph.errors import ConfigError, DataError
from facemorph.faces.detection import make_detector
from facemorph.jobs.input_files import check_distinct_names
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.pool import StopSignals, parse_shard
from facemorph.jobs.records import DONE, FAILED, MISSING, Records, is_finished, keep_settings
from facemorph.storage.files import write_whole
from facemorph.storage.suffixes import PICTURES, VIDEOS
from facemorph.storage.versions import versions

INDEX, REPORT = "index.json", "report.json"
PEOPLE = ("prefix", "folder", "each")
STATUSES = (DONE, FILTERED, FAILED, MISSING)


def prepare_dataset(
    images: str | Path,
    output: str | Path,
    *,
    people: str | None = None,
    validation: float = 0.1,
    seed: int = 0,
    masks: str | Path | None = None,
    shard: str = "0/1",
    **options: Any,
) -> dict[str, Any]:
    """Make a training set of a folder of photographs.

    The same call continues a run that was interrupted, and takes up photographs that have been
    added since.

    Args:
        images: Folder of photographs and videos, or of folders of them.
        output: Folder of the training set.
        people: Who is who: ``prefix``, what stands before the first ``_`` of a name; ``folder``,
            the folder; ``each``, every photograph another person. None: by folder where there are
            folders, else by prefix.
        validation: Share of the people that the validation split gets; no person is in both.
        seed: Of the split.
        masks: Folder of the user's own masks, ``NAME.png``, of the photographs: hair, hats; what
            they show is added.
        shard: ``K/N`` looks at the K-th of N parts only; whoever finishes last fits all.
        options: See ``PrepareOptions``.

    Returns:
        The content of ``report.json``: ``counts`` and ``rows``.

    Raises:
        FacemorphError: The folder, an option or the output is at fault. A photograph that fails
            does not raise.
    """
    try:
        made = PrepareOptions(**options)
    except TypeError as error:
        raise ConfigError(
            "no such option of a training set", where="options", found=str(error)
        ) from error
    if not 0 <= validation < 1:
        raise ConfigError(
            "this is no share", where="validation", expected="0 to below 1", found=validation
        )
    part, parts = parse_shard(shard)
    sources = find_sources(images, people)
    output = Path(output)
    check_writable(output / REPORT)
    if output.resolve() == Path(images).resolve():
        raise ConfigError(
            "the training set would lie among the photographs",
            where=output,
            remedy="Choose another folder with -o.",
        )
    settings = {
        **settings_of(made),
        "images": str(Path(images).resolve()),
        "validation": validation,
        "seed": seed,
    }
    keep_settings(output, settings)
    for name in ("images", "landmarks", "masks"):
        (output / name).mkdir(exist_ok=True)
    records = Records(output, part, parts)
    with records.only_writer():
        _look_at(sources[part::parts], records, made, output)
        return _finish(
            sources, records, made, output, settings, None if masks is None else Path(masks)
        )


def find_sources(images: str | Path, people: str | None = None) -> list[Source]:
    """The photographs of a folder, and of its folders, with their names and people.

    Raises:
        DataError: There are none, or two have one name.
        ConfigError: ``people`` is none of the possible ones.
    """
    folder = Path(images)
    if people not in (None, *PEOPLE):
        raise ConfigError(
            "no such way to tell people apart",
            where="people",
            expected=" | ".join(PEOPLE),
            found=people,
        )
    if not folder.is_dir():
        raise DataError("there is no such folder", where=folder, remedy="Check the path.")
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in (*PICTURES, *VIDEOS) and path.is_file()
    )
    if not files:
        raise DataError(
            "this folder holds no picture or video",
            where=folder,
            expected=" ".join((*PICTURES, *VIDEOS)),
        )
    nested = any(path.parent != folder for path in files)
    people = people or ("folder" if nested else "prefix")
    found = []
    for path in files:
        name = "_".join(path.relative_to(folder).with_suffix("").parts)
        person = {
            "prefix": path.stem.partition("_")[0],
            "folder": path.relative_to(folder).parent.as_posix(),
            "each": name,
        }[people]
        found.append(Source(path, name, person))
    check_distinct_names([source.file for source in found], [source.name for source in found])
    return found


def _look_at(
    sources: Sequence[Source], records: Records, options: PrepareOptions, output: Path
) -> None:
    """Find, judge and cut what is not done yet.

    Raises:
        Interrupted: By Ctrl-C or SIGTERM; what is finished stays.
    """
    known = records.all()
    todo = [
        source
        for source in sources
        if not (
            is_finished(known.get(source.name), output)
            or known.get(source.name, {}).get("status") == FILTERED
        )
    ]
    if not todo:
        return
    preparer = PicturePreparer(
        options, output, make_detector(options.detector, min_score=options.min_score)
    )
    with StopSignals() as stop, torch.no_grad():
        for source in console.track(todo, "photographs"):
            records.append(preparer.attempt(source))
            stop.raise_if_any(output)


def _finish(
    sources: Sequence[Source],
    records: Records,
    options: PrepareOptions,
    output: Path,
    settings: dict[str, Any],
    masks: Path | None,
) -> dict[str, Any]:
    """Fit all that are done, and write parameters, masks, index and report."""
    known = records.all()
    rows: list[dict[str, Any]] = []
    for source in sources:
        row = {
            "name": source.name,
            "file": str(source.file),
            "person": source.person,
            **known.get(source.name, {}),
        }
        if "status" not in row or (row["status"] == DONE and not is_finished(row, output)):
            row |= {"status": MISSING, "reason": "not looked at yet, or its files are gone"}
        # A video is as many rows as it has given frames.
        rows += row["frames"] if row["status"] == DONE and "frames" in row else [row]
    done = [row for row in rows if row["status"] == DONE]
    kept = fit_prepared(done, options, output, masks) if done else []
    people = sorted({row["person"] for row in kept})
    held = validation_people(people, settings["validation"], settings["seed"])
    index = {
        "names": [row["name"] for row in kept],
        "people": [row["person"] for row in kept],
        "split": ["validation" if row["person"] in held else "training" for row in kept],
        "files": [row["files"][0] for row in kept],
    }
    write_whole(output / INDEX, (json.dumps(index, indent=1) + "\n").encode())
    counts = Counter(row["status"] for row in rows)
    report = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "settings": settings,
        "versions": versions(),
        "counts": {status: counts.get(status, 0) for status in STATUSES},
        "splits": dict(Counter(index["split"])),
        "people": len(people),
        "rows": rows,
    }
    write_whole(output / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    return report


def validation_people(people: Sequence[str], share: float, seed: int) -> set[str]:
    """Who is in the validation split: those with the smallest hashes, so that a set that grows
    keeps them.

    At least one of several people, where the share is above 0.
    """
    if share == 0 or len(people) < 2:
        return set()
    hashes = {
        person: int.from_bytes(hashlib.sha256(f"{seed}:{person}".encode()).digest()[:8], "big")
        / 2**64
        for person in people
    }
    held = {person for person, value in hashes.items() if value < share}
    held = held or {min(hashes, key=lambda person: hashes[person])}
    return (
        held if len(held) < len(people) else held - {max(hashes, key=lambda person: hashes[person])}
    )


def load_index(folder: str | Path) -> dict[str, np.ndarray[Any, Any]]:
    """``index.json`` of a training set: names, people, split and files, each ``(N,)``.

    Raises:
        DataError: It is missing or damaged.
    """
    path = Path(folder) / INDEX
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = {
            key: np.array(content[key], dtype=np.str_)
            for key in ("names", "people", "split", "files")
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "this is no prepared training set",
            where=path,
            found=type(error).__name__,
            expected="what facemorph data prepare writes",
        ) from error
    return found
