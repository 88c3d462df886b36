"""The kinds of morph that the literature on morphing attacks tells apart, as options of a morph.

| style | geometry | outside the face |
|---|---|---|
| ``complete`` | of the morph | both pictures blended |
| ``combined`` | of the morph | one picture, warped |
| ``splicing`` | of one picture | that picture, unchanged |

Sources: ``complete``: Ferrara, Franco and Maltoni, *The magic passport*, 2014; ``complete`` and ``splicing``:
Makrushin, Neubert and Dittmann, *Automatic generation and detection of visually faultless facial morphs*, 2017;
``combined``: Neubert et al., *Extended StirTrace benchmarking of biometric and forensic qualities of morphed face
images*, 2018. Departures: a spliced face is not warped to the half-way shape and back, which is the identity for
our flow, but once, straight to the shape of the picture that it is spliced into; ``combined`` blends its seam in
frequency bands unless another ``blend`` is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facemorph.errors import ConfigError

STYLES = ("complete", "combined", "splicing")


def style_options(style: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of ``NeuralWarp.render`` for a style; ``options`` themselves where it is None.

    Args:
        style: One of ``STYLES``.
        options: ``blend``, ``outside``, ``shape_time``, ``texture_time``.

    Raises:
        ConfigError: There is no such style, or an option contradicts it.
    """
    if style is None:
        return dict(options)
    if style not in STYLES:
        raise ConfigError("no such style", where="style", expected=" | ".join(STYLES), found=style)
    if options["shape_time"] is not None:
        raise ConfigError("a style says itself where the shape is", where="shape_time", found=options["shape_time"],
                          remedy="Leave out one of style and shape_time.")
    if style == "complete":
        return {**options, "blend": "linear"}
    if options["outside"] not in ("source", "target") or options["blend"] == "linear":
        raise ConfigError(f"a {style} morph takes what lies outside the face from one picture",
                          where="outside, blend", found=f"{options['outside']}, {options['blend']}",
                          expected="source or target; any blend but linear")
    if style == "splicing":
        return {**options, "shape_time": 0.0 if options["outside"] == "source" else 1.0}
    return dict(options)
