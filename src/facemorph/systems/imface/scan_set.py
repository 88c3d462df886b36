"""Points of prepared scans, drawn at random: what ImFace learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.scans.scan_files import (
    SCALES,
    ListedScan,
    list_scans,
    read_arrays,
    read_tree_arrays,
    unpacked,
)
from facemorph.ops.seeds import mix_seed
from facemorph.systems.imface.losses import ScanBatch


@dataclass(frozen=True)
class StoredScan:
    """A scan in memory as it is stored, and the numbers of its person and expression."""

    arrays: dict[str, np.ndarray]
    landmarks: Tensor
    identity: int
    expression: int

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Points ``(count, 3)``, distances ``(count,)`` and gradients ``(count, 3)``, each row as
        likely as any.
        """
        surface, free = len(self.arrays["surface"]), len(self.arrays["free"])
        rows = torch.randint(surface + free, (count,), generator=generator)
        on, off = rows[rows < surface].numpy(), (rows[rows >= surface] - surface).numpy()

        def taken(name: str, which: np.ndarray) -> Tensor:
            return unpacked(self.arrays[name][which], SCALES[name])

        return (
            torch.cat([taken("surface", on), taken("free", off)]),
            torch.cat([torch.zeros(len(on)), taken("distance", off)]),
            torch.cat([taken("normals", on), taken("gradient", off)]),
        )


