"""facemorph: face morphing and 3D-aware face generation on PyTorch Lightning and Hydra.

>>> from facemorph import morph                      # doctest: +SKIP
>>> morph("a.jpg", "b.jpg", "out.mp4").metrics       # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facemorph.apps.animate import animate
    from facemorph.apps.fit import fit
    from facemorph.apps.morph import MorphResult, morph
    from facemorph.apps.reconstruct import reconstruct
    from facemorph.apps.render import render
    from facemorph.apps.sample import sample
    from facemorph.checkpoint import export_release, load_system
    from facemorph.errors import FacemorphError
    from facemorph.faces.image_io import load_image
    from facemorph.faces.image_output import save_image

_WHERE = {
    "MorphResult": "facemorph.apps.morph",
    "animate": "facemorph.apps.animate",
    "fit": "facemorph.apps.fit",
    "morph": "facemorph.apps.morph",
    "reconstruct": "facemorph.apps.reconstruct",
    "render": "facemorph.apps.render",
    "sample": "facemorph.apps.sample",
    "export_release": "facemorph.checkpoint",
    "load_system": "facemorph.checkpoint",
    "FacemorphError": "facemorph.errors",
    "load_image": "facemorph.faces.image_io",
    "save_image": "facemorph.faces.image_output",
}

__all__ = ["FacemorphError", "MorphResult", "animate", "export_release", "fit", "load_image", "load_system", "morph",
           "reconstruct", "render", "sample", "save_image"]


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: `import facemorph` stays free of torch.
    if name not in _WHERE:
        raise AttributeError(f"module 'facemorph' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
