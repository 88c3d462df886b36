"""Pairs of the Face Research Lab London Set with their hand-made templates, for benchmarks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from facemorph.errors import DataError
from facemorph.faces.pair import FacePair, prepare_pair

SIZE = 512
PAIRS = "pairs_for_morphing_full.txt"
PROTOCOL = "pairs_for_morphing_full.txt"


def find_frll(folder: Path | None = None) -> Path | None:
    """Folder with ``neutral/NNN_03.jpg`` and ``.tem``.

    Args:
        folder: The given one; None looks in ``$FACEMORPH_FRLL``, in ``data/frll`` and in the
            developers' own.

    Returns:
        The folder, or None where none was given and none is found.

    Raises:
        DataError: The given folder is another one.
    """
    if folder is not None:
        if not (folder / PROTOCOL).is_file():
            raise DataError(
                "this is not the Face Research Lab London Set",
                where=folder,
                expected=PROTOCOL,
                remedy="Give its folder with --frll.",
            )
        return folder
    named = os.environ.get("FACEMORPH_FRLL")
    candidates = [Path(named)] if named else []
    above = Path(__file__).resolve().parents[5:6]
    candidates += [Path("data/frll"), *(one / "shared/data/frll" for one in above)]
    return next((one for one in candidates if (one / PROTOCOL).is_file()), None)


def frll_pairs(folder: Path, count: int, seed: int = 0) -> list[FacePair]:
    """Random pairs of the FRLL-Morphs protocol, whole pictures at 512 pixels, with all 189 template
    points.

    Args:
        folder: What ``find_frll`` gives.
        count: Number of pairs.
        seed: Of the choice.
    """
    names = [line.split() for line in (folder / PAIRS).read_text().splitlines() if line.strip()]
    pairs = [(a, b) for a, b in names if a != b]
    chosen = np.random.default_rng(seed).choice(len(pairs), count, replace=False)
    neutral = folder / "neutral"
    return [
        prepare_pair(
            neutral / a,
            neutral / b,
            size=SIZE,
            align="none",
            points_a=(neutral / a).with_suffix(".tem"),
            points_b=(neutral / b).with_suffix(".tem"),
        )
        for a, b in (pairs[index] for index in chosen)
    ]
