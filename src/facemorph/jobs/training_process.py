"""The real training entry point, run in a process of its own: for demos and benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from facemorph.errors import CheckpointError


def train_in_process(words: Sequence[str]) -> None:
    """Run ``train.py`` with these words.

    Raises:
        CheckpointError: The training did not finish.
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "facemorph.train", *words],
        check=False,
        env=os.environ | {"HYDRA_FULL_ERROR": "1"},
    )
    if done.returncode != 0:
        raise CheckpointError(
            "this training did not finish",
            where=f"train.py {words[0]}",
            found=f"exit code {done.returncode}",
            remedy="See its message above.",
        )
