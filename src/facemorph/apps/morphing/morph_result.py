"""A morph with its figures, sheet, page and files."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, cast

import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.morphing.morph_options import WARPS, RenderOptions
from facemorph.apps.morphing.morph_pictures import contact_sheet, draw_grid, draw_landmarks
from facemorph.errors import DataError, GeometryError
from facemorph.faces.choices import FrameNames
from facemorph.faces.files.image_output import save_image, uncovered
from facemorph.faces.files.video_io import write_frames
from facemorph.faces.identity import IdentityEmbedding, identity_distance
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.faces.pair import FacePair
from facemorph.fields.warps.time_curves import curve_value
from facemorph.jobs.outputs import beside
from facemorph.jobs.pages.morph_page import ReportSection, write_report
from facemorph.jobs.stopwatch import Stopwatch
from facemorph.metrics.warp_quality import alignment_error, say_gave_way, say_missed_landmarks
from facemorph.storage.files import sha256_of, write_whole
from facemorph.storage.suffixes import STILLS
from facemorph.systems.ifmorph.morphed_pair import MorphedPair

REPORT_FRAMES = 25
# for the held-out error; `siren` takes hours
FITTED_TWICE = tuple(name for name in WARPS if name != "siren")


class InputRecord(TypedDict, total=False):
    """An input as ``metrics.json`` names it: a file with its digest, or a tensor's shape."""

    file: str
    sha256: str
    tensor: list[int]


class MorphMetrics(TypedDict, total=False):
    """What ``metrics.json`` holds; ``facemorph.metrics.warp_quality`` explains the figures.

    Attributes:
        seconds: Time of each stage.
        gave_way_px: By how much each landmark is missed, by index, that contradicts others and gave
            way; only where there are any.
        heldout_landmark_error_px: On every other landmark, by a warp fitted to the rest.
        identity_distance_a: Of the half-way face to the first one.
        identity_distance_b: To the second one.
        inputs: Pictures, landmarks and mask.
        config: Options by name.
        from_to: Names of both pictures, in a chain.
    """

    seconds: dict[str, float]
    landmark_error_px: float
    landmark_error_all_px: float
    gave_way_px: dict[int, float]
    alignment_px: float
    inverse_error_px: float
    inverse_error_max_px: float
    fold_over_percent: float
    min_determinant: float
    bending_energy: float
    heldout_landmark_error_px: float | None
    identity_distance_a: float | None
    identity_distance_b: float | None
    inputs: dict[str, InputRecord]
    config: dict[str, object]
    from_to: list[str]


@dataclass
class MorphResult:
    """A morph and what is known about it.

    Attributes:
        system: Warp and pictures; ``system.render(t)`` gives any frame.
        pair: Both faces, cut and with landmarks.
        metrics: What ``metrics.json`` holds.
        options: Options of ``MorphedPair.render``.
        times: Times of the frames.
        files: Files written, the morph first.
    """

    system: MorphedPair
    pair: FacePair
    metrics: MorphMetrics
    options: RenderOptions
    times: list[float]
    files: list[Path] = field(default_factory=list)

    def frame(self, time: float) -> Tensor:
        """The frame at ``time`` in [0, 1]: ``(3, H, W)`` in [0, 1]."""
        return self.system.render(time, **self.options).cpu()

    def alpha(self, time: float) -> Tensor | None:
        """How opaque that frame is: ``(1, H, W)`` in [0, 1]; None for a morph of opaque pictures,
        and where transparency is not kept.
        """
        found = self.system.alpha(time, **self.options)
        return None if found is None else found.cpu()

    @property
    def frames(self) -> Iterator[Tensor]:
        """All frames ``(3, H, W)``, rendered one after the other."""
        return (self.frame(time) for time in self.times)


def fitted(
    fit: Callable[[FacePair], MorphedPair], pair: FacePair, refine: bool, watch: Stopwatch
) -> MorphedPair:
    """The pair's system by ``fit``; with ``refine`` its hair and clothes are aligned now."""
    with watch.stage("fit"):
        system = fit(pair)
    if refine:
        with watch.stage("refine"):
            system.warp_to_render(refine)
    return system


def assemble(
    system: MorphedPair,
    pair: FacePair,
    times: list[float],
    options: RenderOptions,
    refit: Callable[[FacePair], MorphedPair] | None,
    watch: Stopwatch | None = None,
    name: str = "morph",
) -> MorphResult:
    """Put a fitted system and its figures together.

    Args:
        system: Fitted or trained on ``pair``.
        pair: Both faces.
        times: Times of the frames.
        options: Options of ``MorphedPair.render``.
        refit: Fits the same kind of warp anew; used once, on every other landmark. None where that
            takes too long: the held-out error is then None.
        watch: Seconds of the stages before.
        name: What to call the morph in messages.
    """
    watch = watch or Stopwatch()
    result = MorphResult(system, pair, {"seconds": watch.seconds}, options, times)
    with watch.stage("measure"):
        quality = measure(system, pair, refit, bool(options.get("refine")))
        result.metrics.update(cast(MorphMetrics, quality | identity_balance(result)))
    say_missed_landmarks(result.metrics["landmark_error_px"], name)
    if gave_way := say_gave_way(system.warp, pair.scheme, name):
        result.metrics["gave_way_px"] = gave_way
    return result


