"""``facemorph dataset``: everything after it goes to Hydra."""

from __future__ import annotations

import typer


def dataset(context: typer.Context) -> None:
    """Morph a list of pairs as a Hydra job: facemorph dataset pairs=LIST images=DIR output=OUT [-m
    shard=0/2,1/2].
    """
    from facemorph.entry.dataset import dataset as job
    from facemorph.entry.launch import run_job

    run_job(job, "dataset", context.args)
