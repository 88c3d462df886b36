"""The skin around a blended face in the tone of the face: a light face sits on no dark neck."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from facemorph.ops.filters import dilated, luminance, smoothstep

CORE = 0.9  # of the mask: well inside the face
DARKEST = 0.02  # added before logarithms
SIDE = 128  # pixels of the longer side, on which skin is found and followed from the face outwards
STEP, REACH = 2, 48  # pixels of these that a step goes, and how many steps there are at most
HELD = 0.01  # of what is left of it, lost by each step beyond the face
ROUND = 4  # pixels around the mask in which any colour is passed, so that a beard is no border
HOLES = 5  # pixels to each side, that are closed: glare on the forehead
# How far a colour may be from the face's: in hue and upwards as far as the face's own goes, but at
# least this; farther downwards, as the neck lies in the shadow of the chin.
HUE, LIGHTER, DARKER = 0.08, 0.35, 1.2
ALIKE = (0.2, 0.3)  # likeness where skin begins, and how much more is skin for certain
CONTRAST = (0.4, 1.6)  # of the result over the one there was
EDGE, SOFT = 4e-4, 2  # of the guided filter: variance of an edge, radius in coarse pixels
BRIGHT, GLARE = 0.95, 0.3  # share of the face that is darker than glare, and what is left of glare
SAME = 0.01  # share, or logarithm of the gain, below which nothing is to be done


def match_skin_tone(background: Tensor, face: Tensor, mask: Tensor) -> Tensor:
    """The background of a morph with neck, ears and forehead in the tone of the face that is put
    into it.

    Skin is what has the colour of the background's own face and hangs together with it. Mean and
    contrast of its logarithms become those of the face (Reinhard et al., Color transfer between
    images, 2001, in another space); its edges are found by a guided filter (He, Sun and Tang,
    2013). Where the mask is 1 nothing changes: there is the face.

    Args:
        background: ``(3, H, W)`` in [0, 1], whose own face lies under the mask.
        face: ``(3, H, W)``: what is put inside the mask.
        mask: Soft mask of the face ``(1, H, W)``.

    Returns:
        ``(3, H, W)`` in [0, 1]; the background itself where the tones are equal or the mask shows
        no face.
    """
    scale = min(1.0, SIDE / max(mask.shape[-2:]))
    sides = tuple(max(1, round(side * scale)) for side in mask.shape[-2:])
    small, other, start = (
        interpolate(one[None], sides, mode="bilinear", antialias=True)[0]
        for one in (background, face, mask)
    )
    core = (start > CORE)[0]
    if not bool(core.any()):
        return background
    logs = _logarithms(small)
    inside, wanted = logs[:, core], _logarithms(other)[:, core]
    own = inside.median(1).values
    gain = wanted.median(1).values - own
    if float(gain.abs().max()) < SAME:
        return background
    contrast = float((_spread(wanted) / _spread(inside)).clamp(*CONTRAST))
    found = _reached(smoothstep((_likeness(logs, inside) - ALIKE[0]) / ALIKE[1]), start)
    share = guided_filter(found, luminance(background), SOFT, EDGE).clamp(0, 1) * (1 - mask)
    rows, columns = ((share[0] > 0).any(one).nonzero()[:, 0] for one in (1, 0))
    if not len(rows):
        return background
    part = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    before = _logarithms(background[part])
    after = before + gain[:, None, None]
    after = after + (before - own[:, None, None]).mean(0) * (contrast - 1)
    bright = wanted.quantile(BRIGHT, 1)[:, None, None]
    after = torch.where(after > bright, bright + GLARE * (after - bright), after)
    result = background.clone()
    changed = (torch.lerp(before, after, share[part]).exp() - DARKEST).clamp(0, 1)
    result[part] = torch.where(share[part] > 0, changed, background[part])
    return result


def guided_filter(values: Tensor, guide: Tensor, radius: int, edge: float) -> Tensor:
    """Coarse values in the size of a guide, with its edges: the fast guided filter.

    Args:
        values: ``(1, h, w)``.
        guide: ``(1, H, W)``.
        radius: Of the window, in pixels of the values.
        edge: Variance of the guide in a window from which on it is an edge.

    Source: He and Sun, Fast guided filter (2015).
    """

    def mean(one: Tensor) -> Tensor:
        return avg_pool2d(pad(one, (radius,) * 4, mode="replicate"), 2 * radius + 1, 1)

    small = interpolate(guide[None], values.shape[-2:], mode="bilinear", antialias=True)
    middle, level = mean(small), mean(values[None])
    slope = (mean(small * values) - middle * level) / (mean(small * small) - middle**2 + edge)
    line = torch.cat([mean(slope), mean(level - slope * middle)], 1)
    slope, level = interpolate(line, guide.shape[-2:], mode="bilinear")[0].split(1)
    return slope * guide + level


def _logarithms(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) + DARKEST).log()


def _spread(logs: Tensor) -> Tensor:
    """How far lightness goes from its middle in pixels ``(3, N)``."""
    light = logs.mean(0)
    return (light - light.median()).abs().median().clamp(min=1e-3)


def _likeness(logs: Tensor, inside: Tensor) -> Tensor:
    """How much each pixel ``(3, H, W)`` looks like the face's own ``(3, N)``: ``(1, H, W)`` in
    [0, 1].
    """
    own = inside.median(1).values
    hue, light = _split(logs - own[:, None, None])
    hue_inside, light_inside = _split(inside - own[:, None])
    spread = (2 * hue_inside.abs().median(1).values).clamp(min=HUE)
    lighter = light_inside.quantile(0.98).clamp(min=LIGHTER)
    away = (hue / spread[:, None, None]).square().sum(0)
    away = away + (light / torch.where(light > 0, lighter, lighter.new_tensor(DARKER))).square()
    return torch.exp(-away / 2)[None]


def _split(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Two differences of the channels, and their mean."""
    return torch.stack([logs[0] - logs[1], logs[1] - logs[2]]), logs.mean(0)


def _reached(alike: Tensor, mask: Tensor) -> Tensor:
    """The skin ``(1, H, W)`` that hangs together with the mask ``(1, H, W)``, without holes."""
    start = dilated(mask, ROUND)
    passes, found = alike * (1 - HELD), torch.maximum(start * alike, mask)
    near = torch.maximum(found, start)
    for _ in range(REACH):
        reached = torch.maximum(found, dilated(near, STEP) * passes)
        if float((reached - found).max()) < SAME:
            break
        near = found = reached
    grown = dilated((2 * found).clamp(max=1), HOLES)
    return -dilated(-grown, HOLES)
