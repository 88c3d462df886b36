"""``facemorph evaluate``: identities, picture quality and attack potential of a folder of morphs,
with a gallery.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Detector, Device


def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="Folder of morphs, best one of morph-dataset.", metavar="DIR")
    ],
    probes: Annotated[
        Path | None,
        typer.Option(
            help="Further photographs of the same people, SUBJECT_...; without: the sources.",
            metavar="DIR",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Pictures of the same names: PSNR, SSIM, LPIPS.", metavar="DIR"),
    ] = None,
    bona_fide: Annotated[
        Path | None,
        typer.Option(
            help="Real photographs for the distances of sets; without: the sources.", metavar="DIR"
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Largest identity distance that is one person.")
    ] = 0.5,
    inception: Annotated[
        Path | None,
        typer.Option(
            help="Inception weights (pt_inception-2015-12-05-6726825d.pth) for FID and KID.",
            metavar="FILE",
        ),
    ] = None,
    lpips_alexnet: Annotated[
        Path | None,
        typer.Option(help="AlexNet weights (alexnet-owt-7be5be79.pth) for LPIPS.", metavar="FILE"),
    ] = None,
    lpips_linear: Annotated[
        Path | None, typer.Option(help="Linear weights of LPIPS 0.1 (alex.pth).", metavar="FILE")
    ] = None,
    detector: Detector = "embedded",
    device: Device = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the results; without: DIR.")
    ] = None,
) -> None:
    """Judge the morphs of a folder: identity distances, MMPMR, FID, PSNR; a table and a gallery to
    sort.
    """
    from facemorph import console
    from facemorph.apps.attacks import evaluate as app
    from facemorph.errors import ConfigError

    if (lpips_alexnet is None) != (lpips_linear is None):
        raise ConfigError(
            "LPIPS needs both files", where="lpips", expected="--lpips-alexnet and --lpips-linear"
        )
    lpips = (
        (lpips_alexnet, lpips_linear)
        if lpips_alexnet is not None and lpips_linear is not None
        else None
    )
    result = app.evaluate(
        folder,
        probes=probes,
        reference=reference,
        bona_fide=bona_fide,
        threshold=threshold,
        inception=inception,
        lpips=lpips,
        detector=detector,
        device=device,
        output=output,
    )
    for line in app.say(result):
        console.out.print(line, markup=False)
    for name in (app.EVALUATION, app.TABLE, app.GALLERY):
        console.out.print(str((output or folder) / name), markup=False)
