"""How Lightning reads and writes checkpoints here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

from facemorph.storage.checkpoint import load_checkpoint, save_atomic


class AtomicCheckpointIO(CheckpointIO):
    """Lightning's file access by `save_atomic` and `load_checkpoint`.

    Lightning's own writes into TMPDIR and then copies over the old checkpoint where that is another
    disk, so that a full disk destroys it, and unpickles anything that it is given an address of.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, whole or not at all."""
        save_atomic(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; always tensors and plain values only."""
        return load_checkpoint(path, map_location=map_location or "cpu")

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint file."""
        Path(path).unlink(missing_ok=True)
