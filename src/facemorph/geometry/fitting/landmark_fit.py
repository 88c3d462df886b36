"""Fit of pose, identity and expression to landmarks: batched Levenberg-Marquardt with statistical
priors.

Cost of a person in N pictures, with residuals r in pixels, noise s (a share of the distance between
the pupils, d):

    sum_n sum_p w_p^2 |r_np|^2 / (s d_n)^2 + |identity|^2 + sum_n expression_n^T C^-1 expression_n

(C: the covariance of ``expression_precision``) and the same for the differences between the
residuals of upper and lower lip. Expressions stay within the model's range. All pictures of a
person share one identity. Pose and camera start from their closed form. The normal equations have
one block for each picture and one for the identity of each person; the pictures' blocks are
eliminated first (Schur complement), so that a video of many frames costs no more for each than a
photograph. The bounds are met inside each step: what would leave its range is pinned to it and the
rest solved again. (Clamping after the step takes 25 to 40 iterations instead of 5.)

Sources: Blanz and Vetter (1999) for the prior; Levenberg (1944), Marquardt (1963); Coleman and Li
(1996) for bounds.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from facemorph.errors import GeometryError
from facemorph.geometry.fitting.jaw_basis import JAW as JAW_JOINT
from facemorph.geometry.fitting.jaw_basis import JawBasis
from facemorph.geometry.fitting.landmark_basis import LandmarkBasis
from facemorph.geometry.fitting.landmark_solver import (
    INNER,
    FitOptions,
    LandmarkFit,
    LandmarkSolver,
)
from facemorph.geometry.fitting.turned_landmarks import constant_offsets
from facemorph.geometry.models.morphable_model import MorphableModel, SurfacePoints
from facemorph.geometry.rendering.camera import Camera, camera_from_landmarks
from facemorph.ops.frames import Frame
from facemorph.ops.shapes import check_shape
from facemorph.ops.threads import one_thread


class LandmarkFitter:
    """Fits a model to 68 landmarks of any number of pictures at once.

    Args:
        model: The model, on the CPU (the systems are too small for anything else).
        options: How.
        offsets: ``(2, 85, 2)`` millimetres from the model's landmarks to what a detector takes for
            them, see ``landmark_calibration.detector_offsets``.
        more: Further points of the model whose pixels are known too, for dense landmarks.
    """

    def __init__(
        self,
        model: MorphableModel,
        options: FitOptions | None = None,
        offsets: Tensor | None = None,
        more: SurfacePoints | None = None,
    ) -> None:
        self.model, self.options = model, options or FitOptions()
        kind = JawBasis if JAW_JOINT in model.joint_names else LandmarkBasis
        self.basis: LandmarkBasis = kind(
            model, self.options.num_identity, self.options.expression, more
        )
        self.offsets = constant_offsets(torch.zeros(68, 2)) if offsets is None else offsets
        self.local_prior = self.basis.local_prior(self.options.expression_sigma)

    @torch.no_grad()
    def __call__(
        self,
        landmarks: Tensor,
        *,
        frame: Frame | None = None,
        person: Tensor | None = None,
        weights: Tensor | None = None,
        dense: Tensor | None = None,
        identity: Tensor | None = None,
        identity_sigma: float = 1.0,
    ) -> LandmarkFit:
        """Fit pictures.

        Args:
            landmarks: ``(B, 68, 2)`` iBUG landmarks in pixels.
            frame: Frame of the pictures; needed for a field of view only.
            person: ``(B,)`` number of the person in each picture; None: each picture shows another
                one.
            weights: ``(B, 68 + D)`` of the landmarks, 0 for one that is not seen; None is 1.
            dense: ``(B, D, 2)`` pixels of the points ``more``.
            identity: ``(G, K)`` centre of each person's prior, from another fit; None is the mean
                face.
            identity_sigma: How far from it, in standard deviations of the population.

        Raises:
            DataError: A shape does not fit.
            GeometryError: Landmarks are not finite, all in one place, or a frame is missing.
        """
        check_shape(landmarks, "B 68 2", "landmarks")
        target, more = landmarks.float(), self.basis.num_points - 68
        if more or dense is not None:
            check_shape(
                torch.empty(0, 0, 2) if dense is None else dense, f"{len(target)} {more} 2", "dense"
            )
            target = torch.cat([target, torch.empty(0) if dense is None else dense.float()], 1)
        person = (
            torch.arange(len(target))
            if person is None
            else torch.unique(person, return_inverse=True)[1]
        )
        with one_thread():  # small batched Cholesky: more threads are up to 30 times slower
            camera = self._camera(target, frame, weights)
            solver = LandmarkSolver(self, target, person, camera, weights, identity, identity_sigma)
            return solver.run()

    def _camera(self, target: Tensor, frame: Frame | None, weights: Tensor | None) -> Camera:
        mean = self.basis.mean_points + pad(self.offsets[0, :68], (0, 1))
        mean = mean.expand(len(target), -1, -1)
        camera = camera_from_landmarks(
            mean[:, INNER], target[:, INNER], None if weights is None else weights[:, INNER]
        )
        if self.options.field_of_view is None:
            return camera
        if frame is None:
            raise GeometryError(
                "a field of view needs the picture's frame",
                where="frame",
                remedy="Give frame=Frame.of(image).",
            )
        return camera.as_pinhole(frame, self.options.field_of_view)
