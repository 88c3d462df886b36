"""Pairs of the Face Research Lab London Set with their hand-made templates, for benchmarks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from facemorph.faces.pair import FacePair, prepare_pair

SIZE = 512


def find_frll(folder: Path | None = None) -> Path | None:
    """Folder with ``neutral/NNN_03.jpg`` and ``.tem``: the given one, ``$FACEMORPH_FRLL``, or the developers' own."""
    candidates = [folder, Path(os.environ["FACEMORPH_FRLL"]) if "FACEMORPH_FRLL" in os.environ else None,
                  Path("data/frll"), Path(__file__).resolve().parents[4] / "shared" / "data" / "frll"]
    return next((one for one in candidates if one is not None and (one / "pairs_for_morphing_full.txt").is_file()), None)


def frll_pairs(folder: Path, count: int, seed: int = 0) -> list[FacePair]:
    """Random pairs of the FRLL-Morphs protocol, whole pictures at 512 pixels, with all 189 template points.

    Args:
        folder: What ``find_frll`` gives.
        count: Number of pairs.
        seed: Of the choice.
    """
    names = [line.split() for line in (folder / "pairs_for_morphing_full.txt").read_text().splitlines() if line.strip()]
    pairs = [(a, b) for a, b in names if a != b]
    chosen = np.random.default_rng(seed).choice(len(pairs), count, replace=False)
    neutral = folder / "neutral"
    return [prepare_pair(neutral / a, neutral / b, size=SIZE, align="none", points_a=(neutral / a).with_suffix(".tem"),
                         points_b=(neutral / b).with_suffix(".tem")) for a, b in (pairs[index] for index in chosen)]
