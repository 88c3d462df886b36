"""Pairs of pictures of one person with the maps and the flow between their heads, as sets of
``facemorph data pairs`` give them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from facemorph.data.face_set import INDEX, PARAMETERS, SetIndex, decoded_pictures, scaled
from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.head_flow import HeadMaps, MovedHead
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.ops.seeds import evenly
from facemorph.storage.files import read_json

PAIRS = "pairs.json"
KINDS = ("genuine", "rendered", "reversed")
MIRRORED = (0, 3)  # channels of the maps that change sign: x of normals and of places
HELD = 64  # pairs of the validation
KEPT = 64  # source heads whose plates are kept
EXPOSURE, TINT, GAMMA, SATURATION = 0.12, 0.05, 0.15, 0.2  # standard deviations, of logarithms


class PairBatch(TypedDict):
    """A batch of B pairs.

    Attributes:
        source: ``(B, 3, S, S)`` in [0, 1].
        target: ``(B, 3, S, S)``.
        source_maps: ``(B, MAPS, S, S)`` of the source's head, see `HeadMaps`.
        maps: ``(B, MAPS, S, S)`` of the target's.
        flow: ``(B, 2, S, S)`` from the target to the source, in halves of the side.
        visible: ``(B, 1, S, S)`` what of the target's head the source shows.
        teeth: ``(B, 1, S, S)`` what colour in the target's mouth is multiplied with.
    """

    source: Tensor
    target: Tensor
    source_maps: Tensor
    maps: Tensor
    flow: Tensor
    visible: Tensor
    teeth: Tensor


@dataclass(frozen=True)
class Pair:
    """Two rows of a set of a folder."""

    folder: int
    source: int
    target: int
    kind: str
    person: str


class FacePairs(SeededStepDataModule):
    """Random pairs of sets; a subclass makes batches of them.

    A kind is drawn by its share, then a person, those with more pairs more often by their root,
    then a pair: a clip of forty pairs counts six times as much as a photograph with one, not forty
    times.

    Args:
        folders: Sets of ``facemorph data pairs``, or one.
        size: Side S of the pictures in pixels.
        batch_size: Pairs of a step, over all processes.
        steps_per_epoch: Steps between two validations.
        seed: Of all batches.
        model: Morphable model of the parameters.
        shares: Of each kind; kinds that no set has are left out.

    Raises:
        ConfigError: A number is out of range, or a kind is unknown.
    """

    def __init__(
        self,
        folders: str | Path | Sequence[str | Path],
        size: int = 128,
        batch_size: int = 4,
        steps_per_epoch: int = 500,
        seed: int = 0,
        model: str = "makehuman",
        shares: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(steps_per_epoch, seed)
        for name, value, least in (("size", size, 8), ("batch_size", batch_size, 1)):
            if value < least:
                raise ConfigError(
                    "out of range", where=f"data.{name}", expected=f"{least} or more", found=value
                )
        self.shares = dict(shares or {"genuine": 0.5, "rendered": 0.25, "reversed": 0.25})
        for kind, share in self.shares.items():
            if kind not in KINDS or not 0 <= share < math.inf:
                raise ConfigError(
                    "unusable share of a kind of pairs",
                    where=f"data.shares.{kind}",
                    expected=f"a number from 0, for {', '.join(KINDS)}",
                    found=share,
                )
        some = [folders] if isinstance(folders, (str, Path)) else folders
        self.folders = [Path(one) for one in some]
        self.size, self.batch_size, self.model = size, batch_size, model
        self.pairs: dict[str, list[Pair]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read the sets and decode their pictures, once.

        Raises:
            DataError: A folder holds no set of pairs, or there is no pair for training.
        """
        if self.pairs:
            return
        self.faces = load_model(self.model)
        self.pictures: list[np.ndarray[Any, Any]] = []
        self.parameters: list[FaceParameters] = []
        for number, folder in enumerate(self.folders):
            index, pairs = SetIndex.read(folder), read_pairs(folder)
            parameters = FaceParameters.load(folder / PARAMETERS)
            vertices_of(self.faces, parameters[0])  # the model's, or an error
            pictures, scale = decoded_pictures(folder, index, self.size)
            self.pictures.append(pictures)
            self.parameters.append(scaled(parameters, scale))
            for source, target, kind in pairs:
                if max(source, target) >= len(index.names):
                    raise DataError(
                        "index and pairs of this set do not fit together",
                        where=folder / PAIRS,
                        expected=f"rows below {len(index.names)}, as in {INDEX}",
                        found=max(source, target),
                        remedy="Make the set again with the same command.",
                    )
                pair = Pair(number, source, target, kind, f"{number}/{index.people[source]}")
                self.pairs.setdefault(index.split[source], []).append(pair)
        training = self.pairs.get("training", [])
        usable = [pair for pair in training if self.shares.get(pair.kind, 0) > 0]
        if not usable:
            raise DataError(
                "these sets have no pair for training",
                where=", ".join(map(str, self.folders)),
                expected=f"pairs of a kind with a share: {', '.join(self.shares)}",
                found=dict(Counter(pair.kind for pair in training)) or "none",
            )
        self._drawn = {
            kind: _by_person([pair for pair in usable if pair.kind == kind])
            for kind in KINDS
            if any(pair.kind == kind for pair in usable)
        }

    def drawn(self, random: np.random.Generator) -> list[Pair]:
        """Pairs of a batch of the training split, by chance."""
        kinds = list(self._drawn)
        share = np.array([self.shares[kind] for kind in kinds])
        chosen = []
        for number in random.choice(len(kinds), self.batch_size, p=share / share.sum()):
            people, weights = self._drawn[kinds[number]]
            pairs = people[random.choice(len(people), p=weights)]
            chosen.append(pairs[random.integers(len(pairs))])
        return chosen

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Genuine pairs of the validation split, at most `HELD` of them; none without one."""
        pairs = self.held_out(HELD)
        if not pairs:
            return []
        parts = [pairs[at : at + self.batch_size] for at in range(0, len(pairs), self.batch_size)]
        return DataLoader(_Batches(self, parts), batch_size=None)

    def batch_of(self, pairs: Sequence[Pair]) -> Any:
        """Some pairs as they are."""
        raise NotImplementedError

    def held_out(self, count: int) -> list[Pair]:
        """At most so many genuine pairs of the validation split, evenly; none without one."""
        pairs = [pair for pair in self.pairs.get("validation", []) if pair.kind == "genuine"]
        return [pairs[place] for place in evenly(len(pairs), count)]

    def some_held_out(self, count: int) -> list[Pair]:
        """The pairs of `held_out`, at least one.

        Raises:
            DataError: There is none.
        """
        pairs = self.held_out(count)
        if not pairs:
            raise DataError(
                "this set has no genuine pair of the validation split",
                where=", ".join(map(str, self.folders)),
                remedy="Make it with --validation or --splits, of people with several pictures.",
            )
        return pairs

    def _picture(self, folder: int, row: int) -> Tensor:
        return torch.from_numpy(np.array(self.pictures[folder][row])).float() / 255

    def _view(self, folder: int, row: int) -> HeadView:
        one = self.parameters[folder][row]
        camera = camera_of(one, Frame(self.size, self.size))
        return HeadView(vertices_of(self.faces, one), camera)


class PairedFaces(FacePairs):
    """Random batches of pairs; maps and flows are rendered when a batch is made."""

    def setup(self, stage: str | None = None) -> None:
        """Read the sets and decode their pictures, once.

        Raises:
            DataError: A folder holds no set of pairs, or there is no pair for training.
        """
        if self.pairs:
            return
        super().setup(stage)
        self._maps = HeadMaps(self.faces, self.size)
        self._heads: dict[tuple[int, int], MovedHead] = {}

    def make_batch(self, generator: torch.Generator, step: int) -> PairBatch:
        """Random pairs of the training split, some mirrored, in changed colours."""
        random = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        return augmented(self.batch_of(self.drawn(random)), random)

    def batch_of(self, pairs: Sequence[Pair]) -> PairBatch:
        """Some pairs as they are."""
        rows: dict[str, list[Tensor]] = {name: [] for name in PairBatch.__annotations__}
        for pair in pairs:
            head = self._head(pair.folder, pair.source)
            moved = head(self._view(pair.folder, pair.target))
            for name, value in (
                ("source", self._picture(pair.folder, pair.source)),
                ("target", self._picture(pair.folder, pair.target)),
                ("source_maps", head.maps[0]),
                ("maps", moved.maps[0]),
                ("flow", moved.flow[0]),
                ("visible", moved.visible[0]),
                ("teeth", moved.teeth[0]),
            ):
                rows[name].append(value)
        made = {name: torch.stack(values) for name, values in rows.items()}
        return made  # type: ignore[return-value]

    def _head(self, folder: int, row: int) -> MovedHead:
        """A source's head, kept as long as not too many others were asked for."""
        key = (folder, row)
        if key not in self._heads:
            if len(self._heads) >= KEPT:
                del self._heads[next(iter(self._heads))]
            view = self._view(folder, row)
            self._heads[key] = MovedHead(self.faces, view, self.size, self._maps)
        return self._heads[key]


