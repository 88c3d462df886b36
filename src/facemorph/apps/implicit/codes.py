"""Codes of implicit faces: drawn at random, between two faces, and with another's expression."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from facemorph.apps.implicit.choices import Varied, check_number
from facemorph.apps.implicit.face_meshes import FaceCodes, read_codes
from facemorph.errors import DataError
from facemorph.systems.imface.code_statistics import expression_table, gaussian_shares
from facemorph.systems.imface.system import ImFace


def draw_codes(
    system: ImFace,
    *,
    count: int,
    seed: int = 0,
    vary: Varied = "both",
    spread: float = 1.0,
    expression: int | None = None,
    person: str | Path | None = None,
) -> list[FaceCodes]:
    """The mean face's codes, then those of random faces.

    Identity and expression are drawn together: codes of an expression belong to one person each,
    and the same shares of the training people in both keep what they have in common.

    Args:
        system: The model.
        count: Random faces.
        seed: Of the faces.
        vary: ``identity``, ``expression`` or ``both``.
        spread: Factor of the training people's standard deviation.
        expression: Number of the training's expression; None is the neutral one where only the
            identity varies, and any of them else.
        person: Codes of the person whose expressions vary; None is the mean person.

    Raises:
        ConfigError: The model has no such expression.
        DataError: The person's codes cannot be read.
    """
    people = system.identity_codes.weight.detach()
    table = expression_table(system)
    if expression is not None:
        check_number("expression", expression, 0, len(table) - 1)
    generator = torch.Generator().manual_seed(seed)
    shares = gaussian_shares(len(people), count, spread, generator)
    numbers = torch.randint(len(table), (count,), generator=generator)
    if expression is not None or vary == "identity":
        numbers[:] = expression or 0
    own = FaceCodes(people.mean(0)) if person is None else read_codes(person, system)
    found = [FaceCodes(own.identity, table.mean(1)[expression or 0], own.detail)]
    for share, number in zip(shares, numbers.tolist(), strict=True):
        shown = _drawn(table[number], share)
        if vary == "expression":
            found.append(FaceCodes(own.identity, shown, own.detail))
        else:
            found.append(FaceCodes(_drawn(people, share), shown))
    return found


def _drawn(codes: Tensor, share: Tensor) -> Tensor:
    """A sample of the Gaussian of codes ``(N, C)`` by shares ``(N,)`` of their deviations."""
    mean = codes.mean(0)
    return mean + share @ (codes - mean)


def between(first: FaceCodes, second: FaceCodes, share: float) -> FaceCodes:
    """Codes on the way from one face to another.

    The neutral face, without a code of the expression, counts as code 0 where the other has one:
    the mean to which training draws codes.

    Raises:
        DataError: Only one of them has details, or of another length.
    """

    def mixed(one: Tensor | None, other: Tensor | None) -> Tensor | None:
        if one is None:
            return None if other is None else share * other
        return (1 - share) * one if other is None else torch.lerp(one, other, share)

    details = [None if one.detail is None else tuple(one.detail.shape) for one in (first, second)]
    if None not in details and details[0] != details[1]:
        raise DataError(
            "these codes of details are of two models",
            where="detail",
            expected=details[0],
            found=details[1],
        )
    return FaceCodes(
        torch.lerp(first.identity, second.identity, share),
        mixed(first.expression, second.expression),
        mixed(first.detail, second.detail),
    )


def transferred(
    giver: FaceCodes, receiver: FaceCodes, neutral: FaceCodes | None = None
) -> FaceCodes:
    """Codes of the receiver with the giver's expression.

    Codes that are missing count as 0, the neutral face.
    Details stay the receiver's: wrinkles of the giver's skin would be another person's.

    Args:
        giver: With the expression.
        receiver: With the identity.
        neutral: The giver's neutral face, or None.
    """
    if neutral is None:
        return FaceCodes(receiver.identity, giver.expression, receiver.detail)
    none = torch.zeros_like(receiver.identity)
    shown, rest, own = (
        none if one.expression is None else one.expression for one in (giver, neutral, receiver)
    )
    return FaceCodes(receiver.identity, own + shown - rest, receiver.detail)
