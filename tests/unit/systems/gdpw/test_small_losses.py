"""Losses of the small GDPW: nothing for a perfect picture, and each term where it should be."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import ConfigError
from facemorph.geometry.portraits.head_flow import EYES, LIPS, MAPS
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.metrics.feature_networks import feature_network
from facemorph.systems.gdpw.small_generator import SmallOutput
from facemorph.systems.gdpw.small_losses import NAMES, SmallGDPWLoss, around_lips, fine_weight

SIDE = 32


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, SIDE, SIDE, generator=draw)
    maps = torch.zeros(2, MAPS, SIDE, SIDE)
    maps[:, LIPS, 20:24, 12:20] = 1
    maps[:, EYES, 8:10, 8:12] = 1
    zero = torch.zeros(2, 2, SIDE, SIDE)
    seen = torch.ones(2, 1, SIDE, SIDE)
    pictures = {"source": target, "target": target}
    return {**pictures, "source_maps": maps, "maps": maps, "flow": zero, "visible": seen}


def made(batch, **changes):
    zero = torch.zeros_like(batch["target"])
    given = {
        "picture": batch["target"],
        "warped": batch["target"],
        "share": zero[:, :1],
        "correction": zero,
        "flow": batch["flow"],
    }
    return SmallOutput(**{**given, **changes})


def test_a_perfect_picture_costs_nothing(batch):
    distance = PerceptualDistance(feature_network("descriptor"), "unit")
    found = SmallGDPWLoss()(made(batch), batch, distance)
    assert set(found) == {*NAMES, "total"}
    assert float(found["total"]) == pytest.approx(0, abs=1e-6)


def test_terms_add_up_with_their_weights(batch):
    draw = torch.Generator().manual_seed(1)
    other = torch.rand(batch["target"].shape, generator=draw)
    found = SmallGDPWLoss()(made(batch, picture=other, warped=other), batch, None)
    weight = fine_weight(batch["maps"])
    plain = ((other - batch["target"]).abs() * weight).mean()
    torch.testing.assert_close(found["reconstruction"], plain)
    torch.testing.assert_close(found["warped"], 0.5 * plain)  # all of it is seen
    torch.testing.assert_close(
        found["total"], sum(value for name, value in found.items() if name != "total")
    )
    assert "perceptual" not in found


def test_own_colour_costs_more_where_the_photograph_shows_the_skin(batch):
    share = torch.full_like(batch["visible"], 0.5)
    loss = SmallGDPWLoss()
    seen = loss(made(batch, share=share), batch, None)["share"]
    hidden = loss(made(batch, share=share), {**batch, "visible": 0 * share}, None)["share"]
    torch.testing.assert_close(seen, 3 * hidden)
    assert float(hidden) == pytest.approx(0.02 * 0.5)


def test_only_changes_of_the_flow_beside_the_heads_cost(batch):
    loss = SmallGDPWLoss()
    moved = loss(made(batch, flow=batch["flow"] + 0.1), batch, None)["smoothness"]
    assert float(moved) == pytest.approx(0, abs=1e-7)
    ramp = torch.linspace(0, 2, SIDE).expand(2, 2, SIDE, SIDE)  # a pixel for each pixel, about
    steep = loss(made(batch, flow=ramp), batch, None)["smoothness"]
    assert float(steep) == pytest.approx(0.2 * SIDE / (SIDE - 1), rel=1e-4)


def test_lips_and_eyes_weigh_four_times_as_much(batch):
    weight = fine_weight(batch["maps"])
    assert float(weight.mean()) == pytest.approx(1)
    assert float(weight[0, 0, 22, 15] / weight[0, 0, 0, 0]) == pytest.approx(4)
    assert float(weight[0, 0, 9, 9] / weight[0, 0, 0, 0]) == pytest.approx(4)


def test_the_cut_is_around_the_lips(batch):
    marked = torch.zeros_like(batch["target"])
    marked[:, :, 20:24, 12:20] = 1
    cut = around_lips(marked, batch["maps"])
    assert cut.shape == (2, 3, 72, 96)
    assert float(cut[..., 34:38, 46:50].min()) > 0.99  # the middle
    assert float(cut[..., :4, :].max()) == 0


def test_negative_weights_are_refused():
    with pytest.raises(ConfigError, match="negative") as caught:
        SmallGDPWLoss(share_weight=-1.0)
    assert caught.value.where == "loss.share_weight"
