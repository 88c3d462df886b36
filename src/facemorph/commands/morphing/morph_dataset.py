"""``facemorph morph-dataset``: every pair of a list, in several processes; a run that is
interrupted continues.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph.apps.morphing.morph_dataset import morph_dataset as morph_all
from facemorph.apps.morphing.morph_dataset import say
from facemorph.commands.from_signature import options_of


@options_of(morph_all)
def morph_dataset(output: Path, **options: Any) -> int:
    """Morph every pair of a list; report.json says what became of each. Exit code 3: some pairs
    failed.
    """
    return say(morph_all(output=output, **options), output)
