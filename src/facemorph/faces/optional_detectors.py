"""Detectors that need something from the user: a package, a weight file or a file of points."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import ChecksumError, MissingExtra
from facemorph.faces.box_detection import BoxDetector
from facemorph.faces.files.image_output import to_bytes
from facemorph.faces.files.landmark_files import read_points
from facemorph.faces.types import Face
from facemorph.ops.shapes import check_shape

FAN_FILE = "2DFAN4-11f355bf06.pth.tar"
FAN_URL = f"https://www.adrianbulat.com/downloads/python-fan/{FAN_FILE}"
FAN_SHA256_PREFIX = "11f355bf06"


class FaceAlignmentDetector:
    """68 landmarks of the package ``face-alignment`` (Bulat & Tzimiropoulos, 2017) in our
    detector's boxes.

    Args:
        checkpoint: Its weight file ``2DFAN4-11f355bf06.pth.tar``; by default the one in torch's hub
            folder.
        download: Let the package fetch a missing weight file (96 MB); by default nothing is
            fetched.
        min_score: Least confidence of a box.
        device: Where the networks run.

    Raises:
        MissingExtra: The weight file is not there and ``download`` is False.
        ChecksumError: The weight file is another one or damaged.
    """

    box_scale = 1.1  # SFD, its own detector, draws larger boxes; the value itself is not measured

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        *,
        download: bool = False,
        min_score: float = 0.7,
        device: str = "cpu",
    ) -> None:
        standard = Path(torch.hub.get_dir()) / "checkpoints" / FAN_FILE
        path = Path(checkpoint) if checkpoint is not None else standard
        if not path.is_file() and not (download and checkpoint is None):
            raise MissingExtra(
                "the weights of the detector face_alignment are missing",
                where=path,
                remedy=f"Download {FAN_URL} to {standard}, or give its path as checkpoint",
            )
        if path.is_file():
            _check_sha256_prefix(path)
        self.boxes = BoxDetector(min_score, device=device)
        self.network = _load_face_alignment(path if path.is_file() else None, device)

    def __call__(self, image: Tensor) -> list[Face]:
        """Faces of ``image`` (3, H, W) in [0, 1], best first."""
        found = self.boxes(image)
        if not found:
            return []
        array = to_bytes(image)
        faces = []
        for detection in found:
            half = (detection.box[2:] - detection.box[:2]) / 2 * self.box_scale
            box = [
                *(detection.center - half).tolist(),
                *(detection.center + half).tolist(),
                detection.score,
            ]
            points = self.network.get_landmarks_from_image(array, detected_faces=[box])[0]
            # The package counts pixels from 0 at the centre of the first one.
            faces.append(
                Face(
                    detection.box,
                    detection.score,
                    torch.from_numpy(points[:, :2]).float() + 0.5,
                    "ibug68",
                )
            )
        return faces


def _check_sha256_prefix(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if not digest.hexdigest().startswith(FAN_SHA256_PREFIX):
        raise ChecksumError(
            f"not the weights of face_alignment, or damaged ({path.stat().st_size} bytes)",
            where=path,
            expected=f"sha256 {FAN_SHA256_PREFIX}",
            found=digest.hexdigest()[:10],
            remedy=f"Download {FAN_URL} again",
        )


def face_alignment_package() -> ModuleType:
    """The package ``face-alignment``, whose loops over the 68 points are left to Python.

    Compiling them takes many seconds in each process; the network takes far longer than they do.
    """
    import numba

    config: Any = numba.config  # it has no types
    as_before, config.DISABLE_JIT = config.DISABLE_JIT, True
    try:
        return importlib.import_module("face_alignment")
    finally:
        config.DISABLE_JIT = as_before


@lru_cache(maxsize=2)
def _load_face_alignment(path: Path | None, device: str) -> Any:
    """The package's network; it reads weights from torch's hub folder only, so that points at
    ``path``.
    """
    package = face_alignment_package()

    def build() -> Any:
        # 'folder' is the one face detector that loads no weights; it is never called.
        return package.FaceAlignment(
            package.LandmarksType.TWO_D, device=device, face_detector="folder", compile=False
        )

    if path is None:
        return build()
    hub = torch.hub.get_dir()
    with tempfile.TemporaryDirectory(prefix="facemorph-") as folder:
        place = Path(folder) / "checkpoints" / FAN_FILE
        place.parent.mkdir()
        try:
            place.symlink_to(path.resolve())
        except OSError:  # Windows without the right to make links
            shutil.copyfile(path, place)
        try:
            torch.hub.set_dir(folder)
            return build()
        finally:
            torch.hub.set_dir(hub)


class DlibDetector:
    """Faces and 68 landmarks of dlib; needs the extra ``facemorph-torch[dlib]``.

    Args:
        min_score: Least margin of dlib's detector; 0 is its own threshold, higher is stricter. It
            is no probability.
        upsample: How often the picture is doubled, to find faces below 80 pixels.

    Raises:
        MissingExtra: The extra is not installed.
    """

    def __init__(self, *, min_score: float = 0.0, upsample: int = 1) -> None:
        remedy = "Install it with: pip install 'facemorph-torch[dlib]'"
        try:
            dlib = importlib.import_module("dlib")
        except ImportError as error:
            raise MissingExtra(
                "the detector dlib needs the package dlib-bin", remedy=remedy
            ) from error
        # The package of the models imports pkg_resources, which new setups lack: only its files are
        # used.
        spec = importlib.util.find_spec("face_recognition_models")
        model = (
            Path(spec.origin).parent / "models/shape_predictor_68_face_landmarks.dat"
            if spec is not None and spec.origin
            else None
        )
        if model is None or not model.is_file():
            raise MissingExtra(
                "the detector dlib needs the package face_recognition_models",
                where=model,
                remedy=remedy,
            )
        self.detector, self.predictor = (
            dlib.get_frontal_face_detector(),
            dlib.shape_predictor(str(model)),
        )
        self.min_score, self.upsample = min_score, upsample

    def __call__(self, image: Tensor) -> list[Face]:
        """Faces of ``image`` (3, H, W) in [0, 1], best first; scores are dlib's margins mapped to
        (0, 1).
        """
        check_shape(image, "3 H W", "image")
        array = to_bytes(image)
        boxes, margins, _ = self.detector.run(array, self.upsample, self.min_score)
        faces = []
        for box, margin in zip(boxes, margins, strict=True):
            shape = self.predictor(array, box)
            points = torch.tensor(
                [[shape.part(i).x + 0.5, shape.part(i).y + 0.5] for i in range(shape.num_parts)]
            )
            edges = torch.tensor(
                [box.left(), box.top(), box.right() + 1, box.bottom() + 1], dtype=torch.float32
            )
            faces.append(Face(edges, float(np.tanh(max(margin, 0.0) + 0.5)), points, "ibug68"))
        return sorted(faces, key=lambda face: -face.score)


class FileDetector:
    """The points of a file, whatever the picture: for faces that no detector finds, and for
    hand-set points.

    Args:
        path: A file that :func:`facemorph.faces.files.landmark_files.read_points` reads.

    Raises:
        DataError: The file is missing or malformed.
    """

    def __init__(self, path: str | Path) -> None:
        self.points, self.scheme = read_points(path)

    def __call__(self, image: Tensor) -> list[Face]:
        """One face with the file's points; its box is their bounding box.

        Raises:
            GeometryError: The points do not fit the picture.
        """
        from facemorph.faces.files.landmark_files import check_points
        from facemorph.ops.frames import Frame

        check_points(self.points, Frame.of(image), "points of the file")
        points = self.points.to(torch.float32)
        return [Face(torch.cat([points.amin(0), points.amax(0)]), 1.0, points, self.scheme)]
