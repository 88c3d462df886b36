"""Morphs of many pairs: resumable, in several processes, and one bad picture does not stop it.

The pairs of the FRLL-Morphs protocol are the standard example: 1220 lines, one of them a picture
with itself.
"""

from __future__ import annotations

import math
import multiprocessing
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import torch

from facemorph import console
from facemorph.apps.morphing.dataset_worker import (
    DatasetOptions,
    DatasetWorker,
    file_name,
    make_in_worker,
    settings_of,
    start_worker,
)
from facemorph.apps.morphing.morph_options import CLOSED_FORMS, WARPS, check_options
from facemorph.errors import ConfigError
from facemorph.faces.detection import DETECTORS
from facemorph.faces.files.image_output import SUFFIXES
from facemorph.faces.files.pair_lists import ListedPair, read_pair_list
from facemorph.faces.pair import ALIGNMENTS
from facemorph.jobs.outputs import check_writable, torch_device
from facemorph.jobs.pool import StopSignals, count_workers, parse_shard, results_from_pool
from facemorph.jobs.records import Records, is_finished, keep_settings, write_report

CHUNK = 8  # pairs that a process takes at a time; trained warps are trained together
SOME_FAILED = 3


def morph_dataset(
    pairs: str | Path,
    images: str | Path,
    output: str | Path,
    *,
    name: str = "{a}_{b}",
    workers: int | None = None,
    shard: str = "0/1",
    device: str = "auto",
    **options: Any,
) -> dict[str, Any]:
    """Morph every pair of a list.

    What is finished already is left as it is, so that the same call continues a run that was
    interrupted; what failed is tried again. Several shards, on one machine or many, may share the
    folder.

    Args:
        pairs: List of pairs, see ``facemorph.faces.files.pair_lists.read_pair_list``.
        images: Folder of the pictures.
        output: Folder of the morphs; with them ``settings.json``, ``records.*.jsonl`` and
            ``report.json``.
        name: Name of a pair's morph from the stems of both pictures.
        workers: Processes; None takes one for each core, or for each GPU. 1 works in this process.
        shard: ``K/N`` makes only the K-th of N parts, K from 0.
        device: ``auto``, ``cpu``, ``cuda:1``; ``cuda`` or ``ddp``: every process takes the next
            GPU.
        options: See ``DatasetOptions``.

    Returns:
        The content of ``report.json``: ``counts`` of done, failed, skipped and missing pairs, and
        ``rows``.

    Raises:
        FacemorphError: The list, an option or the folder is at fault. A pair that fails does not
            raise.
    """
    made = checked_options(options)
    part, parts = parse_shard(shard)
    folder = Path(images).resolve()  # the same from wherever the next call comes
    listed = read_pair_list(pairs, folder, name)
    devices = _devices(device)
    count = _workers(workers, devices)
    output = Path(output)
    check_writable(output / "report.json")
    settings = {**settings_of(made), "images": str(folder), "name": name}
    keep_settings(output, settings)
    records = Records(output, part, parts)
    with records.only_writer():
        known = records.all()
        todo = [pair for pair in listed[part::parts] if pair.skip is None]
        todo = [pair for pair in todo if not is_finished(known.get(pair.name), output)]
        todo.sort(key=lambda pair: (pair.a, pair.b))  # faces are prepared once
        try:
            for record in console.track(
                _results(todo, made, output, count, devices), "pairs", total=len(todo)
            ):
                records.append(record)
        finally:
            report = write_report(records, listed, settings)
    return report


