"""Scans of people who do not exist, with what no linear model explains: jaw and neck turns, warps,
noise and holes.

Made in this order, so that every vertex keeps its number: identity and expression of the model;
smooth local warps of the person and, a third as large, of the expression of that person; the jaw
turned about its joint and a little to the side, in place of the linear ``jawOpen``; neck and head
turned about theirs; noise along the normals; and holes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.synthetic.random_faces import (
    named_expression,
    random_identity,
    random_joints,
)
from facemorph.geometry.synthetic.skin_fields import EYE_CORNERS
from facemorph.ops.meshes import vertex_normals
from facemorph.ops.rotations import rotation_from_vector

# The first are those of FaceScape that have a counterpart, in the order of a data set with fewer.
SCAN_EXPRESSIONS = (
    "neutral",
    "smile",
    "vowel_a",
    "anger",
    "lips_forward",
    "brows_raised",
    "surprise",
    "sadness",
    "grin",
    "eyes_closed",
    "mouth_left",
    "mouth_right",
    "jaw_forward",
    "vowel_u",
    "chin_raised",
    "brows_lowered",
    "disgust",
    "lips_pressed",
    "cheeks_blown",
    "vowel_o",
)
JAW_ANGLE = math.radians(16)  # of a jaw that a whole jawOpen turns
JAW_JOINT = (0.0, -30.0, -58.0)  # millimetres, for outer eye corners 82 mm apart: before the ears
BUMPS = 12  # smooth local warps of a person


@dataclass(frozen=True)
class ScanOptions:
    """How scans differ from the model.

    Attributes:
        warp: Largest length of a smooth local warp, millimetres.
        jaw: Share of ``jawOpen`` that is a turn about the joint instead.
        turn: Turn neck and head a little against the shoulders.
        noise: Standard deviation along the normals, millimetres.
        holes: Largest number of holes.
    """

    warp: float = 1.6
    jaw: float = 1.0
    turn: bool = True
    noise: float = 0.0
    holes: int = 0


@dataclass(frozen=True)
class Scan:
    """One scan.

    Attributes:
        vertices: ``(V, 3)`` millimetres, all of them, with noise; vertex i is vertex i of the
            model.
        clean: ``(V, 3)`` without noise.
        faces: ``(F', 3)`` triangles that are left, of the skin and the eyes.
        landmarks: ``(68, 3)`` on the clean surface.
        identity: ``(K,)``.
        expression: ``(E,)`` of the model; what the jaw does beyond it is in ``jaw``.
        jaw: ``(3,)`` turn of the jaw, axis times angle.
        joints: ``(J, 3)``.
    """

    vertices: Tensor
    clean: Tensor
    faces: Tensor
    landmarks: Tensor
    identity: Tensor
    expression: Tensor
    jaw: Tensor
    joints: Tensor


def random_scan(
    model: MorphableModel,
    expression: str,
    person: np.random.Generator,
    own: np.random.Generator,
    options: ScanOptions | None = None,
) -> Scan:
    """A scan.

    Args:
        model: The model.
        expression: One of ``SCAN_EXPRESSIONS``.
        person: Random numbers of the person, at their beginning.
        own: Of this scan.
        options: How it differs from the model.
    """
    options = options or ScanOptions()
    identity = random_identity(model, person)
    units = named_expression(
        model, expression, 1.0 if expression == "neutral" else float(own.uniform(0.7, 1.0))
    )
    jaw, units = _jaw_turn(model, units, own, options)
    flat = model.vertices(identity[None], units[None])[0]
    flat = flat + smooth_warp(model, person, options.warp)
    if expression != "neutral":
        flat = flat + smooth_warp(model, own, options.warp / 3)
    flat = turn_jaw(model, flat, jaw)
    joints = (
        random_joints(model, own)
        if options.turn and model.skeleton is not None
        else torch.zeros(len(model.joint_names), 3)
    )
    clean = (
        model.posed(flat[None], identity[None], units[None], joints[None])[0]
        if bool(joints.any())
        else flat
    )
    vertices = clean
    if options.noise > 0:
        normals = vertex_normals(clean[None], model.topology.faces)[0]
        vertices = clean + normals * torch.from_numpy(
            own.normal(0, options.noise, (len(clean), 1)).astype(np.float32)
        )
    landmarks = model.landmarks(clean[None])[0]
    return Scan(
        vertices,
        clean,
        _with_holes(model, clean, own, options.holes),
        landmarks,
        identity,
        units,
        jaw,
        joints,
    )


def _jaw_turn(
    model: MorphableModel, units: Tensor, own: np.random.Generator, options: ScanOptions
) -> tuple[Tensor, Tensor]:
    """The turn of the jaw ``(3,)``, and the expression without what it takes over."""
    jaw, units = torch.zeros(3), units.clone()
    index = [model.expression_names.index("jawOpen")] if "jawOpen" in model.expression_names else []
    opening = float(units[index].sum())
    if opening > 0:
        jaw[0] = opening * options.jaw * JAW_ANGLE
        jaw[1] = options.jaw * float(np.clip(own.normal(0, 0.03), -0.06, 0.06))
        units[index] = opening * (1 - options.jaw)
    return jaw, units


@lru_cache(maxsize=4)
def jaw_weights(model: MorphableModel) -> Tensor:
    """Share ``(V,)`` of the lower jaw in each vertex: how much of the unit ``jawOpen`` moves it, at
    most 1.

    All 0 for a model without that unit.
    """
    if "jawOpen" not in model.expression_names:
        return torch.zeros(model.num_vertices)
    scale = _scale(model)
    joint = torch.tensor(JAW_JOINT) / scale
    motion = model.expression_basis[model.expression_names.index("jawOpen")]
    arm = (model.mean - joint)[:, 1:].norm(dim=1).clamp(min=15 / scale)
    return (motion.norm(dim=1) / arm / _largest(motion, arm)).clamp(0, 1)


def _largest(motion: Tensor, arm: Tensor) -> Tensor:
    return (motion.norm(dim=1) / arm).quantile(0.985).clamp(min=1e-6)


def _scale(model: MorphableModel) -> float:
    points = model.topology.landmarks.of(model.mean)
    return EYE_CORNERS / float((points[45] - points[36]).norm())


def turn_jaw(model: MorphableModel, vertices: Tensor, jaw: Tensor) -> Tensor:
    """Vertices ``(V, 3)`` with the jaw turned by ``(3,)``, axis times angle; positive x opens the
    mouth.

    Each vertex turns by its share of the angle, not by a share of the way: what follows half goes
    on a circle too.
    """
    if not bool(jaw.any()):
        return vertices
    joint = torch.tensor(JAW_JOINT) / _scale(model)
    rotation = rotation_from_vector(jaw_weights(model)[:, None] * jaw)
    return (rotation @ (vertices - joint)[..., None])[..., 0] + joint


def smooth_warp(model: MorphableModel, random: np.random.Generator, length: float) -> Tensor:
    """Offsets ``(V, 3)`` of some smooth bumps at random vertices of the face, none longer than
    ``length``.

    They do not depend on the model's bases, so no linear combination of them explains the bumps.
    """
    if length <= 0:
        return torch.zeros_like(model.mean)
    face = model.topology.masks["face"].nonzero()[:, 0]
    centres = model.mean[face[torch.from_numpy(random.integers(0, len(face), BUMPS))]]
    radii = torch.from_numpy(random.uniform(9, 28, BUMPS)).float() / _scale(model)
    ways = torch.from_numpy(random.normal(0, 1, (BUMPS, 3))).float()
    share = torch.exp(-((torch.cdist(model.mean[None], centres[None])[0] / radii) ** 2))
    offsets = share @ ways
    return offsets * (length * float(random.uniform(0.5, 1)) / offsets.norm(dim=1).max())


def _with_holes(
    model: MorphableModel, vertices: Tensor, own: np.random.Generator, holes: int
) -> Tensor:
    """Triangles of skin and eyes, without those within some balls, which touch no landmark."""
    topology = model.topology
    inside = torch.zeros(model.num_vertices, dtype=torch.bool)
    for name in ("inside_mouth", "socket", "teeth", "tongue"):
        if name in topology.masks:
            inside |= topology.masks[name]
    keep = ~inside[topology.faces].all(1)
    if holes > 0:
        face = topology.masks["face"].nonzero()[:, 0]
        landmarks = topology.landmarks.of(vertices)
        for _ in range(int(own.integers(0, holes + 1))):
            centre = vertices[face[int(own.integers(len(face)))]]
            nearest = float((landmarks - centre).norm(dim=1).min())
            radius = min(float(own.uniform(3, 9)), nearest - 3)
            if radius > 1:
                keep &= ~((vertices - centre).norm(dim=1) < radius)[topology.faces].any(1)
    return topology.faces[keep]
