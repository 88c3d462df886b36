"""What becomes of memory that a training frees."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # parameters of glibc's mallopt
PAD = 64 << 20  # bytes by which the heap grows beyond what is asked for


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for the next step of a training.

    By default glibc gives large blocks back to the system when they are freed; in the next step
    they are new pages, each of which the kernel has to fill with zeros at its first use. In a step
    of ``ifmorph/paper`` on a CPU that were up to 55,000 pages and 0.2 s of 1 s, more or less by
    what else lay on the heap. A training's steps all need the same memory, so its peak stays.

    Returns:
        Whether it could be set: on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version")):
        return False
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, PAD))
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings)
