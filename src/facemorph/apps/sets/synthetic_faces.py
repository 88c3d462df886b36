"""Labelled synthetic faces: what is drawn of each picture's number, and its picture and labels.

All of a picture follows from the seed and its number alone, and all of a person from the seed and
the person's, so that it does not matter which process makes it, or when.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from facemorph.apps.fitting.face_texture import read_skin
from facemorph.apps.sets.choices import LABELS, MAPS
from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_bytes, to_bytes
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.lighting import random_light
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.rendering.shaded_pictures import render_bytes
from facemorph.geometry.synthetic.open_skin import (
    OpenSkin,
    open_skin_texture,
    random_open_skin,
)
from facemorph.geometry.synthetic.procedural_skin import skin_texture
from facemorph.geometry.synthetic.random_faces import (
    ViewOptions,
    procedural_background,
    random_camera,
    random_expression,
    random_identity,
    random_joints,
)
from facemorph.geometry.synthetic.random_skin import NAMES, Skin, random_skin
from facemorph.geometry.textures.texture_model import OPEN, TextureModel
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import vector_from_rotation
from facemorph.storage.files import write_whole
from facemorph.storage.folders import listed
from facemorph.storage.suffixes import PICTURES

Array = np.ndarray[Any, Any]
PROCEDURAL = "procedural"
KEPT = 512  # textures in memory, as bytes: at most 400 MB of 512 x 512 ones
DEEP = 65535
# a depth of d mm is written as (d + 300) * 100, no depth as 0
DEPTH_ZERO, DEPTH_STEPS = 300.0, 100.0
PERSON, FRAME, SKIN, BACKGROUND, LIGHT = range(5)  # streams of random numbers


@dataclass(frozen=True)
class SynthOptions:
    """What all pictures of a synthetic set have in common.

    See the arguments of ``synthesize``. ``labels`` are those with a map for each
    picture.
    """

    size: int = 256
    seed: int = 0
    model: str = "makehuman"
    supersample: int = 2
    labels: tuple[str, ...] = ()
    kind: str = "jpg"
    skin: str = PROCEDURAL
    skins: int = 128
    background: str = PROCEDURAL
    same_identity: int = 1
    camera: str = "weak"
    max_yaw: float = 60.0
    texture: int = 512
    same_light: bool = False

    def __post_init__(self) -> None:
        """See that each is possible."""
        limits = {
            "size": (32, 4096),
            "seed": (0, 2**63 - 1),
            "supersample": (1, 4),
            "skins": (0, 10**9),
            "same_identity": (1, 10**6),
            "max_yaw": (0, 90),
            "texture": (64, 4096),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    "a synthetic set cannot have this",
                    where=name,
                    expected=f"{low} to {high}",
                    found=getattr(self, name),
                )
        for label in self.labels:
            if label not in MAPS:
                raise ConfigError(
                    "no such label", where="labels", expected=", ".join(LABELS), found=label
                )
        if self.has_texture_model:
            textures = TextureModel.load(self.skin)
            if textures.model != self.model:
                raise ConfigError(
                    "this texture model belongs to another face model",
                    where="skin",
                    expected=self.model,
                    found=textures.model,
                    remedy=f"Give --model {textures.model}.",
                )
        for name in ("skin", "background"):
            value = getattr(self, name)
            known = value == PROCEDURAL or (name == "skin" and self.has_texture_model)
            if not known and not _pictures(Path(value)):
                also = f", {OPEN}, a texture model" if name == "skin" else ""
                raise ConfigError(
                    "this folder holds no picture",
                    where=name,
                    expected=f"{PROCEDURAL}{also}, or a folder",
                    found=value,
                )

    @property
    def has_texture_model(self) -> bool:
        """Whether skins are drawn from a texture model: the open one, or a file."""
        return self.skin == OPEN or Path(self.skin).suffix == ".safetensors"


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return listed(folder, PICTURES, deep=True)


class SyntheticFaces:
    """A synthetic set, picture by picture.

    Args:
        options: What all pictures have in common.
    """

    def __init__(self, options: SynthOptions) -> None:
        self.options = options
        self.model: MorphableModel = load_model(options.model)
        self.corners_uv: Array = (
            self.model.topology.uv[self.model.topology.faces_uv].float().numpy()
        )
        self.view = ViewOptions(max_yaw=options.max_yaw, pinhole=float(options.camera == "pinhole"))
        self._kept: OrderedDict[object, Array] = OrderedDict()
        self._skins: dict[int, Skin] = {}
        self._open_skins: dict[int, OpenSkin] = {}

    @cached_property
    def skin_files(self) -> list[Path]:
        """Photographs or texture maps of the user; none for procedural and for open skin."""
        if self.options.skin == PROCEDURAL or self.options.has_texture_model:
            return []
        return _pictures(Path(self.options.skin))

    @cached_property
    def textures(self) -> TextureModel | None:
        """Statistics of real skins, where skins are drawn from them."""
        return TextureModel.load(self.options.skin) if self.options.has_texture_model else None

    @cached_property
    def background_files(self) -> list[Path]:
        """Pictures of the user; none for procedural backgrounds."""
        return (
            []
            if self.options.background == PROCEDURAL
            else _pictures(Path(self.options.background))
        )

    def random(self, stream: int, number: int) -> np.random.Generator:
        """The random numbers of one person, picture or skin."""
        return np.random.default_rng([self.options.seed, stream, number])

    def person(self, index: int) -> int:
        """Who is on a picture."""
        return index // self.options.same_identity

    def skin_number(self, index: int) -> int:
        """Which skin a picture has."""
        person, count = self.person(index), len(self.skin_files) or self.options.skins
        return person % count if count else person

    def skin(self, number: int) -> Skin:
        """A procedural skin."""
        if number not in self._skins:
            if len(self._skins) >= 4 * KEPT:
                self._skins.clear()
            self._skins[number] = random_skin(self.random(SKIN, number))
        return self._skins[number]

    def open_skin(self, number: int) -> OpenSkin:
        """A random skin of the texture model.

        Raises:
            ConfigError: The set's skins are others.
        """
        if self.textures is None:
            raise ConfigError("these skins are of no texture model", where="skin")
        if number not in self._open_skins:
            if len(self._open_skins) >= 4 * KEPT:
                self._open_skins.clear()
            found = random_open_skin(self.model, self.textures, self.random(SKIN, number))
            self._open_skins[number] = found
        return self._open_skins[number]

    def parameters(self, index: int) -> FaceParameters:
        """Parameters of one picture, in its pixels.

        ``albedo`` holds the coefficients of a procedural skin, those of the nearest one for a skin
        of a texture model, and none for photographs' skin.
        """
        random, model = self.random(FRAME, index), self.model
        person = self.random(PERSON, self.person(index))
        camera = random_camera(model, self.options.size, random, self.view)
        drawn = int(random.integers(2**62))
        if self.options.same_light:
            drawn = int(self.random(LIGHT, self.person(index)).integers(2**62))
        generator = torch.Generator().manual_seed(drawn)
        albedo = torch.zeros(1, 0)
        if self.textures is not None:
            albedo = self.open_skin(self.skin_number(index)).nearest[None]
        elif not self.skin_files:
            values = self.skin(self.skin_number(index)).coefficients
            albedo = torch.tensor([[values[name] for name in NAMES]])
        focal = torch.zeros(1) if camera.focal is None else camera.focal
        return FaceParameters(
            model.name,
            model.expression_names,
            random_identity(model, person)[None],
            random_expression(model, random)[None],
            random_joints(model, random)[None],
            vector_from_rotation(camera.rotation),
            camera.origin,
            camera.log_size,
            focal,
            random_light(1, generator),
            albedo,
        )

    def camera(self, parameters: FaceParameters) -> Camera:
        """The camera that parameters tell."""
        return camera_of(parameters, Frame(self.options.size, self.options.size))

    def landmarks(self, parameters: FaceParameters) -> tuple[Tensor, Tensor]:
        """The 68 landmarks of one picture: pixels ``(68, 2)`` and millimetres ``(68, 3)`` of the
        head.
        """
        points = self.model.landmarks(vertices_of(self.model, parameters))
        return self.camera(parameters).project(points).pixels[0], points[0]

    def picture(self, index: int, parameters: FaceParameters) -> Array:
        """The picture ``(H, W, 3)``, uint8."""
        number = self.person(index) if self.options.same_light else index
        random = self.random(BACKGROUND, number)
        return render_bytes(
            vertices_of(self.model, parameters),
            self.model.topology,
            self.camera(parameters),
            self.corners_uv,
            self.texture(index),
            parameters.light,
            self.background(random),
            self.options.supersample,
        )

    def texture(self, index: int) -> Array:
        """The texture map of a picture's person ``(S, S, 3)``, uint8."""
        number = self.skin_number(index)
        return self._keep(("skin", number), lambda: self._make_texture(number))

    def _make_texture(self, number: int) -> Array:
        side = self.options.texture
        if self.textures is not None:
            found = open_skin_texture(self.model, self.textures, self.open_skin(number), side)
        elif not self.skin_files:
            found = skin_texture(self.model, self.skin(number), side)
        else:
            found = read_skin(self.skin_files[number], self.model, side)
        return to_bytes(found)

    def background(self, random: np.random.Generator) -> Array:
        """What is behind a head ``(H, W, 3)``."""
        size = self.options.size
        if not self.background_files:
            return procedural_background(size, random)
        path = self.background_files[int(random.integers(len(self.background_files)))]
        picture = self._keep(path, lambda: _square(path, size))
        return picture.astype(np.float32) / 255

    def _keep(self, key: object, make: Callable[[], Array]) -> Array:
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def maps(self, parameters: FaceParameters) -> dict[str, Array]:
        """Maps of one picture at its pixel centres, as they are written: ``uint16``, the mask
        ``uint8``.

        ``uv``: u, v and 65535 where the head is; ``normals``: (n + 1) / 2, camera's frame, 0
        outside; ``depth``: see ``DEPTH_ZERO``; ``mask``: 255 where the head is.
        """
        wanted, size = self.options.labels, self.options.size
        if not wanted:
            return {}
        view = MeshView.of(
            vertices_of(self.model, parameters),
            self.model.topology.faces,
            self.camera(parameters),
            (size, size),
            cull_back_faces=True,
        )
        mask = view.mask[0, 0].numpy()
        found: dict[str, Array] = {}
        if "uv" in wanted:
            uv = view.uv(self.model.topology)[0].clamp(0, 1)
            found["uv"] = _deep(torch.cat([uv, view.mask[0].float()]) * DEEP)
        if "normals" in wanted:
            found["normals"] = _deep((view.normals()[0] + 1) / 2 * DEEP * view.mask[0])
        if "depth" in wanted:
            found["depth"] = _deep((view.depth[0] + DEPTH_ZERO) * DEPTH_STEPS * view.mask[0])[
                ..., 0
            ]
        if "mask" in wanted:
            found["mask"] = mask.astype(np.uint8) * 255
        return found

    def write(self, index: int, folder: Path) -> list[str]:
        """Write a picture and its maps; returns the files, relative to the folder."""
        parameters = self.parameters(index)
        name = picture_name(index)
        files = [f"images/{name}.{self.options.kind}"]
        save_bytes(
            self.picture(index, parameters), folder / files[0], synthetic=True, compression=2
        )
        for label, values in self.maps(parameters).items():
            files.append(f"{label}/{name}.png")
            channels = values[..., ::-1] if values.ndim == 3 else values
            done, encoded = cv2.imencode(".png", channels, [cv2.IMWRITE_PNG_COMPRESSION, 2])
            if not done:
                raise DataError("a map cannot be encoded", where=files[-1])
            write_whole(folder / files[-1], encoded.tobytes())
        return files


def _deep(values: Tensor) -> Array:
    array: Array = np.round(values.movedim(0, -1).numpy()).clip(0, DEEP).astype(np.uint16)
    return array


def picture_name(index: int) -> str:
    """Folder and name of a picture: a thousand in each folder."""
    return f"{index // 1000:04}/{index:07}"


def _square(path: Path, size: int) -> Array:
    """The middle square of a picture file ``(size, size, 3)``, uint8."""
    image = load_image(path)
    side = min(image.shape[1:])
    top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
    array = image[:, top : top + side, left : left + side].movedim(0, -1).contiguous().numpy()
    result: Array = (
        cv2.resize(array, (size, size), interpolation=cv2.INTER_AREA) * 255 + 0.5
    ).astype(np.uint8)
    return result
