"""Pairs of pictures of one person: a code told of one must show the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from facemorph.data.condition_set import ConditionedBatch, ConditionedFaces, ConditionedRows
from facemorph.data.face_set import SetIndex
from facemorph.errors import ConfigError
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.systems.varitex.small.generator import BRIGHT


class CrossViewBatch(ConditionedBatch):
    """A batch of B pairs; what has no prefix is to be shown.

    Attributes:
        source_image: ``(B, 3, S, S)`` what the encoder sees.
        source_conditions: ``(B, 9, S, S)`` of it.
        source_light: ``(B, 9, 3)`` of it.
    """

    source_image: Tensor
    source_conditions: Tensor
    source_light: Tensor


def light_renderer(model: MorphableModel, size: int, supersample: int = 2) -> ConditionRenderer:
    """What renders the conditions of textures: light in the place of skin, normals, mask, texture
    coordinates.

    The light is 1 where it is ``BRIGHT`` times what shows colours as they are.
    """
    mean, basis = skin_basis(model)
    white = torch.full_like(mean, 1 / BRIGHT), torch.zeros_like(basis)
    return ConditionRenderer(model, size=size, supersample=supersample, skin=white)


class CrossViews(ConditionedFaces):
    """Faces of a set with conditions, each with the other pictures of the same person in turn.

    A round shows every picture as often as the person with most pictures has others. Who has a
    single picture is shown by it.

    Args:
        folder: As of `ConditionedFaces`.
        size: Likewise.
        batch_size: Likewise.
        num_workers: Likewise.
        model: Likewise.
        seed: Likewise.
        stored: Likewise.
        supersample: Likewise.
        like: Pattern of the names of people whom random ones are to be like, such as ``us_*``; None
            for all. Rendered people teach a generator of photographs what the same head looks like
            from elsewhere, and nobody wants to draw them.
    """

    maps_name = "light_conditions"

    def __init__(
        self,
        folder: str | Path,
        size: int = 128,
        batch_size: int = 16,
        num_workers: int = 0,
        model: str = "makehuman",
        seed: int = 0,
        stored: bool = True,
        supersample: int = 2,
        like: str | None = None,
    ) -> None:
        super().__init__(folder, size, batch_size, num_workers, model, seed, stored, supersample)
        self.like = like

    def renderer(self, size: int) -> ConditionRenderer:
        """What renders the maps of this set's model."""
        return light_renderer(load_model(self.model), size, self.supersample)

    def setup(self, stage: str | None = None) -> None:
        """Read the set and render its maps, once.

        Raises:
            DataError: The set is no prepared one, or its fits are without light.
            ConfigError: No training picture is of people whom random ones are to be like.
        """
        if self.parts:
            return
        super().setup(stage)
        people = SetIndex.read(self.folder).people
        alike = [self.like is None or fnmatchcase(one, self.like) for one in people]
        self.alike = torch.tensor(alike)
        if not self.alike[self.parts["training"].rows].any():
            raise ConfigError(
                "random people are to be like people who are not there",
                where="data.like",
                expected=f"a pattern of names such as {people[0]}",
                found=self.like,
            )
        self.pairs = {
            name: CrossViewRows(rows, all_of_them=name == "training")
            for name, rows in self.conditioned.items()
        }

    @property
    def samples(self) -> Mapping[str, Dataset[Any]]:
        """Pairs, by split; of held-out pictures each has one."""
        return self.pairs


class CrossViewRows(Dataset[CrossViewBatch]):
    """Pairs of rows of a split.

    Args:
        faces: The split.
        all_of_them: Every picture with every other one of its person; only with the next when
            false.
    """

    def __init__(self, faces: ConditionedRows, all_of_them: bool) -> None:
        self.faces = faces
        person = faces.rows.person[faces.rows.rows].tolist()
        self.views: dict[int, list[int]] = defaultdict(list)
        for place, who in enumerate(person):
            self.views[who].append(place)
        self.place = {
            place: (views, at) for views in self.views.values() for at, place in enumerate(views)
        }
        most = max(len(views) for views in self.views.values())
        self.turns = max(most - 1, 1) if all_of_them else 1

    def __len__(self) -> int:
        return len(self.faces) * self.turns

    def source_of(self, index: int) -> int:
        """Place of the picture that the encoder sees of a pair."""
        turn, place = divmod(index, len(self.faces))
        views, at = self.place[place]
        if len(views) == 1:
            return place
        return views[(at + 1 + turn % (len(views) - 1)) % len(views)]

    def __getitem__(self, index: int) -> CrossViewBatch:
        """One pair."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        source = self.faces[self.source_of(index)]
        return {
            **self.faces[index % len(self.faces)],
            "source_image": source["image"],
            "source_conditions": source["conditions"],
            "source_light": source["light"],
        }
