"""Reading the colours of a face back from photographs into its texture map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.models.morphable_model import FaceTopology, MorphableModel
from facemorph.geometry.models.regions import grow
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.textures.atlas import EYES, MOUTH, Atlas, atlas_of, named
from facemorph.geometry.textures.backdrop import plain_backdrop
from facemorph.ops.filters import dilated
from facemorph.ops.shapes import check_shape

GRAZING, FRONTAL = 0.25, 0.6  # cosine to the camera where the confidence begins, and where it is 1
OUTLINE = 0.02  # width at the outline that is not believed, of the head's width in the picture
PART_BORDER = 0.002  # the same where an eye or tooth meets the lid or lip before it
STEP = 12.0  # millimetres that the nearest part of a border lies before what it hides
GRID = 512  # the head's longer side, in pixels, where borders are looked for
NO_PHOTOGRAPH = ("ears", "socket")  # no landmark holds them, or no light comes in


@dataclass(frozen=True)
class Texture:
    """A texture map and how far each of its texels is to be believed.

    Attributes:
        colour: ``(3, S, S)`` in [0, 1].
        confidence: ``(S, S)`` 0 (not seen) to 1.
    """

    colour: Tensor
    confidence: Tensor


def unproject(
    model: MorphableModel, vertices: Tensor, camera: Camera, image: Tensor, size: int = 512
) -> Texture:
    """The colours that a photograph shows of a face.

    A texel is believed as far as its point is turned to the camera, nothing lies before it, and it
    is off the outline, which no fit meets exactly. Ears and sockets take nothing from the
    photograph, nor does the scalp where a plain wall shows: the model's skull may be larger than
    the person's.

    Args:
        model: The model that was fitted.
        vertices: ``(V, 3)`` the fitted face.
        camera: One view.
        image: ``(3, H, W)`` in [0, 1].
        size: Texels along each side of the map.

    Raises:
        DataError: A shape does not fit.
        GeometryError: The face is not in the picture, or the camera is inside the head.
    """
    check_shape(image, "3 H W", "image")
    check_shape(vertices, f"{model.num_vertices} 3", "vertices")
    atlas, topology = atlas_of(model, size), model.topology
    height, width = image.shape[1:]
    view = MeshView.of(vertices[None], topology.faces, camera, (height, width))
    if not bool(view.mask.any()):
        raise GeometryError(
            "the face is not in the picture",
            where="unproject",
            found=f"{width} x {height} pixels",
            remedy="Fit the face to this very photograph.",
        )
    row, column = atlas.mask.nonzero(as_tuple=True)
    keep = 1 - spread_mask(topology, *NO_PHOTOGRAPH)
    scalp = spread_mask(topology, "scalp")
    values = torch.cat([vertices, view.facing()[0][:, None], keep[:, None], scalp[:, None]], 1)
    points, facing, keep, scalp = atlas.at_texels(values, topology.faces)[:, row, column].T.split(
        [3, 1, 1, 1], 1
    )
    pixels = camera.project(points[None]).pixels
    grid = (pixels / pixels.new_tensor([width / 2, height / 2]) - 1)[:, None]
    clear, corner = _clear_of_borders(view, topology)
    extent = pixels.new_tensor([clear.shape[3], clear.shape[2]]) * corner[2]
    near = ((pixels - corner[:2]) / extent * 2 - 1)[:, None]
    part = topology.face_component[atlas.fragments.face[0, row, column]]
    is_skin, in_mouth = ~named(topology, *EYES, *MOUTH)[part], named(topology, *MOUTH)[part]
    clear = F.grid_sample(clear, near, padding_mode="border", align_corners=False)[0, :, 0]
    clear = torch.where(is_skin, clear[0], clear[1]) + in_mouth.to(image)
    turned = ((facing[:, 0] - GRAZING) / (FRONTAL - GRAZING)).clamp(0, 1)
    # Models have teeth and tongue only roughly: what the gap of the lips shows is taken as it is.
    turned = torch.where(in_mouth, (facing[:, 0] > 0).to(turned), turned)
    found = view.sees(points[None])[0] * turned * keep[:, 0].clamp(0, 1) * clear.clamp(max=1)
    wall = F.grid_sample(
        plain_backdrop(image)[None, None], grid, padding_mode="border", align_corners=False
    )[0, 0, 0]
    found = found * (1 - wall * (2 * scalp[:, 0]).clamp(0, 1))
    colour = image.new_zeros(3, size, size)
    colour[:, row, column] = F.grid_sample(
        image[None], grid, padding_mode="border", align_corners=False
    )[0, :, 0]
    confidence = image.new_zeros(size, size)
    confidence[row, column] = found
    return Texture(colour, confidence)


def spread_mask(topology: FaceTopology, *names: str, rings: int = 3) -> Tensor:
    """Regions as weights of the vertices ``(V,)``, changing over rings of vertices around their
    border.

    Args:
        topology: Of the model; regions that it does not have are empty.
        names: The regions.
        rings: Over how many rings the weight fades to 0 outside; negative: over how many it rises
            to 1 inside.
    """
    faces = topology.faces
    inside = torch.zeros_like(topology.masks["face"])
    for name in names:
        if name in topology.masks:
            inside = inside | topology.masks[name]
    grown = inside if rings >= 0 else ~inside
    result = grown.to(topology.uv.dtype)
    for ring in range(abs(rings)):
        wider = grow(grown, faces)
        result = torch.where(wider & ~grown, 1 - (ring + 1) / (abs(rings) + 1), result)
        grown = wider
    return result if rings >= 0 else 1 - result


def _clear_of_borders(view: MeshView, topology: FaceTopology) -> tuple[Tensor, Tensor]:
    """How far pixels are off borders: 0 on them, 1 a little further in.

    Returns:
        ``(1, 2, h, w)`` of the part of the picture that shows the face. The first channel is for
        skin: the outline, and what lies close behind another part of the face; the second for eyes:
        where another part begins. And ``(3,)`` x and y of that part's corner and the pixels for one
        of its own.
    """
    mask = view.fragments.mask[0]
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    extent = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    step = max(1, round(extent / GRID))
    reach = max(1, round(OUTLINE * extent / step))
    # A frame of background around the face, but not where the picture cuts it: that is no outline.
    margin = 2 * reach * step
    top, left = (max(0, int(places[0]) - margin) for places in (rows, columns))
    window = (
        slice(top, int(rows[-1]) + margin, step),
        slice(left, int(columns[-1]) + margin, step),
    )
    covered = mask[window][None, None]
    face = view.fragments.face[0][window]
    depth = torch.where(covered, view.fragments.depth[0][window], -torch.inf)
    part = torch.where(covered, topology.face_component[face] + 1, 0).to(depth.dtype)
    changes = F.max_pool2d(part, 3, 1, 1) != -F.max_pool2d(-part, 3, 1, 1)
    close = max(1, round(PART_BORDER * extent / step))
    hidden = dilated(depth, close) - depth > STEP
    clear = torch.cat([_shrink(~covered, reach) * ~hidden, _shrink(changes, close)], 1)
    return clear, depth.new_tensor([left, top, step])


def _shrink(border: Tensor, reach: int) -> Tensor:
    """0 within ``reach`` of the border, then rising to 1 over half as far again."""
    near = dilated(border.float(), reach)
    further = dilated(near, math.ceil(reach / 4))
    return 1 - (near + further + dilated(further, math.ceil(reach / 4))) / 3


def blend_views(views: Sequence[Texture]) -> Texture:
    """One texture from several photographs of a person.

    Each view is first brought to the brightness of the most confident one, channel by channel, over
    the texels that both show; then each texel is the mean of the views, weighted with the squares
    of their confidences, so that the view that sees a point best has the say and there is no seam.

    Raises:
        GeometryError: There is no view, or they have different sizes.
    """
    if not views:
        raise GeometryError("there is no view to blend", where="blend_views")
    sizes = {tuple(view.colour.shape) for view in views}
    if len(sizes) != 1:
        raise GeometryError(
            "the views have different sizes", where="blend_views", found=sorted(sizes)
        )
    best = max(views, key=lambda view: float(view.confidence.sum()))
    total = torch.zeros_like(best.colour)
    mass = torch.zeros_like(best.confidence)
    for view in views:
        weight = view.confidence.square()
        total += view.colour * _gain(view, best)[:, None, None] * weight
        mass += weight
    confidence = torch.stack([view.confidence for view in views]).amax(0)
    return Texture((total / mass.clamp(min=1e-8)).clamp(0, 1), confidence)


def _gain(view: Texture, reference: Texture) -> Tensor:
    """Factor ``(3,)`` that brings a view to the brightness of another one; 1 where they share too
    little.
    """
    both = (view.confidence > 0.5) & (reference.confidence > 0.5)
    if view is reference or int(both.sum()) < 64:
        return view.colour.new_ones(3)
    return (
        reference.colour[:, both].median(1).values
        / view.colour[:, both].median(1).values.clamp(min=0.02)
    ).clamp(0.5, 2)


def skin_tone(model: MorphableModel, atlas: Atlas, texture: Texture) -> Tensor:
    """Median colour ``(3,)`` of the skin of the face that the texture is confident about;
    grey-brown without any.
    """
    region = (
        atlas.at_texels(
            model.topology.masks["face"].to(texture.colour)[:, None], model.topology.faces
        )[0]
        > 0.99
    )
    seen = region & (texture.confidence > 0.8)
    if int(seen.sum()) < 16:
        return texture.colour.new_tensor([0.6, 0.48, 0.42])
    return texture.colour[:, seen].median(1).values
