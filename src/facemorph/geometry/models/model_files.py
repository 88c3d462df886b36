"""One function for all morphable models: by name, or by the file that holds one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from facemorph.errors import ConfigError
from facemorph.geometry.models.bfm import load_bfm
from facemorph.geometry.models.flame import load_flame, load_imported_flame
from facemorph.geometry.models.gnm import KEY as GNM_KEY
from facemorph.geometry.models.gnm import load_gnm
from facemorph.geometry.models.ict import load_ict
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.model_arrays import read_npz
from facemorph.geometry.models.morphable_model import MorphableModel

NAMES: dict[str, Callable[[], MorphableModel]] = {
    "makehuman": load_makehuman,
    "ict": load_ict,
    "gnm": load_gnm,
    "flame": load_imported_flame,
}


def load_model(name: str | Path = "makehuman") -> MorphableModel:
    """A morphable model.

    Args:
        name: ``makehuman``, the embedded one; ``gnm``, once downloaded; ``ict`` and ``flame``, once
            imported; or a file: FLAME's ``.pkl`` or ``.npz``, a Basel Face Model's ``.h5``, GNM's
            or an imported ICT-FaceKit's ``.npz``. What belongs to a file is looked for beside it.

    Raises:
        ConfigError: There is no model of this name and no such file.
        DataError: The file cannot be read, or is a pickle with foreign names, which was not run.
        GeometryError: The file is that of another model or version.
        MissingExtra: Something that only the user can supply is missing.
    """
    if str(name) in NAMES:
        return NAMES[str(name)]()
    path = Path(name)
    kind = path.suffix.lower()
    if not path.is_file() or kind not in (".pkl", ".npz", ".h5"):
        raise ConfigError(
            "there is no such face model",
            where=name,
            expected=f"{', '.join(NAMES)}, or a file .pkl, .npz or .h5",
            found="no such file" if not path.is_file() else kind,
        )
    if kind == ".h5":
        return load_bfm(path)
    if kind == ".npz":
        for key, load in ((GNM_KEY, load_gnm), ("face_component", load_ict)):
            if key in read_npz(path, "face model", only=key):
                return load(path)
    return load_flame(path)
