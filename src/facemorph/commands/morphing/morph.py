"""``facemorph morph``: two photographs to a video, GIF, picture or folder of pictures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Align, Detector, Device, MinScore, Size


def morph(
    a: Annotated[Path, typer.Argument(help="First photograph.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Second photograph.", metavar="B")],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="OUT", help="OUT.mp4, OUT.gif, OUT.png or a folder."
        ),
    ],
    size: Size = 512,
    frames: Annotated[int, typer.Option(help="Number of frames.")] = 24,
    time: Annotated[
        float | None, typer.Option(help="Time of a still, 0 to 1; half-way by default.")
    ] = None,
    warp: Annotated[
        str,
        typer.Option(
            help="thin_plate_flow, tps, piecewise_affine; trained: siren_residual, siren, "
            "neural_ode, conjugate_flow, "
            "or a .ckpt, .pth, @last.",
        ),
    ] = "thin_plate_flow",
    blend: Annotated[
        str,
        typer.Option(
            help="Inside the mask: multiband, linear_masked, min, max, poisson_average, "
            "poisson_mix, poisson_source, "
            "poisson_target; whole frame: linear, source, target.",
        ),
    ] = "multiband",
    outside: Annotated[
        str, typer.Option(help="Hair, clothes and background: source, target or mix.")
    ] = "source",
    mask: Annotated[
        str,
        typer.Option(
            help="face, lower_face, left_half, right_half, frame, or a polygon's file (pixels of "
            "the frame at time 0).",
        ),
    ] = "face",
    style: Annotated[
        str | None,
        typer.Option(
            help="complete, combined or splicing, as in the literature on morphing attacks."
        ),
    ] = None,
    shape_time: Annotated[
        str | None,
        typer.Option(
            help="How far the shape is: 0 to 1, or linear, ease, early, late, hold; as the time "
            "by default."
        ),
    ] = None,
    texture_time: Annotated[
        str | None, typer.Option(help="The same for colours and texture.")
    ] = None,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine",
            help="Align hair, ears and clothes too; of use with --outside mix or --blend linear.",
        ),
    ] = False,
    points_a: Annotated[
        Path | None, typer.Option(help="Landmarks of A: .tem .pts .json .csv, in its pixels.")
    ] = None,
    points_b: Annotated[Path | None, typer.Option(help="Landmarks of B.")] = None,
    detector: Detector = "embedded",
    min_score: MinScore = None,
    align: Align = "portrait",
    device: Device = "auto",
    fps: Annotated[float, typer.Option(help="Frames per second of a video or GIF.")] = 24.0,
    report: Annotated[bool, typer.Option(help="Write the contact sheet and the HTML page.")] = True,
) -> None:
    """Morph one face into another, with figures and a report beside the result."""
    from facemorph import console
    from facemorph.apps.morphing import morph as app
    from facemorph.jobs.outputs import STILLS, beside

    result = app.morph(
        a,
        b,
        output,
        size=size,
        frames=frames,
        time=time,
        warp=warp,
        blend=blend,
        outside=outside,
        mask=mask,
        style=style,
        shape_time=shape_time,
        texture_time=texture_time,
        refine=refine,
        points_a=points_a,
        points_b=points_b,
        detector=detector,
        min_score=min_score,
        align=align,
        device=device,
        frames_per_second=fps,
        report=report,
    )
    metrics = result.metrics
    held_out = metrics["heldout_landmark_error_px"]
    console.out.print(
        f"landmarks {metrics['landmark_error_px']:.2f} px, held out "
        f"{'not measured' if held_out is None else f'{held_out:.2f} px'}, "
        f"folds {metrics['fold_over_percent']:.3g} %, "
        f"inverse {metrics['inverse_error_px']:.2g} px, {sum(metrics['seconds'].values()):.1f} s"
    )
    frames_apart = [path for path in result.files if not path.match("frame_*.png")]
    for path in result.files if output.suffix else [output, *frames_apart]:
        console.out.print(str(path), markup=False)
    words = ["facemorph", "morph", str(a), str(b), "-o"]
    if outside == "source" and output.suffix.lower() not in STILLS:
        following = shlex.join([*words, str(output), "--outside", "mix"])
        console.next_command(f"{following}   (ends at the whole of B)")
    else:
        trained = str(beside(result.files[0], "trained.mp4"))
        console.next_command(shlex.join([*words, trained, "--warp", "siren_residual"]))
