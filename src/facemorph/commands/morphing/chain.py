"""``facemorph chain``: a morph through several photographs, and round again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def chain(
    pictures: Annotated[
        list[Path],
        typer.Argument(help="Photographs in their order, or folders of them.", metavar="A B C..."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="OUT.mp4, OUT.gif or a folder.")
    ],
    loop: Annotated[bool, typer.Option("--loop", help="Go back to the first photograph.")] = False,
    frames: Annotated[int, typer.Option(help="Frames of each morph.")] = 24,
    easing: Annotated[
        str, typer.Option(help="linear, or ease: slow at each photograph; early, late, hold.")
    ] = "linear",
    size: Annotated[int, typer.Option(help="Longer side of the frame in pixels.")] = 512,
    warp: Annotated[
        str,
        typer.Option(
            help="thin_plate_flow, tps, piecewise_affine; trained: siren_residual, siren, "
            "neural_ode, conjugate_flow.",
        ),
    ] = "thin_plate_flow",
    blend: Annotated[
        str,
        typer.Option(
            help="multiband, linear, linear_masked, min, max, poisson_average or poisson_mix."
        ),
    ] = "multiband",
    refine: Annotated[
        bool, typer.Option("--refine", help="Align hair, ears and clothes too.")
    ] = False,
    points: Annotated[
        Path | None,
        typer.Option(
            help="Folder of landmark files, STEM.tem, .pts, .json or .csv for each picture."
        ),
    ] = None,
    detector: Annotated[str, typer.Option(help="embedded, face_alignment or dlib.")] = "embedded",
    align: Annotated[str, typer.Option(help="portrait, ffhq, ffhq_upright or none.")] = "portrait",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    fps: Annotated[float, typer.Option(help="Frames per second of a video or GIF.")] = 24.0,
    report: Annotated[bool, typer.Option(help="Write the HTML page.")] = True,
) -> None:
    """Morph each photograph into the next, without a jump between."""
    from facemorph import console
    from facemorph.apps.morphing import chain as app
    from facemorph.jobs.input_files import picture_files, points_beside

    files = picture_files(pictures)
    result = app.chain(
        files,
        output,
        loop=loop,
        frames=frames,
        easing=easing,
        size=size,
        warp=warp,
        blend=blend,
        refine=refine,
        points=points_beside(files, points),
        detector=detector,
        align=align,
        device=device,
        frames_per_second=fps,
        report=report,
    )
    for segment in result.segments:
        metrics = segment.metrics
        console.out.print(
            f"{' to '.join(metrics['from_to'])}: landmarks {metrics['landmark_error_px']:.2f} px, "
            f"folds {metrics['fold_over_percent']:.3g} %, inverse "
            f"{metrics['inverse_error_px']:.2g} px",
            markup=False,
        )
    for path in result.files:
        if not path.match("frame_*.png"):
            console.out.print(str(path), markup=False)
    words = ["facemorph", "chain", *map(str, pictures), "-o", str(output)]
    console.next_command(shlex.join([*words, "--refine"] if loop else [*words, "--loop"]))
