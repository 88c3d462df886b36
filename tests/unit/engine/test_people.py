"""Codes of people in closed form, and a distribution of people."""

import pytest
import torch
from torch import distributed as dist

from facemorph.engine.people import LATELY, Moments, PeopleModel
from facemorph.errors import CheckpointError, DataError
from facemorph.geometry.rendering.lighting import ambient_light
from facemorph.systems.gif.person_codes import PersonEncoder


def numbers(count=4000):
    """Codes that go with skin, and identities that go with nothing."""
    draw = torch.Generator().manual_seed(0)
    codes = torch.randn(count, 3, generator=draw) * torch.tensor([1.0, 2.0, 0.5]) + 1
    albedo = codes[:, :1] * 0.9 + 0.1 * torch.randn(count, 1, generator=draw)
    return codes, albedo, torch.randn(count, 2, generator=draw)


def test_people_who_are_drawn_are_like_those_it_was_fitted_to():
    people = PeopleModel()
    given = torch.cat(numbers(), 1)
    people.fit_values(*numbers())
    drawn = torch.cat(people.sample(20_000, torch.Generator().manual_seed(1)), 1)
    torch.testing.assert_close(drawn.mean(0), given.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.std(0), given.std(0), atol=0.05, rtol=0.02)
    expected, found = torch.corrcoef(given.T), torch.corrcoef(drawn.T)
    # shrunk by a tenth towards no correlation
    torch.testing.assert_close(found, 0.9 * expected + 0.1 * torch.eye(6), atol=0.03, rtol=0)


def test_spread_scales_the_distance_from_the_mean_person():
    people = PeopleModel()
    people.fit_values(*numbers())
    first, half, none = (
        torch.cat(people.sample(5, torch.Generator().manual_seed(2), spread), 1)
        for spread in (1.0, 0.5, 0.0)
    )
    torch.testing.assert_close(half - people.mean, (first - people.mean) / 2)
    torch.testing.assert_close(none, people.mean.expand(5, -1))


