"""``facemorph interpolate``: a morph between two faces of a trained ImFace, by their codes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.implicit.face_meshes import (
    KINDS,
    FaceCodes,
    FaceMaker,
    ModelReport,
    check_choices,
    check_number,
    described,
    load_imface,
    mesh_files,
    read_codes,
)
from facemorph.apps.implicit.imface_pictures import picture
from facemorph.apps.morphing.morph_options import SPEEDS
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.errors import ConfigError, DataError, OutputError
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.video_io import VIDEO_SUFFIXES, write_frames
from facemorph.fields.warps.time_curves import curve_value
from facemorph.geometry.scans.scan_placement import in_millimetres
from facemorph.jobs.outputs import STILLS, beside, check_writable
from facemorph.jobs.records import REPORT, header, write_json
from facemorph.ops.threads import one_thread
from facemorph.storage.files import write_whole

STRIP, CELL = 6, 240


@dataclass(frozen=True)
class InterpolationOptions:
    """How two faces become a video.

    Args:
        frames: Pictures, the two faces among them.
        frames_per_second: Speed of the video or GIF.
        easing: Time curve, one of ``facemorph.fields.warps.time_curves`` from 0 to 1: ``linear``,
            ``ease``, and so on.
        turn: Degrees that the face turns to one side, then to the other, and back.
        side: Of the pictures in pixels.
        topology: As of ``FaceMaker``.
        resolution: Cells along each side of the ball.
        kind: ``ply``, ``obj`` or ``glb`` writes the mesh of each frame too; None does not.
        colours: Colour the vertices by their place on the template.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    frames: int = 48
    frames_per_second: float = 24.0
    easing: str = "ease"
    turn: float = 0.0
    side: int = 512
    topology: str = "free"
    resolution: int = 128
    kind: str | None = None
    colours: bool = False

    def __post_init__(self) -> None:
        """See that each is possible."""
        check_choices([("kind", self.kind or KINDS[0], KINDS)])
        for name, value, low, high in (
            ("frames", self.frames, 2, 100_000),
            ("fps", self.frames_per_second, *SPEEDS),
            ("turn", self.turn, -90, 90),
            ("size", self.side, 32, 4096),
        ):
            check_number(name, value, low, high)
        if (
            curve_value(self.easing, 0.0, "easing") != 0
            or curve_value(self.easing, 1.0, "easing") != 1
        ):
            raise ConfigError(
                "this time curve does not go from face to face",
                where="easing",
                found=self.easing,
                expected="linear | ease | early | late | hold",
            )


class InterpolationReport(ModelReport):
    """The content of ``report.json``: the two faces, how long it took, and the files."""

    faces: list[str]
    seconds: float
    seconds_per_frame: float
    vertices: int
    most_filled_vertices: int
    files: list[str]


def interpolate(
    first: str | Path,
    second: str | Path,
    checkpoint: str | Path,
    output: str | Path,
    options: InterpolationOptions | None = None,
) -> InterpolationReport:
    """A video of a face that becomes another one: identity and expression change evenly in the
    codes.

    With the template's triangles each frame starts from the vertices of the one before, so that
    nothing flickers.

    Args:
        first: ``NAME_codes.npz`` of ``reconstruct`` or ``sample``.
        second: Likewise.
        checkpoint: What ``load_system`` takes.
        output: ``.mp4``, ``.mov``, ``.mkv``, ``.gif`` or a folder of PNG files. Beside it, or in
            the folder, ``strip.png`` and ``report.json``; meshes ``frame_0000`` onwards in
            ``OUTPUT_meshes``.
        options: How.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint, codes or the output are at fault.
    """
    how, path = options or InterpolationOptions(), Path(output)
    if path.suffix and path.suffix.lower() not in (*VIDEO_SUFFIXES, ".gif"):
        raise OutputError(
            "unknown kind of video",
            where=path,
            found=path.suffix,
            expected=f"{' '.join(VIDEO_SUFFIXES)} .gif, or a folder",
            remedy="A still has no time." if path.suffix.lower() in STILLS else None,
        )
    strip, report_file = (
        beside(path, name) if path.suffix else path / name for name in ("strip.png", REPORT)
    )
    meshes = path.with_name(f"{path.stem}_meshes")
    for wanted in (
        path if path.suffix else report_file,
        *([meshes / "frame_0000.ply"] if how.kind else []),
    ):
        check_writable(wanted)
    begun, shown, rows = time.perf_counter(), [], []
    with one_thread():
        system = load_imface(checkpoint)
        one, other = read_codes(first, system), read_codes(second, system)
        make = FaceMaker(system, how.topology, how.resolution)
        chosen = {round(index * (how.frames - 1) / (STRIP - 1)) for index in range(STRIP)}

        def pictures() -> Iterator[Tensor]:
            start = None
            for index in range(how.frames):
                share = index / (how.frames - 1)
                face = make(between(one, other, curve_value(how.easing, share, "easing")), start)
                start = face.carried
                rows.append(described(face))
                if how.kind is not None:
                    contents = mesh_files(
                        in_millimetres(face.mesh),
                        f"frame_{index:04d}",
                        how.kind,
                        face.colours if how.colours else None,
                    )
                    for file, content in contents.items():
                        write_whole(meshes / file, content)
                frame = picture(
                    face.mesh,
                    face.colours if how.colours else None,
                    yaw=how.turn * math.sin(2 * math.pi * share),
                    side=how.side,
                )
                if index in chosen:
                    shown.append((f"{share:.2f}", frame))
                yield frame

        write_frames(
            console.track(pictures(), "frames", total=how.frames), path, how.frames_per_second
        )
    save_image(contact_sheet([shown], CELL), strip, synthetic=True)
    seconds = time.perf_counter() - begun
    report: InterpolationReport = {
        **header(vars(how)),
        "checkpoint": str(checkpoint),
        "faces": [str(first), str(second)],
        "seconds": round(seconds, 2),
        "seconds_per_frame": round(seconds / how.frames, 3),
        "vertices": rows[0]["vertices"],
        "most_filled_vertices": max(row["filled_vertices"] for row in rows),
        "files": [str(path), str(strip)],
    }
    write_json(report_file, report)
    return report


def between(first: FaceCodes, second: FaceCodes, share: float) -> FaceCodes:
    """Codes on the way from one face to another.

    The neutral face, without a code of the expression, counts as code 0 where the other has one:
    the mean to which training draws codes.

    Raises:
        DataError: Only one of them has details, or of another length.
    """

    def mixed(one: Tensor | None, other: Tensor | None) -> Tensor | None:
        if one is None:
            return None if other is None else share * other
        return (1 - share) * one if other is None else torch.lerp(one, other, share)

    details = [None if one.detail is None else tuple(one.detail.shape) for one in (first, second)]
    if None not in details and details[0] != details[1]:
        raise DataError(
            "these codes of details are of two models",
            where="detail",
            expected=details[0],
            found=details[1],
        )
    return FaceCodes(
        torch.lerp(first.identity, second.identity, share),
        mixed(first.expression, second.expression),
        mixed(first.detail, second.detail),
    )
