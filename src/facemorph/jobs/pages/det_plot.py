"""A detection error trade-off (DET) plot as an SVG picture: both error rates on normal-deviate
axes.

Source: Martin et al., The DET curve in assessment of detection task performance (Eurospeech 1997).
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist

from facemorph.metrics.attack_detection import DetectionCurve
from facemorph.storage.files import write_whole

TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
LEFT, TOP, SIDE = 70, 30, 460
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8e44ad", "#b8860b", "#2f4858", "#d81b60", "#00897b")
_deviate = NormalDist().inv_cdf


def write_det_plot(
    curves: Mapping[str, DetectionCurve], path: str | Path, title: str = "DET"
) -> Path:
    """Draw the curve of every kind of attack.

    Args:
        curves: The curves by name.
        path: The ``.svg`` file.
        title: Heading.

    Raises:
        OutputError: It cannot be written.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + SIDE + 220} '
        f'{TOP + SIDE + 70}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{html.escape(title)}</text>',
    ]
    for tick in TICKS:
        x, y = LEFT + _place(tick), TOP + SIDE - _place(tick)
        parts.append(
            f'<path d="M{x:.1f} {TOP}V{TOP + SIDE}M{LEFT} {y:.1f}H{LEFT + SIDE}" stroke="#ddd"/>'
            f'<text x="{x:.1f}" y="{TOP + SIDE + 18}" text-anchor="middle">{tick * 100:g}</text>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick * 100:g}</text>'
        )
    parts.append(
        f'<path d="M{LEFT} {TOP + SIDE}L{LEFT + SIDE} {TOP}" stroke="#999" stroke-dasharray="4 4"/>'
    )
    for index, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        points = [
            (LEFT + _place(a), TOP + SIDE - _place(b))
            for a, b in zip(curve.apcer, curve.bpcer, strict=True)
        ]
        steps = "".join(
            f"{'M' if first else 'L'}{x:.1f} {y:.1f}"
            for first, (x, y) in zip([True] + [False] * len(points), points, strict=False)
        )
        parts.append(
            f'<path d="{steps}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<rect x="{LEFT + SIDE + 20}" y="{TOP + 22 * index}" width="14" height="14" '
            f'fill="{colour}"/>'
            f'<text x="{LEFT + SIDE + 40}" y="{TOP + 12 + 22 * index}">{html.escape(name)}</text>'
        )
    parts.append(
        f'<text x="{LEFT + SIDE / 2}" y="{TOP + SIDE + 45}" text-anchor="middle">APCER (%)</text>'
        f'<text x="20" y="{TOP + SIDE / 2}" text-anchor="middle" '
        f'transform="rotate(-90 20 {TOP + SIDE / 2})">BPCER (%)</text></svg>'
    )
    path = Path(path)
    write_whole(path, "\n".join(parts).encode())
    return path


def _place(rate: float) -> float:
    """Place of a rate along an axis in pixels; rates beyond the last tick lie on the border."""
    low, high = _deviate(TICKS[0]), _deviate(TICKS[-1])
    return (_deviate(min(max(rate, TICKS[0]), TICKS[-1])) - low) / (high - low) * SIDE
