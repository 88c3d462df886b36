"""Whose model a head is made with: one line for every file that has a place for it."""

from __future__ import annotations

from torch import Tensor

from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.models.morphable_model import MorphableModel

_FLAME = (
    "by T. Li, T. Bolkart, M. J. Black, H. Li and J. Romero (Max Planck Institute for Intelligent "
    "Systems), https://flame.is.tue.mpg.de"
)
_BASEL = "of the University of Basel, https://faces.dmi.unibas.ch, for non-commercial research only"
_NOTICES = {
    "makehuman": "MakeHuman's base mesh and targets, http://www.makehumancommunity.org, CC0 1.0",
    "ict": "ICT-FaceKit by the USC Institute for Creative Technologies, "
    "https://github.com/ICT-VGL/ICT-FaceKit, MIT licence",
    "gnm": "GNM Head by Google, https://github.com/google/GNM, Apache-2.0",
    "flame2023_open": f"FLAME 2023 Open {_FLAME}, CC BY 4.0 with prohibited uses",
    "flame2023": f"FLAME 2023 {_FLAME}, under its own licence, which does not let it be passed on",
    "flame2020": f"FLAME 2020 {_FLAME}, under its own licence, which does not let it be passed on",
    "bfm2017": f"the Basel Face Model 2017 {_BASEL}",
    "bfm2019": f"the Basel Face Model 2019 {_BASEL}",
}


def notice_of(model: str) -> str:
    """What files made with a model say of it: its authors, address and licence, and that it was
    changed.

    Args:
        model: Name of the model, as ``MorphableModel.name`` and ``FaceParameters.model`` have it.

    Returns:
        One line in ASCII; empty for a model that is none of the known ones.
    """
    notice = _NOTICES.get(model)
    return "" if notice is None else f"Made with {notice}; shaped by facemorph"


def picture_texts(model: str) -> dict[str, str]:
    """``notice_of`` a model as texts of a picture, for ``save_image``."""
    notice = notice_of(model)
    return {"Copyright": notice} if notice else {}


def mesh_of(model: MorphableModel, vertices: Tensor) -> Mesh:
    """A face of a model as a mesh that says whose model it is.

    Args:
        model: The model.
        vertices: ``(V, 3)`` millimetres.
    """
    topology, notice = model.topology, notice_of(model.name)
    return Mesh(vertices, topology.faces, topology.uv, topology.faces_uv, notice=notice)
