"""How many CPU threads a command takes."""

from __future__ import annotations

import os


def leave_cores_free() -> None:
    """Take half of the cores, at most eight, for torch; before torch is imported.

    OpenMP's threads wait for one another at every operation: where another process holds one core,
    as many threads as cores were 4 to 9 times *slower* than one (docs/benchmarks.md).
    ``OMP_NUM_THREADS`` overrides.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, min(8, cores // 2))))
