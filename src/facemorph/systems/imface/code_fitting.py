"""Codes of ImFace and ImFace++ that fit scans: of one person in several expressions, or of one
scan.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from facemorph.errors import ConfigError, GeometryError
from facemorph.geometry.scans.scan_sheets import PreparedScan
from facemorph.systems.imface.detail_system import ImFacePlusPlus
from facemorph.systems.imface.losses import ImFaceLoss, ScanBatch
from facemorph.systems.imface.system import ImFace

METHODS = ("lbfgs", "adam")
ATTEMPTS = 3


@dataclass(frozen=True)
class FittingOptions:
    """How codes are fitted.

    Args:
        method: ``lbfgs`` (strong Wolfe) or ``adam``.
        points: Of each scan, drawn once for ``lbfgs``, anew in every step for ``adam``.
        steps: At most so many; None takes 60 for ``lbfgs`` and 1500 for ``adam``.
        learning_rate: Of Adam.
        seed: Of the points.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    method: str = "lbfgs"
    points: int = 2048
    steps: int | None = None
    learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """See that each is possible."""
        if self.method not in METHODS:
            raise ConfigError(
                "no such method", where="method", expected=" | ".join(METHODS), found=self.method
            )
        for name, value in (
            ("points", self.points),
            ("steps", 1 if self.steps is None else self.steps),
        ):
            if value < 1:
                raise ConfigError(
                    "fitting needs points and steps", where=name, expected="1 or more", found=value
                )
        if not self.learning_rate > 0:
            raise ConfigError(
                "unusable step size",
                where="learning_rate",
                expected="above 0",
                found=self.learning_rate,
            )

    @property
    def most_steps(self) -> int:
        """At most so many steps."""
        return self.steps or (60 if self.method == "lbfgs" else 1500)


@dataclass(frozen=True)
class FittedCodes:
    """Codes of scans.

    Attributes:
        identity: ``(C,)`` of the person.
        expression: ``(S, C)`` of each scan.
        losses: Of every evaluation.
        seconds: It took.
        loss: Of these codes, without details.
        detail: ``(S, D)`` of each scan, of ImFace++; None: there are no details.
        detail_losses: Of every evaluation with details.
    """

    identity: Tensor
    expression: Tensor
    losses: list[float]
    seconds: float
    loss: float
    detail: Tensor | None = None
    detail_losses: list[float] = field(default_factory=list)


def fitting_loss(system: ImFace) -> ImFaceLoss:
    """The terms that say how codes fit a scan, with the weights of the training: no landmarks but
    the template's.
    """
    weights: dict[str, float] = system.loss.weights  # type: ignore[assignment]
    kept = ("sdf", "normal", "eikonal", "reference_landmarks", "identity_code", "expression_code")
    taken = {f"{name}_weight": weight if name in kept else 0.0 for name, weight in weights.items()}
    return ImFaceLoss(**taken)  # type: ignore[arg-type]


def fit_codes(
    system: ImFace, scans: Sequence[PreparedScan], options: FittingOptions | None = None
) -> FittedCodes:
    """Codes of one person's scans: one for the identity, one for each expression, from the
    training's mean codes.

    The published procedure starts from random codes, gives every scan an identity of its own, and
    takes 1,500 steps of Adam (``method="adam"``). Of ImFace++ each scan's detail code follows, by
    the losses of details, when the others are found; both take as many steps.

    Args:
        system: A trained one; its weights stay.
        scans: Of one person.
        options: How.

    Raises:
        GeometryError: The loss is not a number at the start.
    """
    how, begun = options or FittingOptions(), time.perf_counter()
    system.requires_grad_(False)
    loss, count = fitting_loss(system), len(scans)
    mean_identity, mean_expression = system.mean_codes()
    generator = torch.Generator().manual_seed(how.seed)
    drawn = draw_points(scans, how.points, generator, system.device)

    def batch() -> ScanBatch:
        return (
            drawn
            if how.method == "lbfgs"
            else draw_points(scans, how.points, generator, system.device)
        )

    def of_base(identity: Tensor, expression: Tensor) -> Tensor:
        total: Tensor = loss(
            system.field, batch(), identity.expand(count, -1), expression, system.template_landmarks
        )["total"]
        return total

    reached, (identity, expression), losses = _minimised(
        of_base, [mean_identity, mean_expression.repeat(count, 1)], how
    )
    detail: Tensor | None = None
    detail_losses: list[float] = []
    if isinstance(system, ImFacePlusPlus):

        def of_details(code: Tensor) -> Tensor:
            given = batch()
            values = system.residual(
                system.field, given["points"], identity.expand(count, -1), expression, code
            )
            total: Tensor = system.residual_loss(values, given, code)["total"]
            return total

        _, (detail,), detail_losses = _minimised(
            of_details, [system.mean_detail().repeat(count, 1)], how
        )
    return FittedCodes(
        identity, expression, losses, time.perf_counter() - begun, reached, detail, detail_losses
    )


