"""What ``facemorph reconstruct`` reads: meshes, depth maps and prepared scans, with landmarks and
masks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facemorph.apps.fitting.scan_fitting import (
    fitted_scan_landmarks,
    read_landmarks_3d,
    read_scan_mesh,
)
from facemorph.errors import ConfigError, DataError, FacemorphError
from facemorph.faces.detection import find_face
from facemorph.faces.files.image_io import MAX_PIXELS, load_image
from facemorph.faces.files.landmark_files import read_points
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.geometry.meshes.depth_maps import DepthCamera, depth_mesh, landmarks_from_depth
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.sphere_cut import compacted
from facemorph.geometry.scans.scan_files import read_scan
from facemorph.geometry.scans.scan_placement import (
    FEWEST_LANDMARKS,
    UNITS,
    size_of_face,
    unit_of_size,
    without_outliers,
)
from facemorph.geometry.scans.scan_sheets import PreparedScan, prepare_scan
from facemorph.ops.frames import Frame
from facemorph.storage.array_files import read_npy
from facemorph.storage.files import regular
from facemorph.storage.suffixes import LANDMARK_FILES

LANDMARKS = (".bnd", ".txt", ".csv")  # beside a mesh, under its name
KINDS = tuple(kind for kind in LANDMARK_FILES if kind != ".npy")  # beside a depth map, which is one

DEPTH_MAPS, FLAGS = (".npy", ".png"), (".npy", ".txt")
PHOTOGRAPHS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
SURFACE, FREE = 47_000, 3_000  # points of a scan that fitting draws from

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InputOptions:
    """How scans are read: see the arguments of ``reconstruct``.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    landmarks: Path | None
    unit: str
    partial: str
    mask: Path | None
    focal: float | None
    field_of_view: float | None
    principal_point: tuple[float, ...] | None
    depth_scale: float
    image: Path | None

    def __post_init__(self) -> None:
        """See that each is possible."""
        for name, value, highest in (
            ("focal", self.focal, np.inf),
            ("field_of_view", self.field_of_view, 150.0),
            ("depth_scale", self.depth_scale, np.inf),
        ):
            if value is not None and not 0 < value < highest:
                raise ConfigError(
                    "unusable number",
                    where=name,
                    found=value,
                    expected="above 0" if highest == np.inf else f"0 to {highest:g}",
                )
        if self.focal is not None and self.field_of_view is not None:
            raise ConfigError(
                "a camera has one focal length",
                where="focal",
                found=f"focal {self.focal:g} and field_of_view {self.field_of_view:g}",
                remedy="Give one of the two.",
            )
        if self.principal_point is not None and len(self.principal_point) != 2:
            raise ConfigError(
                "a point has two numbers",
                where="principal_point",
                expected="X,Y",
                found=self.principal_point,
            )

    def camera(self, width: int, height: int) -> DepthCamera:
        """The camera of a depth map.

        Raises:
            ConfigError: Its focal length is not known.
        """
        focal = self.focal
        if self.field_of_view is not None:
            focal = Frame(height, width).half_extent / float(
                np.tan(np.radians(self.field_of_view / 2))
            )
        if focal is None:
            raise ConfigError(
                "a depth map needs its focal length",
                where="focal",
                remedy="Give --focal in pixels, or --field-of-view in degrees.",
            )
        x, y = self.principal_point or (width / 2, height / 2)
        return DepthCamera(focal, (x, y))


def read_any(path: Path, options: InputOptions, seed: int = 0) -> PreparedScan:
    """A prepared scan, or a mesh or depth map made ready.

    Args:
        path: ``.npz`` of ``data prepare-scans``; ``.obj``, ``.ply``, ``.stl`` or ``.glb``; ``.npy``
            or 16-bit ``.png``.
        options: How.
        seed: Of the points.

    Raises:
        ConfigError: An option is missing or does not belong to such a file.
        DataError: A file cannot be read, or does not fit another one.
        GeometryError: The scan or its landmarks are at fault.
        NoFaceFound: No landmarks are given and no picture of it shows a face.
        MissingExtra: The extra ``scans`` is not installed.
    """
    kind = path.suffix.lower()
    if kind == ".npz":
        if options.mask is not None:
            raise ConfigError(
                "prepared scans take no mask", where=path, remedy="Give the mesh itself."
            )
        return read_scan(path)
    deep = kind in DEPTH_MAPS
    mesh, landmarks = _read_depth(path, options) if deep else _read_mesh(path, options)
    partial = "yes" if deep and options.partial == "auto" else options.partial
    try:
        return prepare_scan(
            mesh,
            landmarks,
            torch.Generator().manual_seed(seed),
            unit=_unit_of(path, landmarks, options.unit),
            num_surface=SURFACE,
            num_free=FREE,
            partial=partial,
        )
    except FacemorphError as error:
        # Which of many scans it is.
        raise type(error)(
            error.what,
            where=f"{path}: {error.where}",
            expected=error.expected,
            found=error.found,
            remedy=error.remedy,
        ) from error


