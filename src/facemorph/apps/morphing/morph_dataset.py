"""Morphs of many pairs: resumable, in several processes, and one bad picture does not stop it.

The pairs of the FRLL-Morphs protocol are the standard example: 1220 lines, one of them a picture
with itself.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import torch

from facemorph import console
from facemorph.apps.morphing.dataset_worker import (
    DatasetOptions,
    DatasetWorker,
    MorphRow,
    file_name,
    settings_of,
)
from facemorph.apps.morphing.morph_options import WARPS, check_options
from facemorph.apps.morphing.warp_fitting import STACKED
from facemorph.errors import ConfigError, DataError
from facemorph.faces.detection import DETECTORS
from facemorph.faces.files.image_output import SUFFIXES
from facemorph.faces.files.pair_lists import ListedPair, points_of, read_pair_list
from facemorph.faces.pair import ALIGNMENTS
from facemorph.jobs.batch import Batch, run, stamp_of
from facemorph.jobs.outputs import check_writable, torch_device
from facemorph.jobs.pool import count_workers, parse_shard
from facemorph.jobs.records import (
    DONE,
    FAILED,
    MISSING,
    REPORT,
    SKIPPED,
    Header,
    Settings,
    counts_of,
    header,
    write_json,
)

CHUNK = 8  # pairs that a process takes at a time; trained warps are trained together
SOME_FAILED = 3


class DatasetReport(Header):
    """The content of ``report.json``: how many pairs ended how, and a row for each."""

    counts: dict[str, int]
    seconds: float
    rows: list[MorphRow]


def morph_dataset(
    pairs: str | Path,
    images: str | Path,
    output: str | Path,
    *,
    name: str = "{a}_{b}",
    workers: int | None = None,
    shard: str = "0/1",
    device: str = "auto",
    size: int = 512,
    times: Sequence[float] = (0.5,),
    warp: str = "thin_plate_flow",
    smoothing: float | None = None,
    blend: str = "multiband",
    outside: str = "source",
    mask: str = "face",
    points: str | Path | None = None,
    detector: str = "embedded",
    min_score: float | None = None,
    align: str = "portrait",
    suffix: str = "png",
    quality: bool = False,
) -> DatasetReport:
    """Morph every pair of a list.

    What is finished already is left as it is, so that the same call continues a run that was
    interrupted; what failed is tried again, and what has other pictures now is made again. Several
    shards, on one machine or many, may share the folder.

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
        size: Longer side in pixels.
        times: Times of the pictures of each pair, each in [0, 1].
        warp: A closed form, ``thin_plate_flow``, ``tps``, ``piecewise_affine``; or trained,
            ``siren_residual``, ``siren`` or ``neural_ode``, in stacks of as many pairs as a process
            takes at a time; ``conjugate_flow``, one after the other.
        smoothing: Of a closed form; None: 0 for hand-made templates, 1e-3 for detected points.
        blend: See ``NeuralWarp.render``.
        outside: See ``NeuralWarp.render``.
        mask: See ``NeuralWarp.render``.
        points: Folder with a landmark file for each picture; found by the detector when None.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
        min_score: Lowest score of a face; the detector's own when None.
        align: ``portrait``, ``ffhq``, ``ffhq_upright`` or ``none``.
        suffix: Kind of picture: ``png``, ``jpg`` or ``webp``.
        quality: Measure folds, inverse error and bending of each pair too (twice the time).

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: The list, an option or the folder is at fault. A pair that fails does not
            raise.
    """
    made = checked_options(
        {
            "size": size,
            "times": times,
            "warp": warp,
            "smoothing": smoothing,
            "blend": blend,
            "outside": outside,
            "mask": mask,
            "points": points if points is None else str(points),
            "detector": detector,
            "min_score": min_score,
            "align": align,
            "suffix": suffix,
            "quality": quality,
        }
    )
    part, parts = parse_shard(shard)
    folder = Path(images).resolve()  # the same from wherever the next call comes
    listed = read_pair_list(pairs, folder, name)
    devices = _devices(device)
    count = _workers(workers, devices)
    output = Path(output)
    check_writable(output / REPORT)
    settings = {**settings_of(made), "images": str(folder), "name": name}
    # In this order faces are prepared once.
    mine = sorted(listed[part::parts], key=lambda pair: (pair.a, pair.b))
    worker = DatasetWorker(made, output, devices[0])
    return run(
        Batch(
            output,
            "pairs",
            {pair.name: pair for pair in mine if pair.skip is None},
            partial(_start, made, output, devices),
            DatasetWorker.make,
            partial(_report, output, listed, settings),
            settings=settings,
            given=lambda pair: {"stamp": _stamp(pair, made)},
            same=("stamp",),
            here=worker,
            together=DatasetWorker.fit_together if worker.batched or warp in STACKED else None,
            chunk=CHUNK,
            workers=count,
            shard=(part, parts),
            quiet=True,
        )
    )


def _start(
    options: DatasetOptions, output: Path, devices: Sequence[str], number: int
) -> DatasetWorker:
    return DatasetWorker(options, output, devices[number % len(devices)])


def _stamp(pair: ListedPair, options: DatasetOptions) -> str:
    files = [pair.a, pair.b]
    if options.points is not None:
        with suppress(DataError):  # a missing one is the failure of its pairs
            files += [points_of(picture, options.points) for picture in files]
    return stamp_of(*files)


def _report(
    output: Path,
    listed: Sequence[ListedPair],
    settings: Settings,
    known: Mapping[str, MorphRow],
) -> DatasetReport:
    """Write the report: how many pairs ended how, and a row for each."""
    rows: list[MorphRow] = []
    for pair in listed:
        row = MorphRow(name=pair.name, line=pair.line, a=str(pair.a), b=str(pair.b))
        if pair.skip is not None:
            row |= MorphRow(status=SKIPPED, reason=pair.skip)
        elif pair.name in known:
            row |= known[pair.name]
        else:
            row |= MorphRow(status=MISSING, reason="not made yet, or its files are gone")
        rows.append(row)
    report: DatasetReport = {
        **header(settings),
        "counts": counts_of(rows, (DONE, FAILED, SKIPPED, MISSING)),
        "seconds": sum(row.get("seconds", 0.0) for row in rows),
        "rows": rows,
    }
    write_json(output / REPORT, report)
    return report


def checked_options(options: Mapping[str, object]) -> DatasetOptions:
    """Check the options of a data set before any work is done.

    Raises:
        ConfigError: One is unknown, or none of the possible ones.
    """
    known = DatasetOptions.__dataclass_fields__
    for key in options:
        if key not in known:
            raise ConfigError("no such option of a data set", where=key, expected=", ".join(known))
    given: dict[str, Any] = dict(options)
    try:
        times = tuple(float(time) for time in given.pop("times", (0.5,)))
        made = DatasetOptions(**given, times=times)
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


def say(report: DatasetReport, output: Path) -> int:
    """Print what became of the pairs and the first reasons; returns the exit code, 3 where some
    failed.
    """
    counts = report["counts"]
    console.out.print(
        ", ".join(f"{number} {status}" for status, number in counts.items() if number) or "no pairs"
    )
    failed = [row for row in report["rows"] if row["status"] == FAILED]
    for row in failed[:5]:
        console.err.print(f"line {row['line']}, {row['name']}: {row['reason']}", markup=False)
    if len(failed) > 5:
        console.err.print(f"... and {len(failed) - 5} more in {output / REPORT}", markup=False)
    console.out.print(str(output / REPORT), markup=False)
    if failed:
        return SOME_FAILED
    console.next_command(shlex.join(["facemorph", "evaluate", str(output)]))
    return 0
