"""Two faces, their landmarks, and random samples of space and time on which a warp between them is
trained.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import ConfigError
from facemorph.faces.files.pair_lists import points_of, read_pair_list
from facemorph.faces.pair import FacePair, prepare_pair
from facemorph.ops.frames import Frame

SAMPLINGS = ("jittered", "uniform", "grid")


class LandmarkPair(SeededStepDataModule):
    """Two faces as batches of samples.

    A batch is ``{"still": (M, 2), "moving": (M, 3)}``: points at duration 0, and rows (x, y,
    duration) with durations in [-1, 1).

    Args:
        a: First picture.
        b: Second picture.
        points_a: Landmark file of the first picture; found by the detector when None.
        points_b: Landmark file of the second picture.
        size: Longer side of the common frame in pixels.
        detector: Landmark detector.
        align: How both faces are cut, see ``facemorph.faces.pair.prepare_pair``.
        sampling: ``jittered``: one random point in each cell of a grid, durations stratified;
            ``uniform``: independent points and durations; ``grid``: the paper's fixed grid with a
            random permutation of equally spaced durations, exact 0 among them.
        num_samples: Points of both kinds together; the square of a whole number is taken for each
            kind.
        steps_per_epoch: Steps between two measurements of quality.
        seed: Seed of all batches.
        subset: ``all`` landmarks, or only every other one (``even``), so that the rest can be held
            out.

    Raises:
        ConfigError: ``sampling``, ``subset`` or ``num_samples`` is none of the possible ones.
    """

    def __init__(
        self,
        a: str | Path,
        b: str | Path,
        points_a: str | Path | None = None,
        points_b: str | Path | None = None,
        size: int = 512,
        detector: str = "embedded",
        align: str = "portrait",
        sampling: str = "jittered",
        num_samples: int = 512,
        steps_per_epoch: int = 100,
        seed: int = 0,
        subset: str = "all",
    ) -> None:
        super().__init__(steps_per_epoch, seed)
        if sampling not in SAMPLINGS:
            raise ConfigError(
                "unknown sampling",
                where="data.sampling",
                expected=" | ".join(SAMPLINGS),
                found=sampling,
            )
        if subset not in ("all", "even"):
            raise ConfigError(
                "unknown subset", where="data.subset", expected="all | even", found=subset
            )
        self.cells = math.isqrt(max(num_samples, 0) // 2)
        if self.cells < 2:
            raise ConfigError(
                "too few samples",
                where="data.num_samples",
                expected="at least 8",
                found=num_samples,
            )
        self.inputs = {
            "a": a,
            "b": b,
            "points_a": points_a,
            "points_b": points_b,
            "size": size,
            "detector": detector,
            "align": align,
        }
        self.sampling, self.subset = sampling, subset
        self.pair: FacePair | None = None

    @classmethod
    def of(cls, pair: FacePair, **options: Any) -> LandmarkPair:
        """Samples for a pair that is already prepared; ``options`` are the constructor's."""
        made = cls("", "", **options)
        made.pair = pair
        return made

    def setup(self, stage: str | None = None) -> None:
        """Find, cut and check both faces, once."""
        if self.pair is None:
            self.pair = prepare_pair(**self.inputs)  # type: ignore[arg-type]

    def landmarks(self) -> tuple[Tensor, Tensor, Frame]:
        """Source and target landmarks ``(P, 2)`` to train on, in field coordinates, and their
        frame.

        Raises:
            ConfigError: ``setup`` has not been called.
        """
        if self.pair is None:
            raise ConfigError("the pair is not loaded yet", remedy="Call setup() first.")
        step = 2 if self.subset == "even" else 1
        return self.pair.source[::step], self.pair.target[::step], self.pair.frame

    def make_batch(self, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        """Samples of one step, see the class."""
        frame = self.landmarks()[2]
        cells, count = self.cells, self.cells**2
        half = torch.tensor([frame.width, frame.height]) / (2 * frame.half_extent)
        grid = Frame(cells, cells).pixel_centres().reshape(-1, 2)
        if self.sampling == "grid":
            order = torch.randperm(count, generator=generator)
            durations = 2 * (order - count // 2) / count
            still = moving = grid
        elif self.sampling == "uniform":
            still, moving = (torch.rand(2, count, 2, generator=generator) * 2 - 1).unbind()
            durations = torch.rand(count, generator=generator) * 2 - 1
        else:
            still, moving = (
                grid + (torch.rand(2, count, 2, generator=generator) * 2 - 1) / cells
            ).unbind()
            order = torch.randperm(count, generator=generator)
            durations = 2 * (order + torch.rand(count, generator=generator)) / count - 1
        return {"still": still * half, "moving": torch.cat([moving * half, durations[:, None]], 1)}


class ListedPair(LandmarkPair):
    """One pair of a list, so that a sweep over ``index`` trains many.

    Args:
        pairs: List of pairs, see ``facemorph.faces.files.pair_lists.read_pair_list``.
        images: Folder of the pictures.
        index: Which of its pairs, from 0; pairs of a picture with itself and repeated ones do not
            count.
        points: Folder with a landmark file for each picture, see
            ``facemorph.faces.files.pair_lists.points_of``; found by the detector when None.
        options: Other options of ``LandmarkPair``.

    Raises:
        DataError: The list cannot be read, or a picture has no landmark file.
        ConfigError: The list is shorter, or an option is none of the possible ones.
    """

    def __init__(
        self,
        pairs: str | Path,
        images: str | Path,
        index: int = 0,
        points: str | Path | None = None,
        **options: Any,
    ) -> None:
        listed = [pair for pair in read_pair_list(pairs, images) if pair.skip is None]
        if not 0 <= index < len(listed):
            raise ConfigError(
                "the list has no such pair",
                where="data.index",
                expected=f"0 to {len(listed) - 1}",
                found=index,
            )
        a, b = listed[index].a, listed[index].b
        files = (None, None) if points is None else (points_of(a, points), points_of(b, points))
        super().__init__(a, b, *files, **options)