def _unit_of(path: Path, landmarks: Tensor, given: str) -> float | None:
    """How many of a scan's units a millimetre is; None lets the preparation say it, or what is
    wrong.
    """
    if given != "guess":
        return UNITS[given]
    if int(torch.isfinite(landmarks).all(1).sum()) < FEWEST_LANDMARKS:
        return None
    size = size_of_face(landmarks)
    if not 0 < size < math.inf or unit_of_size(size) is not None:
        return None
    logger.warning(
        "%s: this scan is in no known unit; its face is taken to be of the usual size, so one of "
        "its units is %.3g mm, and all lengths in mm are relative to that.",
        path,
        1 / size,
    )
    return size


def file_of(given: Path | None, scan: Path, kinds: Sequence[str], what: str) -> Path | None:
    """The file that belongs to a scan: the one that is given, or ``STEM`` with one of some endings
    in that folder.

    Raises:
        DataError: The folder has none.
    """
    if given is None or not given.is_dir():
        return given
    found = next((file for kind in kinds if (file := given / f"{scan.stem}{kind}").is_file()), None)
    if found is None:
        raise DataError(
            f"this folder has no {what} of the scan",
            where=given,
            expected=" or ".join(f"{scan.stem}{kind}" for kind in kinds),
        )
    return found


def _read_mesh(path: Path, options: InputOptions) -> tuple[Mesh, Tensor]:
    """A mesh without what its mask leaves out, and its landmarks ``(68, 3)``."""
    for name in ("focal", "field_of_view", "principal_point", "image"):
        if getattr(options, name) is not None:
            raise ConfigError(
                "this belongs to depth maps",
                where=name,
                expected=" or ".join(DEPTH_MAPS),
                found=path.name,
            )
    marks = file_of(options.landmarks, path, LANDMARKS, "landmarks") or landmarks_beside(path)
    mesh, landmarks = read_with_landmarks(path, marks)
    mask = file_of(options.mask, path, FLAGS, "mask")
    return (mesh if mask is None else masked(mesh, read_flags(mask, len(mesh.vertices)))), landmarks


def masked(mesh: Mesh, kept: Tensor) -> Mesh:
    """The triangles of a mesh with all corners among the kept vertices ``(V,)``.

    Raises:
        DataError: There are none.
    """
    faces = mesh.faces[kept[mesh.faces].all(1)]
    if not len(faces):
        raise DataError(
            "this mask leaves nothing of the scan",
            where="mask",
            expected="1 for what counts",
            found=f"{int(kept.sum())} of {len(kept)} vertices",
        )
    return compacted(mesh.vertices, faces)


def read_flags(path: Path, count: int) -> Tensor:
    """One flag for each vertex, ``(count,)`` bool, from ``.npy`` or a text file of 0 and 1.

    Raises:
        DataError: It cannot be read, has other numbers, or not as many.
    """
    if path.suffix.lower() not in FLAGS:
        raise DataError(
            "masks of meshes are not of this kind",
            where=path,
            expected=" or ".join(FLAGS),
            found=path.suffix,
            remedy="Give 0 or 1 for each vertex.",
        )
    what, expected = "this mask cannot be read", "0 or 1 for each vertex"
    if path.suffix.lower() == ".npy":
        values = read_npy(path, what, expected=expected)
    else:
        try:
            values = np.loadtxt(path, ndmin=1)
        except (OSError, ValueError) as error:
            found = str(error).splitlines()[0][:120]
            raise DataError(what, where=path, expected=expected, found=found) from error
    if values.size != count or not np.isin(values, (0, 1)).all():
        raise DataError(
            "this mask does not fit the mesh",
            where=path,
            expected=f"{count} numbers 0 or 1",
            found=f"{values.size} numbers" if values.size != count else "other numbers",
        )
    return torch.from_numpy(values.reshape(-1) == 1)