class _Batches(Dataset[Any]):
    """Some batches of given pairs."""

    def __init__(self, data: FacePairs, parts: Sequence[Sequence[Pair]]) -> None:
        self.data, self.parts = data, parts

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Any:
        return self.data.batch_of(self.parts[index])


def read_pairs(folder: Path) -> list[tuple[int, int, str]]:
    """Rows of source and target and the kind of each pair of a set.

    Raises:
        DataError: The file is missing or damaged.
    """
    path = folder / PAIRS
    try:
        content = read_json(path)
        columns = [content[key] for key in ("source", "target", "kind")]
        pairs = [(int(a), int(b), str(kind)) for a, b, kind in zip(*columns, strict=True)]
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(
            "this is no set of pairs",
            where=path,
            found=type(error).__name__,
            expected="what `facemorph data pairs` writes",
        ) from error
    wrong = [pair for pair in pairs if min(pair[:2]) < 0 or pair[2] not in KINDS]
    if wrong:
        raise DataError(
            "this set has an unusable pair",
            where=path,
            expected=f"rows from 0, and one of {', '.join(KINDS)}",
            found=wrong[0],
        )
    return pairs


def _by_person(pairs: Sequence[Pair]) -> tuple[list[list[Pair]], np.ndarray[Any, Any]]:
    """The pairs of each person, and how often each person is drawn."""
    people: dict[str, list[Pair]] = {}
    for pair in pairs:
        people.setdefault(pair.person, []).append(pair)
    weights = np.sqrt([len(mine) for mine in people.values()])
    return list(people.values()), weights / weights.sum()


