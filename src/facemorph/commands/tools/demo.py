"""``make demo``: the main job on the two committed photographs, in closed form and trained, in one
report.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder

if TYPE_CHECKING:
    from facemorph.systems.ifmorph.system import NeuralWarp


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")] = Path(
        "demo"
    ),
) -> None:
    """Morph the two committed photographs, in closed form and by training, and compare both in one
    report.
    """
    from facemorph import console
    from facemorph.apps.morphing.morph import morph
    from facemorph.apps.morphing.morph_result import (
        assemble,
        morph_sheet,
        report_section,
        write_morph,
    )
    from facemorph.apps.morphing.warp_fitting import fit_warp
    from facemorph.jobs.outputs import check_writable
    from facemorph.jobs.pages.morph_page import write_report

    folder = sample_folder()
    a, b = (folder / name for name in PHOTOGRAPHS)
    check_writable(output / "report.html")
    console.out.print(f"1/3  closed form: {a.name} to {b.name}")
    closed = morph(a, b, output / "closed_form.mp4", frames=48)
    console.out.print("2/3  training the residual neural warp: train.py experiment=ifmorph/demo")
    system = _train(a, b, output / "runs")
    trained = assemble(
        system,
        closed.pair,
        closed.times,
        closed.options,
        lambda pair: fit_warp(pair, "siren_residual", experiment="ifmorph/demo"),
    )
    trained.metrics |= {
        "inputs": closed.metrics["inputs"],
        "config": closed.metrics["config"]
        | {"warp": "siren_residual", "smoothing": None, "experiment": "ifmorph/demo"},
    }
    console.out.print("3/3  rendering the trained morph and the report")
    write_morph(trained, output / "trained.mp4")
    sections = [
        report_section(result, morph_sheet(result), title, None)
        for result, title in (
            (closed, "Thin-plate flow (closed form)"),
            (trained, "Residual neural warp (trained)"),
        )
    ]
    page = write_report(
        sections, output / "report.html", "facemorph demo: two photographs to a morph"
    )
    for name, result in (("closed form", closed), ("trained", trained)):
        metrics = result.metrics
        console.out.print(
            f"{name:12} landmarks {metrics['landmark_error_px']:.2f} px, "
            f"half-way {metrics['alignment_px']:.2f} px, "
            f"held out {metrics['heldout_landmark_error_px']:.2f} px, "
            f"folds {metrics['fold_over_percent']:.3g} %"
        )
    for path in (output / "closed_form.mp4", output / "trained.mp4", page):
        console.out.print(str(path))
    console.next_command("facemorph morph A.jpg B.jpg -o out.mp4   (your own photographs)")


def _train(a: Path, b: Path, root: Path) -> NeuralWarp:
    """Train and load what that leaves."""
    from facemorph.jobs.training_process import train_in_process
    from facemorph.storage.checkpoint import load_system
    from facemorph.storage.runs import latest_checkpoint

    train_in_process(
        ["experiment=ifmorph/demo", f"data.a={a}", f"data.b={b}", f"paths.output_root={root}"]
    )
    return load_system(latest_checkpoint(root=root))


if __name__ == "__main__":
    from facemorph.entry.exits import guarded
    from facemorph.entry.threads import leave_cores_free

    leave_cores_free()
    sys.exit(guarded(lambda: typer.run(demo)))
