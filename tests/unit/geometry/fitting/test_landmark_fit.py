"""The landmark fit: derivatives, bounds, shared identities, what it recovers, and what it
refuses.
"""

from __future__ import annotations

import math

import pytest
import torch

from facemorph.errors import ConfigError, DataError, GeometryError
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.landmark_solver import (
    FitOptions,
    LandmarkSolver,
    _State,
    distance_between_pupils,
)
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.morphable_model import SurfacePoints
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import angle_between, rotation_from_euler, rotation_from_vector

FRAME = Frame(256, 256)


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


def truth(model, count, seed=0, yaw=25.0, expressions=0.12, focal=None):
    """Random faces: identity, expression, camera and their landmarks in a picture of 256 pixels."""
    generator = torch.Generator().manual_seed(seed)
    visible = LandmarkFitter(model).basis.visible
    identity = torch.randn(count, model.num_identity, generator=generator)
    expression = torch.zeros(count, model.num_expression)
    active = torch.rand(count, len(visible), generator=generator) < expressions
    expression[:, visible] = torch.rand(count, len(visible), generator=generator) * active
    angles = (torch.rand(3, count, generator=generator) * 2 - 1) * torch.tensor([yaw, 15.0, 15.0])[
        :, None
    ]
    rotation = rotation_from_euler(*torch.deg2rad(angles))
    camera = Camera(
        rotation, torch.full((count, 2), 128.0), torch.full((count,), math.log(44 / 62))
    )
    if focal is not None:
        camera = camera.as_pinhole(FRAME, focal)
    landmarks = camera.project(model.landmarks(model.vertices(identity, expression))).pixels
    return identity, expression, camera, landmarks


def solver_at_random(model, options, count=3, people=None, seed=1, offsets=None):
    _, _, camera, landmarks = truth(model, count, seed, focal=options.field_of_view)
    person = torch.arange(count) if people is None else torch.tensor(people)
    solver = LandmarkSolver(
        LandmarkFitter(model, options, offsets), landmarks + 2, person, camera, None, None, 1.0
    )
    generator = torch.Generator().manual_seed(7)
    local = torch.rand(count, solver.basis.num_local, generator=generator) * 0.4
    identity = torch.randn(solver.people, solver.basis.num_identity, generator=generator)
    return solver, _State(camera, identity, local)


@pytest.mark.parametrize("field_of_view", [None, 25.0])
def test_the_step_solves_the_normal_equations_of_autograd(model, field_of_view):
    """One undamped step away from the bounds against a dense system built from an autograd
    Jacobian, offsets that grow with the turn included.
    """
    options = FitOptions(field_of_view=field_of_view, num_identity=6)
    offsets = 5 * torch.randn(2, 85, 2, generator=torch.Generator().manual_seed(4))
    solver, state = solver_at_random(model, options, people=[0, 0, 1], offsets=offsets)
    solver.low, solver.high = solver.low - 1e6, solver.high + 1e6
    chosen = solver.select(state)
    residual, _ = solver.cost(state, chosen)
    count, local, shared = 3, solver.basis.num_local, state.identity.numel()

    def residuals(step):
        own, identity = (
            step[:-shared].view(count, 6 + local),
            step[-shared:].view_as(state.identity),
        )
        camera = state.camera
        moved = Camera(
            rotation_from_vector(own[:, :3]) @ camera.rotation,
            camera.origin + own[:, 3:5],
            camera.log_size + own[:, 5],
            camera.focal,
            camera.centre,
        )
        trial = _State(moved, state.identity + identity, state.local + own[:, 6:])
        data, _ = solver.cost(trial, chosen)
        return torch.cat(
            [
                data.flatten(),
                (trial.local @ torch.linalg.cholesky(solver.local_prior)).flatten(),
                ((trial.identity - solver.anchor) * solver.identity_prior.sqrt()).flatten(),
            ]
        )

    zero = torch.zeros(count * (6 + local) + shared)
    jacobian, value = torch.func.jacfwd(residuals)(zero).double(), residuals(zero).double()
    expected = -torch.linalg.lstsq(jacobian, value[:, None]).solution[:, 0]
    found = solver.step(state, chosen, residual, torch.zeros(2))
    own = expected[:-shared].view(count, 6 + local)
    moved = found.identity - state.identity
    for one, other in (
        (found.camera.origin - state.camera.origin, own[:, 3:5]),
        (found.local - state.local, own[:, 6:]),
        (moved, expected[-shared:].view_as(moved)),
    ):
        assert float((one - other).abs().max()) < 2e-3 * float(other.abs().max())
    turned = rotation_from_vector(own[:, :3].float()) @ state.camera.rotation
    assert float(angle_between(found.camera.rotation, turned).max()) < 2e-3


