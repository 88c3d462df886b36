"""``facemorph bench raster``: the rasterisers' speed and agreement, shading, and textures read back
from pictures.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from facemorph.bench.photographs.frll import find_frll
from facemorph.bench.table import Row, missing, row
from facemorph.faces.detection import find_face
from facemorph.faces.files.image_io import load_image, resize_image
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.landmark_solver import FitOptions
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.fragments import Rasterizer
from facemorph.geometry.rendering.lighting import random_light
from facemorph.geometry.rendering.rasterizer import rasterize_torch
from facemorph.geometry.rendering.rasterizer_numba import rasterize_numba
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.rendering.shaded_pictures import render_picture, shade
from facemorph.geometry.textures.texture_completion import complete_texture
from facemorph.geometry.textures.unprojection import unproject
from facemorph.ops.filters import dilated
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler
from facemorph.ops.threads import one_thread

BARS = {256: ("<= 3", "<= 60"), 512: ("<= 10", "<= 220")}
BACK_ENDS: dict[str, Rasterizer] = {"numba": rasterize_numba, "torch": rasterize_torch}
PHOTOGRAPH = 675  # pixels of the picture that textures are read from
INSIDE = 8  # pixels off the border of the face


PEOPLE = ("neutral/001_03.jpg", "smiling/004_08.jpg", "neutral/061_03.jpg", "smiling/119_08.jpg")


def run(folder: Path | None = None) -> list[Row]:
    """All rows of the suite.

    Args:
        folder: FRLL; found by itself when None.
    """
    frll = find_frll(folder)
    with one_thread(), torch.no_grad():
        model = load_makehuman()
        return [
            *(one for size in BARS for one in head_rows(model, size)),
            *analytic_rows(),
            *texture_rows(model),
            *photograph_rows(model, frll),
        ]


def head_rows(model: MorphableModel, size: int) -> list[Row]:
    """Speed and agreement on the embedded head, seen by a pinhole a little from the side."""
    faces, topology = model.topology.faces, model.topology
    camera = view_of_head(size, yaw=0.4).as_pinhole(Frame(size, size), 20.0)
    projection = camera.project(model.mean[None])
    first, second = (draw(projection, faces, (size, size)) for draw in BACK_ENDS.values())
    milliseconds = {
        name: fastest(partial(draw, projection, faces, (size, size)))
        for name, draw in BACK_ENDS.items()
    }
    both = first.mask & second.mask
    same = first.face[both] == second.face[both]
    gap = (first.weights - second.weights)[both][same].abs().max()
    bars = dict(zip(BACK_ENDS, BARS[size], strict=True))
    texture, light = torch.rand(1, 3, 512, 512), random_light(1, torch.Generator().manual_seed(0))
    view = MeshView.of(model.mean[None], faces, camera, (size, size))
    picture = fastest(
        lambda: render_picture(
            model.mean[None], topology, camera, (size, size), texture, light=light
        )
    )
    return [
        *(
            row(f"embedded head {size} px: {name}", milliseconds[name], "ms", bars[name])
            for name in BACK_ENDS
        ),
        row(
            f"embedded head {size} px: torch / numba",
            milliseconds["torch"] / milliseconds["numba"],
            "",
        ),
        row(
            f"embedded head {size} px: masks differ",
            int((first.mask ^ second.mask).sum()),
            "px",
            "== 0",
        ),
        row(
            f"embedded head {size} px: same triangle",
            100 * float(same.float().mean()),
            "%",
            ">= 99.99",
        ),
        row(f"embedded head {size} px: weights differ by", float(gap), "", "<= 1e-5"),
        row(f"embedded head {size} px: textured and lit picture, all of it", picture, "ms"),
        row(
            f"embedded head {size} px: shading alone, plain torch",
            fastest(lambda: shade(view, topology, texture, light)),
            "ms",
        ),
    ]


def view_of_head(size: int, yaw: float = 0.0) -> Camera:
    """A head of 300 mm that fills the picture, in weak perspective."""
    angles = torch.tensor([[yaw], [0.1], [0.05]])
    return Camera(
        rotation_from_euler(*angles),
        torch.tensor([[size / 2, size * 0.42]]),
        torch.tensor([math.log(size / 300)]),
    )


def fastest(function: Callable[[], object], repeats: int = 12) -> float:
    """Least milliseconds of several calls, after one that compiles."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def analytic_rows(size: int = 256) -> list[Row]:
    """Largest error against a sphere and a cylinder that a ray is intersected with, in pixels."""
    rows = []
    for name, draw in BACK_ENDS.items():
        for shape, error in (
            ("sphere", sphere_error(draw, size)),
            ("cylinder", cylinder_error(draw, size)),
        ):
            rows.append(row(f"{shape}, pinhole, {name}: largest error", error, "px", "<= 0.5"))
    return rows


