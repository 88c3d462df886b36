"""Plots as SVG pictures: curves, and bars with intervals."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from facemorph.jobs.pages.det_plot import COLOURS
from facemorph.storage.files import write_whole

LEFT, TOP, WIDTH, HEIGHT = 80, 40, 520, 320
LEGEND, ROW = 190, 30
Point = tuple[float, float]


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``, about as many as wanted."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, wanted - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one * power for one in (1, 2, 2.5, 5, 10) if one * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def write_curves(
    curves: Mapping[str, Sequence[Point]],
    path: str | Path,
    *,
    title: str,
    across: str,
    upward: str,
    levels: Mapping[str, float] | None = None,
) -> Path:
    """Draw curves from 0 upward.

    Args:
        curves: Points of each by its name, from left to right.
        path: The ``.svg`` file.
        title: Heading.
        across: Text below the horizontal axis.
        upward: Text beside the vertical axis.
        levels: Heights of dashed lines, by name.

    Raises:
        OutputError: It cannot be written.
    """
    levels = levels or {}
    points = [point for curve in curves.values() for point in curve]
    xs = [x for x, _ in points]
    ys = [y for _, y in points] + list(levels.values())
    low, high, top = min(xs), max(xs), max(*ys, 1e-9) * 1.08

    def place(x: float, y: float) -> Point:
        return LEFT + (x - low) / max(high - low, 1e-9) * WIDTH, TOP + HEIGHT * (1 - y / top)

    parts = _begin(LEFT + WIDTH + LEGEND, TOP + HEIGHT + 70, title)
    for tick in ticks(low, high):
        x, y = place(tick, 0)
        parts.append(f'<path d="M{x:.1f} {TOP}V{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(x, y + 18, f"{tick:g}", "middle"))
    for tick in ticks(0, top):
        x, y = place(low, tick)
        parts.append(f'<path d="M{x:.1f} {y:.1f}h{WIDTH}" stroke="#ddd"/>')
        parts.append(_text(x - 8, y + 4, f"{tick:.4g}", "end"))
    entries = []
    for colour, (name, curve) in zip(COLOURS, curves.items(), strict=False):
        line = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in curve)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in curve:
            x, y = place(*point)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        entries.append((name, colour, ""))
    for name, value in levels.items():
        x, y = place(low, value)
        parts.append(f'<path d="M{x:.1f} {y:.1f}h{WIDTH}" stroke="#777" stroke-dasharray="5 4"/>')
        entries.append((name, "#777", ' stroke-dasharray="5 4"'))
    for row, (name, colour, dashes) in enumerate(entries):
        x, y = LEFT + WIDTH + 14, TOP + 10 + 22 * row
        parts.append(
            f'<path d="M{x} {y}h20" stroke="{colour}" stroke-width="2"{dashes}/>'
            + _text(x + 28, y + 4, name)
        )
    parts.append(_text(LEFT + WIDTH / 2, TOP + HEIGHT + 48, across, "middle"))
    middle = TOP + HEIGHT / 2
    parts.append(
        f'<g transform="rotate(-90 20 {middle})">{_text(20, middle, upward, "middle")}</g>'
    )
    return _write(parts, path)


def write_shares(
    shares: Mapping[str, tuple[float, float, float]],
    path: str | Path,
    *,
    title: str,
    across: str,
    chance: float | None = None,
) -> Path:
    """Draw shares from 0 to 1 as bars, each with its interval.

    Args:
        shares: Value and both ends of the interval, by name.
        path: The ``.svg`` file.
        title: Heading.
        across: Text below.
        chance: Where guessing alone would lie.

    Raises:
        OutputError: It cannot be written.
    """
    left = 40 + 7 * max((len(name) for name in shares), default=0)
    bottom = TOP + ROW * max(1, len(shares))
    parts = _begin(left + WIDTH + 90, bottom + 60, title)
    for tick in ticks(0, 1):
        x = left + tick * WIDTH
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(_text(x, bottom + 18, f"{100 * tick:.0f} %", "middle"))
    for row, (name, (value, low, high)) in enumerate(shares.items()):
        y = TOP + ROW * row + ROW / 2
        begin, end = left + low * WIDTH, left + high * WIDTH
        parts.append(
            f'<rect x="{left}" y="{y - 9}" width="{value * WIDTH:.1f}" height="18" '
            f'fill="{COLOURS[0]}" opacity=".75"/>'
            f'<path d="M{begin:.1f} {y}H{end:.1f}M{begin:.1f} {y - 5}v10M{end:.1f} {y - 5}v10" '
            'stroke="#222" stroke-width="1.5" fill="none"/>'
        )
        parts.append(_text(left - 8, y + 4, name, "end"))
        parts.append(_text(left + WIDTH + 12, y + 4, f"{100 * value:.1f} %"))
    if chance is not None:
        x = left + chance * WIDTH
        parts.append(
            f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{COLOURS[1]}" stroke-width="1.5" '
            'stroke-dasharray="5 4"/>'
        )
        parts.append(_text(x, TOP - 6, "chance", "middle"))
    parts.append(_text(left + WIDTH / 2, bottom + 44, across, "middle"))
    return _write(parts, path)


def _begin(width: float, height: float, title: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="14" y="20" font-size="15">{html.escape(title)}</text>',
    ]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _write(parts: list[str], path: str | Path) -> Path:
    path = Path(path)
    write_whole(path, "\n".join([*parts, "</svg>"]).encode())
    return path
