"""Names that options of synthetic sets may have; this module loads nothing heavy."""

from __future__ import annotations

MAPS = ("uv", "normals", "depth", "mask")
LABELS = (*MAPS, "landmarks", "parameters")
