"""A morph between two faces of a trained ImFace, by their codes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph import console
from facemorph.apps.implicit.choices import (
    Checkpoint,
    MeshKind,
    MeshTopology,
    PlaceColours,
    Resolution,
    check_number,
)
from facemorph.apps.morphing.morph_options import SPEEDS
from facemorph.errors import OutputError
from facemorph.fields.warps.choices import Easing
from facemorph.fields.warps.time_curves import curve_value
from facemorph.jobs.options import FramesPerSecond, Option, checked
from facemorph.jobs.outputs import beside, check_writable
from facemorph.storage.files import write_whole
from facemorph.storage.suffixes import STILLS, VIDEO_SUFFIXES

if TYPE_CHECKING:
    from torch import Tensor

    from facemorph.apps.implicit.face_meshes import FaceMesh, ReportHead

    class InterpolationReport(ReportHead):
        """The report, with the time that frames took."""

        faces: list[str]
        seconds: float
        seconds_per_frame: float
        vertices: int
        most_filled_vertices: int
        files: list[str]


REPORT, STRIP, CELL = "report.json", 6, 240


@checked
def interpolate(
    first: Annotated[str | Path, Option(metavar="A")],
    second: Annotated[str | Path, Option(metavar="B")],
    output: Annotated[str | Path, Option(("-o", "--output"), "OUT")],
    checkpoint: Checkpoint = "@last",
    *,
    frames: int = 48,
    frames_per_second: FramesPerSecond = 24.0,
    easing: Easing = "ease",
    turn: float = 0.0,
    size: int = 512,
    topology: MeshTopology = "free",
    resolution: Resolution = 128,
    kind: MeshKind | None = None,
    colours: PlaceColours = False,
) -> InterpolationReport:
    """A video of a face that becomes another one.

    With the template's triangles each frame starts from the vertices of the one before: no flicker.

    Args:
        first: NAME_codes.npz of the first face, of facemorph reconstruct or sample.
        second: The same of the second face.
        output: OUT.mp4, OUT.gif or a folder of PNG files; strip.png and report.json beside it.
        frames: Pictures, A and B among them.
        easing: How time passes: even, slow at the faces, done or begun half-way, at rest there.
        turn: Degrees that the face turns to one side, then to the other, and back.
        size: Side of the frames in pixels.
        kind: Write the mesh of each frame too, in this format.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint, codes or the output are at fault.
    """
    ranges = (("frames", frames, 2, 100_000), ("fps", frames_per_second, *SPEEDS))
    for check in (*ranges, ("turn", turn, -90, 90), ("size", size, 32, 4096)):
        check_number(*check)
    path, (strip, report_file, meshes) = Path(output), _places(Path(output), kind is not None)
    from facemorph.apps.implicit import face_meshes
    from facemorph.apps.implicit.codes import between
    from facemorph.apps.implicit.imface_pictures import picture
    from facemorph.apps.morphing.morph_pictures import contact_sheet
    from facemorph.faces.files import image_output, video_io
    from facemorph.ops.threads import one_thread

    begun, shown, rows = time.perf_counter(), [], []
    chosen = {round(index * (frames - 1) / (STRIP - 1)) for index in range(STRIP)}
    with one_thread():
        system = face_meshes.load_imface(checkpoint)
        one, other = (face_meshes.read_codes(file, system) for file in (first, second))
        make = face_meshes.FaceMaker(system, topology, resolution)

        def pictures() -> Iterator[Tensor]:
            start = None
            for index in range(frames):
                share = index / (frames - 1)
                face = make(between(one, other, curve_value(easing, share, "easing")), start)
                start, painted = face.carried, face.colours if colours else None
                rows.append(face_meshes.described(face))
                if kind is not None:
                    _write_mesh(face, meshes / f"frame_{index:04d}", kind, painted)
                yaw = turn * math.sin(2 * math.pi * share)
                frame = picture(face.mesh, painted, yaw=yaw, side=size)
                if index in chosen:
                    shown.append((f"{share:.2f}", frame))
                yield frame

        video_io.write_frames(
            console.track(pictures(), "frames", total=frames), path, frames_per_second
        )
    image_output.save_image(contact_sheet([shown], CELL), strip, synthetic=True)
    settings: dict[str, object] = {"frames": frames, "frames_per_second": frames_per_second}
    settings |= {"easing": easing, "turn": turn, "size": size, "topology": topology}
    settings |= {"resolution": resolution, "kind": kind, "colours": colours}
    head = face_meshes.report_head(checkpoint, settings)
    report = _report(head, [first, second], time.perf_counter() - begun, rows, [path, strip])
    write_whole(report_file, (json.dumps(report, indent=1) + "\n").encode())
    return report


def _report(
    head: ReportHead,
    faces: Sequence[str | Path],
    seconds: float,
    rows: Sequence[dict[str, int]],
    files: Sequence[Path],
) -> InterpolationReport:
    return {
        **head,
        "faces": [str(one) for one in faces],
        "seconds": round(seconds, 2),
        "seconds_per_frame": round(seconds / len(rows), 3),
        "vertices": rows[0]["vertices"],
        "most_filled_vertices": max(row["filled_vertices"] for row in rows),
        "files": [str(one) for one in files],
    }


def _write_mesh(face: FaceMesh, path: Path, kind: MeshKind, colours: Tensor | None) -> None:
    from facemorph.apps.implicit.face_meshes import mesh_files
    from facemorph.geometry.scans.scan_placement import in_millimetres

    contents = mesh_files(in_millimetres(face.mesh), path.name, kind, colours)
    for file, content in contents.items():
        write_whole(path.with_name(file), content)


def _places(path: Path, with_meshes: bool) -> tuple[Path, Path, Path]:
    """Where strip, report and meshes of an output go, which can all be written.

    Raises:
        OutputError: They cannot, or the output is of another kind.
    """
    if path.suffix and path.suffix.lower() not in (*VIDEO_SUFFIXES, ".gif"):
        raise OutputError(
            "unknown kind of video",
            where=path,
            found=path.suffix,
            expected=f"{' '.join(VIDEO_SUFFIXES)} .gif, or a folder",
            remedy="A still has no time." if path.suffix.lower() in STILLS else None,
        )
    strip, report = (
        beside(path, name) if path.suffix else path / name for name in ("strip.png", REPORT)
    )
    meshes = path.with_name(f"{path.stem}_meshes")
    check_writable(path if path.suffix else report)
    if with_meshes:
        check_writable(meshes / "frame_0000.ply")
    return strip, report, meshes
