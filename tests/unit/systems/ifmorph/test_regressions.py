"""The defects that were found in the authors' code by reading, and that must not come back in ours.

Numbers as in the study of the peer (D1 to D16); only those that exist here now.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from facemorph.bench.plain.morphing_loss import plain_neural_morphing_loss
from facemorph.errors import ConfigError
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.pair import FacePair, prepare_pair
from facemorph.fields.image_fields import SirenImage, SplineImage, render_field
from facemorph.fields.siren import Siren
from facemorph.fields.warps.blended_pairs import blend_pair
from facemorph.fields.warps.choices import BLENDS
from facemorph.fields.warps.maps import dense_map
from facemorph.fields.warps.siren_warp import SirenWarp, with_duration
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.ops.frames import Frame
from facemorph.ops.jets import autograd_jet
from facemorph.ops.poisson import erode
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.losses import NeuralMorphingLoss
from facemorph.systems.ifmorph.system import NeuralWarp


def tiny_pair(height=32, width=32):
    size = torch.tensor([width, height], dtype=torch.float64)
    points = torch.rand(12, 2, dtype=torch.float64) * (size - 8) + 4
    return FacePair(
        torch.rand(3, height, width), torch.rand(3, height, width), points, points + 0.5, "points12"
    )


def test_d2_landmarks_that_are_given_are_used(tmp_path, samples):
    """mark-warp-points loads the given landmarks and then detects its own."""
    points = torch.rand(20, 2, dtype=torch.float64) * 300 + 50
    write_points(points, tmp_path / "a.tem", "points20")
    write_points(points + 3, tmp_path / "b.tem", "points20")
    with Image.open(samples[0]) as picture:
        frame = Frame(picture.height, picture.width)
    pair = prepare_pair(
        samples[0],
        samples[0],
        points_a=tmp_path / "a.tem",
        points_b=tmp_path / "b.tem",
        align="none",
        size=max(frame.height, frame.width),
    )
    torch.testing.assert_close(pair.points_a, points, rtol=0, atol=1e-6)
    torch.testing.assert_close(pair.points_b, points + 3, rtol=0, atol=1e-6)


def test_d3_one_time_gives_one_picture_and_many_give_many(tmp_path):
    """warp-inference-image without -b writes no picture."""
    system = NeuralWarp(ThinPlateFlow())
    system.fit_closed_form(LandmarkPair.of(tiny_pair()))
    assert [
        path.is_file() for path in system.infer(tmp_path / "a.png", times=[0.5], blend="linear")
    ] == [True]
    assert len(system.infer(tmp_path / "all", times=[0, 0.25, 1], blend="linear")) == 3


def test_d5_every_blend_that_is_offered_works():
    """``dist`` is offered there and crashes; the seamless ones need a file that nothing
    downloads.
    """
    pair = tiny_pair()
    system = NeuralWarp(ThinPlateFlow(smoothing=0.1))
    system.fit_closed_form(LandmarkPair.of(pair))
    frames = {blend: system.render(0.5, blend=blend) for blend in BLENDS}
    assert all(bool(frame.isfinite().all()) for frame in frames.values())
    # A's gradients on A's ground are A; all others differ.
    torch.testing.assert_close(frames.pop("poisson_source"), frames["source"], rtol=0, atol=2e-5)
    names = sorted(frames)
    assert not any(
        torch.equal(frames[one], frames[two]) for one in names for two in names if one < two
    )
    with pytest.raises(ConfigError, match="dist"):
        system.render(0.5, blend="dist")


def test_d6_masks_are_eroded_in_both_dimensions():
    """There the flattened mask is eroded, so along rows only."""
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[:, 2:7, 2:7] = True
    eroded = erode(mask, 1)
    assert torch.equal(eroded, eroded.mT)
    assert int(eroded.sum()) == 9


def test_d15_a_poisson_blend_need_not_be_square():
    one, two = torch.rand(3, 30, 52), torch.rand(3, 30, 52)
    mask = torch.zeros(1, 30, 52)
    mask[:, 5:20, 10:44] = 1
    frame = blend_pair(one, two, mask, 0.5, "poisson_target")
    turned = blend_pair(one.mT, two.mT, mask.mT, 0.5, "poisson_target")
    torch.testing.assert_close(turned.mT, frame, rtol=0, atol=5e-5)


def test_d6_hidden_layers_have_their_own_frequency():
    """update_omegas scales the hidden layers by the first one's frequency."""
    field, x = Siren(2, 3, (8, 8), 40.0, 30.0).double(), torch.rand(5, 2, dtype=torch.float64)
    first, second, last = field.layers
    by_hand = last(torch.sin(30.0 * second(torch.sin(40.0 * first(x)))))
    torch.testing.assert_close(field(x).value, by_hand, rtol=0, atol=1e-12)
    # Folded into the weights, the same network has frequency one.
    folded = Siren(2, 3, (8, 8), 1.0).double()
    with torch.no_grad():
        for mine, theirs, omega in zip(folded.layers, field.layers, (40.0, 30.0, 1.0), strict=True):
            mine.weight.copy_(theirs.weight * omega)
            mine.bias.copy_(theirs.bias * omega)
    torch.testing.assert_close(folded(x).value, field(x).value, rtol=0, atol=1e-12)


