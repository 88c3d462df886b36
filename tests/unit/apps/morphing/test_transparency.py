"""Pictures with transparency: it is carried and blended as the colours are, or said to be lost."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from facemorph.apps.attacks.degrade import degrade
from facemorph.apps.fitting.located_face import locate
from facemorph.apps.morphing.averages import transform_face
from facemorph.apps.morphing.chain import chain
from facemorph.apps.morphing.classics import (
    align_faces,
    average,
    caricature,
    regions,
    symmetrize,
    transform,
)
from facemorph.apps.morphing.morph import morph
from facemorph.apps.morphing.morph_dataset import morph_dataset
from facemorph.apps.morphing.poses.frontal import turned_to_front
from facemorph.faces.detection import find_face
from facemorph.faces.face_input import FaceInput
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.pair import PreparedFace, prepare_faces
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.portraits.frontal_portrait import FrontalPortrait, pose_of

pytestmark = pytest.mark.usefixtures("short_reports", "coarse_flows")

SIZE = 128
SEEN = 2.5 / 255  # two roundings to 8 bits
LOST = "its transparency is not kept; it is shown on white"


def oval(size, share):
    """Opaque ``(1, size, size)`` in an oval of so much of the frame, with a soft border."""
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    away = torch.hypot((column + 0.5) * 2 / size - 1, (row + 0.5) * 2 / size - 1)
    return ((share - away) / 0.05).clamp(0, 1)[None]


@pytest.fixture(scope="module")
def cut_outs(samples, tmp_path_factory):
    """Two heads, cut out of their pictures by ovals of different sizes, and an opaque one."""
    folder = tmp_path_factory.mktemp("cut_outs")
    faces = prepare_faces(list(samples[:2]), size=192)
    for name, face, share in zip("ab", faces, (0.8, 0.95), strict=True):
        save_image(torch.cat([face.image, oval(192, share)]), folder / f"{name}.png")
    save_image(faces[1].image, folder / "c.png")
    return folder


def alpha_of(path):
    with Image.open(path) as picture:
        assert picture.mode == "RGBA", path
        return np.asarray(picture)[..., 3] / 255


@pytest.mark.slow
def test_a_still_is_the_morph_on_white_without_the_white(cut_outs, tmp_path, caplog):
    a, b = cut_outs / "a.png", cut_outs / "b.png"
    on_white = [load_image(one) for one in (a, b)]
    for number, options in enumerate(
        [{"outside": "mix"}, {"time": 0.3, "blend": "linear"}, {"blend": "poisson_average"}]
    ):
        shared = {"size": SIZE, "align": "none", "report": False, **options}
        path = morph(a, b, tmp_path / f"{number}.webp", **shared).files[0]
        path = morph(a, b, tmp_path / f"{number}.png", **shared).files[0]
        expected = morph(*on_white, **{"time": 0.5, **shared}).frame(shared.get("time", 0.5))
        # Dividing by a small share of opacity and rounding costs a little at the border alone.
        away = (load_image(path) - expected).abs().amax(0)
        assert float((away > SEEN).float().mean()) < 0.01
        assert alpha_of(path)[0].max() == 0
        assert alpha_of(path)[SIZE // 2].max() == 1
    assert "transparency" not in caplog.text


@pytest.mark.parametrize(("outside", "blend"), [("mix", "multiband"), ("source", "linear")])
def test_frames_end_at_the_transparency_of_the_pictures(cut_outs, tmp_path, outside, blend):
    a, b = cut_outs / "a.png", cut_outs / "b.png"
    files = morph(
        a, b, tmp_path / "f", frames=3, size=192, align="none", outside=outside, blend=blend
    ).files
    first, middle, last = map(alpha_of, files[:3])
    assert np.abs(first - alpha_of(a)).max() < SEEN
    assert np.abs(last - alpha_of(b)).max() < SEEN
    assert first.mean() + 0.02 < middle.mean() < last.mean() - 0.02


def test_an_opaque_picture_counts_as_one(cut_outs, tmp_path):
    a, c = cut_outs / "a.png", cut_outs / "c.png"
    files = chain([a, c, c], tmp_path / "f", frames=2, size=192, align="none", report=False).files
    frames = [alpha_of(one) for one in files if one.suffix == ".png"]
    assert np.abs(frames[0] - alpha_of(a)).max() < SEEN
    assert frames[1].min() == pytest.approx(0.5, abs=0.02)
    assert [float(one.min()) for one in frames[2:]] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("output", ["m.jpg", "m.gif", "m.mp4"])
def test_what_cannot_hold_it_says_so_once_for_each_picture(cut_outs, tmp_path, caplog, output):
    options = {"size": 64, "align": "none", "report": False}
    if output == "m.mp4":
        chain([cut_outs / "a.png", cut_outs / "c.png"], tmp_path / output, frames=2, **options)
        said = ["a.png"]
    else:
        morph(cut_outs / "a.png", cut_outs / "b.png", tmp_path / output, frames=2, **options)
        said = ["a.png", "b.png"]
    found = [one.message for one in caplog.records if LOST in one.message]
    assert found == [f"{cut_outs / name}: {LOST}." for name in said]


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b, *out, **how: transform(a, [a], [b], *out, shape=0.8, color=0.5, **how),
        lambda a, b, *out, **how: caricature(a, [b], *out, **how),
        lambda a, b, *out, **how: symmetrize(a, *out, **how),
        lambda a, b, *out, **how: average([a, b], *out, **how),
        lambda a, b, *out, **how: regions(a, b, *out, eyes=1.0, **how),
    ],
)
def test_the_classics_keep_it(cut_outs, tmp_path, caplog, make):
    a, b = cut_outs / "a.png", cut_outs / "b.png"
    how = {"size": SIZE, "align": "none"}
    result = make(a, b, tmp_path / "x.png", **how)
    expected = make(load_image(a), load_image(b), **how).faces[0].image
    away = (load_image(tmp_path / "x.png") - expected).abs().amax(0)
    assert float((away > SEEN).float().mean()) < 0.01
    alpha = alpha_of(tmp_path / "x.png")
    assert alpha[0].max() == 0
    assert alpha[SIZE // 2].max() == 1
    assert "transparency" not in caplog.text
    assert result.faces[0].alpha is not None
    make(a, b, tmp_path / "x.jpg", **how)
    assert f"a.png: {LOST}" in caplog.text


def test_a_symmetric_face_is_as_opaque_on_both_sides(cut_outs):
    half = prepare_faces([cut_outs / "c.png"], size=SIZE, align="none")[0]
    alpha = torch.ones_like(half.image[:1])
    alpha[..., : SIZE // 8] = 0
    save_image(torch.cat([half.image, alpha]), cut_outs / "half.png")
    found = symmetrize(cut_outs / "half.png", size=SIZE, align="none").faces[0].alpha
    assert float((found - found.flip(-1)).abs().mean()) < 0.01
    assert float(found.min()) < 0.6 < float(found[..., SIZE // 2].min())


def test_what_a_reference_does_not_show_changes_no_colours(cut_outs):
    a, b = prepare_faces([cut_outs / "c.png", cut_outs / "b.png"], size=SIZE, align="none")
    hidden = torch.ones_like(b.image[:1])
    middle = slice(SIZE * 3 // 8, SIZE * 5 // 8)
    hidden[:, middle, middle] = 0
    hole = PreparedFace(torch.where(hidden > 0, b.image, 1.0), a.points, a.scheme, hidden)
    plain = PreparedFace(a.image, a.points, a.scheme)
    found = transform_face(plain, plain, hole, shape=0.0, color=1.0, texture=1.0)
    assert torch.equal(found.image[:, middle, middle], a.image[:, middle, middle])
    assert found.alpha is None


def test_aligned_pictures_keep_it_and_say_what_was_scaled(cut_outs, samples, tmp_path, caplog):
    files = align_faces([cut_outs / "a.png", samples[1]], tmp_path / "out", size=SIZE).files
    alpha = alpha_of(next(one for one in files if one.name == "a.png"))
    assert alpha.max() == 1
    assert alpha.min() == 0
    with Image.open(tmp_path / "out" / f"{samples[1].stem}.png") as opaque:
        assert opaque.mode == "RGB"
    assert caplog.text.count("2 photographs of 2 sizes") == 1


def test_the_pairs_of_a_list_are_single_morphs(cut_outs, tmp_path):
    listed = tmp_path / "pairs.txt"
    listed.write_text("a.png b.png\n")
    how = {"size": SIZE, "align": "none"}
    morph_dataset(listed, cut_outs, tmp_path / "png", workers=1, **how)
    single = morph(
        cut_outs / "a.png", cut_outs / "b.png", tmp_path / "one.png", report=False, **how
    ).files[0]
    with Image.open(tmp_path / "png/a_b.png") as made, Image.open(single) as expected:
        assert np.abs(np.asarray(made).astype(int) - np.asarray(expected)).max() <= 1
    report = morph_dataset(listed, cut_outs, tmp_path / "jpg", suffix="jpg", workers=1, **how)
    assert report["rows"][0]["warnings"] == [f"{cut_outs / name}.png: {LOST}." for name in "ab"]


def test_degraded_pictures_say_it(cut_outs, tmp_path, caplog):
    degrade([cut_outs / "a.png", cut_outs / "c.png"], tmp_path / "out", jpeg_quality=80)
    found = [one.message for one in caplog.records if LOST in one.message]
    assert found == [f"{cut_outs / 'a.png'}: {LOST}."]


def test_photographs_that_move_say_it(cut_outs, caplog):
    locate(cut_outs / "a.png")
    locate(cut_outs / "c.png")
    found = [one.message for one in caplog.records if LOST in one.message]
    assert found == [f"{cut_outs / 'a.png'}: {LOST}."]


@pytest.mark.slow
def test_a_turned_head_is_turned_with_it(cut_outs):
    front = prepare_faces([cut_outs / "c.png"], size=256, align="none")[0]
    model = load_makehuman()
    picture = FrontalPortrait(model, front.image, pose_of(model, front.points)).turned(25.0)
    points = find_face(picture).points.double()
    (found,) = turned_to_front(
        [PreparedFace(picture, points, "ibug68", oval(256, 0.9))], FaceInput([picture])
    )
    assert found.alpha.shape == (1, 256, 256)
    marks = found.points.long()
    assert float(found.alpha[0, marks[:, 1], marks[:, 0]].min()) > 0.98
    assert float(found.alpha[0, 0].max()) < 0.02


# ------------------------------------------------------------
# heads from the front, in all commands
def listed(a, b, folder, **options):
    (folder / "pairs.txt").write_text(f"{a.name} {b.name}\n")
    report = morph_dataset(
        folder / "pairs.txt", a.parent, folder / "out", size=64, workers=1, **options
    )
    assert report["counts"]["done"] == 1
    assert ("frontal" in report["settings"]) == bool(options)
    return report


@pytest.mark.parametrize(
    ("make", "faces"),
    [
        (lambda a, b, _: transform(a, [a], [b], size=64, frontal=True), [3]),
        (lambda a, b, _: caricature(a, [b], size=64, frontal=True), [2]),
        (lambda a, b, _: symmetrize(a, size=64, frontal=True), [1]),
        (lambda a, b, _: regions(a, b, size=64, frontal=True), [2]),
        (lambda a, b, _: chain([a, b], size=64, frames=2, frontal=True), [2]),
        (lambda a, b, out: listed(a, b, out, frontal=True), [1, 1]),
        (listed, []),
        (lambda a, b, _: regions(a, b, size=64), []),
    ],
)
def test_heads_are_turned_to_the_front_where_that_is_wanted(
    samples, tmp_path, monkeypatch, make, faces
):
    seen = []

    def turned(given, options):
        seen.append(len(given))
        assert options.frontal or len(options.pictures) == 1
        return [PreparedFace(1 - one.image, one.points, one.scheme) for one in given]

    monkeypatch.setattr("facemorph.apps.morphing.poses.frontal.turned_to_front", turned)
    make(samples[0], samples[1], tmp_path)
    assert seen == faces


def test_sizes_are_said_in_one_way(samples, caplog):
    caplog.set_level(logging.WARNING)
    small = torch.nn.functional.interpolate(load_image(samples[0])[None], scale_factor=0.5)[0]
    average([small, samples[1]], size=64)
    chain([small, samples[1]], size=64, frames=2)
    align_faces([small, samples[1]], size=64)
    found = [one.message for one in caplog.records if "photographs of 2 sizes" in one.message]
    assert len(found) == 3
    assert len({one.split(", are")[0] for one in found}) == 1
