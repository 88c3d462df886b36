"""Demons against a plain twin in NumPy and SciPy, written from the equations."""

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from facemorph.fields.warps import dense_refinement
from facemorph.fields.warps.dense_refinement import demons_velocity, exponential, local_contrast

SIDE = 48


def pictures():
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    first = 0.5 + 0.3 * np.sin(9 * x + 4 * y) * np.cos(7 * y)
    second = 0.5 + 0.3 * np.sin(9 * (x - 0.02) + 4 * (y + 0.01)) * np.cos(7 * (y + 0.01))
    return [
        torch.from_numpy(one).float().expand(1, 3, -1, -1).contiguous() for one in (first, second)
    ]


def blur(values, sigma):
    radius = max(1, int(3 * sigma + 0.5))
    return gaussian_filter(values, sigma, mode="nearest", radius=radius)


def read(values, shift):
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(float)
    return map_coordinates(values, [rows + shift[1], columns + shift[0]], order=1, mode="nearest")


def flow(velocity, first_step=0.5):
    largest = np.abs(velocity).max()
    squarings = max(0, int(np.ceil(np.log2(largest / first_step)))) if largest > 0 else 0
    step = velocity / 2**squarings
    shift = np.stack([read(one, 0.5 * step) for one in step])
    for _ in range(squarings):
        shift = shift + np.stack([read(one, shift) for one in shift])
    return shift


def twin(first, second, keep, iterations, smooth=2.5, fluid=1.5):
    velocity = np.zeros((2, SIDE, SIDE))
    for _ in range(iterations):
        a, b = read(first, flow(-velocity)), read(second, flow(velocity))
        padded = np.pad((a + b) / 2, 1, mode="edge")
        slope = (
            np.stack([padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]])
            / 2
        )
        force = 0.5 * (a - b) * slope / ((slope**2).sum(0) + (a - b) ** 2 + 1e-3)
        force = np.stack([blur(one, fluid) for one in force]).clip(-0.5, 0.5)
        velocity = np.stack([blur(one, smooth) for one in velocity + force]) * (1 - keep)
    return velocity


def test_demons_against_the_twin(monkeypatch):
    monkeypatch.setattr(dense_refinement, "LEVELS", ((SIDE, 12),))
    first, second = pictures()
    keep = torch.zeros(1, 1, SIDE, SIDE)
    keep[..., 10:20, 10:20] = 1
    fast = demons_velocity(first, second, keep)[0].numpy()
    contrast = local_contrast(torch.cat([first, second]))[:, 0].double().numpy()
    plain = twin(contrast[0], contrast[1], keep[0, 0].numpy(), 12)
    np.testing.assert_allclose(fast, plain, atol=2e-3)
    assert np.abs(plain).max() > 0.2
    assert not fast[:, 10:20, 10:20].any()


def test_local_contrast_against_scipy():
    first, _ = pictures()
    grey = first[0, 0].double().numpy()  # equal channels
    centred = grey - blur(grey, 3.0)
    expected = centred / (np.sqrt(blur(centred**2, 5.0)) + 0.02)
    np.testing.assert_allclose(local_contrast(first)[0, 0].numpy(), expected, atol=1e-4)


def test_scaling_and_squaring_against_an_integrator():
    noise = np.random.default_rng(0).standard_normal((2, 12, 12))
    velocity = np.stack([zoom(one, 4, order=3) for one in noise])
    velocity = np.stack([blur(one, 3.0) for one in velocity])
    velocity *= 2.0 / np.abs(velocity).max()

    def speed(_, flat):
        x, y = flat.reshape(2, -1)
        return np.concatenate(
            [map_coordinates(one, [y, x], order=1, mode="nearest") for one in velocity]
        )

    rows, columns = np.mgrid[12:36:4, 12:36:4]
    start = np.stack([columns, rows]).reshape(2, -1).astype(float)
    end = solve_ivp(speed, (0, 1), start.ravel(), rtol=1e-8, atol=1e-8).y[:, -1].reshape(2, -1)
    found = (
        exponential(torch.from_numpy(velocity)[None].float())[0]
        .numpy()[:, 12:36:4, 12:36:4]
        .reshape(2, -1)
    )
    np.testing.assert_allclose(found, end - start, atol=0.03)