def test_d6_gradients_of_a_warped_picture_have_the_jacobian_of_the_warp():
    """Its gradient target is dI/d(warped coordinates), without the chain rule."""
    picture = SplineImage(torch.rand(3, 16, 16, dtype=torch.float64))
    warp, x = SirenWarp((8,), 4.0).double(), torch.rand(6, 2, dtype=torch.float64) - 0.5

    def warped(points):
        return picture(0.2 * warp(points, 0.0, 0.5)).value

    jet = warp.advance(with_duration(x, 0.5), order=1)
    inner = 0.2 * jet.jacobian[:, :, :2]
    outer = picture(0.2 * jet.value, order=1).jacobian
    torch.testing.assert_close(
        outer @ inner, autograd_jet(warped, x, 1).jacobian, rtol=0, atol=1e-9
    )
    assert float((outer - outer @ inner).detach().abs().max()) > 0.1


@pytest.mark.parametrize("size", [(16, 16), (15, 15), (12, 20)])
def test_d7_the_identity_neither_blurs_nor_shifts(size):
    """Half a pixel is missing in its look-up: pictures are blurred and shifted by half a pixel."""
    image = torch.rand(3, *size)
    assert torch.equal(render_field(SplineImage(image), Frame(*size).pixel_centres()), image)
    # Also a map that is nearly the identity, so that no short cut is taken.
    nearly = Frame(*size).pixel_centres() * (1 + 1e-7)
    torch.testing.assert_close(render_field(SplineImage(image), nearly), image, rtol=0, atol=1e-4)


def test_d7_a_shift_by_one_pixel_is_one_pixel():
    image = torch.rand(3, 20, 30, dtype=torch.float64)
    frame = Frame(20, 30)
    shifted = frame.pixel_centres(torch.float64) + torch.tensor(
        [1 / frame.half_extent, 0.0], dtype=torch.float64
    )
    sampled = SplineImage(image).sample(shifted)
    torch.testing.assert_close(sampled[:, :, :-1], image[:, :, 1:], rtol=0, atol=1e-9)


def test_d7_nothing_is_black_outside_of_the_frame():
    image = torch.full((3, 9, 9), 0.7)
    outside = Frame(9, 9).pixel_centres() * 3
    torch.testing.assert_close(
        SplineImage(image).sample(outside), torch.full((3, 9, 9), 0.7), rtol=0, atol=1e-6
    )


def test_d8_default_times_and_frequencies_do_not_crash_at_the_end():
    assert NeuralMorphingLoss().intermediate_times == (0.25, 0.5, 0.75)
    assert SirenWarp((8, 8)).network.omegas == [24.0, 24.0]
    assert SirenImage().omegas == [100.0] * 3


def test_d14_the_forward_pass_is_not_done_twice():
    """Its training step evaluates the 20000 points twice, and the inverse at rows that do not
    count.
    """
    warp, source = SirenWarp((8,)), torch.rand(6, 2)
    sizes, network = [], warp.network.forward
    warp.network.forward = lambda xy, *, order=0: sizes.append(len(xy)) or network(xy, order=order)
    still, moving = torch.rand(100, 2), torch.rand(100, 3)
    NeuralMorphingLoss()(warp, still, moving, source, source)
    ours = sum(sizes)
    sizes.clear()
    rows = torch.cat([with_duration(still, 0.0), moving])
    plain_neural_morphing_loss(lambda p: warp.advance(p).value, rows, source, source)
    assert ours <= 200 + 3 * 100 + 2 * 6 * (1 + 3) + 2 * 6 * 3
    assert ours < sum(sizes)


@pytest.mark.parametrize("size", [(24, 40), (40, 24)])
def test_d15_height_and_width_are_not_mixed_up(size):
    """A landmark in the right half of a wide picture stays there."""
    pair = tiny_pair(*size)
    system = NeuralWarp(ThinPlateFlow(border_anchors=0))
    system.fit_closed_form(LandmarkPair.of(pair))
    assert system.render(0.5, blend="linear").shape == (3, *size)
    moved = system.frame.to_pixels(system.warp(pair.source, 0.0, 1.0))
    torch.testing.assert_close(moved, pair.points_b, rtol=0, atol=1e-6)
    positions = system.frame.to_pixels(dense_map(system.warp, system.frame, 0.0, 1.0).double())
    # + 0.5 + 0.5
    expected = np.stack(np.meshgrid(np.arange(size[1]) + 1.0, np.arange(size[0]) + 1.0), -1)
    np.testing.assert_allclose(positions, expected, atol=1e-3)


def test_d16_the_landmark_error_is_reported():
    system = NeuralWarp(ThinPlateFlow())
    system.fit_closed_form(LandmarkPair.of(tiny_pair()))
    assert {"landmark_error_px", "fold_over_percent"} <= set(system.quality())