def checked_options(options: Mapping[str, Any]) -> DatasetOptions:
    """Check the options of a data set before any work is done.

    Raises:
        ConfigError: One is unknown, or none of the possible ones.
    """
    known = DatasetOptions.__dataclass_fields__
    for key in options:
        if key not in known:
            raise ConfigError("no such option of a data set", where=key, expected=", ".join(known))
    try:
        made = DatasetOptions(
            **{**options, "times": tuple(float(time) for time in options.get("times", (0.5,)))}
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "not a list of times",
            where="times",
            expected="[0.5] or more numbers",
            found=options.get("times"),
        ) from error
    _check_kinds(made)
    if made.warp not in WARPS:
        raise ConfigError("no such warp", where="warp", expected=" | ".join(WARPS), found=made.warp)
    check_options(
        made.warp, {"blend": made.blend, "outside": made.outside, "mask": made.mask}, 24.0
    )
    if not made.times or not all(0 <= time <= 1 for time in made.times):
        raise ConfigError(
            "a morph has no such time", where="times", expected="0 to 1", found=list(made.times)
        )
    names = [file_name("", time, made) for time in made.times]
    if len(set(names)) < len(names):
        raise ConfigError(
            "two times are too close to each other", where="times", found=list(made.times)
        )
    for key, allowed in (
        ("align", ALIGNMENTS),
        ("detector", DETECTORS),
        ("suffix", tuple(suffix[1:] for suffix in SUFFIXES)),
    ):
        if getattr(made, key) not in allowed:
            raise ConfigError(
                "no such choice", where=key, expected=" | ".join(allowed), found=getattr(made, key)
            )
    if made.smoothing is not None and not 0 <= made.smoothing < math.inf:
        raise ConfigError(
            "a warp has no such smoothing",
            where="smoothing",
            expected="0 or more",
            found=made.smoothing,
        )
    if made.min_score is not None and not 0 < made.min_score <= 1:
        raise ConfigError(
            "a face has no such score",
            where="min_score",
            expected="above 0, to 1",
            found=made.min_score,
        )
    if not 16 <= made.size <= 8192:
        raise ConfigError(
            "the frame has an unusable size",
            where="size",
            expected="16 to 8192 pixels",
            found=made.size,
        )
    if made.points is not None and not Path(made.points).is_dir():
        raise ConfigError(
            "there is no such folder of landmark files", where="points", found=made.points
        )
    return made


def _check_kinds(made: DatasetOptions) -> None:
    """See that each option has the type of its field: a Hydra config may hold anything."""
    for key, hint in get_type_hints(DatasetOptions).items():
        value, kinds = (
            getattr(made, key),
            get_args(hint) if isinstance(hint, UnionType) else (hint,),
        )
        fits = type(value) in kinds or (float in kinds and type(value) is int) or key == "times"
        if not fits and not (str in kinds and isinstance(value, Path)):
            raise ConfigError(
                "an option of another kind",
                where=key,
                found=repr(value),
                expected=" | ".join(getattr(kind, "__name__", str(kind)) for kind in kinds),
            )


def _devices(name: str) -> list[str]:
    device = torch_device("cuda" if name == "ddp" else name)
    if device.type == "cuda" and device.index is None:
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [str(device)]


def _workers(wanted: int | None, devices: Sequence[str]) -> int:
    return (
        len(devices) if wanted is None and devices[0].startswith("cuda") else count_workers(wanted)
    )


def _results(
    todo: Sequence[ListedPair],
    options: DatasetOptions,
    output: Path,
    workers: int,
    devices: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Records in the order in which the pairs are finished; after a stop signal, of those that are
    begun.
    """
    chunks = [list(todo[start : start + CHUNK]) for start in range(0, len(todo), CHUNK)]
    with StopSignals() as stop:
        if workers == 1 or len(chunks) < 2:
            worker = DatasetWorker(options, output, devices[0])
            for chunk in (
                chunks
                if options.warp not in CLOSED_FORMS or worker.batched
                else ([pair] for pair in todo)
            ):
                yield from worker.make(chunk)
                if stop.number is not None:
                    break
        else:
            workers = min(workers, len(chunks))
            queue = multiprocessing.get_context("spawn").Queue()
            for index in range(workers):
                queue.put(devices[index % len(devices)])
            for records in results_from_pool(
                chunks,
                make_in_worker,
                workers,
                stop,
                output,
                start_worker,
                (options, output, queue),
            ):
                yield from records
    stop.raise_if_any(output)


def say(report: Mapping[str, Any], output: Path) -> int:
    """Print what became of the pairs and the first reasons; returns the exit code, 3 where some
    failed.
    """
    counts = report["counts"]
    console.out.print(
        ", ".join(f"{number} {status}" for status, number in counts.items() if number) or "no pairs"
    )
    failed = [row for row in report["rows"] if row["status"] == "failed"]
    for row in failed[:5]:
        console.err.print(f"line {row['line']}, {row['name']}: {row['reason']}", markup=False)
    if len(failed) > 5:
        console.err.print(
            f"... and {len(failed) - 5} more in {output / 'report.json'}", markup=False
        )
    console.out.print(str(output / "report.json"), markup=False)
    if failed:
        return SOME_FAILED
    console.next_command(shlex.join(["facemorph", "evaluate", str(output)]))
    return 0