def _read_depth(path: Path, options: InputOptions) -> tuple[Mesh, Tensor]:
    """The surface that a depth map shows, and its landmarks ``(68, 3)``."""
    depth = read_depth(path) / options.depth_scale
    height, width = depth.shape
    camera = options.camera(width, height)
    place = file_of(options.mask, path, PHOTOGRAPHS, "mask")
    mask = None if place is None else _picture(place, width, height).mean(0) > 0.5
    mesh = depth_mesh(depth, camera, mask)
    marks = file_of(options.landmarks, path, KINDS, "landmarks") or next(
        (file for kind in KINDS if (file := path.with_suffix(kind)).is_file()), None
    )
    photograph = file_of(options.image, path, PHOTOGRAPHS, "photograph")
    if marks is not None:
        points, scheme = read_points(marks, Frame(height, width))
    elif photograph is not None:
        face = find_face(_picture(photograph, width, height), name=photograph)
        points, scheme = face.points.double(), face.scheme
    else:
        return mesh, fitted_scan_landmarks(mesh, path)
    return mesh, without_outliers(
        landmarks_from_depth(to_ibug68(points, scheme), depth, camera, mask)
    )


def _picture(path: Path, width: int, height: int) -> Tensor:
    """A picture ``(3, H, W)`` of a depth map's size.

    Raises:
        DataError: It has another one.
        ImageError: It cannot be read.
    """
    image = load_image(path)
    if tuple(image.shape[1:]) != (height, width):
        raise DataError(
            "this picture is not of the depth map's size",
            where=path,
            expected=f"{width}x{height}",
            found=f"{image.shape[2]}x{image.shape[1]}",
        )
    return image


def read_depth(path: Path) -> Tensor:
    """A depth map ``(H, W)`` float64 as it is stored: ``.npy`` of numbers, or ``.png`` with 16
    bits.

    Raises:
        DataError: It cannot be read, or is no depth map.
    """
    expected = (
        "numbers (H, W)" if path.suffix.lower() == ".npy" else "a PNG with one channel of 16 bits"
    )
    what = "this depth map cannot be read"
    values: Any
    if path.suffix.lower() == ".npy":
        values = read_npy(path, what, expected=expected)
    else:
        try:
            # OpenCV takes memory for the length that a damaged part says it has; Pillow does not.
            with Image.open(regular(path), formats=("PNG",)) as picture:
                if picture.width * picture.height > MAX_PIXELS:  # before memory is taken for them
                    raise ValueError(f"{picture.width}x{picture.height} pixels")
                values = np.asarray(picture)
        except Exception as error:  # decoders raise whatever a damaged file leads them to
            found = f"{type(error).__name__}: {error}".splitlines()[0][:120]
            raise DataError(what, where=path, expected=expected, found=found) from error
    usable = (
        values.dtype == np.uint16 if path.suffix.lower() == ".png" else values.dtype.kind in "fiu"
    )
    if values.ndim != 2 or min(values.shape) < 2 or not usable:
        raise DataError(
            "this is no depth map",
            where=path,
            expected=expected,
            found=f"{values.dtype} {tuple(values.shape)}",
            remedy="Give depth along the camera's axis, 0 where there is none.",
        )
    return torch.from_numpy(values.astype(np.float64))


def landmarks_beside(mesh: Path) -> Path | None:
    """The file with a mesh's landmarks beside it: ``STEM.bnd``, ``.txt`` or ``.csv``; None where
    there is none.
    """
    return next((path for kind in LANDMARKS if (path := mesh.with_suffix(kind)).is_file()), None)


def read_with_landmarks(mesh: Path, landmarks: Path | None) -> tuple[Mesh, Tensor]:
    """A mesh and its 68 landmarks, from their file or of the head that is fitted to it.

    Raises:
        DataError: A file cannot be read.
        GeometryError: The mesh is empty or has vertices that are not numbers.
        NoFaceFound: There is no file of landmarks and no picture shows a face.
    """
    read = read_scan_mesh(mesh)
    marks = (
        read_landmarks_3d(landmarks) if landmarks is not None else fitted_scan_landmarks(read, mesh)
    )
    return Mesh(read.vertices, read.faces), marks
