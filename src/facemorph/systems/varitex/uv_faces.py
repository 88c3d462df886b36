"""Training batches of sets of ``facemorph data prepare`` and ``data synth``: places rendered from
the parameters, in float32, whenever they are needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph.data.face_set import FaceSet, SetIndex
from facemorph.errors import ConfigError
from facemorph.faces.files.image_io import load_image, resize_image
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.plane_moves import MoveRanges, PlaneMoves
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.frames import Frame
from facemorph.systems.varitex.face_batches import FaceViews, UVBatches

MASKS = "masks"  # folder of a set


def rendered_places(
    model: MorphableModel, parameters: FaceParameters, side: int, moves: PlaneMoves | None = None
) -> tuple[Tensor, Tensor]:
    """``uv`` ``(B, 2, S, S)`` in [0, 1] and ``uv_mask`` ``(B, 1, S, S)`` of heads.

    Args:
        model: Of the parameters.
        parameters: In pixels of pictures of this side.
        side: S.
        moves: Of the pictures, done to the camera.

    Raises:
        DataError: The parameters are those of another model.
    """
    camera = camera_of(parameters, Frame(side, side))
    if moves is not None:
        camera = moves.camera(camera, side)
    vertices = vertices_of(model, parameters)
    view = MeshView.of(vertices, model.topology.faces, camera, (side, side), cull_back_faces=True)
    uv, mask = view.uv(model.topology), view.mask
    return (uv, mask) if moves is None else (moves.mirror(uv), moves.mirror(mask))


class UVFaces(UVBatches):
    """A set of one's own.

    Where a person is beside the mesh (hair, hats) say the masks of the set, ``masks/NAME.png`` of
    ``data prepare``; without them it is the mesh alone.

    Args:
        folder: The set.
        size: As of `UVBatches`.
        batch_size: Likewise.
        steps_per_epoch: Likewise.
        seed: Likewise.
        num_workers: Likewise.
        moves: Likewise; of the camera, so that places stay exact.
        model: Morphable model of the parameters.
        cross_views: Share of the training pictures for which the encoder sees another picture of
            the same person, where there is one; with more than 0 it does in the validation too.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self,
        folder: str | Path,
        size: int = 256,
        batch_size: int = 7,
        steps_per_epoch: int = 10_000,
        seed: int = 0,
        num_workers: int = 0,
        moves: MoveRanges | None = None,
        model: str = "makehuman",
        cross_views: float = 0.0,
    ) -> None:
        super().__init__(size, batch_size, steps_per_epoch, seed, num_workers, moves)
        if not 0 <= cross_views <= 1:
            raise ConfigError(
                "this share cannot be",
                where="data.cross_views",
                expected="0 to 1",
                found=cross_views,
            )
        self.folder, self.model, self.cross_views = Path(folder), model, cross_views
        self.faces: FaceSet | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read the set and decode its pictures, once.

        Raises:
            DataError: The folder holds no set, or its parameters are those of another model.
        """
        if self.faces is not None:
            return
        faces = FaceSet(self.folder, self.size, mirror=False, model=self.model or "makehuman")
        faces.setup()
        self.head, self.parameters = load_model(faces.model), faces.parameters
        vertices_of(self.head, self.parameters[0])  # the model's, or an error
        self.names = SetIndex.read(self.folder).names
        self.faces = faces
        self._views: dict[tuple[str, int], list[int]] = defaultdict(list)
        self._person: dict[int, tuple[str, int]] = {}
        for split, part in faces.parts.items():
            for row in part.rows.tolist():
                self._person[row] = (split, int(part.person[row]))
                self._views[self._person[row]].append(row)

    def rows(self, split: str) -> list[int]:
        """Rows of a split."""
        part = self._set().parts.get(split)
        return [] if part is None else part.rows.tolist()

    def views(self, rows: Sequence[int]) -> FaceViews:
        """Some faces as they are.

        Raises:
            ConfigError: The data have not been set up.
            ImageError: A mask of the set is missing or cannot be read.
        """
        stored = next(iter(self._set().parts.values())).pictures
        pictures = torch.from_numpy(np.stack([stored[row] for row in rows])).float() / 255
        parameters = self.parameters[torch.tensor(list(rows))]
        uv, uv_mask = rendered_places(self.head, parameters, self.size)
        people = torch.zeros_like(uv_mask)
        if (self.folder / MASKS).is_dir():
            people = torch.stack([self._mask(self.names[row]) for row in rows])
        return FaceViews(pictures, people, uv, uv_mask, parameters.vector())

    def moved_places(
        self, rows: Sequence[int], views: FaceViews, moves: PlaneMoves
    ) -> tuple[Tensor, Tensor]:
        """The meshes seen by moved cameras."""
        parameters = self.parameters[torch.tensor(list(rows))]
        return rendered_places(self.head, parameters, self.size, moves)

    def sources_of(self, rows: Sequence[int], random: np.random.Generator | None) -> list[int]:
        """Rows of what the encoder sees: by chance another picture of the person; without chance
        the next one, if there are such pairs at all.
        """
        found = []
        for row in rows:
            views = self._views[self._person[row]]
            others = [one for one in views if one != row]
            drawn = 0.0 if random is None else random.random()
            if not others or drawn >= self.cross_views:
                found.append(row)
            elif random is None:
                found.append(views[(views.index(row) + 1) % len(views)])
            else:
                found.append(others[int(random.integers(len(others)))])
        return found

    def _mask(self, name: str) -> Tensor:
        """``(1, S, S)`` bool."""
        mask = load_image(self.folder / MASKS / f"{name}.png")
        return resize_image(mask, (self.size, self.size))[:1] > 0.5

    def _set(self) -> FaceSet:
        if self.faces is None:
            raise ConfigError("the data have not been set up", where="data")
        return self.faces