class _NotANumber(Exception):
    """A loss that is not a number."""


def _minimised(
    loss: Callable[..., Tensor], start: Sequence[Tensor], how: FittingOptions
) -> tuple[float, list[Tensor], list[float]]:
    """The smallest loss that is found from a start, the codes that have it, and the losses of all
    evaluations.
    """
    codes = [code.clone().requires_grad_() for code in start]
    losses: list[float] = []
    best: list[tuple[float, list[Tensor]]] = []

    def evaluated() -> Tensor:
        total = loss(*codes)
        value = float(total.detach())
        if not math.isfinite(value):
            raise _NotANumber
        losses.append(value)
        # Adam's losses are of other points each
        if not best or value < best[0][0] or how.method == "adam":
            best[:] = [(value, [code.detach().clone() for code in codes])]
        return total

    with torch.enable_grad():
        for _ in range(ATTEMPTS):
            try:
                _descend(codes, how, evaluated)
                break
            except _NotANumber:
                # A search along a line has gone too far; it starts anew, without memory, where it
                # was best.
                if not best:
                    raise GeometryError(
                        "this fit starts with values that are not numbers",
                        where="loss",
                        remedy="Train the model further, or check the scan.",
                    ) from None
                with torch.no_grad():
                    for code, good in zip(codes, best[0][1], strict=True):
                        code.copy_(good)
    return *best[0], losses


def _descend(codes: list[Tensor], how: FittingOptions, evaluated: Callable[[], Tensor]) -> None:
    """Change the codes so that the loss becomes smaller."""
    optimizer: torch.optim.Optimizer
    if how.method == "adam":
        optimizer = torch.optim.Adam(codes, lr=how.learning_rate)
        for _ in range(how.most_steps):
            optimizer.zero_grad()
            evaluated().backward()
            optimizer.step()
        return
    optimizer = torch.optim.LBFGS(
        codes,
        max_iter=how.most_steps,
        history_size=20,
        max_eval=2 * how.most_steps,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimizer.zero_grad()
        total = evaluated()
        total.backward()
        return float(total.detach())

    optimizer.step(closure)


def draw_points(
    scans: Sequence[PreparedScan], points: int, generator: torch.Generator, device: torch.device
) -> ScanBatch:
    """Points of scans as in training, with replacement out of all on and around the surface."""
    drawn: list[tuple[Tensor, Tensor, Tensor]] = []
    for scan in scans:
        total = len(scan.surface) + len(scan.free)
        rows = torch.randint(total, (points,), generator=generator)
        distance = torch.cat([scan.surface.new_zeros(len(scan.surface)), scan.distance])
        drawn.append(
            (
                torch.cat([scan.surface, scan.free])[rows],
                distance[rows],
                torch.cat([scan.normals, scan.gradient])[rows],
            )
        )
    place, distance, gradient = (torch.stack(part).to(device) for part in zip(*drawn, strict=True))
    landmarks = torch.stack([scan.landmarks for scan in scans]).to(device)
    none = torch.zeros(len(scans), dtype=torch.long, device=device)
    return {
        "points": place,
        "distance": distance,
        "gradient": gradient,
        "landmarks": landmarks,
        "neutral_landmarks": landmarks,
        "identity": none,
        "expression": none,
        "neutral": none.bool(),
    }