def measure(
    system: MorphedPair,
    pair: FacePair,
    refit: Callable[[FacePair], MorphedPair] | None,
    refine: bool = False,
) -> dict[str, float | None]:
    """Quality of the warp, and its error on landmarks that it has not seen: a second fit on every
    other one.

    That error is None without ``refit``, and where half of the landmarks do not determine a warp.
    With ``refine`` both warps are measured as they are refined.
    """
    quality: dict[str, float | None] = {
        **system.quality(refine=refine),
        "heldout_landmark_error_px": None,
    }
    if refit is None:
        return quality
    even = FacePair(pair.image_a, pair.image_b, pair.points_a[::2], pair.points_b[::2], pair.scheme)
    try:
        blind = refit(even)
    except GeometryError:
        return quality
    rest = [points[1::2].to(system.source) for points in (pair.source, pair.target)]
    with torch.no_grad():
        quality["heldout_landmark_error_px"] = alignment_error(blind.warp_to_render(refine), *rest)
    return quality


def identity_balance(result: MorphResult) -> dict[str, float | None]:
    """Identity distances of the half-way face to both faces; None where the landmarks name
    no eyes.
    """
    pair, system = result.pair, result.system
    try:
        points = [to_ibug68(one, pair.scheme) for one in (pair.points_a, pair.points_b)]
        half_way = curve_value(result.options.get("shape_time"), 0.5)
        middle = system.warp(system.source, 0.0, half_way).detach().cpu().double()
        points.append(to_ibug68(pair.frame.to_pixels(middle), pair.scheme))
    except DataError:
        return {"identity_distance_a": None, "identity_distance_b": None}
    images = [pair.image_a, pair.image_b, result.frame(0.5)]
    with torch.no_grad():
        embedding = IdentityEmbedding()
        one, two, half = (
            embedding(image, marks.float()) for image, marks in zip(images, points, strict=True)
        )
    return {
        "identity_distance_a": float(identity_distance(half, one)),
        "identity_distance_b": float(identity_distance(half, two)),
    }


def describe_input(item: str | Path | Tensor) -> InputRecord:
    """An input as ``metrics.json`` names it."""
    if isinstance(item, Tensor):
        return {"tensor": list(item.shape)}
    return {"file": str(item), "sha256": sha256_of(item)}


def described(items: Mapping[str, str | Path | Tensor | None]) -> dict[str, InputRecord]:
    """Those inputs that there are, as ``metrics.json`` names them."""
    return {name: describe_input(item) for name, item in items.items() if item is not None}


def write_morph(
    result: MorphResult,
    output: Path,
    frames_per_second: float = 24.0,
    report: bool = True,
    names: FrameNames = "index",
    max_megabytes: float | None = None,
) -> None:
    """Render and write a morph and what belongs beside it; the files are added to ``result.files``.

    Args:
        result: The morph.
        output: Video, GIF, still or folder, as for ``morph``.
        frames_per_second: Speed of a video or GIF.
        report: Write the contact sheet and the HTML page too.
        names: What the files of a folder are named by.
        max_megabytes: Largest size of a GIF.

    Raises:
        OutputError: A file cannot be written.
    """
    watch = Stopwatch(result.metrics["seconds"])
    kept: list[Tensor] = []
    still = output.suffix.lower() in STILLS

    def rendered() -> Iterator[Tensor]:
        frames = watch.timed(iter(result.frames))
        shown = console.track(frames, "rendering", total=len(result.times))
        for time, image in zip(result.times, shown, strict=True):
            if len(result.times) <= 2 * REPORT_FRAMES:
                kept.append(image)
            yield uncovered(image, result.alpha(time))

    start = clock.perf_counter()
    if still:
        result.files = [save_image(next(rendered()), output, synthetic=True)]
    else:
        result.files = write_frames(
            rendered(),
            output,
            frames_per_second,
            names=names,
            shares=result.times,
            max_megabytes=max_megabytes,
        )
    watch.seconds["write"] = clock.perf_counter() - start - watch.seconds["render"]
    if report:
        with watch.stage("report"):
            sheet = morph_sheet(result)
            result.files.append(save_image(sheet, beside(output, "sheet.png"), synthetic=True))
            section = report_section(result, sheet, output.stem, None if still else kept)
            result.files.append(
                write_report([section], beside(output, "report.html"), f"Face morph: {output.name}")
            )
    text = json.dumps(result.metrics, indent=2) + "\n"
    path = beside(output, "metrics.json")
    write_whole(path, text.encode())
    result.files.append(path)


def report_section(
    result: MorphResult, sheet: Tensor, title: str, frames: Sequence[Tensor] | None
) -> ReportSection:
    """A report's section; frames that are not at hand are rendered."""
    times = result.times
    if not frames or len(times) < 2 or len(frames) != len(times):
        times = [index / (REPORT_FRAMES - 1) for index in range(REPORT_FRAMES)]
        frames = [result.frame(time) for time in times]
    return ReportSection(title, frames, result.metrics, sheet, times)


def morph_sheet(result: MorphResult) -> Tensor:
    """Contact sheet ``(3, H, W)``: the morph in five steps; landmarks, both warped faces and their
    grids.
    """
    pair, system = result.pair, result.system
    frame: Callable[[float], Tensor] = result.frame
    refine = bool(result.options.get("refine"))
    with torch.no_grad():
        linear = system.render(0.5, blend="linear", refine=refine).cpu()
        grids = [
            draw_grid(system.warp_to_render(refine), image, 0.5, end)
            for image, end in zip(system.warped(0.5, refine=refine), (0.0, 1.0), strict=True)
        ]
    times = (0.0, 0.25, 0.5, 0.75, 1.0)
    return contact_sheet(
        [
            [(f"t = {time:g}", frame(time)) for time in times],
            [
                ("A, landmarks", draw_landmarks(pair.image_a, pair.points_a)),
                ("A warped half-way", grids[0]),
                ("whole frames, linear", linear),
                ("B warped half-way", grids[1]),
                ("B, landmarks", draw_landmarks(pair.image_b, pair.points_b)),
            ],
        ]
    )
