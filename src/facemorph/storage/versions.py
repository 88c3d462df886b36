"""Versions of the packages that decide what a run computes."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = {
    "facemorph": "facemorph-torch",
    "torch": "torch",
    "lightning": "lightning",
    "hydra": "hydra-core",
    "numpy": "numpy",
}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes."""
    found = {"python": platform.python_version()}
    for name, distribution in PACKAGES.items():
        try:
            found[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
