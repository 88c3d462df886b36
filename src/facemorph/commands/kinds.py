"""Which kind of system a checkpoint is of, for commands that several kinds have."""

from __future__ import annotations

from collections.abc import Iterable

from facemorph.errors import CheckpointError

KINDS = {
    "ImFace": "ImFace",
    "ImFacePlusPlus": "ImFace",
    "SmallGIF": "GIF",
    "GIF": "GIF",
    "SmallVariTex": "GIF",
}


def kind_of(checkpoint: str, kinds: Iterable[str], what: str) -> str:
    """The kind of a checkpoint's system.

    Args:
        checkpoint: The checkpoint.
        kinds: Kinds that the command has.
        what: What cannot be done with others.

    Raises:
        CheckpointError: It cannot be read, or is of another kind.
    """
    from facemorph.storage.checkpoint import system_of

    found = system_of(checkpoint)
    kind = KINDS.get(found)
    if kind is None or kind not in kinds:
        raise CheckpointError(
            what,
            where=checkpoint,
            expected=" or ".join(kinds),
            found=found,
            remedy="Try --checkpoint @open:gif, @open:varitex or @open:imface.",
        )
    return kind