class ScanSet(SeededStepDataModule):
    """Batches of ``ScanBatch``: points of some scans of the training split.

    Every pass over the scans has its own order. Points of a scan are drawn with replacement out of
    all that its file has, on the surface and around it: with the published numbers 94 % are on the
    surface. Scans that are not there are not missed: any list of persons and expressions will do.
    Those that are held out are never read.

    ``.npz`` sets are kept in memory, 12 bytes for each point; the arrays of FaceScape trees stay on
    disk.

    Args:
        folder: What ``facemorph data prepare-scans`` wrote, or a FaceScape tree.
        batch_size: Scans of one step.
        points: Of each scan in a step.
        steps_per_epoch: Steps of one epoch; None: as many as take every scan once.
        identities: Names of the only persons to take; None takes all of the training split.
        expressions: Names of the only expressions, likewise.
        held_identities: Names of persons to leave out.
        held_expressions: Names of expressions to leave out.
        seed: Of all batches.

    Raises:
        ConfigError: A number is none of the possible ones, or a name is in no scan.
        DataError: The folder holds no prepared scans.
    """

    def __init__(
        self,
        folder: str | Path,
        batch_size: int = 4,
        points: int = 4096,
        steps_per_epoch: int | None = None,
        identities: Sequence[str | int] | None = None,
        expressions: Sequence[str | int] | None = None,
        held_identities: Sequence[str | int] = (),
        held_expressions: Sequence[str | int] = (),
        seed: int = 0,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("points", points)):
            if value < 1:
                raise ConfigError(
                    "a step needs points", where=f"data.{name}", expected="1 or more", found=value
                )
        self.folder = Path(folder)
        listed, self.neutral = list_scans(self.folder)
        self.listed = _chosen(
            [scan for scan in listed if scan.split == "training"],
            identities,
            expressions,
            held_identities,
            held_expressions,
        )
        if not self.listed:
            raise DataError(
                "no scan is left for training",
                where=self.folder,
                found=f"{len(listed)} scans in all",
                remedy="Take fewer persons and expressions out.",
            )
        if all(scan.expression != self.neutral for scan in self.listed):
            raise DataError(
                "ImFace learns from neutral scans too, and there is none",
                where=self.folder,
                expected=f"scans of the expression {self.neutral!r}",
            )
        super().__init__(
            -(-len(self.listed) // batch_size) if steps_per_epoch is None else steps_per_epoch, seed
        )
        self.batch_size, self.points = batch_size, points
        self.identities = sorted({scan.identity for scan in self.listed}, key=_order)
        self.expressions = sorted(
            {scan.expression for scan in self.listed},
            key=lambda name: (name != self.neutral, *_order(name)),
        )
        self.scans: list[StoredScan] = []
        self.neutral_landmarks = torch.empty(0)

    @property
    def num_identities(self) -> int:
        """People of the training set."""
        return len(self.identities)

    @property
    def num_expressions(self) -> int:
        """Expressions of the training set; number 0 is the neutral one."""
        return len(self.expressions)

    def setup(self, stage: str | None = None) -> None:
        """Read all scans, once.

        Raises:
            DataError: A scan cannot be read, or lacks landmarks.
        """
        if self.scans:
            return
        self.scans = [self._read(scan) for scan in self.listed]
        # A person without a neutral scan gets the mean of the others'.
        self.neutral_landmarks = self.mean_landmarks()[None].repeat(self.num_identities, 1, 1)
        for scan in self.scans:
            if scan.expression == 0:
                self.neutral_landmarks[scan.identity] = scan.landmarks

    def _read(self, scan: ListedScan) -> StoredScan:
        arrays = (
            read_arrays(scan.path) if scan.path.suffix == ".npz" else read_tree_arrays(scan.path)
        )
        landmarks = torch.from_numpy(arrays["landmarks"])
        if not bool(torch.isfinite(landmarks).all()):
            raise DataError("a scan for training needs all its landmarks", where=scan.path)
        return StoredScan(
            {name: arrays[name] for name in SCALES},
            landmarks,
            self.identities.index(scan.identity),
            self.expressions.index(scan.expression),
        )

    def mean_landmarks(self) -> Tensor:
        """The template's landmarks ``(68, 3)``: the mean of the neutral scans."""
        self.setup()
        return torch.stack([scan.landmarks for scan in self.scans if scan.expression == 0]).mean(0)

    def make_batch(self, generator: torch.Generator, step: int) -> ScanBatch:
        """Points of one step."""
        count = len(self.scans)
        places = [step * self.batch_size + item for item in range(self.batch_size)]
        orders = {
            number: torch.randperm(
                count, generator=torch.Generator().manual_seed(mix_seed(self.seed, number, 1))
            )
            for number in {place // count for place in places}
        }
        scans = [self.scans[int(orders[place // count][place % count])] for place in places]
        points, distance, gradient = (
            torch.stack(part)
            for part in zip(*(scan.draw(self.points, generator) for scan in scans), strict=True)
        )
        identity = torch.tensor([scan.identity for scan in scans])
        expression = torch.tensor([scan.expression for scan in scans])
        return {
            "points": points,
            "distance": distance,
            "gradient": gradient,
            "landmarks": torch.stack([scan.landmarks for scan in scans]),
            "neutral_landmarks": self.neutral_landmarks[identity],
            "identity": identity,
            "expression": expression,
            "neutral": expression == 0,
        }


def _order(name: str) -> tuple[str, str]:
    return name.zfill(9), name


def _chosen(
    scans: Sequence[ListedScan],
    identities: Sequence[str | int] | None,
    expressions: Sequence[str | int] | None,
    held_identities: Sequence[str | int],
    held_expressions: Sequence[str | int],
) -> list[ListedScan]:
    """Scans of the wanted persons and expressions without those held out."""
    people, kinds = {scan.identity for scan in scans}, {scan.expression for scan in scans}
    for name, given, known in (
        ("identities", identities, people),
        ("expressions", expressions, kinds),
    ):
        unknown = [one for one in given or () if str(one) not in known]
        if given is not None and len(unknown) == len(given):
            raise ConfigError(
                "none of these is in the set",
                where=f"data.{name}",
                expected=", ".join(sorted(known)[:10]),
                found=", ".join(map(str, given)) or "nothing",
            )
    wanted = {str(one) for one in identities} if identities is not None else people
    shown = {str(one) for one in expressions} if expressions is not None else kinds
    wanted, shown = (
        wanted - {str(one) for one in held_identities},
        shown - {str(one) for one in held_expressions},
    )
    return [scan for scan in scans if scan.identity in wanted and scan.expression in shown]
