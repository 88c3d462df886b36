"""How good the embedded face networks are, on the Face Research Lab London Set (FRLL)."""

from __future__ import annotations

from pathlib import Path

import torch

from facemorph.console import track
from facemorph.errors import DataError
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import read_points
from facemorph.faces.identity import IdentityEmbedding
from facemorph.faces.landmark_schemes import eye_centres, to_ibug68
from facemorph.faces.types import Face


def _people(folder: Path, limit: int | None) -> list[str]:
    people = sorted(path.stem.split("_")[0] for path in (folder / "neutral").glob("*_03.tem"))[
        :limit
    ]
    if len(people) < 2:
        raise DataError(
            "FRLL not found",
            where=folder,
            expected="neutral/NNN_03.jpg and .tem, smiling/NNN_08.jpg",
            found=f"{len(people)} people",
            remedy="Run `facemorph download frll`",
        )
    return people


def _largest(faces: list[Face]) -> Face | None:
    return max(faces, key=lambda face: float((face.box[2:] - face.box[:2]).max()), default=None)


def landmark_error_on_frll(folder: str | Path, limit: int | None = None) -> dict[str, float]:
    """Mean distance of the embedded landmarks from the hand-set templates of the neutral pictures.

    Args:
        folder: Has ``neutral/NNN_03.{jpg,tem}`` and ``smiling/NNN_08.jpg``.
        limit: Number of people; None for all.

    Returns:
        ``raw_percent`` of the inter-pupil distance over all people; ``bias_removed_percent`` and
        ``raw_held_out_percent`` over every second person, the first with the mean offset of each
        landmark (templates and iBUG 68 place them differently), measured on the other half in a
        frame of the eyes, taken off; ``faces_found`` of ``total`` pictures, neutral and smiling.
    """
    folder, detector = Path(folder), EmbeddedDetector()
    people = _people(folder, limit)
    offsets, found = [], 0
    for person in track(people, "landmarks on FRLL"):
        template, scheme = read_points(folder / f"neutral/{person}_03.tem")
        face = _largest(detector(load_image(folder / f"neutral/{person}_03.jpg")))
        found += face is not None
        found += bool(detector(load_image(folder / f"smiling/{person}_08.jpg")))
        if face is None:
            offsets.append(torch.full((68, 2), float("nan"), dtype=torch.float64))
            continue
        left, right = eye_centres(template, scheme)
        x = (right - left) / (right - left).square().sum()
        # pixels to levelled inter-pupil distances
        turn = torch.stack([x, torch.stack([-x[1], x[0]])])
        offsets.append((face.points.double() - to_ibug68(template, scheme)) @ turn.T)
    offset = torch.stack(offsets)
    held_out, bias = offset[1::2], offset[::2].nanmean(0)
    return {
        "raw_percent": float(offset.norm(dim=-1).nanmean()) * 100,
        "raw_held_out_percent": float(held_out.norm(dim=-1).nanmean()) * 100,
        "bias_removed_percent": float((held_out - bias).norm(dim=-1).nanmean()) * 100,
        "faces_found": float(found),
        "total": float(2 * len(people)),
    }


def identity_auc_on_frll(folder: str | Path, limit: int | None = None) -> dict[str, float]:
    """How well the embedded descriptor tells people apart: neutral against smiling pictures.

    Args:
        folder: Has ``neutral/NNN_03.jpg`` and ``smiling/NNN_08.jpg``.
        limit: Number of people; None for all.

    Returns:
        ``auc`` (area under the ROC curve), ``rank1_percent``, mean and extreme distances
        ``same_mean``, ``same_max``, ``different_mean``, ``different_min``, and ``people`` with a
        face in both pictures.
    """
    folder, detector, embed = Path(folder), EmbeddedDetector(), IdentityEmbedding()
    neutral, smiling = [], []
    for person in track(_people(folder, limit), "identity on FRLL"):
        pair = []
        for path in (folder / f"neutral/{person}_03.jpg", folder / f"smiling/{person}_08.jpg"):
            image = load_image(path)
            face = _largest(detector(image))
            if face is not None:
                with torch.no_grad():
                    pair.append(embed(image, face.points)[0])
        if len(pair) == 2:
            neutral.append(pair[0])
            smiling.append(pair[1])
    distance = torch.cdist(torch.stack(neutral), torch.stack(smiling))
    same = distance.diagonal()
    different = distance[~torch.eye(len(distance), dtype=torch.bool)]
    below = (same[:, None] < different).double() + 0.5 * (same[:, None] == different)
    rank1 = (distance.argmin(1) == torch.arange(len(distance))).double().mean()
    return {
        "auc": float(below.mean()),
        "rank1_percent": float(rank1) * 100,
        "same_mean": float(same.mean()),
        "same_max": float(same.max()),
        "different_mean": float(different.mean()),
        "different_min": float(different.min()),
        "people": float(len(same)),
    }
