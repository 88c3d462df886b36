"""Code and paths that tests share; on the path by ``pythonpath`` of pyproject.toml."""

from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[1]
ROOT = SUPPORT.parents[1]
SHARED = ROOT.parent / "shared" / "data"
