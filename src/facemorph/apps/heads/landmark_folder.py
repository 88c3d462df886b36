"""Landmarks of many photographs: one file for each, so that they are found once, looked at and
corrected.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from facemorph import console
from facemorph.apps.morphing.morph_pictures import draw_landmarks
from facemorph.errors import ConfigError
from facemorph.faces.detection import find_face, make_detector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import SUFFIXES, write_points
from facemorph.jobs.input_files import attempt_each, check_distinct_names, picture_files
from facemorph.jobs.outputs import check_writable
from facemorph.storage.files import write_whole

REPORT = "landmarks.json"


def find_landmarks(
    files: Sequence[str | Path],
    output: str | Path,
    *,
    kind: str = "json",
    detector: str = "embedded",
    min_score: float | None = None,
    overlay: bool = False,
    again: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """Find the landmarks of photographs and write one file for each.

    Files that are there already are left alone, corrected ones above all. A photograph that fails
    does not stop the others.

    Args:
        files: Photographs, or folders of them.
        output: Folder of the landmark files ``STEM.KIND``, in pixels of the photographs; with them
            ``landmarks.json``, which says for each photograph what was found.
        kind: ``json``, ``csv``, ``pts`` or ``tem``.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
        min_score: Lowest score of a face; the detector's own when None.
        overlay: Write ``STEM.landmarks.jpg`` too, the photograph with its landmarks.
        again: Find them anew where a file is there already.
        device: Where the embedded detector runs.

    Returns:
        The content of ``landmarks.json``: ``counts`` of found, kept and failed ones, and ``rows``.

    Raises:
        ConfigError: An option is none of the possible ones.
        DataError: There is no photograph, or two have one name.
        OutputError: A file cannot be written.
    """
    if f".{kind}" not in SUFFIXES:
        raise ConfigError(
            "unknown kind of landmark file",
            where="kind",
            found=kind,
            expected=" | ".join(suffix[1:] for suffix in SUFFIXES),
        )
    paths, output = picture_files(files), Path(output)
    check_distinct_names(paths)
    find = make_detector(
        detector, min_score=min_score, device=device if detector == "embedded" else None
    )
    check_writable(output / REPORT)

    def work(path: Path) -> dict[str, Any]:
        target = output / f"{path.stem}.{kind}"
        if target.is_file() and not again:
            return {"status": "kept", "points": target.name}
        image = load_image(path)
        face = find_face(image, find, name=path)
        write_points(face.points.double(), target, face.scheme)
        if overlay:
            save_image(
                draw_landmarks(image, face.points),
                output / f"{path.stem}.landmarks.jpg",
                quality=88,
            )
        return {
            "status": "found",
            "points": target.name,
            "score": round(face.score, 4),
            "box": [round(value, 1) for value in face.box.tolist()],
            "scheme": face.scheme,
        }

    with torch.no_grad():
        rows = list(attempt_each(console.track(paths, "photographs"), work))
    counts = {
        status: sum(row["status"] == status for row in rows)
        for status in ("found", "kept", "failed")
    }
    report = {"detector": detector, "counts": counts, "rows": rows}
    write_whole(output / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    return report
