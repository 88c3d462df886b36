"""The kinds of morph that the literature on morphing attacks tells apart, as options of a morph.

| style | geometry | outside the face |
|---|---|---|
| ``complete`` | of the morph | both pictures blended |
| ``combined`` | of the morph | one picture, warped |
| ``splicing`` | of one picture | that picture, unchanged |

Sources: ``complete``: Ferrara, Franco and Maltoni, *The magic passport*, 2014; ``complete`` and
``splicing``: Makrushin, Neubert and Dittmann, *Automatic generation and detection of visually
faultless facial morphs*, 2017; ``combined``: Neubert et al., *Extended StirTrace benchmarking of
biometric and forensic qualities of morphed face images*, 2018. Departures: a spliced face is not
warped to the half-way shape and back, which is the identity for our flow, but once, straight to the
shape of the picture that it is spliced into; ``combined`` blends its seam in frequency bands unless
another ``blend`` is chosen.
"""

from __future__ import annotations

from typing import get_args

from facemorph.apps.morphing.morph_options import RenderOptions, Style
from facemorph.errors import ConfigError

STYLES = get_args(Style)


def style_options(
    style: str | None,
    blend: str,
    outside: str,
    shape_time: float | str | None,
    texture_time: float | str | None,
) -> RenderOptions:
    """Options of ``NeuralWarp.render`` for a style; as they are given where it is None.

    Args:
        style: One of ``STYLES``.
        blend: As for ``NeuralWarp.render``.
        outside: As for ``NeuralWarp.render``.
        shape_time: As for ``NeuralWarp.render``; a style decides it.
        texture_time: As for ``NeuralWarp.render``.

    Raises:
        ConfigError: There is no such style, or an option contradicts it.
    """
    options: RenderOptions = {
        "blend": blend,
        "outside": outside,
        "shape_time": shape_time,
        "texture_time": texture_time,
    }
    if style is None:
        return options
    if style not in STYLES:
        raise ConfigError("no such style", where="style", expected=" | ".join(STYLES), found=style)
    if shape_time is not None:
        raise ConfigError(
            "a style says itself where the shape is",
            where="shape_time",
            found=shape_time,
            remedy="Leave out one of style and shape_time.",
        )
    if style == "complete":
        return {**options, "blend": "linear"}
    if outside not in ("source", "target") or blend == "linear":
        raise ConfigError(
            f"a {style} morph takes what lies outside the face from one picture",
            where="outside, blend",
            found=f"{outside}, {blend}",
            expected="source or target; any blend but linear",
        )
    if style == "splicing":
        options["shape_time"] = 0.0 if outside == "source" else 1.0
    return options