def augmented(batch: PairBatch, random: np.random.Generator) -> PairBatch:
    """A batch with some pairs mirrored and the colours of both pictures of a pair changed alike.

    Args:
        batch: The pairs.
        random: What decides.
    """
    count = len(batch["source"])
    turned = torch.from_numpy(random.random(count) < 0.5)[:, None, None, None]
    tensors: dict[str, Tensor] = dict(batch)  # type: ignore[arg-type]
    found = {name: torch.where(turned, one.flip(-1), one) for name, one in tensors.items()}
    sign = 1 - 2 * turned[:, 0].float()
    for name, channels in (("flow", (0,)), ("source_maps", MIRRORED), ("maps", MIRRORED)):
        for channel in channels:
            found[name][:, channel] *= sign
    drawn = torch.from_numpy(random.normal(0, 1, (count, 6))).float()[..., None, None]
    gain = torch.exp(EXPOSURE * drawn[:, :1] + TINT * drawn[:, 1:4])
    gamma, saturation = torch.exp(GAMMA * drawn[:, 4:5]), 1 + SATURATION * drawn[:, 5:]
    for name in ("source", "target"):
        picture = found[name].clamp(min=1e-3) ** gamma * gain
        grey = picture.mean(1, keepdim=True)
        found[name] = (grey + (picture - grey) * saturation).clamp(0, 1)
    return found  # type: ignore[return-value]
