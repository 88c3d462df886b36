"""``facemorph study``: perceptual studies without a crowd platform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from facemorph import console
from facemorph.apps.generation.study import make_study
from facemorph.apps.generation.study import results as evaluation
from facemorph.apps.generation.study.choices import KEY, PAGE, PLOT, QUESTIONS, REPORT
from facemorph.commands.from_signature import options_of

study = typer.Typer(
    no_args_is_help=True,
    help="Ask people which pictures are better, and evaluate what they say.",
)


@study.command()
@options_of(make_study.ab)
def ab(output: Path, **options: Any) -> None:
    """Make a page that compares two folders of pictures: sides at random, attention checks."""
    key = make_study.ab(output=output, **options)
    if key["left_out"]:
        console.out.print(f"{key['left_out']} pictures without a partner are left out")
    _say(output, len(key["items"]))


@study.command()
@options_of(make_study.likert)
def likert(output: Path, **options: Any) -> None:
    """Make a page on which pictures are rated."""
    key = make_study.likert(output=output, **options)
    _say(output, len(key["items"]))


def _say(output: Path, questions: int) -> None:
    console.out.print(f"{questions} questions")
    console.say_files(output / one for one in (PAGE, QUESTIONS))
    key = output / KEY
    console.say_next("study", "results", "answers.csv", "--key", key, "-o", "results/")


@study.command()
@options_of(evaluation.results)
def results(output: Path, **options: Any) -> None:
    """Evaluate answers: preferences or ratings with intervals; who missed checks is left out."""
    report = evaluation.results(output=output, **options)
    for name, reason in report["dropped"].items():
        console.out.print(f"left out: {name}, {reason}", markup=False)
    kept = report["participants"] - len(report["dropped"])
    said = f"{report['answers']} answers of {kept} participants"
    one, rated = report["preference"], report["ratings"]
    if one is not None:
        console.out.print(
            f"A preferred in {one['share']:.1%} ({one['low']:.1%} to {one['high']:.1%}) of {said}, "
            f"p = {one['p_value']:.2g}"
        )
    if rated is not None:
        console.out.print(
            f"median {rated['median']:g}, mean {rated['mean']:.2f}, mode {rated['mode']} of {said}"
        )
    console.say_files([output / PLOT, output / REPORT])
