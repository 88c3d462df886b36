"""Pairs of pictures of one person with the projected vertices of both heads: what the published
GDPW learns from, of the authors' clips or of sets of ``facemorph data pairs``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import ConfigError, DataError
from facemorph.faces.colour_jitter import draw_change
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.ops.seeds import mix_seed
from facemorph.systems.gdpw.guidance import projected_vertices
from facemorph.systems.gdpw.paired_faces import FacePairs, Pair
from facemorph.systems.gdpw.published_set import GDPWClips

SHARE = 0.5  # of the pairs that are mirrored


class VertexPairBatch(TypedDict):
    """A batch of B pairs.

    Attributes:
        source: ``(B, 3, S, S)`` in [0, 1].
        target: ``(B, 3, S, S)``.
        source_vertices: ``(B, V, 3)``: x and y in [-1, 1] of the picture, y down; small z is near.
        target_vertices: ``(B, V, 3)``.
    """

    source: Tensor
    target: Tensor
    source_vertices: Tensor
    target_vertices: Tensor


class PairedVertices(FacePairs):
    """Random pairs of sets of ``facemorph data pairs``.

    Args:
        folders: As of `FacePairs`.
        size: Likewise.
        batch_size: Likewise.
        steps_per_epoch: Likewise.
        seed: Likewise.
        model: Likewise.
        shares: Likewise.
        mirror: Whether half of the pairs are mirrored.
        colours: Largest change of brightness, contrast, saturation and hue, alike for a pair.

    Raises:
        ConfigError: A number is out of range, or a kind is unknown.
    """

    def __init__(
        self,
        folders: str | Path | Sequence[str | Path],
        size: int = 256,
        batch_size: int = 8,
        steps_per_epoch: int = 10_000,
        seed: int = 0,
        model: str = "makehuman",
        shares: Mapping[str, float] | None = None,
        mirror: bool = True,
        colours: float = 0.1,
    ) -> None:
        super().__init__(folders, size, batch_size, steps_per_epoch, seed, model, shares)
        self.mirror, self.colours = mirror, _checked_colours(colours)

    def setup(self, stage: str | None = None) -> None:
        """Read the sets and decode their pictures, once.

        Raises:
            ConfigError: The model does not know which vertices mirror each other.
            DataError: A folder holds no set of pairs, or there is no pair for training.
        """
        super().setup(stage)
        self._sides = _sides_of(self.faces, self.mirror)

    def make_batch(self, generator: torch.Generator, step: int) -> VertexPairBatch:
        """Random pairs of the training split, some mirrored, in changed colours."""
        random = _numbers(generator)
        return augmented(self.batch_of(self.drawn(random)), random, self._sides, self.colours)

    def batch_of(self, pairs: Sequence[Pair]) -> VertexPairBatch:
        """Some pairs as they are."""
        rows: dict[str, list[Tensor]] = {name: [] for name in VertexPairBatch.__annotations__}
        size = (self.size, self.size)
        for pair in pairs:
            for name, row in (("source", pair.source), ("target", pair.target)):
                head = self._view(pair.folder, row)
                rows[name].append(self._picture(pair.folder, row))
                vertices = projected_vertices(head.vertices, head.camera, size)
                rows[f"{name}_vertices"].append(vertices[0])
        return _stacked(rows)

    def shown(self, count: int) -> VertexPairBatch:
        """Some pairs to look at: held-out ones, of those that are trained on where there are
        none.
        """
        return self.batch_of(self.held_out(count) or self.pairs["training"][:count])


class ClipPairs(SeededStepDataModule):
    """Two random frames of a random clip of each person, the earlier one as the source.

    Source: Zhong et al. (BMVC 2022) and the released code: a stream without end that takes the
    people in a new order in each round.

    Args:
        folder: The authors' clips, see ``facemorph.systems.gdpw.published_set``.
        model: Morphable model of the vertices, such as FLAME's file: its triangles, and which
            vertices mirror each other.
        size: Side S of the pictures in pixels; those of another size are scaled.
        batch_size: Pairs of a step, over all processes.
        steps_per_epoch: Steps of an epoch.
        seed: Of all batches.
        num_workers: Processes that read.
        mirror: Whether half of the pairs are mirrored.
        colours: Largest change of brightness, contrast, saturation and hue, alike for a pair.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self,
        folder: str | Path,
        model: str,
        size: int = 256,
        batch_size: int = 8,
        steps_per_epoch: int = 10_000,
        seed: int = 0,
        num_workers: int = 0,
        mirror: bool = True,
        colours: float = 0.1,
    ) -> None:
        super().__init__(steps_per_epoch, seed, num_workers)
        for name, value, least in (("size", size, 8), ("batch_size", batch_size, 1)):
            if value < least:
                raise ConfigError(
                    "out of range", where=f"data.{name}", expected=f"{least} or more", found=value
                )
        self.folder, self.model, self.size, self.batch_size = Path(folder), model, size, batch_size
        self.mirror, self.colours = mirror, _checked_colours(colours)
        self.clips: GDPWClips | None = None

    def setup(self, stage: str | None = None) -> None:
        """Look for the clips, once.

        Raises:
            ConfigError: The model does not know which vertices mirror each other.
            DataError: There are no clips.
        """
        if self.clips is None:
            self.clips = GDPWClips(self.folder, self.seed)
            self.faces = load_model(self.model)
            self._sides = _sides_of(self.faces, self.mirror)

    def make_batch(self, generator: torch.Generator, step: int) -> VertexPairBatch:
        """The pairs of the next people, some mirrored, in changed colours."""
        first = step * self.batch_size
        places = range(first, first + self.batch_size)
        return augmented(self._batch(places), _numbers(generator), self._sides, self.colours)

    def shown(self, count: int) -> VertexPairBatch:
        """The pairs that a training begins with, to look at."""
        return self._batch(range(count))

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """None: the clips have no split."""
        return []

    def _batch(self, places: Sequence[int]) -> VertexPairBatch:
        """The pairs of these places of the stream."""
        clips = self.clips
        if clips is None:
            raise ConfigError("the data have not been set up", where="data")
        rows: dict[str, list[Tensor]] = {name: [] for name in VertexPairBatch.__annotations__}
        wanted = (self.faces.num_vertices, 3)
        for place in places:
            turn, number = divmod(place, len(clips))
            order = np.random.default_rng(mix_seed(self.seed, turn)).permutation(len(clips))
            pair = clips.pair(turn, int(order[number]))
            for name in ("source", "target"):
                vertices = pair[f"{name}_vertices"]
                if tuple(vertices.shape) != wanted:
                    raise DataError(
                        "the vertices of these clips are not the model's",
                        where=f"{self.folder}: {pair['person']}",
                        expected=wanted,
                        found=tuple(vertices.shape),
                        remedy="Set data.model to the face model that they were fitted with.",
                    )
                rows[name].append(self._scaled(pair[name]))
                rows[f"{name}_vertices"].append(vertices)
        return _stacked(rows)

    def _scaled(self, picture: Tensor) -> Tensor:
        size = (self.size, self.size)
        if tuple(picture.shape[1:]) == size:
            return picture
        scaled = F.interpolate(
            picture[None], size, mode="bilinear", antialias=True, align_corners=False
        )
        return scaled[0]


