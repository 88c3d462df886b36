"""Small sets of synthetic scans, made by the commands that make large ones."""

from __future__ import annotations

from pathlib import Path

from facemorph.cli import run


def made_scans(
    folder: Path,
    identities: int,
    expressions: int,
    held_identities: float = 0,
    held_expressions: float = 0,
) -> Path:
    """Raw scans of people with expressions, shares of which are held out."""
    words = ["--identities", identities, "--expressions", expressions]
    words += ["--held-identities", held_identities, "--held-expressions", held_expressions]
    assert run(["data", "scans", "-o", str(folder), *map(str, words)]) == 0
    return folder


def prepared_scans(scans: Path, folder: Path) -> Path:
    """Those scans as a training set with few points."""
    words = ["--surface", "1880", "--free", "120", "--workers", "1"]
    assert run(["data", "prepare-scans", str(scans), "-o", str(folder), *words]) == 0
    return folder
