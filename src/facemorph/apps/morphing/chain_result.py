"""A chain of morphs with its figures, page and files."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.morphing.morph_result import InputRecord, MorphMetrics, MorphResult, morph_sheet
from facemorph.errors import ConfigError
from facemorph.faces.choices import FrameNames
from facemorph.faces.files.image_output import uncovered
from facemorph.faces.files.video_io import write_frames
from facemorph.fields.warps.time_curves import curve_value
from facemorph.jobs.outputs import beside
from facemorph.jobs.pages.morph_page import ReportSection, write_report
from facemorph.jobs.stopwatch import Stopwatch
from facemorph.storage.files import write_whole

REPORT_FRAMES = 13


class ChainMetrics(TypedDict):
    """What ``metrics.json`` of a chain holds.

    Attributes:
        segments: Figures of each morph.
        seconds: Time of each stage.
        inputs: The photographs.
        config: Options by name.
    """

    segments: list[MorphMetrics]
    seconds: dict[str, float]
    inputs: list[InputRecord]
    config: dict[str, object]


@dataclass
class ChainResult:
    """A chain and what is known about it.

    Attributes:
        segments: The morphs, from each picture to the next.
        easing: Time curve inside each segment.
        frames_of_segment: Frames from one picture up to the next, which is not counted.
        loop: Whether it ends where it began; the first picture is then not shown again at the end.
        metrics: What ``metrics.json`` holds.
        files: Files written, the chain first.
    """

    segments: list[MorphResult]
    easing: str
    frames_of_segment: int
    loop: bool
    metrics: ChainMetrics
    files: list[Path] = field(default_factory=list)

    def frame(self, time: float) -> Tensor:
        """The frame ``(3, H, W)`` at ``time`` in [0, number of segments].

        At whole numbers it is the picture itself.

        Raises:
            ConfigError: The chain has no such time.
        """
        segment, own = self._place(time)
        return segment.frame(own)

    def alpha(self, time: float) -> Tensor | None:
        """How opaque that frame is: ``(1, H, W)`` in [0, 1]; None where all pictures are opaque,
        and where transparency is not kept.
        """
        if all(segment.system.source_alpha is None for segment in self.segments):
            return None
        segment, own = self._place(time)
        found = segment.alpha(own)
        return torch.ones_like(segment.pair.image_a[:1]) if found is None else found

    def _place(self, time: float) -> tuple[MorphResult, float]:
        count = len(self.segments)
        if not 0 <= time <= count:
            raise ConfigError(
                "the chain has no such time", where="time", expected=f"0 to {count}", found=time
            )
        index = min(int(time), count - 1)
        return self.segments[index], curve_value(self.easing, time - index)

    @property
    def times(self) -> list[float]:
        """Times of all frames; every picture of the chain is shown once."""
        count = len(self.segments) * self.frames_of_segment
        return [
            index / self.frames_of_segment for index in range(count if self.loop else count + 1)
        ]

    @property
    def frames(self) -> Iterator[Tensor]:
        """All frames ``(3, H, W)``, rendered one after the other."""
        return (self.frame(time) for time in self.times)


@dataclass(frozen=True)
class SequenceForm:
    """How a sequence is written: see the arguments of ``chain``."""

    frames_per_second: float
    names: FrameNames
    max_megabytes: float | None


def write_chain(
    result: ChainResult, output: Path, form: SequenceForm, report: bool, watch: Stopwatch
) -> None:
    """Render and write a chain and what belongs beside it; the files are kept in ``result.files``.

    Args:
        result: The chain.
        output: Video, GIF or folder.
        form: Speed, names of frames, largest size.
        report: Write the HTML page too.
        watch: Seconds of the stages before.

    Raises:
        OutputError: A file cannot be written.
    """
    start = clock.perf_counter()
    watch.seconds["render"] = 0.0
    times = result.times
    shown = console.track(watch.timed(iter(result.frames)), "rendering", total=len(times))
    result.files = write_frames(
        (uncovered(image, result.alpha(time)) for time, image in zip(times, shown, strict=True)),
        output,
        form.frames_per_second,
        names=form.names,
        shares=[time / max(times[-1], 1e-9) for time in times],
        max_megabytes=form.max_megabytes,
    )
    watch.seconds["write"] = clock.perf_counter() - start - watch.seconds["render"]
    if report:
        with watch.stage("report"):
            sections = []
            for index, segment in enumerate(result.segments):
                times = [step / (REPORT_FRAMES - 1) for step in range(REPORT_FRAMES)]
                sections.append(
                    ReportSection(
                        " to ".join(segment.metrics["from_to"]),
                        [result.frame(index + time) for time in times],
                        segment.metrics,
                        morph_sheet(segment),
                        times,
                    )
                )
            result.files.append(
                write_report(sections, beside(output, "report.html"), f"Chain: {output.name}")
            )
    path = beside(output, "metrics.json")
    write_whole(path, (json.dumps(result.metrics, indent=2) + "\n").encode())
    result.files.append(path)
