"""Dense maps and their determinants; buffers that get their shape from data."""

import pytest
import torch

from facemorph.fields.lazy_buffers import LazyBuffers
from facemorph.fields.warps.maps import dense_map, device_of, lattice, map_determinants
from facemorph.ops.frames import Frame


class Bend:
    """A smooth warp without parameters: x + t * (a sine)."""

    def __init__(self, lattice_nodes=65, strength=0.1):
        self.lattice_nodes, self.strength, self.calls = lattice_nodes, strength, []

    def __call__(self, xy, t0, t1):
        self.calls.append(len(xy))
        return xy + (t1 - t0) * self.strength * torch.sin(3 * xy.flip(-1))


@pytest.mark.parametrize("frame", [Frame(64, 64), Frame(50, 90), Frame(90, 50), Frame(17, 200)])
@pytest.mark.parametrize("nodes", [33, 65])
def test_the_lattice_is_near_every_pixel(frame, nodes):
    fast = dense_map(Bend(nodes), frame, 0.0, 1.0)
    plain = dense_map(Bend(None), frame, 0.0, 1.0)
    assert fast.shape == plain.shape == (frame.height, frame.width, 2)
    assert float((fast - plain).abs().max()) < 2e-6


def test_the_lattice_saves_evaluations():
    warp = Bend(33)
    dense_map(warp, Frame(400, 400), 0.0, 1.0)
    assert sum(warp.calls) < 40**2
    dense_map(warp, Frame(400, 400), 0.0, 1.0, nodes=None)
    assert sum(warp.calls[1:]) == 400**2
    assert max(warp.calls) <= 65536


def test_affine_maps_have_their_determinant():
    frame = Frame(20, 31)
    matrix = torch.tensor([[1.2, 0.3], [-0.1, 0.8]], dtype=torch.float64)
    positions = frame.pixel_centres(torch.float64) @ matrix.T
    found = map_determinants(positions) * frame.half_extent**2
    assert found.shape == (19, 30)
    torch.testing.assert_close(
        found, torch.full_like(found, float(torch.linalg.det(matrix))), rtol=1e-9, atol=1e-9
    )


def test_mirrored_and_folded_maps_have_negative_determinants():
    frame = Frame(20, 20)
    centres = frame.pixel_centres(torch.float64)
    assert bool((map_determinants(centres * torch.tensor([-1.0, 1.0])) < 0).all())
    folded = centres.clone()
    folded[..., 0] = folded[..., 0].abs()
    signs = map_determinants(folded)
    assert bool((signs[:, :9] < 0).all())
    assert bool((signs[:, 10:] > 0).all())


def test_swapping_the_axes_is_noticed():
    """A map that stretches x by 2 and leaves y."""
    frame = Frame(10, 30)
    positions = frame.pixel_centres(torch.float64) * torch.tensor([2.0, 1.0])
    torch.testing.assert_close(
        map_determinants(positions) * frame.half_extent**2,
        torch.full((9, 29), 2.0, dtype=torch.float64),
    )


@pytest.mark.parametrize("frame", [Frame(64, 64), Frame(30, 100)])
def test_lattices_overhang_the_frame(frame):
    x, y, up_x, up_y = lattice(frame, 33)
    assert up_x.shape == (frame.width, len(x))
    assert up_y.shape == (frame.height, len(y))
    half_x, half_y = frame.width / 2 / frame.half_extent, frame.height / 2 / frame.half_extent
    assert float(x.max()) >= half_x + 2 / 32
    assert float(-y.min()) >= half_y + 2 / 32
    torch.testing.assert_close(up_x.sum(1), torch.ones(frame.width), rtol=0, atol=1e-5)


def test_device_of():
    assert device_of(Bend()) == torch.device("cpu")
    assert device_of(torch.nn.Linear(1, 1).to("meta")) == torch.device("meta")


class Holder(LazyBuffers):
    def __init__(self):
        super().__init__()
        self.declare_buffers("one", "two")
        self.restored = 0

    def _restored(self):
        self.restored += 1


def test_lazy_buffers():
    first, second = Holder(), Holder()
    assert first.state_dict() == {}
    second.load_state_dict({})
    assert second.restored == 0
    first.one = torch.rand(4, 2)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.one, first.one)
    assert second.two is None
    assert second.restored == 1
    second.two = torch.rand(1)
    first.load_state_dict(second.state_dict())
    assert torch.equal(first.two, second.two)
    with pytest.raises(RuntimeError, match="Unexpected"):
        first.load_state_dict({**second.state_dict(), "three": torch.rand(1)})