def test_bounded_steps_are_nearly_the_best_within_the_bounds(model):
    """Against projected gradient descent on the same quadratic, and against clamping the
    free step.
    """
    solver, state = solver_at_random(model, FitOptions(num_identity=4), count=1)
    # many at a bound
    state.local[:] = torch.rand_like(state.local) * (torch.rand_like(state.local) < 0.5)
    size = 6 + solver.basis.num_local
    generator = torch.Generator().manual_seed(3)
    root = torch.randn(size + 4, size + 4, generator=generator, dtype=torch.float64)
    normal, gradient = (
        root @ root.T + 5 * torch.eye(size + 4),
        torch.randn(size + 4, generator=generator).double() * 20,
    )
    local, identity = solver.solve(
        normal[None, :size, :size],
        normal[None, :size, size:],
        normal[None, size:, size:],
        gradient[None, :size],
        gradient[None, size:],
        state.local.double(),
    )
    low, high = torch.full_like(gradient, -torch.inf), torch.full_like(gradient, torch.inf)
    low[6:size], high[6:size] = -state.local[0], 1 - state.local[0]
    best, rate = torch.zeros_like(gradient), 1 / float(torch.linalg.eigvalsh(normal).max())
    for _ in range(20000):
        best = torch.minimum(torch.maximum(best - rate * (gradient + normal @ best), low), high)
    found = torch.cat([local[0], identity[0]])

    def value(step):
        return float(gradient @ step + step @ normal @ step / 2)

    clamped = torch.minimum(torch.maximum(-torch.linalg.solve(normal, gradient), low), high)
    assert value(best) <= value(found) <= value(best) * 0.8  # negative; what is pinned stays so
    assert value(found) < value(clamped)
    assert bool(((found >= low - 1e-9) & (found <= high + 1e-9)).all())


def test_exact_landmarks_are_met(model):
    identity, _, camera, landmarks = truth(model, 12)
    fit = LandmarkFitter(model, FitOptions(noise=0.002, contour_weight=1.0, slide_above=180))(
        landmarks
    )
    assert float(fit.error.max()) < 0.005
    assert float(torch.rad2deg(angle_between(fit.camera.rotation, camera.rotation)).mean()) < 0.8
    face = model.topology.masks["face"]
    expected = model.vertices(identity)[:, face]
    found = model.vertices(fit.identity)[:, face]
    mean_face = (expected - model.mean[face]).norm(dim=-1).mean()
    assert float((found - expected).norm(dim=-1).mean()) < 0.5 * float(mean_face)


def test_the_pinhole_is_recovered_with_its_field_of_view(model):
    _, _, camera, landmarks = truth(model, 8, focal=30.0)
    right = LandmarkFitter(model, FitOptions(noise=0.005, field_of_view=30.0, slide_above=180))(
        landmarks, frame=FRAME
    )
    weak = LandmarkFitter(model, FitOptions(noise=0.005, slide_above=180))(landmarks)
    assert torch.equal(right.camera.focal, camera.focal)
    assert float(right.cost.mean()) < 0.8 * float(weak.cost.mean())
    assert float(torch.rad2deg(angle_between(right.camera.rotation, camera.rotation)).mean()) < 1.5


def test_expressions_stay_within_their_range(model):
    _, _, _, landmarks = truth(model, 8, expressions=0.5)
    fit = LandmarkFitter(model, FitOptions(noise=0.003))(landmarks)
    assert float(fit.expression.min()) >= 0
    assert float(fit.expression.max()) <= 1
    assert float((fit.expression == 0).float().mean()) > 0.1  # and bounds do bind
    unseen = model.expression_index("eyeLook", "tongue", "cheekPuff")
    assert not bool(fit.expression[:, unseen].any())
    still = LandmarkFitter(model, FitOptions(expression=False))(landmarks)
    assert not bool(still.expression.any())


def test_pictures_of_a_person_share_one_identity(model):
    """Eight noisy views of one face: better together than each alone."""
    identity, _, _, landmarks = truth(model, 8, expressions=0.05, yaw=35)
    generator = torch.Generator().manual_seed(2)
    expression = torch.zeros(8, model.num_expression)
    _, _, camera, _ = truth(model, 8, seed=5, yaw=35)
    one = identity[:1].expand(8, -1)
    views = camera.project(model.landmarks(model.vertices(one, expression))).pixels
    views = views + torch.randn(views.shape, generator=generator)
    # the views' jaw line does not slide
    fitter = LandmarkFitter(model, FitOptions(slide_above=180))
    together = fitter(
        torch.cat([views, landmarks]), person=torch.tensor([3] * 8 + list(range(10, 18)))
    )
    alone = fitter(torch.cat([views, landmarks]))
    assert bool((together.identity[:8] == together.identity[0]).all())
    # the others are not disturbed
    assert torch.allclose(together.identity[8:], alone.identity[8:], atol=2e-2)
    face = model.topology.masks["face"]

    def distance(found):
        return float(
            (model.vertices(found)[:, face] - model.vertices(one)[:, face]).norm(dim=-1).mean()
        )

    assert distance(together.identity[:8]) < 0.85 * distance(alone.identity[:8])


def test_a_prior_from_another_picture(model):
    identity, _, _, landmarks = truth(model, 4)
    fit = LandmarkFitter(model)(landmarks, identity=identity, identity_sigma=0.01)
    assert float((fit.identity - identity).abs().max()) < 0.05


