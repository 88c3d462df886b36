"""A trained ImFace as the base that details are put on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facemorph.errors import CheckpointError, ConfigError
from facemorph.storage.checkpoint import check_same_parts, load_system
from facemorph.systems.imface.field import ImFaceField

SAME = 5e-4  # 0.05 mm: means of the same people, also after 16-bit rounding


def start_from_base(
    source: str,
    field: ImFaceField,
    codes: tuple[nn.Embedding, nn.Embedding],
    landmarks: Tensor,
    *,
    base_learns: bool,
    options: str,
) -> Tensor:
    """Give a field and its codes what a trained ImFace, or the base of an ImFace++, has.

    People are the same where their numbers and the means of their landmarks are. Their codes are
    taken over; those of other people start at the mean of the trained ones.

    Args:
        source: A checkpoint or a release folder, see ``load_system``.
        field: The field, changed.
        codes: Codes of identities and of expressions, changed.
        landmarks: ``(68, 3)`` mean of the neutral scans of the data.
        base_learns: Whether codes of other people would be trained.
        options: What of the config decides on the variant, for messages.

    Returns:
        The template's landmarks ``(68, 3)``.

    Raises:
        CheckpointError: The file is missing, damaged, hostile, no ImFace, or of another variant.
        ConfigError: It is of other people, and theirs would never be trained.
    """
    system = load_system(source)
    own = getattr(system, "field", None)
    if not isinstance(own, ImFaceField):
        raise CheckpointError(
            "details need a base that is ImFace",
            where=source,
            expected="ImFace | ImFacePlusPlus",
            found=type(system).__name__,
        )
    check_same_parts(field.state_dict(), own.state_dict(), options)
    field.load_state_dict(own.state_dict())
    tables = (system.identity_codes.weight, system.expression_codes.weight)
    numbers = [len(table) for table in tables], [code.num_embeddings for code in codes]
    apart = float((system.template_landmarks - landmarks.cpu()).norm(dim=1).max())
    same = numbers[0] == numbers[1] and apart <= SAME
    if not same and not base_learns:
        raise ConfigError(
            "the base is of other people than the data, and its codes would never be trained",
            where="system.base_checkpoint",
            expected=f"{_shown(numbers[1])}, as the data has",
            found=f"{_shown(numbers[0])}; mean landmarks {100 * apart:.3g} mm away",
            remedy="Take the base's data, or stages in which the base learns: "
            "system.stages=[0.2,0.5].",
        )
    with torch.no_grad():
        for code, table in zip(codes, tables, strict=True):
            if same:
                code.weight.copy_(table)
            else:
                code.weight.add_(table.mean(0).to(code.weight))
    found: Tensor = system.template_landmarks
    return found


def _shown(numbers: list[int]) -> str:
    return f"{numbers[0]} people x {numbers[1] // max(numbers[0], 1)} expressions"
