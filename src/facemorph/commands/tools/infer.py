"""``facemorph infer``: everything after it goes to Hydra."""

from __future__ import annotations

import typer


def infer(context: typer.Context) -> None:
    """Use a trained system: facemorph infer @last output=out/ [+OPTION=VALUE ...]."""
    from facemorph.entry.launch import run_job
    from facemorph.infer import infer as job

    words = [f"checkpoint={word}" if word.startswith("@") else word for word in context.args]
    run_job(job, "infer", words)
