"""A chain of morphs: from each of several photographs to the next, and round again."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor

from facemorph import console
from facemorph.apps.morphing.morph_options import CLOSED_FORMS, check_options, frame_times
from facemorph.apps.morphing.morph_result import (
    FITTED_TWICE,
    MorphResult,
    assemble,
    describe_input,
    morph_sheet,
)
from facemorph.apps.morphing.warp_fitting import fit_warp, is_file_of_warp, smoothing_of
from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.video_io import write_frames
from facemorph.faces.pair import pair_faces, prepare_faces
from facemorph.fields.warps.choices import BLENDS
from facemorph.fields.warps.time_curves import curve_value
from facemorph.jobs.outputs import beside, check_output, torch_device
from facemorph.jobs.pages.morph_page import ReportSection, write_report
from facemorph.jobs.recipe import recorded
from facemorph.jobs.stopwatch import Stopwatch
from facemorph.storage.files import write_whole
from facemorph.storage.suffixes import STILLS

# These end at the whole of the second picture, with which the next morph begins.
CHAIN_BLENDS = tuple(blend for blend in BLENDS if blend.split("_")[-1] not in ("source", "target"))
REPORT_FRAMES = 13


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
    metrics: dict[str, Any]
    files: list[Path] = field(default_factory=list)

    def frame(self, time: float) -> Tensor:
        """The frame at ``time`` in [0, number of segments]; at whole numbers the pictures
        themselves, ``(3, H, W)``.

        Raises:
            ConfigError: The chain has no such time.
        """
        count = len(self.segments)
        if not 0 <= time <= count:
            raise ConfigError(
                "the chain has no such time", where="time", expected=f"0 to {count}", found=time
            )
        index = min(int(time), count - 1)
        return self.segments[index].frame(curve_value(self.easing, time - index))

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


@recorded(files=("pictures", "points"))
def chain(
    pictures: Sequence[str | Path | Tensor],
    output: str | Path | None = None,
    *,
    loop: bool = False,
    frames: int = 24,
    easing: str = "linear",
    size: int = 512,
    warp: str = "thin_plate_flow",
    blend: str = "multiband",
    refine: bool = False,
    points: Sequence[str | Path] | None = None,
    detector: str = "embedded",
    align: str = "portrait",
    device: str = "auto",
    frames_per_second: float = 24.0,
    report: bool = True,
) -> ChainResult:
    """Morph from each photograph to the next.

    Hair and background change over with the face (``outside="mix"``), so that each morph ends at
    the whole picture with which the next begins.

    Args:
        pictures: Two photographs or more, files or ``(3, H, W)`` in [0, 1].
        output: ``.mp4``, ``.gif`` or a folder of PNG files; None writes nothing. Beside it:
            ``.metrics.json``, ``.recipe.yaml`` and, with ``report``, ``.report.html`` with a
            section for each morph.
        loop: Go back to the first picture, without showing it twice.
        frames: Frames of each morph, up to the next picture.
        easing: Time curve of each morph, one of ``facemorph.fields.warps.time_curves``: ``linear``
            goes through each picture at once, ``ease`` slows down at it, so that the speed has no
            jump there.
        size: Longer side of the frame in pixels.
        warp: As for ``facemorph.morph``, by name.
        blend: One of ``CHAIN_BLENDS``: those that end at the whole of the second picture.
        refine: Align hair, ears and clothes densely, see
            ``facemorph.fields.warps.dense_refinement``.
        points: A landmark file for each picture; found by the detector when None.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
        align: ``portrait``, ``ffhq``, ``ffhq_upright`` or ``none``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
        frames_per_second: Speed of a video or GIF.
        report: Write the HTML page too.

    Returns:
        The chain, its figures and files.

    Raises:
        FacemorphError: An input, option or output is at fault; see the class of the error.
    """
    options = {"blend": blend, "outside": "mix", "refine": refine}
    _check(pictures, output, warp, blend, easing, frames)
    check_options(warp, options, frames_per_second)
    where = torch_device(device)
    frame_times(output, max(frames, 2), None)
    if output is not None:
        output = check_output(output, [*pictures, *(points or ())])
    watch = Stopwatch()
    with watch.stage("faces"):
        faces = prepare_faces(pictures, size=size, points=points, detector=detector, align=align)
    smoothing = smoothing_of(faces[0].scheme)
    fit = partial(fit_warp, name=warp, device=where, smoothing=smoothing)
    names = [
        f"picture {index}" if isinstance(one, Tensor) else Path(one).stem
        for index, one in enumerate(pictures, 1)
    ]
    order = [*range(len(faces)), 0] if loop else list(range(len(faces)))
    segments = []
    for a, b in console.track(list(pairwise(order)), "fitting"):
        pair, own = pair_faces(faces[a], faces[b], names[a], names[b]), Stopwatch()
        with own.stage("fit"):
            system = fit(pair)
        times = [index / frames for index in range(frames + 1)]
        segment = assemble(system, pair, times, options, fit if warp in FITTED_TWICE else None, own)
        segment.metrics["from_to"] = [names[a], names[b]]
        segments.append(segment)
    result = ChainResult(
        segments,
        easing,
        frames,
        loop,
        {
            "segments": [one.metrics for one in segments],
            "seconds": watch.seconds,
            "inputs": [describe_input(one) for one in pictures],
            "config": {
                "loop": loop,
                "frames": frames,
                "easing": easing,
                "size": size,
                "warp": warp,
                "smoothing": smoothing if warp in CLOSED_FORMS else None,
                "scheme": faces[0].scheme,
                "align": align,
                "detector": detector,
                "device": str(where),
                **options,
            },
        },
    )
    if output is not None:
        _write(result, output, frames_per_second, report, watch)
    return result


def _check(
    pictures: Sequence[Any],
    output: str | Path | None,
    warp: str,
    blend: str,
    easing: str,
    frames: int,
) -> None:
    if output is not None and Path(output).suffix.lower() in STILLS:
        raise ConfigError(
            "a chain is no still",
            where="output",
            found=Path(output).suffix,
            expected=".mp4 .gif, or a folder",
        )
    if isinstance(pictures, (str, Path, Tensor)) or len(pictures) < 2:
        raise DataError(
            "a chain needs two pictures or more", where="pictures", expected="a list of them"
        )
    if frames < 1:
        raise ConfigError(
            "a morph of a chain needs a frame", where="frames", expected="at least 1", found=frames
        )
    if blend not in CHAIN_BLENDS:
        raise ConfigError(
            "no blend that ends at the second picture: the chain would jump",
            where="blend",
            expected=" | ".join(CHAIN_BLENDS),
            found=blend,
        )
    if curve_value(easing, 0.0, "easing") != 0 or curve_value(easing, 1.0, "easing") != 1:
        raise ConfigError(
            "this time curve does not go from picture to picture",
            where="easing",
            found=easing,
            expected="linear | ease | early | late | hold",
        )
    if is_file_of_warp(warp):
        raise ConfigError(
            "a chain fits a warp to each pair: a trained one belongs to one pair",
            where="warp",
            found=warp,
            remedy="Give the name of a warp.",
        )


def _write(
    result: ChainResult, output: Path, frames_per_second: float, report: bool, watch: Stopwatch
) -> None:
    """Render and write a chain and what belongs beside it."""
    start = clock.perf_counter()
    watch.seconds["render"] = 0.0
    shown = console.track(watch.timed(iter(result.frames)), "rendering", total=len(result.times))
    result.files = write_frames(shown, output, frames_per_second)
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
