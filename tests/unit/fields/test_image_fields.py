"""Pictures as functions: exact spline, sine network, multiresolution grid."""

from itertools import pairwise

import pytest
import torch

from facemorph.errors import ConfigError, DataError, GeometryError
from facemorph.fields.image_fields import MultiresGrid, SirenImage, SplineImage, render_field
from facemorph.ops.frames import Frame
from facemorph.ops.jets import autograd_jet

SIZES = [(12, 12), (9, 15), (16, 7), (1, 1), (2, 3), (1, 6)]


def picture(height=12, width=15, dtype=torch.float32):
    return torch.rand(3, height, width, dtype=dtype)


# ------------------------------------------------------------
# spline
@pytest.mark.parametrize("size", SIZES)
def test_the_identity_map_gives_the_image_to_the_bit(size):
    image = picture(*size)
    field = SplineImage(image)
    assert torch.equal(field.sample(Frame(*size).pixel_centres()), image)
    assert torch.equal(render_field(field, Frame(*size).pixel_centres()), image)


@pytest.mark.parametrize("size", SIZES)
def test_the_spline_is_exact_at_pixel_centres(size):
    image = picture(*size, dtype=torch.float64)
    field = SplineImage(image)
    centres = Frame(*size).pixel_centres(torch.float64).reshape(-1, 2)
    torch.testing.assert_close(
        field(centres).value.t().reshape(image.shape), image, rtol=0, atol=1e-11
    )
    nearly = Frame(*size).pixel_centres(torch.float64) + 1e-13
    torch.testing.assert_close(field.sample(nearly), image, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(12, 12), (9, 15), (16, 7)])
def test_gradient_against_autograd(size):
    field = SplineImage(picture(*size, dtype=torch.float64))
    points = torch.rand(100, 2, dtype=torch.float64) * 2.4 - 1.2  # also outside
    jet, plain = field(points, order=1), autograd_jet(lambda p: field(p).value, points, 1)
    torch.testing.assert_close(jet.jacobian, plain.jacobian, rtol=0, atol=1e-10)
    torch.testing.assert_close(jet.value, plain.value, rtol=0, atol=0)
    assert jet.hessian is None


def test_linear_ramps_are_met_away_from_the_border_with_their_slope():
    """x and y are told apart and scaled right on a frame that is not square."""
    frame = Frame(30, 60)
    centres = frame.pixel_centres(torch.float64)
    image = torch.stack(
        [0.5 + 0.3 * centres[..., 0], 0.5 + 0.2 * centres[..., 1], 0 * centres[..., 0]]
    )
    field = SplineImage(image)
    points = torch.rand(50, 2, dtype=torch.float64) * 0.3 - 0.15
    jet = field(points, order=1)
    expected = torch.stack(
        [0.5 + 0.3 * points[:, 0], 0.5 + 0.2 * points[:, 1], 0 * points[:, 0]], 1
    )
    torch.testing.assert_close(jet.value, expected, rtol=0, atol=1e-6)
    slope = torch.tensor([[0.3, 0.0], [0.0, 0.2], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(jet.jacobian, slope.expand(50, 3, 2), rtol=0, atol=1e-5)


def test_the_border_goes_on():
    image = picture(8, 8)
    field = SplineImage(image)
    outside = torch.tensor([[-5.0, -5.0], [5.0, -5.0], [5.0, 5.0], [-5.0, 5.0]])
    corners = torch.stack([image[:, 0, 0], image[:, 0, -1], image[:, -1, -1], image[:, -1, 0]])
    torch.testing.assert_close(field(outside).value, corners, rtol=0, atol=1e-6)
    torch.testing.assert_close(field.sample(outside[None])[:, 0].t(), corners, rtol=0, atol=1e-6)
    assert not field(outside, order=1).jacobian.any()


@pytest.mark.parametrize("size", SIZES)
def test_the_fast_path_is_the_plain_one(size):
    field = SplineImage(picture(*size, dtype=torch.float64))
    positions = torch.rand(7, 9, 2, dtype=torch.float64) * 2.6 - 1.3
    plain = field(positions.reshape(-1, 2)).value.t().reshape(3, 7, 9)
    torch.testing.assert_close(field.sample(positions), plain, rtol=0, atol=1e-11)


def test_a_larger_rendering_of_a_picture_is_no_copy():
    field = SplineImage(picture(8, 8))
    large = render_field(field, Frame(16, 16).pixel_centres())
    assert large.shape == (3, 16, 16)
    assert float((large[:, ::2, ::2] - field.image).abs().max()) > 0.01  # centres lie elsewhere


def test_spline_state_dict_brings_any_size():
    field, fresh = SplineImage(picture(6, 11)), SplineImage(picture(3, 3))
    fresh.load_state_dict(field.state_dict())
    empty = SplineImage()
    empty.load_state_dict(field.state_dict())
    points = torch.rand(20, 2) * 2 - 1
    assert set(field.state_dict()) == {"image"}
    for again in (fresh, empty):
        assert again.frame == Frame(6, 11)
        assert torch.equal(again(points).value, field(points).value)


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 5), (2, 3, 5, 5)])
def test_pictures_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match="image has the wrong shape"):
        SplineImage(torch.rand(shape))


