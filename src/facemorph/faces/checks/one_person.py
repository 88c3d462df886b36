"""Whether pictures under one name show one person: a rule for names may not fit a folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from facemorph.faces.files.image_io import load_image
from facemorph.faces.identity import IdentityEmbedding, identity_distance
from facemorph.ops.seeds import evenly

NAMES, OF_EACH = 8, 4  # names that are looked at, and pictures of each
STRANGERS = 0.6  # median distance of descriptors from which they are rather of several people

logger = logging.getLogger(__name__)


@torch.no_grad()
def unlike_names(
    people: Mapping[str, Sequence[Path]], points_of: Callable[[Path], Tensor]
) -> dict[str, float]:
    """Names whose pictures look like several people, and the median distance of their descriptors.

    Looked at are the names with most pictures, and a few pictures of each.

    Args:
        people: Pictures of each name; a name with one picture says nothing.
        points_of: Gives the 68 iBUG landmarks ``(68, 2)`` of a picture, in its pixels.

    Raises:
        DataError: A picture cannot be read.
        GeometryError: The landmarks of a face coincide.
    """
    several = sorted(
        (name for name, files in people.items() if len(files) > 1),
        key=lambda name: -len(people[name]),
    )
    embed, found = IdentityEmbedding(), {}
    for name in several[:NAMES]:
        files = [people[name][place] for place in evenly(len(people[name]), OF_EACH)]
        descriptors = [embed(load_image(file), points_of(file))[0] for file in files]
        apart = median(float(identity_distance(*pair)) for pair in combinations(descriptors, 2))
        if apart > STRANGERS:
            found[name] = round(apart, 3)
    return found


def say_unlike_names(found: Mapping[str, float]) -> None:
    """Warn of names whose pictures look like several people.

    Args:
        found: Of `unlike_names`.
    """
    if found:
        logger.warning(
            "pictures that are taken for one person look like several people: %s (distance of "
            "descriptors; one person is below 0.5, strangers are about 0.8). --people says who is "
            "who: `each` takes every picture for a person of its own, `folder` goes by folders.",
            ", ".join(f"{name} {apart:.2f}" for name, apart in found.items()),
        )
