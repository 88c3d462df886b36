"""Maps that a camera sees, visibility, correspondence and pictures."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import DataError, GeometryError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.lighting import ambient_light, random_light
from facemorph.geometry.rendering.rasterizer import rasterize_torch
from facemorph.geometry.rendering.renders import MeshView, correspondence, sample_texture
from facemorph.geometry.rendering.shaded_pictures import render_picture, shade
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler

SIZE = (120, 110)


def camera(*yaws: float, pinhole: bool = False) -> Camera:
    yaw = torch.tensor(yaws)
    found = Camera(
        rotation_from_euler(yaw, torch.full_like(yaw, 0.05), torch.zeros_like(yaw)),
        torch.tensor([[55.0, 50.0]]).expand(len(yaws), 2),
        torch.full((len(yaws),), -0.9),
    )
    return found.as_pinhole(Frame(*SIZE), 25.0) if pinhole else found


def view(*yaws: float, pinhole: bool = False, scale: int = 1) -> MeshView:
    model = load_makehuman()
    return MeshView.of(
        model.mean.expand(len(yaws), -1, -1),
        model.topology.faces,
        camera(*yaws, pinhole=pinhole).scaled(scale),
        (SIZE[0] * scale, SIZE[1] * scale),
    )


def centres(scale: int = 1) -> torch.Tensor:
    y, x = torch.meshgrid(*(torch.arange(side * scale) + 0.5 for side in SIZE), indexing="ij")
    return torch.stack([x, y], -1)


@pytest.mark.parametrize("pinhole", [False, True])
def test_positions_project_to_their_own_pixels(pinhole):
    seen = view(0.3, -0.5, pinhole=pinhole)
    positions = seen.positions().flatten(2).transpose(1, 2)
    projection = seen.camera.project(positions)
    mask = seen.mask[:, 0].flatten(1)
    gap = (projection.pixels - centres().view(1, -1, 2)).norm(dim=-1)
    assert float(gap[mask].max()) < 1e-2
    assert torch.allclose(projection.depth[mask], seen.depth.flatten(1)[mask], atol=1e-2)


def test_maps_have_their_shapes_and_zeros():
    seen, topology = view(0.2), load_makehuman().topology
    for found, channels in (
        (seen.uv(topology), 2),
        (seen.normals(), 3),
        (seen.positions(), 3),
        (seen.depth, 1),
    ):
        assert found.shape == (1, channels, *SIZE)
        assert bool((found[:, :, ~seen.mask[0, 0]] == 0).all())
    assert torch.allclose(seen.normals().norm(dim=1)[seen.mask[:, 0]], torch.ones(()), atol=1e-5)
    assert float(seen.normals()[:, 2][seen.mask[:, 0]].mean()) > 0.4  # towards the viewer


def test_normals_stay_with_the_camera():
    """A head turned to the right of the picture has a nose that points there."""
    model = load_makehuman()
    nose = int(model.mean[:, 2].argmax())
    for yaw, sign in ((0.5, 1), (-0.5, -1)):
        seen = view(yaw)
        column, row = seen.projection.pixels[0, nose].long().tolist()
        patch = seen.normals()[0, 0, row - 1 : row + 2, column - 1 : column + 2].mean()
        assert float(patch) * sign > 0.1


def visible_by_rays(seen: MeshView, chosen: torch.Tensor) -> torch.Tensor:
    """Whether any triangle crosses the way from a vertex to the viewer, in weak perspective: brute
    force.
    """
    turned = seen.camera.view(seen.vertices)[0].double()
    a, b, c = turned[seen.faces].unbind(1)
    hidden = []
    for vertex in chosen.tolist():
        p = turned[vertex]
        u, v, w = (
            ((q[:, 0] - p[0]) * (r[:, 1] - p[1]) - (q[:, 1] - p[1]) * (r[:, 0] - p[0]))
            for q, r in ((b, c), (c, a), (a, b))
        )
        area = u + v + w
        inside = (u * area > 0) & (v * area > 0) & (w * area > 0)
        z = (u * a[:, 2] + v * b[:, 2] + w * c[:, 2]) / area
        own = (seen.faces == vertex).any(1)
        hidden.append(bool((inside & ~own & (z > p[2] + 1.0)).any()))
    return ~torch.tensor(hidden)


def test_visible_vertices_against_rays():
    model = load_makehuman()
    turned = camera(0.6).scaled(4)
    seen = MeshView.of(model.mean[None], model.topology.faces, turned, (SIZE[0] * 4, SIZE[1] * 4))
    chosen = torch.arange(0, model.num_vertices, 7)
    facing = seen.facing()[0, chosen]
    clear = facing.abs() > 0.15  # off the outline
    expected = visible_by_rays(seen, chosen) & (facing > 0)
    found = seen.visible_vertices()[0, chosen]
    assert float((found == expected)[clear].float().mean()) > 0.98


def test_outside_the_picture_is_not_seen():
    seen = view(0.0)
    assert not bool(seen.sees(torch.tensor([[[1e4, 0.0, 1e3], [0.0, -1e4, 1e3]]])).any())
    assert bool(seen.sees(torch.tensor([[[0.0, 0.0, 500.0]]])).all())  # before everything


@pytest.mark.parametrize("pinhole", [False, True])
def test_correspondence_leads_to_the_same_point(pinhole):
    target, source = view(0.3, pinhole=pinhole, scale=4), view(-0.2, pinhole=pinhole, scale=4)
    found = correspondence(target, source)
    pixels = centres(4) + found.flow[0].movedim(0, -1)
    expected = source.camera.project(target.positions().flatten(2).transpose(1, 2)).pixels.view(
        pixels.shape
    )
    mask = found.mask[0, 0]
    assert torch.allclose(pixels[mask], expected[mask], atol=1e-3)
    assert bool((found.flow[0][:, ~mask] == 0).all())
    # Where the source sees the point, what it shows there is that very point.
    grid = pixels / torch.tensor([4 * SIZE[1], 4 * SIZE[0]]) * 2 - 1
    there = torch.nn.functional.grid_sample(source.positions(), grid[None], align_corners=False)[0]
    gap = (there - target.positions()[0]).norm(dim=0)[found.visible[0, 0]]
    assert float(gap.median()) < 0.1
    assert float(gap.quantile(0.95)) < 4
    hidden = mask & ~found.visible[0, 0]
    assert 0.02 < float(hidden.sum() / mask.sum()) < 0.5


def test_correspondence_with_itself():
    seen = view(0.2)
    found = correspondence(seen, seen)
    assert float(found.flow.abs().max()) < 1e-3
    assert float((found.visible & found.mask).sum() / found.mask.sum()) > 0.99


def test_sample_texture_at_texel_centres():
    texture = torch.rand(1, 3, 4, 4)
    steps = (torch.arange(4) + 0.5) / 4
    uv = torch.stack(torch.meshgrid(steps, steps, indexing="xy"))[None]
    assert torch.allclose(sample_texture(texture, uv), texture, atol=1e-6)


@pytest.mark.parametrize("lit", [False, True])
def test_fused_shading_is_its_twin(lit):
    model, angles = load_makehuman(), camera(0.4, -0.3)
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(2, 3, 64, 48, generator=generator)
    light = random_light(2, generator) if lit else None
    vertices = model.mean.expand(2, -1, -1)
    fused = render_picture(vertices, model.topology, angles, SIZE, texture, light=light)
    seen = MeshView.of(vertices, model.topology.faces, angles, SIZE, rasterizer=rasterize_torch)
    assert torch.allclose(fused.colour, shade(seen, model.topology, texture, light), atol=2e-4)
    assert torch.equal(fused.alpha, seen.mask.float())


def test_gradients_reach_texture_and_light():
    model = load_makehuman()
    texture = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    light = ambient_light(0.8)[None].requires_grad_()
    picture = render_picture(
        model.mean[None], model.topology, camera(0.0), SIZE, texture, light=light
    )
    covered = float(picture.alpha.sum())
    picture.colour.sum().backward()
    # Half-grey under ambient light 0.8: each covered pixel gives 0.8 to its texels and 0.5 / 0.8 *
    # 0.4 to the light.
    assert float(texture.grad.sum()) == pytest.approx(3 * 0.8 * covered, rel=1e-3)
    assert float((light.grad[:, 0] * light.detach()[:, 0]).sum()) == pytest.approx(
        3 * 0.4 * covered, rel=1e-3
    )
    with torch.no_grad():
        fused = render_picture(
            model.mean[None], model.topology, camera(0.0), SIZE, texture, light=light
        )
    assert torch.allclose(fused.colour, picture.colour.detach(), atol=1e-4)


def test_supersampling_smooths_the_outline():
    model, texture = load_makehuman(), torch.ones(1, 3, 8, 8)
    hard, soft, finest = (
        render_picture(model.mean[None], model.topology, camera(0.2), SIZE, texture, supersample=n)
        for n in (1, 2, 8)
    )
    assert set(hard.alpha.unique().tolist()) == {0.0, 1.0}
    assert set(soft.alpha.unique().tolist()) == {0.0, 0.25, 0.5, 0.75, 1.0}
    errors = [float((one.alpha - finest.alpha).square().mean()) for one in (hard, soft)]
    assert errors[1] < errors[0] / 2
    over = soft.over(torch.full((3, *SIZE), 0.5))
    # white head before grey
    assert torch.allclose(over, soft.alpha + (1 - soft.alpha) * 0.5, atol=1e-6)


def test_bad_input():
    model = load_makehuman()
    texture = torch.rand(1, 3, 8, 8)
    with pytest.raises(DataError, match="vertices"):
        MeshView.of(model.mean[None], model.topology.faces, camera(0.0, 0.1), SIZE)
    with pytest.raises(DataError, match="texture"):
        render_picture(model.mean[None], model.topology, camera(0.0), SIZE, texture[0])
    with pytest.raises(DataError, match="light"):
        render_picture(
            model.mean[None], model.topology, camera(0.0), SIZE, texture, light=torch.zeros(9, 3)
        )
    inside = Camera(torch.eye(3)[None], torch.tensor([[55.0, 60.0]]), torch.ones(1)).as_pinhole(
        Frame(*SIZE), 90.0
    )
    with pytest.raises(GeometryError, match="inside the head"):
        MeshView.of(model.mean[None], model.topology.faces, inside, SIZE)
