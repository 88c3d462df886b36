"""The tone of the skin around a blended face."""

import pytest
import torch

from facemorph.systems.ifmorph.skin_tone import guided_filter, match_skin_tone

DARK, LIGHT = (0.30, 0.19, 0.13), (0.82, 0.63, 0.53)
WALL, SHIRT, HAIR = (0.75, 0.78, 0.80), (0.95, 0.95, 0.97), (0.08, 0.07, 0.07)
SIZE = 256


def filled(picture, where, colour):
    shade = 1 + 0.05 * torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    for channel, value in enumerate(colour):
        picture[channel] = torch.where(where, (value * shade).clamp(0, 1), picture[channel])


def head(skin):
    """A head with hair and neck before a wall, and where its parts are."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    oval = ((x - 128) / 48) ** 2 + ((y - 110) / 64) ** 2
    parts = {
        "shirt": y > 215,
        "neck": ((x - 128).abs() < 30) & (y > 150) & (y <= 215),
        "hair": (oval < 1.25) & (y < 70),
        "face": (oval < 1) & (y >= 70),
    }
    parts["neck"] &= ~parts["face"]
    parts["wall"] = ~(parts["shirt"] | parts["neck"] | parts["hair"] | parts["face"])
    picture = torch.zeros(3, SIZE, SIZE)
    for name, colour in (("wall", WALL), ("shirt", SHIRT), ("neck", skin), ("hair", HAIR)):
        filled(picture, parts[name], colour)
    filled(picture, parts["face"], skin)
    inner = ((x - 128) / 40) ** 2 + ((y - 115) / 48) ** 2
    return picture, parts, ((1.2 - inner) / 0.4).clamp(0, 1)[None]


@pytest.mark.parametrize(("own", "wanted"), [(DARK, LIGHT), (LIGHT, DARK)])
def test_the_neck_takes_the_tone_of_the_face_and_nothing_else_does(own, wanted):
    picture, parts, mask = head(own)
    found = match_skin_tone(picture, head(wanted)[0], mask)
    neck = found[:, parts["neck"]].median(1).values
    torch.testing.assert_close(neck, torch.tensor(wanted), rtol=0.08, atol=0.01)
    # the surroundings stay as they are; a little is taken near the skin
    for name in ("wall", "shirt", "hair"):
        change = (found - picture).abs().amax(0)[parts[name]]
        assert float(change.quantile(0.9)) < 0.04, name
    inside = (mask == 1).expand_as(picture)
    torch.testing.assert_close(found[inside], picture[inside], rtol=0, atol=1e-6)


def test_shades_of_the_neck_stay():
    picture, parts, mask = head(LIGHT)
    shaded = picture.clone()
    shaded[:, 150:180] *= 0.6
    shaded = torch.where(parts["neck"], shaded, picture)
    found = match_skin_tone(shaded, head(DARK)[0], mask)
    upper, lower = parts["neck"].clone(), parts["neck"].clone()
    upper[180:], lower[:180] = False, False
    ratio = found[:, upper].median() / found[:, lower].median()
    assert 0.35 < float(ratio) < 0.8


def test_equal_tones_and_empty_masks_change_nothing():
    picture, _, mask = head(DARK)
    assert match_skin_tone(picture, picture, mask) is picture
    assert match_skin_tone(picture, head(LIGHT)[0], torch.zeros_like(mask)) is picture


def test_small_and_plain_pictures():
    found = match_skin_tone(torch.full((3, 5, 4), 0.5), torch.ones(3, 5, 4), torch.ones(1, 5, 4))
    assert bool(found.isfinite().all())
    assert float((found - 0.5).abs().max()) < 1e-6


def test_guided_filter_against_a_naive_one():
    generator = torch.Generator().manual_seed(0)
    values, guide = (torch.rand(1, 12, 9, generator=generator) for _ in range(2))
    radius, edge = 2, 1e-2

    def window(one, row, column):
        rows = torch.arange(row - radius, row + radius + 1).clamp(0, 11)
        columns = torch.arange(column - radius, column + radius + 1).clamp(0, 8)
        return one[rows][:, columns]

    slope, level = torch.empty(12, 9), torch.empty(12, 9)
    for row in range(12):
        for column in range(9):
            p, i = window(values[0], row, column), window(guide[0], row, column)
            slope[row, column] = ((p * i).mean() - p.mean() * i.mean()) / (
                (i * i).mean() - i.mean() ** 2 + edge
            )
            level[row, column] = p.mean() - slope[row, column] * i.mean()
    expected = torch.empty(12, 9)
    for row in range(12):
        for column in range(9):
            expected[row, column] = (
                window(slope, row, column).mean() * guide[0, row, column]
                + window(level, row, column).mean()
            )
    torch.testing.assert_close(
        guided_filter(values, guide, radius, edge)[0], expected, rtol=0, atol=1e-5
    )