def augmented(
    batch: VertexPairBatch, random: np.random.Generator, sides: Tensor | None, colours: float
) -> VertexPairBatch:
    """A batch with half of the pairs mirrored and the colours of both pictures of a pair changed
    alike.

    Mirrored, x becomes -x: a mirrored picture and the render of its vertices agree to the pixel.

    Args:
        batch: The pairs.
        random: What decides.
        sides: ``(V,)`` the vertex on the other side of each; None mirrors nothing.
        colours: Largest change of brightness, contrast, saturation and hue.
    """
    count = len(batch["source"])
    turned = torch.from_numpy(random.random(count) < SHARE)
    changes = [draw_change(random, colours) for _ in range(count)]
    found: dict[str, Tensor] = {}
    for name in ("source", "target"):
        pictures: Tensor = batch[name]
        vertices: Tensor = batch[f"{name}_vertices"]  # type: ignore[literal-required]
        if sides is not None:
            pictures = torch.where(turned[:, None, None, None], pictures.flip(-1), pictures)
            other = vertices[:, sides] * vertices.new_tensor([-1.0, 1.0, 1.0])
            vertices = torch.where(turned[:, None, None], other, vertices)
        pairs = zip(changes, pictures, strict=True)
        found[name] = torch.stack([change(picture) for change, picture in pairs])
        found[f"{name}_vertices"] = vertices
    return found  # type: ignore[return-value]


def _sides_of(model: MorphableModel, mirror: bool) -> Tensor | None:
    """The vertex on the other side of each; None where nothing is mirrored."""
    if mirror and model.topology.mirror is None:
        raise ConfigError(
            "this model does not know its mirror vertices",
            where="data.mirror",
            found=model.name,
            remedy="Set data.mirror=false.",
        )
    return model.topology.mirror if mirror else None


def _checked_colours(colours: float) -> float:
    if not 0 <= colours <= 0.5:
        raise ConfigError("out of range", where="data.colours", expected="0 to 0.5", found=colours)
    return colours


def _numbers(generator: torch.Generator) -> np.random.Generator:
    return np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))


def _stacked(rows: Mapping[str, list[Tensor]]) -> VertexPairBatch:
    made = {name: torch.stack(values) for name, values in rows.items()}
    return made  # type: ignore[return-value]
