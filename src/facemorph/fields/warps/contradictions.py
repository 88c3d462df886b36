"""Landmarks that contradict each other: pairs that lie in another order in one face than in the
other, or nearly collide on their way.

A map without folds cannot meet both. The strain of a pair says how much: the largest ratio of the
speed at which two landmarks move against each other to their distance, on straight paths. It is
infinite where they meet. Of hand-made templates that agree it stays below 9: of 1220 pairs of FRLL,
99 % stay below 6.6, and the four above 9 are at 80 and more.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LARGEST_STRAIN = 20.0  # more is the same: they meet
STRAINS = (8.0, 6.0, 5.0, 4.0)  # above which landmarks give way: certain contradictions first
GUILTY = 1.5  # times as much strain on one landmark as on another: it alone gives way


def pair_strains(start: Tensor, goal: Tensor) -> Tensor:
    """Strain of every pair of landmarks on straight paths.

    Args:
        start: ``(P, 2)`` positions at time 0.
        goal: ``(P, 2)`` positions at time 1.

    Returns:
        ``(P, P)``, symmetric, 0 on the diagonal, at most ``LARGEST_STRAIN``.
    """
    x, y = ((at[:, None] - at) for at in start.unbind(1))
    along_x, along_y = ((at[:, None] - at) for at in (goal - start).unbind(1))
    speed = along_x.square() + along_y.square()
    nearest = (-(x * along_x + y * along_y) / speed.clamp_min(1e-30)).clamp(0, 1)
    distance = torch.hypot(x + nearest * along_x, y + nearest * along_y)
    strains = (speed.sqrt() / distance.clamp_min(1e-30)).clamp_max(LARGEST_STRAIN)
    return strains.fill_diagonal_(0.0)


def contradicting(start: Tensor, goal: Tensor, anchors: int, strain: float) -> Tensor:
    """Which landmarks have to give way, so that no pair of the others is strained more.

    The worst first, and with it whom it contradicts; but where one contradicts many others, as a
    landmark at a wrong place does, it alone; and never a landmark for the sake of an anchor.

    Args:
        start: ``(P, 2)`` landmarks at time 0, then the anchors.
        goal: ``(P, 2)`` the same at time 1.
        anchors: How many of the last ones are fixed points on the border.
        strain: What is too much for a pair.

    Returns:
        ``(P,)`` bool, on the CPU.
    """
    strains = pair_strains(start.detach().cpu(), goal.detach().cpu())
    strains = strains.where(strains > strain, 0.0)
    fixed = torch.arange(len(strains)) >= len(strains) - anchors
    gives_way = torch.zeros(len(strains), dtype=torch.bool)
    while bool((strains > 0).any()):
        # an anchor in a contradiction is always the one to blame
        blame = torch.where(fixed & (strains > 0).any(1), math.inf, strains.sum(1))
        worst = int(blame.argmax())
        guilty = (strains[worst] > 0) & (GUILTY * blame > blame[worst])
        guilty[worst] = True
        gives_way |= guilty
        strains[guilty] = 0.0
        strains[:, guilty] = 0.0
    return gives_way


def close_groups(source: Tensor, target: Tensor, tolerance: float) -> Tensor:
    """The group ``(P,)`` of each landmark: those within ``tolerance`` of each other in *either*
    set. Greedy, in index order.
    """
    near = np.zeros((len(source), len(source)), dtype=bool)
    for points in (source, target):
        x, y = points.detach().cpu().numpy().T
        near |= (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2 < tolerance**2
    first = np.arange(len(source))  # of the group of each
    for index in np.flatnonzero(near.sum(1) > 1):  # most stand alone
        if first[index] == index:
            first[near[index] & (first == np.arange(len(source))) & (first > index)] = index
    return torch.from_numpy(np.unique(first, return_inverse=True)[1])