def sphere_error(draw: Rasterizer, size: int, radius: float = 90.0, steps: int = 256) -> float:
    """How far from a sphere's outline pixels are that are wrongly in or out, and how wrong depths
    are, in pixels.
    """
    polar = torch.linspace(0, math.pi, steps // 2 + 1, dtype=torch.float64)[:, None]
    around = torch.arange(steps, dtype=torch.float64)[None] * (2 * math.pi / steps)
    grid = torch.stack(
        [polar.sin() * around.cos(), polar.sin() * around.sin(), polar.cos().expand(-1, steps)], -1
    )
    view = MeshView.of(
        (radius * grid).view(1, -1, 3).float(),
        tube_faces(steps // 2, steps).flip(1),
        _pinhole(size),
        (size, size),
        rasterizer=draw,
    )
    camera = view.camera
    focal, scale = (
        float(camera.focal[0]) if camera.focal is not None else 0.0,
        float(camera.log_size.exp()[0]),
    )
    distance = focal / scale
    x, y = (Frame(size, size).pixel_centres(torch.float64) * size / 2).unbind(-1)
    squared = x * x + y * y
    outline = focal * radius / math.sqrt(distance**2 - radius**2)
    mask = view.mask[0, 0]
    wrong = mask != (squared.sqrt() < outline)
    at_outline = float((squared.sqrt() - outline).abs()[wrong].max()) if bool(wrong.any()) else 0.0
    # Along the ray through a pixel, s (x, y, -focal) from the pinhole at (0, 0, distance).
    length = squared + focal**2
    root = (focal * distance) ** 2 - length * (distance**2 - radius**2)
    depth = distance - focal * (focal * distance - root.clamp(min=0).sqrt()) / length
    inside = mask & (squared.sqrt() < outline - 2)
    return max(at_outline, float((view.depth[0, 0] - depth).abs()[inside].max()) * scale)


def cylinder_error(
    draw: Rasterizer, size: int, radius: float = 60.0, height: float = 160.0, steps: int = 512
) -> float:
    """How far interpolated points of an upright cylinder of long triangles are from those that rays
    meet, in pixels.
    """
    around = torch.arange(steps, dtype=torch.float64) * (2 * math.pi / steps)
    ring = torch.stack(
        [radius * around.sin(), torch.full_like(around, height / 2), radius * around.cos()], -1
    )
    vertices = torch.cat([ring, ring * torch.tensor([1.0, -1.0, 1.0])])
    pitch = rotation_from_euler(*torch.tensor([[0.0], [0.4], [0.0]]))
    view = MeshView.of(
        vertices[None].float(),
        tube_faces(1, steps),
        _pinhole(size).turned(pitch),
        (size, size),
        rasterizer=draw,
    )
    camera = view.camera
    focal = float(camera.focal[0]) if camera.focal is not None else 0.0
    distance = focal / float(camera.log_size.exp()[0])
    turn = camera.rotation[0].double()
    x, y = (Frame(size, size).pixel_centres(torch.float64) * size / 2).unbind(-1)
    way = torch.stack([x, -y, torch.full_like(x, -focal)], -1) @ turn
    eye = torch.tensor([0.0, 0.0, distance], dtype=torch.float64) @ turn
    a = way[..., 0] ** 2 + way[..., 2] ** 2
    b = way[..., 0] * eye[0] + way[..., 2] * eye[2]
    root = b * b - a * (eye[0] ** 2 + eye[2] ** 2 - radius**2)
    points = eye + ((-b - root.clamp(min=0).sqrt()) / a)[..., None] * way
    front = (
        (root > 0)
        & (points[..., 1].abs() < height / 2 - 4)
        & (root.sqrt() > 0.4 * a.sqrt() * radius)
    )
    found = view.positions()[0].movedim(0, -1).double()
    gap = (found - points).norm(dim=-1)[front] * float(camera.log_size.exp()[0])
    return float(gap.max()) if bool(view.mask[0, 0][front].all()) else float(size)


def tube_faces(rows: int, steps: int) -> Tensor:
    """Triangles of a tube of ``rows`` bands of ``steps`` quads.

    The first ring is on top; outside is out for rings that go against the clock as seen from above.
    """
    row_index = torch.arange(rows)[:, None] * steps
    here, following = torch.arange(steps)[None], (torch.arange(steps)[None] + 1) % steps
    a, b, c, d = (
        row_index + here,
        row_index + following,
        row_index + steps + here,
        row_index + steps + following,
    )
    return torch.stack([torch.stack([a, c, b], -1), torch.stack([b, c, d], -1)], 2).view(-1, 3)


def _pinhole(size: int) -> Camera:
    return Camera(
        torch.eye(3)[None],
        torch.tensor([[size / 2, size / 2]]),
        torch.tensor([math.log(size / 260)]),
    ).as_pinhole(Frame(size, size), 30.0)


def texture_rows(model: MorphableModel) -> list[Row]:
    """Reading a known texture back from a picture, and rendering it again."""
    rows, seconds = [], []
    camera = view_of_head(PHOTOGRAPH)
    truth = render_picture(
        model.mean[None], model.topology, camera, (PHOTOGRAPH,) * 2, painted(1024), supersample=2
    )
    image = truth.over(torch.tensor(0.9))[0]
    for size, bar in ((512, ">= 32"), (1024, ">= 34")):
        value = rerender_psnr(model, model.mean, camera, image, size)
        rows.append(
            row(
                f"painted head read back and rendered again, {size} map, inside the face",
                value,
                "dB",
                bar,
            )
        )
    for _ in range(5):
        start = time.perf_counter()
        complete_texture(model, unproject(model, model.mean, camera, image, 512))
        seconds.append(time.perf_counter() - start)
    return [
        *rows,
        row("unproject and fill, 512 map, median", statistics.median(seconds), "s", "<= 0.5"),
    ]


def photograph_rows(model: MorphableModel, frll: Path | None) -> list[Row]:
    """Photographs, fitted to our own landmarks, read back and rendered again in the same view."""
    name = (
        f"{len(PEOPLE)} photographs read back and rendered again, {{}} map, inside the face, median"
    )
    bars = {512: ">= 32", 1024: ">= 34"}
    if frll is None:
        return [
            missing(name.format(size), "FRLL is not here: give --frll DIR", bar)
            for size, bar in bars.items()
        ]
    fitter = LandmarkFitter(model, FitOptions(noise=0.015))
    found: dict[int, list[float]] = {size: [] for size in bars}
    head = ~(model.topology.masks["neck"] | model.topology.masks["ears"])
    whole = []
    for person in PEOPLE:
        image = resize_image(load_image(frll / person), (PHOTOGRAPH, PHOTOGRAPH))
        fit = fitter(find_face(image, name=person).points[None])
        vertices = model.vertices(fit.identity, fit.expression, fit.joints)[0]
        for size, values in found.items():
            values.append(rerender_psnr(model, vertices, fit.camera, image, size))
        whole.append(rerender_psnr(model, vertices, fit.camera, image, 1024, head))
    return [
        *(
            row(name.format(size), statistics.median(found[size]), "dB", bar)
            for size, bar in bars.items()
        ),
        row(
            "the same, 1024 map, with all of the hair that the mesh covers",
            statistics.median(whole),
            "dB",
        ),
    ]


def painted(size: int) -> Tensor:
    """A texture ``(1, 3, S, S)`` with detail of many sizes."""
    generator = torch.Generator().manual_seed(0)
    layers = [
        F.interpolate(
            torch.rand(1, 3, side, side, generator=generator) - 0.5,
            size=(size, size),
            mode="bicubic",
        )
        for side in (8, 16, 32, 64)
    ]
    tone = torch.tensor([0.70, 0.55, 0.48])[:, None, None]
    return (tone + 0.12 * torch.stack(layers).sum(0)).clamp(0, 1)


def rerender_psnr(
    model: MorphableModel,
    vertices: Tensor,
    camera: Camera,
    image: Tensor,
    size: int,
    region: Tensor | None = None,
) -> float:
    """Agreement in dB of a photograph with the face that its texture is read from, in the same
    view.

    Measured inside a region, 8 pixels off its border.

    Args:
        model: The fitted model.
        vertices: ``(V, 3)`` the fitted face.
        camera: One view.
        image: ``(3, H, W)``.
        size: Texels along each side of the map.
        region: ``(V,)`` bool vertices; None is the face.
    """
    region = model.topology.masks["face"] if region is None else region
    texture = complete_texture(model, unproject(model, vertices, camera, image, size))
    frame = (int(image.shape[1]), int(image.shape[2]))
    picture = render_picture(vertices[None], model.topology, camera, frame, texture[None]).colour[0]
    view = MeshView.of(vertices[None], model.topology.faces, camera, frame)
    drawn = view.attribute(region.to(image)[:, None]) > 0.99
    inside = dilated((~drawn).float(), INSIDE)[0, 0] == 0
    return float(-10 * (picture - image)[:, inside].square().mean().log10())
