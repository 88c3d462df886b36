"""What becomes of memory that is freed: kept by a training, given back by a server."""

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
    library = _glibc()
    if library is None:
        return False
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, PAD))
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings)


def give_freed_memory_back() -> bool:
    """Give the memory that this process has freed back to the system.

    Each of a server's threads has a heap of its own, whose freed parts glibc keeps: those of the
    studio grew by a tenth within an hour, though nothing was held.

    Returns:
        Whether there was any to give: on Linux with glibc.
    """
    library = _glibc()
    return library is not None and library.malloc_trim(0) == 1


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    is_glibc = hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version")
    return library if is_glibc else None
