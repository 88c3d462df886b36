"""``facemorph train``: everything after it goes to Hydra."""

from __future__ import annotations

import typer


def train(context: typer.Context) -> None:
    """Train from a config: facemorph train experiment=ifmorph/tiny [KEY=VALUE ...]; --cfg job shows
    it.
    """
    from facemorph.entry.launch import run_job
    from facemorph.train import train as job

    run_job(job, "train", context.args)
