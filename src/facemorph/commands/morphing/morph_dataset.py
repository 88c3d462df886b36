"""``facemorph morph-dataset``: every pair of a list, in several processes; a run that is
interrupted continues.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Align, Detector, Device, MinScore, PointsFolder, Size


def morph_dataset(
    pairs: Annotated[
        Path,
        typer.Argument(help="List of pairs: two file names on each line.", metavar="PAIRS.txt"),
    ],
    images: Annotated[Path, typer.Option(help="Folder of the pictures.", metavar="DIR")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the morphs.", metavar="DIR")],
    points: PointsFolder = None,
    size: Size = 512,
    time: Annotated[
        list[float] | None, typer.Option(help="Time, 0 to 1; repeat for several. [default: 0.5]")
    ] = None,
    warp: Annotated[
        str,
        typer.Option(
            help="thin_plate_flow, tps, piecewise_affine; trained in stacks: siren_residual, siren."
        ),
    ] = "thin_plate_flow",
    smoothing: Annotated[
        float | None,
        typer.Option(
            help="Of a closed form; without: 0 for hand-made templates, 1e-3 for detected points."
        ),
    ] = None,
    blend: Annotated[str, typer.Option(help="As of `facemorph morph`.")] = "multiband",
    outside: Annotated[
        str, typer.Option(help="Hair, clothes and background: source, target or mix.")
    ] = "source",
    mask: Annotated[str, typer.Option(help="As of `facemorph morph`.")] = "face",
    detector: Detector = "embedded",
    min_score: MinScore = None,
    align: Align = "portrait",
    suffix: Annotated[str, typer.Option(help="Kind of picture: png, jpg or webp.")] = "png",
    name: Annotated[
        str, typer.Option(help="Name of a morph from the stems of both pictures.")
    ] = "{a}_{b}",
    workers: Annotated[
        int | None, typer.Option(help="Processes; without: one for each core or GPU.")
    ] = None,
    shard: Annotated[
        str, typer.Option(help="K/N makes only the K-th of N parts (K from 0).")
    ] = "0/1",
    device: Device = "auto",
    quality: Annotated[
        bool, typer.Option(help="Measure folds, inverse error and bending of each pair too.")
    ] = False,
) -> int:
    """Morph every pair of a list; report.json says what became of each. Exit code 3: some pairs
    failed.
    """
    from facemorph.apps.morphing import morph_dataset as app

    report = app.morph_dataset(
        pairs,
        images,
        out,
        name=name,
        workers=workers,
        shard=shard,
        device=device,
        size=size,
        times=time or [0.5],
        warp=warp,
        smoothing=smoothing,
        blend=blend,
        outside=outside,
        mask=mask,
        points=None if points is None else str(points),
        detector=detector,
        min_score=min_score,
        align=align,
        suffix=suffix,
        quality=quality,
    )
    return app.say(report, out)