def test_mouths_are_as_far_open_as_the_landmarks_say(model):
    """With the lips' own rows; without them the priors close the mouth a little."""
    identity, expression, camera, _ = truth(model, 24, yaw=20, expressions=0.1)
    expression[:, model.expression_index("jawOpen")] = torch.linspace(0, 0.8, 24)[:, None]
    marks = camera.project(model.landmarks(model.vertices(identity, expression))).pixels
    marks = marks + 0.5 * torch.randn(marks.shape, generator=torch.Generator().manual_seed(4))

    def gaps(points):
        return points[:, [67, 66, 65]] - points[:, [61, 62, 63]]

    errors = [
        float(
            (
                gaps(LandmarkFitter(model, FitOptions(lip_weight=weight))(marks).landmarks)
                - gaps(marks)
            )
            .abs()
            .mean()
        )
        for weight in (0.0, 2.0)
    ]
    assert errors[1] < 0.7 * errors[0]
    unseen = torch.ones(24, 68)
    unseen[:, 62] = 0
    moved = marks.clone()
    moved[:, 62] += 300
    fits = [LandmarkFitter(model)(points, weights=unseen).landmarks for points in (marks, moved)]
    assert torch.allclose(*fits, atol=1e-2)


def test_dense_points_say_more_of_the_shape(model):
    """200 further points of the cheeks, forehead and nose, as noisy as the landmarks."""
    identity, expression, camera, landmarks = truth(model, 12)
    generator = torch.Generator().manual_seed(5)
    face = model.topology.triangles_in("face").nonzero()[:, 0]
    chosen = face[torch.randperm(len(face), generator=generator)[:200]]
    more = SurfacePoints(model.topology.faces[chosen], torch.full((200, 3), 1 / 3))
    dense = camera.project(more.of(model.vertices(identity, expression))).pixels
    noisy = [
        points + torch.randn(points.shape, generator=generator) for points in (landmarks, dense)
    ]
    few = LandmarkFitter(model)(noisy[0])
    fitter = LandmarkFitter(model, more=more)
    many = fitter(noisy[0], dense=noisy[1])
    assert many.landmarks.shape == (12, 268, 2)
    mask = model.topology.masks["face"]
    true = model.vertices(identity)[:, mask]
    errors = [
        float((model.vertices(fit.identity)[:, mask] - true).norm(dim=-1).mean())
        for fit in (few, many)
    ]
    assert errors[1] < 0.85 * errors[0]
    for wrong in (None, noisy[1][:, :5]):
        with pytest.raises(DataError, match="dense"):
            fitter(noisy[0], dense=wrong)
    with pytest.raises(DataError, match="dense"):
        LandmarkFitter(model)(noisy[0], dense=noisy[1])


def test_unseen_landmarks_are_left_out(model):
    _, _, _, landmarks = truth(model, 4)
    fitter = LandmarkFitter(model)
    broken, weights = landmarks.clone(), torch.ones(4, 68)
    broken[:, 60:] += 500
    weights[:, 60:] = 0
    other = broken.clone()
    other[:, 60:] -= 900
    assert torch.allclose(
        fitter(broken, weights=weights).landmarks[:, :60],
        fitter(other, weights=weights).landmarks[:, :60],
        atol=1e-2,
    )
    assert float(fitter(broken, weights=weights).error.max()) < 0.05


def test_offsets_move_the_model_s_landmarks(model):
    _, _, _, landmarks = truth(model, 4, yaw=0.0)
    offsets = torch.zeros(2, 85, 2)
    offsets[0, 30] = torch.tensor([3.0, 0.0])
    plain, moved = (LandmarkFitter(model, FitOptions(), one)(landmarks) for one in (None, offsets))
    shift = (moved.landmarks - plain.landmarks)[:, 30]
    assert float(shift[:, 0].min()) > 0.3


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda points: points[:, :60], DataError, "landmarks"),
        (lambda points: points * float("nan"), GeometryError, "not numbers"),
        (lambda points: points * 0 + 5, GeometryError, "one place"),
        (
            lambda points: torch.cat([points[:, :42], points[:, 36:42], points[:, 48:]], 1),
            GeometryError,
            "both eyes",
        ),
    ],
)
def test_landmarks_that_cannot_be_fitted(model, change, error, says):
    _, _, _, landmarks = truth(model, 2)
    with pytest.raises(error, match=says):
        LandmarkFitter(model)(change(landmarks))


def test_options_that_cannot_be(model):
    for options in (
        {"noise": 0},
        {"expression_sigma": -1},
        {"contour_weight": 11},
        {"iterations": 0},
    ):
        with pytest.raises(ConfigError):
            FitOptions(**options)
    with pytest.raises(GeometryError, match="frame"):
        LandmarkFitter(model, FitOptions(field_of_view=20.0))(truth(model, 1)[3])


def test_the_distance_between_the_pupils(model):
    _, _, _, landmarks = truth(model, 2)
    assert torch.allclose(
        distance_between_pupils(landmarks * 3), 3 * distance_between_pupils(landmarks)
    )
