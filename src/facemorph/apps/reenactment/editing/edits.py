"""The edits of one head, from statement to statement, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from facemorph.apps.heads.rendered_head import set_sliders
from facemorph.apps.reenactment.editing.edit_targets import JOINTS, Target, targets_of
from facemorph.apps.reenactment.editing.edit_words import (
    AXES,
    Axis,
    Reset,
    Statement,
    Undo,
    parse_edits,
)
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import vertices_of
from facemorph.ops.rotations import (
    euler_from_rotation,
    rotation_from_euler,
    rotation_from_vector,
    vector_from_rotation,
)


@dataclass(frozen=True)
class Effect:
    """A statement, and the values that it sets."""

    statement: Statement
    values: Mapping[Target, float]


class Edits:
    """What a person has changed in the head of a photograph.

    Statements are values, not increments: a later one about the same thing replaces an earlier one.
    The head's pose and the camera are told from those of the photograph; coefficients and joints
    are the model's own numbers.

    Args:
        model: The model.
        source: The head as it was fitted, one row.
        longer_side: Pixels along the longer side of the photograph that it was fitted in.

    Attributes:
        model: The model.
        source: The head of the photograph.
        current: The head as it is now, one row.

    Raises:
        DataError: The source is not one head of this model.
    """

    def __init__(self, model: MorphableModel, source: FaceParameters, longer_side: int) -> None:
        if len(source) != 1:
            raise DataError("one head is edited", where="source", expected=1, found=len(source))
        vertices_of(model, source)  # the model's, or an error
        self.model, self.source, self.current = model, source, source
        self._longer_side = longer_side
        self._states: list[tuple[Effect, ...]] = [()]  # after each statement, for undo

    @property
    def statements(self) -> str:
        """What is in effect, as text that gives the same result again, a statement on each line."""
        return "\n".join(effect.statement.text for effect in self._states[-1])

    def apply(self, text: str) -> FaceParameters:
        """Carry out the statements of a text, all or none.

        Args:
            text: In the language of ``edit_words``.

        Returns:
            The head as it is now, one row.

        Raises:
            ConfigError: A statement is wrong, or there is nothing to undo; nothing was changed.
        """
        states = list(self._states)
        for statement in parse_edits(text):
            if isinstance(statement.edit, Undo):
                if len(states) == 1:
                    raise ConfigError("there is nothing to undo", where=statement.where)
                states.pop()
            elif isinstance(statement.edit, Reset):
                states.append(())
            else:
                values = targets_of(statement, self.model, self.source)
                states.append(_followed(states[-1], Effect(statement, values)))
        current = self._edited(states[-1])
        self._states, self.current = states, current
        return current

    def undo(self) -> FaceParameters:
        """Take the last statement back.

        Raises:
            ConfigError: There is none.
        """
        return self.apply("undo")

    def _edited(self, effects: tuple[Effect, ...]) -> FaceParameters:
        """The photograph's head with the values of some statements."""
        if not effects:
            return self.source
        values: dict[Target, float] = {}
        for effect in effects:
            values |= effect.values
        expression = {str(name): value for (kind, name), value in values.items() if kind == "exp"}
        identity = {int(name): value for (kind, name), value in values.items() if kind == "shape"}
        edited = set_sliders(
            self.source, self.model, expression, identity, self._joint_angles(values)
        )
        return self._placed(self._turned(edited, values), values)

    def _joint_angles(
        self, values: Mapping[Target, float]
    ) -> dict[str, tuple[float, float, float]]:
        """Angles of the joints that were turned; about the other axes they stay as they are."""
        found = {}
        for part, joint in JOINTS.items():
            if any(kind == part for kind, _ in values):
                own = self.source.joints[0, self.model.joint_names.index(joint)]
                angles = torch.rad2deg(euler_from_rotation(rotation_from_vector(own)))
                yaw, pitch, roll = (
                    values.get((part, axis), angle)
                    for axis, angle in zip(AXES, angles.tolist(), strict=True)
                )
                found[joint] = (yaw, pitch, roll)
        return found

    def _turned(self, head: FaceParameters, values: Mapping[Target, float]) -> FaceParameters:
        """The head turned from where it is in the photograph, as ``facemorph render`` turns it."""
        if not any(kind == "global_pose" for kind, _ in values):
            return head
        yaw, pitch, roll = (_radians(values, axis, head.rotation) for axis in AXES)
        turn = rotation_from_euler(yaw, pitch, roll)
        own = rotation_from_vector(head.rotation)
        return replace(head, rotation=vector_from_rotation(turn @ own))

    def _placed(self, head: FaceParameters, values: Mapping[Target, float]) -> FaceParameters:
        """The head seen larger about its origin, and moved."""
        shift = [values.get(("cam", name), 0.0) * self._longer_side for name in ("tx", "ty")]
        return replace(
            head,
            log_size=head.log_size + math.log(values.get(("cam", "scale"), 1.0)),
            origin=head.origin + head.origin.new_tensor(shift),
        )


def _radians(values: Mapping[Target, float], axis: Axis, like: Tensor) -> Tensor:
    return like.new_tensor([math.radians(values.get(("global_pose", axis), 0.0))])


def _followed(effects: tuple[Effect, ...], new: Effect) -> tuple[Effect, ...]:
    """The statements with one more, without those of which nothing is left."""
    together = (*effects, new)
    last = {target: effect for effect in together for target in effect.values}
    return tuple(
        effect for effect in together if any(last[target] is effect for target in effect.values)
    )