@pytest.mark.parametrize(
    "field",
    [SplineImage(torch.rand(3, 5, 5)), MultiresGrid((4,)), SirenImage((8,))],
    ids=["spline", "grid", "siren"],
)
def test_points_of_another_shape_are_refused(field):
    for shape in ((4, 3), (4,), (2, 4, 2)):
        with pytest.raises(DataError, match="wrong shape"):
            field(torch.rand(shape))


@pytest.mark.parametrize(
    "field", [SplineImage(torch.rand(3, 5, 5)), MultiresGrid((4,))], ids=["spline", "grid"]
)
@pytest.mark.parametrize("order", [2, -1])
def test_orders_above_one_are_refused(field, order):
    with pytest.raises(GeometryError, match="colour and its gradient"):
        field(torch.rand(2, 2), order=order)


# ------------------------------------------------------------
# grid
def test_grid_jets_against_autograd():
    field = MultiresGrid((4, 9), features=4, hidden_features=6).double()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.copy_(torch.randn_like(parameter))
    points = torch.rand(200, 2, dtype=torch.float64) * 2.2 - 1.1
    value = field(points).value
    jet = field(points, order=1)
    plain = autograd_jet(lambda p: field(p).value, points, 1)
    torch.testing.assert_close(jet.value, value, rtol=0, atol=1e-12)
    torch.testing.assert_close(jet.jacobian, plain.jacobian, rtol=0, atol=1e-9)


def test_grid_levels_start_as_their_sum():
    field = MultiresGrid((4, 8))
    with torch.no_grad():
        field.decode.weight.zero_()
        field.decode.bias.zero_()
        field.direct.bias.zero_()
        field.direct.weight.copy_(torch.eye(3).repeat(1, 2))
        field.grids[0].fill_(0.25)
        field.grids[1].fill_(0.5)
    torch.testing.assert_close(field(torch.rand(9, 2)).value, torch.full((9, 3), 0.75))


def test_grid_nodes_are_pixel_centres():
    field = MultiresGrid((8,))
    with torch.no_grad():
        field.decode.weight.zero_()
        field.decode.bias.zero_()
        field.direct.bias.zero_()
        field.direct.weight.copy_(torch.eye(3))
        image = torch.rand(3, 8, 8)
        field.grids[0].copy_(image)
        rendered = render_field(field, Frame(8, 8).pixel_centres())
    torch.testing.assert_close(rendered, image, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [{"features": 2}, {"resolutions": ()}, {"resolutions": (1,)}, {"resolutions": (64, 0)}],
)
def test_grids_that_cannot_hold_a_colour(arguments):
    with pytest.raises(ConfigError, match="cannot hold a colour"):
        MultiresGrid(**arguments)


@pytest.mark.parametrize(
    "field", [SirenImage((16,), 20.0), MultiresGrid((4, 16))], ids=["siren", "grid"]
)
def test_rendering_in_pieces_is_rendering_at_once(field):
    positions = Frame(13, 21).pixel_centres()
    with torch.no_grad():
        whole = render_field(field, positions)
        torch.testing.assert_close(
            render_field(field, positions, chunk=7), whole, rtol=0, atol=1e-6
        )
        row = field(positions[4]).value
    assert whole.shape == (3, 13, 21)
    torch.testing.assert_close(whole[:, 4].t(), row, rtol=0, atol=1e-6)


def test_published_size_of_the_image_network():
    sizes = [2, 256, 256, 256, 3]
    expected = sum((a + 1) * b for a, b in pairwise(sizes))
    assert sum(p.numel() for p in SirenImage().parameters()) == expected == 133123


def test_a_spline_without_a_picture_says_so():
    for use in (
        lambda f: f(torch.zeros(1, 2)),
        lambda f: f.sample(torch.zeros(1, 1, 2)),
        lambda f: f.frame,
    ):
        with pytest.raises(DataError, match="no picture yet"):
            use(SplineImage())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_maps_of_another_precision_than_the_picture(dtype):
    image = picture(8, 9).to(dtype)
    other = torch.float64 if dtype == torch.float32 else torch.float32
    positions = Frame(5, 6).pixel_centres(other)
    sampled = SplineImage(image).sample(positions)
    assert sampled.dtype == dtype
    expected = SplineImage(image.double()).sample(positions.double())
    torch.testing.assert_close(sampled.double(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"hidden_features": ()},
        {"hidden_features": (8, 0)},
        {"omega_0": 0.0},
        {"omega_0": float("nan")},
        {"omega_hidden": -1.0},
        {"omega_hidden": float("inf")},
    ],
)
def test_networks_that_are_none(arguments):
    with pytest.raises(ConfigError, match="no sine network"):
        SirenImage(**{"hidden_features": (4,), **arguments})
