"""What an edit sets in the parameters of a head, and whether the model has it.

A model without joints of jaw and eyes turns them by its expressions: an angle is a share of a whole
expression, in proportion. How many degrees a whole one is was measured on the embedded head: its
lower teeth turn by 18 to 24 degrees with ``jawOpen`` and by 7 with ``jawLeft``, its eyeballs by 10
and 11 up and down, and by 14 and 15 to the sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from facemorph.apps.heads.rendered_head import LARGEST_IDENTITY, expressions_called, set_sliders
from facemorph.apps.reenactment.editing.edit_words import (
    AXES,
    Axis,
    CameraEdit,
    ExpressionEdit,
    Pose,
    PoseEdit,
    ShapeEdit,
    Statement,
)
from facemorph.errors import ConfigError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters

# A statement's kind with a number, name or axis: ("shape", 3), ("exp", "jawOpen"), ("cam", "tx").
Target = tuple[str, str | int]
JOINTS: dict[Pose, str] = {"jaw_pose": "jaw", "leye_pose": "eye_left", "reye_pose": "eye_right"}


@dataclass(frozen=True)
class Carrier:
    """Expressions that turn a part of the face.

    Attributes:
        degrees: That a whole expression turns it.
        positive: Name of the one for positive angles.
        negative: Of the one for negative ones; None where it does not turn that way.
    """

    degrees: float
    positive: str
    negative: str | None

    def limits(self, model: MorphableModel) -> tuple[float, float]:
        """Least and largest angle in degrees."""
        largest = self.degrees * model.expression_range[1]
        return (-largest if self.negative else 0.0), largest

    def shares(self, degrees: float) -> dict[str, float]:
        """Strength of each expression for an angle."""
        share = degrees / self.degrees
        shares = {self.positive: max(share, 0.0)}
        if self.negative:
            shares[self.negative] = max(-share, 0.0)
        return shares


# Yaw is to the right of the picture: the person's left.
CARRIERS = {
    ("jaw_pose", "pitch"): Carrier(20.0, "jawOpen", None),
    ("jaw_pose", "yaw"): Carrier(7.0, "jawLeft", "jawRight"),
    ("leye_pose", "pitch"): Carrier(10.0, "eyeLookDownLeft", "eyeLookUpLeft"),
    ("leye_pose", "yaw"): Carrier(15.0, "eyeLookOutLeft", "eyeLookInLeft"),
    ("reye_pose", "pitch"): Carrier(10.0, "eyeLookDownRight", "eyeLookUpRight"),
    ("reye_pose", "yaw"): Carrier(15.0, "eyeLookInRight", "eyeLookOutRight"),
}


def carrier_of(part: str, axis: Axis, model: MorphableModel) -> Carrier | None:
    """The expressions by which a model turns a part about an axis, as it spells them; None where it
    has none.
    """
    carrier = CARRIERS.get((part, axis))
    if carrier is None:
        return None
    positive = _spelled(carrier.positive, model)
    negative = _spelled(carrier.negative, model) if carrier.negative else None
    if positive is None or (carrier.negative and negative is None):
        return None
    return Carrier(carrier.degrees, positive, negative)


def expression_limits(model: MorphableModel) -> tuple[float, float]:
    """Least and largest value of an expression.

    Those of a model without bounds are standard deviations, as identities are, and have theirs.
    """
    low, high = model.expression_range
    return max(low, -LARGEST_IDENTITY), min(high, LARGEST_IDENTITY)


def targets_of(
    statement: Statement, model: MorphableModel, source: FaceParameters
) -> dict[Target, float]:
    """The values that a statement sets.

    Args:
        statement: Neither ``reset`` nor ``undo``.
        model: The model.
        source: One head of it.

    Raises:
        ConfigError: The model has no such coefficient, expression or joint, or the value is out of
            range; it names the statement.
    """
    edit, where = statement.edit, statement.where
    if isinstance(edit, CameraEdit):
        return {("cam", edit.what): edit.value}
    if isinstance(edit, PoseEdit):
        return _pose(edit, where, model, source)
    if isinstance(edit, ShapeEdit):
        with _said_of(where):
            set_sliders(source, model, {}, {edit.number: edit.value}, {})
        return {("shape", edit.number): edit.value}
    if isinstance(edit, ExpressionEdit):
        return _expression(edit, where, model)
    raise ConfigError("this statement sets nothing", where=where)


def _expression(edit: ExpressionEdit, where: str, model: MorphableModel) -> dict[Target, float]:
    name = edit.name
    if isinstance(name, int):
        if name >= model.num_expression:
            raise ConfigError(
                "this model has no such expression",
                where=where,
                expected=f"0 to {model.num_expression - 1}",
                found=name,
            )
        name = model.expression_names[name]
    with _said_of(where):
        names = expressions_called(name, model)
    low, high = expression_limits(model)
    if not low <= edit.value <= high:
        raise ConfigError(
            "out of range", where=where, expected=f"{low:g} to {high:g}", found=edit.value
        )
    return {("exp", one): edit.value for one in names}


def _pose(
    edit: PoseEdit, where: str, model: MorphableModel, source: FaceParameters
) -> dict[Target, float]:
    joint = JOINTS.get(edit.part)
    if joint is None:
        return {("global_pose", edit.axis): edit.degrees}
    if joint in model.joint_names:
        yaw, pitch, roll = (edit.degrees if axis == edit.axis else 0.0 for axis in AXES)
        with _said_of(where):
            set_sliders(source, model, {}, {}, {joint: (yaw, pitch, roll)})
        return {(edit.part, edit.axis): edit.degrees}
    carrier = carrier_of(edit.part, edit.axis, model)
    if carrier is None:
        raise ConfigError(
            f"the model {model.name} cannot turn this: it has no joint {joint}, and no expressions"
            " that do it",
            where=where,
            expected=" | ".join(one for one in AXES if carrier_of(edit.part, one, model)) or None,
            found=edit.axis,
            remedy="Set its expressions with exp.",
        )
    low, high = carrier.limits(model)
    if not low <= edit.degrees <= high:
        raise ConfigError(
            "turned further than the model's expressions can",
            where=where,
            expected=f"{low:g} to {high:g} degrees",
            found=edit.degrees,
        )
    return {("exp", name): share for name, share in carrier.shares(edit.degrees).items()}


@contextmanager
def _said_of(where: str) -> Iterator[None]:
    """Errors in the names and values of sliders name the statement."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            error.what,
            where=where,
            expected=error.expected,
            found=error.found,
            remedy=error.remedy,
        ) from error


def _spelled(name: str, model: MorphableModel) -> str | None:
    """The model's own spelling of an expression: ``eyeLookUp_L`` for ``eyeLookUpLeft``."""
    short = name.removesuffix("Left") + "_L" if name.endswith("Left") else name
    short = name.removesuffix("Right") + "_R" if name.endswith("Right") else short
    return next((one for one in (name, short) if one in model.expression_names), None)