def test_it_keeps_no_more_than_mean_and_covariance_and_is_loaded_by_size():
    people = PeopleModel()
    people.fit_values(*numbers())
    state = people.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "mean": (6,),
        "factor": (6, 6),
        "sizes": (3,),
    }
    loaded = PeopleModel()
    loaded.load_state_dict(state)
    for one, other in zip(
        loaded.sample(3, torch.Generator().manual_seed(0)),
        people.sample(3, torch.Generator().manual_seed(0)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)  # sums may be taken in another order


def test_a_new_one_knows_nobody():
    with pytest.raises(CheckpointError, match="knows no people"):
        PeopleModel().sample(1, torch.Generator())


def scenes(count=12, side=32):
    """Flat heads of single colours before single colours, facing the camera."""
    draw = torch.Generator().manual_seed(3)
    skin, wall = (torch.rand(count, 3, 1, 1, generator=draw) * 0.6 + 0.2 for _ in range(2))
    mask = torch.zeros(count, 1, side, side)
    mask[:, :, 8:24, 8:24] = 1
    place = (torch.arange(side) + 0.5) / side
    u, v = torch.meshgrid(place, place, indexing="xy")
    uv = torch.stack([u, v]).expand(count, -1, -1, -1) * mask
    normals = torch.tensor([0.0, 0.0, 1.0])[:, None, None] * mask
    conditions = torch.cat([0.5 * mask.expand(-1, 3, -1, -1), normals, mask, uv], 1)
    return skin, wall, mask, conditions


def test_light_is_not_a_part_of_a_person():
    """Three numbers of skin and three of the wall are all there is, whatever the light."""
    skin, wall, mask, conditions = scenes()
    encoder = PersonEncoder(skin=3, surroundings=3, texels=8, side=8)
    codes = []
    for level in (0.6, 1.0):
        light = ambient_light(level).expand(len(skin), -1, -1)
        images = skin * level * mask + wall * (1 - mask)
        if not bool(encoder.skin.basis.any()):
            encoder.fit(
                encoder.texture(images, conditions, light), encoder.rest(images, conditions)
            )
        codes.append(encoder(images, conditions, light))
    torch.testing.assert_close(codes[0], codes[1], atol=1e-3, rtol=0)
    assert codes[0].shape == (12, 6)
    told = encoder.skin.decode(codes[0][:, :3]).view(-1, 3, 8, 8)[:, :, 4, 4]
    torch.testing.assert_close(told, skin[:, :, 0, 0], atol=0.02, rtol=0)
    assert torch.corrcoef(torch.stack([codes[0][:, 0], codes[0].roll(1, 0)[:, 0]]))[0, 1] < 0.9


def test_half_of_a_face_tells_nearly_the_same_person():
    skin, wall, mask, conditions = scenes(40)
    light = ambient_light(1.0).expand(40, -1, -1)
    images = skin * mask + wall * (1 - mask)
    encoder = PersonEncoder(skin=3, surroundings=3, texels=8, side=8)
    encoder.fit(encoder.texture(images, conditions, light), encoder.rest(images, conditions))
    whole = encoder(images, conditions, light)
    hidden = images.clone()
    hidden[:, :, 8:24, 8:14] = 0
    turned = conditions.clone()
    turned[:, 5, 8:24, 8:14] = 0.1  # that side hardly faces the camera
    turned[:, 3, 8:24, 8:14] = 0.99
    half = encoder(hidden, turned, light)
    assert float((half[:, :3] - whole[:, :3]).abs().max()) < 0.2


def test_too_few_people_are_named():
    skin, wall, mask, conditions = scenes(3)
    light = ambient_light(1.0).expand(3, -1, -1)
    images = skin * mask + wall * (1 - mask)
    encoder = PersonEncoder(skin=3, surroundings=3, texels=8, side=8)
    with pytest.raises(DataError, match="too few examples"):
        encoder.fit(encoder.texture(images, conditions, light), encoder.rest(images, conditions))


def test_moments_are_those_of_what_was_met():
    """Without forgetting to speak of, against numpy's; under autocast too."""
    values = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)) + 30
    moments = Moments()
    with torch.autocast("cpu", torch.bfloat16):
        for part in values.split(8):
            moments.follow(part)
    mean, covariance = moments.values()
    torch.testing.assert_close(mean, values.double().mean(0))
    torch.testing.assert_close(covariance, torch.cov(values.double().T, correction=0))
    people = PeopleModel()
    people.fit_moments(mean, covariance, (3, 1, 1))
    assert [part.shape[1] for part in people.sample(2, torch.Generator())] == [3, 1, 1]


@pytest.mark.parametrize("here", [0, 1, 3])
def test_moments_of_all_processes_are_by_rows(monkeypatch, here):
    """One process has met the first rows, another the rest: the mean is over all three."""
    values = torch.randn(3, 2, generator=torch.Generator().manual_seed(0)).double()
    there = values[here:]
    sums = [torch.tensor([3.0 - here]), there.sum(0), (there.T @ there).flatten()]
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "all_reduce", lambda found: found.add_(torch.cat(sums)))
    moments = Moments()
    moments.follow(values[:here])
    torch.testing.assert_close(moments.values()[0], values.mean(0))
    torch.testing.assert_close(moments.values()[1], torch.cov(values.T, correction=0))
    assert int(moments.met) == 3


def test_nobody_met_changes_nothing():
    moments = Moments()
    moments.follow(torch.zeros(0, 2))
    assert not len(moments.mean)
    moments.follow(torch.ones(1, 2))
    moments.follow(torch.zeros(0, 2))
    assert torch.equal(moments.mean, torch.ones(2, dtype=torch.double))


def test_moments_forget():
    moments = Moments()
    moments.follow(torch.zeros(LATELY, 2))
    for _ in range(60):
        moments.follow(torch.ones(LATELY // 2, 2))
    torch.testing.assert_close(moments.values()[0], torch.ones(2, dtype=torch.double))
    again = Moments()
    again.load_state_dict(moments.state_dict())
    assert torch.equal(again.second, moments.second)
    again = Moments()
    again.load_state_dict({})  # of a release
    assert not len(again.mean)
