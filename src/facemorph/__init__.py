"""facemorph: face morphing and 3D-aware face generation on PyTorch Lightning and Hydra.

>>> from facemorph import morph                      # doctest: +SKIP
>>> morph("a.jpg", "b.jpg", "out.mp4").metrics       # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from facemorph import lean_imports

if TYPE_CHECKING:
    from facemorph.apps.heads.animate import animate
    from facemorph.apps.heads.fit import fit
    from facemorph.apps.heads.render import render
    from facemorph.apps.implicit.reconstruct import reconstruct
    from facemorph.apps.implicit.sample import sample
    from facemorph.apps.morphing.morph import morph
    from facemorph.apps.morphing.morph_result import MorphResult
    from facemorph.apps.reenactment.reenact import reenact
    from facemorph.apps.reenactment.reenactor import Reenactor
    from facemorph.errors import FacemorphError
    from facemorph.faces.files.image_io import load_image
    from facemorph.faces.files.image_output import save_image
    from facemorph.storage.checkpoint import export_release, load_system

lean_imports.install()

_WHERE = {
    "MorphResult": "facemorph.apps.morphing.morph_result",
    "animate": "facemorph.apps.heads.animate",
    "fit": "facemorph.apps.heads.fit",
    "morph": "facemorph.apps.morphing.morph",
    "reenact": "facemorph.apps.reenactment.reenact",
    "Reenactor": "facemorph.apps.reenactment.reenactor",
    "reconstruct": "facemorph.apps.implicit.reconstruct",
    "render": "facemorph.apps.heads.render",
    "sample": "facemorph.apps.implicit.sample",
    "export_release": "facemorph.storage.checkpoint",
    "load_system": "facemorph.storage.checkpoint",
    "FacemorphError": "facemorph.errors",
    "load_image": "facemorph.faces.files.image_io",
    "save_image": "facemorph.faces.files.image_output",
}

__all__ = [
    "FacemorphError",
    "MorphResult",
    "Reenactor",
    "animate",
    "export_release",
    "fit",
    "load_image",
    "load_system",
    "morph",
    "reconstruct",
    "reenact",
    "render",
    "sample",
    "save_image",
]


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: `import facemorph` stays free of torch.
    if name not in _WHERE:
        raise AttributeError(f"module 'facemorph' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
