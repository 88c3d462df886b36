"""Experiments of the authors' project (ifmorph) as experiments of this one.

From their YAML come landmark files in pixels, pictures where they had networks or another shape
than the frame, and a Hydra experiment file that trains as theirs does: plain sine network, fixed
sampling grid, their weights, times, step size and length.

| theirs | here |
|---|---|
| ``initial_conditions`` | ``data.a``, ``data.b``; ``.pth``: ``system.source_field`` too |
| ``loss.sources``, ``loss.targets`` | ``data.points_a``, ``data.points_b`` |
| ``loss.constraint_weights``, ``loss.intermediate_times`` | ``system.loss`` |
| ``network.hidden_layers``, ``omega_0``, ``omega_w`` | ``system.warp`` |
| ``optimizer.lr`` | ``system.learning_rate`` |
| ``training.n_samples``, ``n_steps``, ``warmup_steps`` | ``data``, ``trainer``, ``callbacks`` |
| ``training.checkpoint_steps`` | ``callbacks.checkpoints.every_batches`` |
| ``reconstruct.frame_dims`` | ``data.size`` and the shape of the pictures |
| ``reconstruct.fps``, ``n_frames`` | the command in the file's first lines |

Their best state has the smallest loss of a step after the warm-up; ours has the best half-way
alignment of the landmarks after an epoch.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from facemorph.errors import ConfigError, DataError, OutputError
from facemorph.faces.files.image_io import load_image, resize_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import read_ifmorph_points, write_points
from facemorph.faces.landmark_schemes import scheme_of
from facemorph.fields.image_fields import SirenImage, render_field
from facemorph.fields.warps.ifmorph_files import read_ifmorph_network
from facemorph.ops.frames import Frame
from facemorph.storage.files import write_atomic
from facemorph.systems.ifmorph.experiment_sections import (
    SECTIONS,
    Section,
    number_at,
    read_experiment,
)

ALONE = ("description", "experiment_name", "device")
WEIGHTS = {
    "data_constraint": ("data_weight", 1e4),
    "identity_constraint": ("identity_weight", 1e3),
    "inv_constraint": ("inverse_weight", 1e4),
    "TPS_constraint": ("thin_plate_weight", 1e3),
}
EPOCH = 1000  # most steps between two measurements


def import_points(path: str | Path, image: str | Path | None, output: str | Path) -> Path:
    """Landmarks of a ``.dat`` file, which ifmorph pickles, as one of our landmark files; nothing in
    it is run.

    Args:
        path: The ``.dat`` file: (row, column) of the picture in [-1, 1].
        image: The picture, whose size makes pixels of them.
        output: ``.json``, ``.csv``, ``.pts`` or ``.tem``.

    Raises:
        ConfigError: The picture is not given.
        DataError: The file holds something else than landmarks.
        OutputError: The result cannot be written.
    """
    if image is None:
        raise ConfigError(
            "landmarks of ifmorph need their picture",
            where="image",
            remedy="Give it with --image; its size makes pixels of them.",
        )
    points = read_ifmorph_points(path, Frame.of(load_image(image)))["points"]
    return write_points(points, output, scheme_of(len(points)))


@dataclass
class ImportedExperiment:
    """What was written.

    Attributes:
        name: Name of the experiment.
        files: All files; the experiment's is the last.
        unused: Keys of the authors' file that have no meaning here.
    """

    name: str
    files: list[Path]
    unused: list[str]


def import_experiment(path: str | Path, folder: str | Path) -> ImportedExperiment:
    """Write landmarks, pictures and a Hydra experiment file for an experiment of the authors'
    project.

    Args:
        path: Their YAML. Pictures that it names are looked for beside it, in the folder above, and
            in the working folder.
        folder: Gets ``experiment/NAME.yaml``, ``NAME.a.json``, ``NAME.b.json`` and pictures.

    Raises:
        DataError: The file or something that it names is missing or malformed; says which key.
        ImageError: A picture cannot be read.
        CheckpointError: A network cannot be read or trusted.
        OutputError: The folder cannot be written.
    """
    path, folder = Path(path), Path(folder).resolve()
    root = Section(path, "", read_experiment(path))
    sections = {name: root.section(name) for name in SECTIONS}
    for name in ALONE:
        root.take(name)
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem).strip("_") or "imported"
    height, width = _frame_size(sections["reconstruct"])
    frame = Frame(height, width)
    pictures = _pictures(sections["initial_conditions"], frame, folder / name)
    training = _training(sections, frame)
    for key in ("sources", "targets", "type"):
        sections["loss"].take(key)
    points = [
        read_ifmorph_points(path, picture.frame)[key]
        for picture, key in zip(pictures, ("sources", "targets"), strict=True)
    ]
    marks = [folder / f"{name}.{letter}.json" for letter in "ab"]
    for letter, role, picture, file in zip(
        "ab", ("source", "target"), pictures, marks, strict=True
    ):
        training["data"] |= {letter: str(picture.file), f"points_{letter}": str(file)}
        if picture.network is not None:
            training["system"] |= {
                f"{role}_field": picture.network,
                f"{role}_checkpoint": str(picture.origin),
            }
    text = _experiment_text(name, path, root, sections["reconstruct"], training)
    # Everything is checked before anything is written.
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "the folder cannot be made",
            where=folder,
            found=error.strerror,
            remedy="Choose another one with -o.",
        ) from error
    files = [
        write_points(one, file, scheme_of(len(one)))
        for one, file in zip(points, marks, strict=True)
    ]
    files += [
        save_image(picture.content, picture.file)
        for picture in pictures
        if picture.content is not None
    ]
    target = folder / "experiment" / f"{name}.yaml"
    write_atomic(target, lambda file: file.write(text.encode()))
    unused = [key for section in (root, *sections.values()) for key in section.unused]
    return ImportedExperiment(name, [*files, target], unused)


@dataclass
class _Picture:
    """A picture of the experiment: ``file``, still to be written where there is ``content``."""

    file: Path
    frame: Frame
    origin: Path
    content: torch.Tensor | None = None
    network: dict[str, Any] | None = None


def _frame_size(reconstruct: Section) -> tuple[int, int]:
    dims = reconstruct.numbers("frame_dims", [512, 512], least=16, most=8192)
    if len(dims) != 2:
        raise DataError(
            "not a frame",
            where=f"{reconstruct.path}, reconstruct.frame_dims",
            expected="[height, width]",
            found=dims,
        )
    return int(dims[0]), int(dims[1])


def _pictures(conditions: Section, frame: Frame, stem: Path) -> list[_Picture]:
    """The pictures at times 0 and 1."""
    where = f"{conditions.path}, initial_conditions"
    times = {number_at(key, f"{where}.{key}", -math.inf): key for key in conditions.content}
    if len(times) != 2:
        raise DataError(
            "not two pictures", where=where, expected="two times with a file each", found=len(times)
        )
    made = []
    for letter, key in zip("ab", (times[time] for time in sorted(times)), strict=True):
        origin = _find(conditions.take(key), conditions.path, f"{where}.{key}")
        if origin.suffix == ".pth":
            network = read_ifmorph_network(origin, frame=frame)
            if not isinstance(network, SirenImage):
                raise DataError("this network is no picture", where=f"{where}.{key}", found=origin)
            hidden = [layer.out_features for layer in network.layers][:-1]
            with torch.no_grad():
                content = render_field(network, frame.pixel_centres()).clamp(0, 1)
            target = "facemorph.fields.image_fields.SirenImage"
            made.append(
                _Picture(
                    stem.with_name(f"{stem.name}.{letter}.png"),
                    frame,
                    origin,
                    content,
                    {
                        "_target_": target,
                        "hidden_features": hidden,
                        "omega_0": 1.0,
                        "omega_hidden": 1.0,
                    },
                )
            )
            continue
        image = load_image(origin)
        own = Frame.of(image)
        if own.height * frame.width == own.width * frame.height:
            made.append(_Picture(origin, own, origin))
        else:  # the authors stretch it to the frame
            content = resize_image(image, (frame.height, frame.width))
            made.append(
                _Picture(stem.with_name(f"{stem.name}.{letter}.png"), frame, origin, content)
            )
    return made


def _find(name: Any, path: Path, where: str) -> Path:
    if not isinstance(name, str) or not name or "\0" in name or "${" in name:
        raise DataError("not the name of a file", where=where, found=repr(name)[:40])
    # their files name them from the project's root
    for folder in (path.parent, path.resolve().parent.parent, Path()):
        if os.path.isfile(folder / name):  # a name may be longer than any file's
            return (folder / name).resolve()
    raise DataError(
        "there is no such file",
        where=where,
        found=name[:120],
        expected=f"a file relative to {path.resolve().parent}, the folder above it, or "
        f"{Path().resolve()}",
    )


def _training(sections: Mapping[str, Section], frame: Frame) -> dict[str, Any]:
    """The settings of the Hydra experiment, without pictures and landmarks."""
    loss, network, training = (sections[name] for name in ("loss", "network", "training"))
    for name, size in (("in_channels", 3), ("out_channels", 2)):
        if network.count(name, size) != size:
            raise DataError(
                "not the network of a warp",
                where=f"{network.path}, network.{name}",
                expected=size,
                found=network.content[name],
            )
    network.take("initialization")
    omega = network.number("omega_0", 24.0, least=1e-6)
    hidden = network.numbers("hidden_layers", [128, 128], least=1, most=8192)
    if not hidden or any(width != int(width) for width in hidden):
        raise DataError(
            "not the widths of layers", where=f"{network.path}, network.hidden_layers", found=hidden
        )
    weights = loss.section("constraint_weights")
    terms = {ours: weights.number(theirs, usual) for theirs, (ours, usual) in WEIGHTS.items()}
    if weights.unused:
        raise DataError(
            "unknown weight",
            where=f"{loss.path}, {weights.unused[0]}",
            expected=" | ".join(WEIGHTS),
        )
    steps = training.count("n_steps", 20001)
    epoch = max(1, min(EPOCH, steps // 10))
    warm_up = training.count("warmup_steps", steps // 10, least=0)
    checkpoints: dict[str, Any] = {
        "monitor": "quality/alignment_px",
        "after_epochs": min(math.ceil(warm_up / epoch), math.ceil(steps / epoch) - 1),
    }
    if training.take("checkpoint_steps") is not None:
        checkpoints["every_batches"] = training.count("checkpoint_steps", EPOCH)
    training.take("reconstruction_steps")
    return {
        "system": {
            "warp": {
                "hidden_features": [int(width) for width in hidden],
                "omega_0": omega,
                "omega_hidden": network.number("omega_w", omega, least=1e-6),
            },
            "loss": {
                **terms,
                "intermediate_times": loss.numbers(
                    "intermediate_times", [0.25, 0.5, 0.75], least=0, most=1
                ),
            },
            "border_anchors": 0,
            "learning_rate": sections["optimizer"].number("lr", 1e-4, least=1e-12),
            "schedule": "constant",
        },
        "data": {
            "align": "none",
            "size": max(frame.height, frame.width),
            "sampling": "grid",
            "num_samples": training.count("n_samples", 20000, least=8),
            "steps_per_epoch": epoch,
        },
        "trainer": {"max_steps": steps, "max_epochs": -1},
        "callbacks": {"checkpoints": checkpoints},
        "optimized_metric": "quality/alignment_px",
    }


def _experiment_text(
    name: str, path: Path, root: Section, reconstruct: Section, training: Mapping[str, Any]
) -> str:
    """The YAML of the Hydra experiment."""
    reconstruct.take("timerange")
    frames, fps = (
        reconstruct.count("n_frames", 101, least=2),
        reconstruct.number("fps", 20, least=0.1),
    )
    described = " ".join(str(root.content.get("description") or "").split())[:200]
    head = [
        "# @package _global_",
        f"# {described or name} (imported from {path.name} of the ifmorph project)",
        f"# facemorph infer @last:{name} output={name}.mp4 +frames={frames} "
        f"+frames_per_second={fps:g} +blend=linear",
        "defaults:",
        "  - override /system: neural_warp",
        "  - override /data: landmark_pair",
        "  - override /warp@system.warp: siren",
        "",
    ]
    return (
        "\n".join(head)
        + "\n"
        + yaml.safe_dump(dict(training), sort_keys=False, default_flow_style=None, width=120)
    )
