"""The classic tools with files: alignment, delineation, masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from facemorph import load_image
from facemorph.apps.morphing.classics import (
    align_faces,
    average,
    delineate,
    mask,
    regions,
)
from facemorph.apps.morphing.cutout import cut_out, oval_mask
from facemorph.errors import ConfigError, DataError, NoFaceFound, OutputError
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.files.image_output import read_synthetic_tag, save_image, uncovered
from facemorph.faces.files.landmark_files import read_points, write_points
from facemorph.faces.pair import PreparedFace, prepare_faces
from facemorph.faces.procrustes import mean_shape, procrustes_align

SIZE = 128


@pytest.fixture(scope="module")
def face(samples):
    return prepare_faces(samples[:1], size=SIZE)[0]


# ------------------------------------------------------------
# alignment
def test_aligned_faces_fit_their_mean(samples, tmp_path):
    result = align_faces(samples, tmp_path / "aligned", size=SIZE)
    names = [f"{path.stem}{ending}" for path in samples for ending in (".png", ".json")]
    assert [path.name for path in result.files] == [*names, "aligned.recipe.yaml"]
    shape = mean_shape([face.points for face in result.faces])
    for face, path in zip(result.faces, samples, strict=True):
        # No similarity brings them closer: each is where its own fit to their mean would put it. (A
        # fit shrinks
        # a shape by the cosine of its distance from the mean, hence the tolerance.)
        assert torch.allclose(procrustes_align(face.points, shape), face.points, atol=0.1)
        points, scheme = read_points(tmp_path / "aligned" / f"{path.stem}.json")
        assert scheme == "ibug68"
        assert torch.allclose(points, face.points)
        found = EmbeddedDetector()(load_image(tmp_path / "aligned" / f"{path.stem}.png"))[0]
        assert float((found.points - points).norm(dim=1).median()) < 2.5
        assert read_synthetic_tag(tmp_path / "aligned" / f"{path.stem}.png")["synthetic"] is True
        assert not bool((face.image[:, :, 0] == face.image[:, :, 1]).all())  # no smeared border


def test_a_turned_picture_is_turned_back(samples, tmp_path):
    upright = load_image(samples[0])
    points = EmbeddedDetector()(upright)[0].points.double()
    width = upright.shape[2]
    turned = upright.rot90(1, (1, 2))  # a pixel (x, y) comes to (y, width - x)
    turned_points = torch.stack([points[:, 1], width - points[:, 0]], 1)
    files = [
        write_points(one, tmp_path / f"{name}.json", "ibug68")
        for name, one in (("a", points), ("b", turned_points))
    ]
    one, two = align_faces([upright, turned], points=files, size=SIZE).faces
    assert torch.allclose(one.points, two.points, atol=1e-6)
    inner = slice(SIZE // 4, 3 * SIZE // 4)
    assert float((one.image - two.image)[:, inner, inner].abs().mean()) < 0.02


def test_alignment_loses_no_file(samples, tmp_path):
    copy = save_image(load_image(samples[0]), tmp_path / "sample_collins.png")
    with pytest.raises(DataError, match="same name"):
        align_faces([samples[0], copy], tmp_path / "out", size=SIZE)
    with pytest.raises(DataError, match="that of an input"):
        align_faces([copy], tmp_path, size=SIZE)
    with pytest.raises(ConfigError, match="folder"):
        align_faces([copy], tmp_path / "out.png", size=SIZE)
    with pytest.raises(DataError, match="no picture"):
        align_faces([], tmp_path / "out", size=SIZE)
    assert copy.read_bytes()


# ------------------------------------------------------------
# delineation
def test_landmarks_that_both_have_are_carried_onto_themselves(samples, tmp_path):
    """The detector's own points, carried to another face, are the detector's points there."""
    own, other = (EmbeddedDetector()(load_image(path))[0].points.double() for path in samples)
    template = write_points(own, tmp_path / "a.pts", "ibug68")
    result = delineate(samples[0], template, samples[1], tmp_path / "b.json")
    points, scheme = read_points(tmp_path / "b.json")
    assert scheme == "ibug68"
    assert torch.allclose(points, result.faces[0].points)
    face_height = float((other[8] - other[27]).norm())
    assert float((points - other).norm(dim=1).mean()) < 0.02 * face_height
    same = delineate(samples[0], template, samples[0]).faces[0].points
    assert float((same - own).norm(dim=1).max()) < 0.05


def test_templates_are_carried_to_other_people(frll, tmp_path):
    one, two = (frll / "neutral" / f"{name}_03" for name in ("001", "002"))
    delineate(
        one.with_suffix(".jpg"),
        one.with_suffix(".tem"),
        two.with_suffix(".jpg"),
        tmp_path / "two.tem",
    )
    points, scheme = read_points(tmp_path / "two.tem")
    wanted, _ = read_points(two.with_suffix(".tem"))
    assert scheme == "frll189"
    assert (tmp_path / "two.tem").read_text().splitlines()[190:] == one.with_suffix(
        ".tem"
    ).read_text().splitlines()[
        190 : 190 + len((tmp_path / "two.tem").read_text().splitlines()) - 190
    ]
    eyes_apart = float((wanted[0] - wanted[1]).norm())
    assert float((points - wanted).norm(dim=1).median()) < 0.08 * eyes_apart
    assert (
        float((points - read_points(one.with_suffix(".tem"))[0]).norm(dim=1).median())
        > 0.02 * eyes_apart
    )


# ------------------------------------------------------------
# masks
def test_cut_outs(face):
    gray, clear = cut_out(face), cut_out(face, background="transparent")
    assert torch.equal(clear[:3], face.image)
    alpha = clear[3:]
    assert torch.allclose(gray, alpha * face.image + (1 - alpha) * 0.5, atol=1e-6)
    assert bool((gray[:, alpha[0] == 0] == 0.5).all())
    assert torch.equal(gray[:, alpha[0] == 1], face.image[:, alpha[0] == 1])
    assert float(cut_out(face, background="white")[:, 0, 0].min()) == 1
    x, y = face.points[30].long().tolist()
    assert float(alpha[0, y, x]) == 1


def test_the_oval_is_an_ellipse_on_the_chin(face):
    hard = oval_mask(face.points, face.scheme, face.frame, 0.0)[0] > 0.5
    rows, columns = (hard.any(1 - axis).nonzero().flatten() for axis in (0, 1))
    tall, wide = len(rows) / 2, len(columns) / 2
    assert float(hard.sum()) == pytest.approx(np.pi * tall * wide, rel=0.06)
    assert abs(float(rows.max()) + 1 - float(face.points[8, 1])) < 2
    turned = (
        face.points @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]]).double().T
        + torch.tensor([0.0, SIZE]).double()
    )
    there = oval_mask(turned, face.scheme, face.frame, 0.0)[0] > 0.5
    assert float((there != hard.rot90(1, (0, 1))).float().mean()) < 0.003


def test_alpha_is_written(samples, tmp_path):
    for suffix in (".png", ".webp"):
        path = tmp_path / f"cut{suffix}"
        result = mask(samples[0], path, size=SIZE, background="transparent", outline="oval")
        with Image.open(path) as picture:
            assert picture.mode == "RGBA"
            alpha = np.asarray(picture)[..., 3]
        assert np.abs(alpha / 255 - result.faces[0].image[3].numpy()).max() < 0.01
        assert read_synthetic_tag(path)["synthetic"] is True
    with pytest.raises(OutputError):
        mask(samples[0], tmp_path / "cut.jpg", size=SIZE, background="transparent")
    for path, bits in ((tmp_path / "x.jpg", 8), (tmp_path / "x.png", 16)):
        with pytest.raises(OutputError, match="alpha"):
            save_image(torch.zeros(4, 8, 8), path, bits=bits)
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize(
    "change",
    [{"outline": "square"}, {"background": "blue"}, {"feather": -1.0}, {"feather": float("nan")}],
)
def test_masks_that_there_are_not(face, change):
    with pytest.raises(ConfigError):
        cut_out(face, **change)


def test_ovals_need_a_known_scheme(face):
    with pytest.raises(DataError):
        cut_out(PreparedFace(face.image, face.points[:10], "points10"), "oval")


# ------------------------------------------------------------
# averages
def test_average_of_pictures_of_different_sizes(samples, tmp_path):
    wide = torch.nn.functional.pad(load_image(samples[0]), (40, 0), mode="replicate")
    result = average([wide, samples[1]], size=SIZE)
    assert result.faces[0].image.shape == (3, SIZE, SIZE)
    with pytest.raises(ConfigError, match="align=portrait"):
        average([wide, samples[1]], size=SIZE, align="none")


def test_many_faces_need_no_more_than_one_each(samples):
    """Twenty faces in one average: linear in the number, and finite."""
    faces = [load_image(path) for path in samples] * 4
    result = average(faces, size=64).faces[0]
    pair = average(faces[:2], size=64).faces[0]
    assert torch.allclose(result.image, pair.image, atol=1e-4)


def test_all_bad_photographs_are_named_at_once_or_left_out(samples, tmp_path, caplog):
    empty = save_image(torch.full((3, 64, 64), 0.5), tmp_path / "empty.png", synthetic=True)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff no picture")
    given = [samples[0], empty, samples[1], broken]
    with pytest.raises(DataError, match="2 of 4 photographs cannot be used") as caught:
        average(given, tmp_path / "average.png", size=64)
    assert "empty.png" in str(caught.value)
    assert "broken.jpg" in str(caught.value)
    assert not (tmp_path / "average.png").exists()
    with pytest.raises(NoFaceFound):  # one alone keeps its own words
        average([samples[0], empty], size=64)
    result = average(given, tmp_path / "average.png", size=64, skip_failed=True)
    assert result.used == 2
    assert caplog.text.count("left out") == 2
    expected = average(list(samples), size=64)
    torch.testing.assert_close(result.faces[0].image, expected.faces[0].image, atol=1e-3, rtol=0)
    with pytest.raises(DataError, match="3 of 3"):
        average([empty, broken, empty], size=64, skip_failed=True)


# ------------------------------------------------------------
# transparency
def clear_picture(path, sample, opaque):
    """A sample with its upper part transparent."""
    image = load_image(sample)
    alpha = torch.full_like(image[:1], opaque)
    alpha[:, : image.shape[1] // 8] = 0
    return save_image(torch.cat([image, alpha]), path)


def test_an_average_keeps_transparency(samples, tmp_path, caplog):
    a = clear_picture(tmp_path / "a.png", samples[0], 1.0)
    one = average([a], tmp_path / "one.png", size=SIZE, align="none")
    with Image.open(one.files[0]) as found:
        assert found.mode == "RGBA"
        values = torch.from_numpy(np.array(found).astype(np.float32) / 255).permute(2, 0, 1)
    expected = average([samples[0]], size=SIZE, align="none").faces[0].image
    assert float(values[3, : SIZE // 8 - 2].max()) == 0
    assert float(values[3, SIZE // 8 + 2 :].min()) == 1
    below = slice(SIZE // 8 + 2, None)
    assert float((values[:3, below] - expected[:, below]).abs().max()) < 0.01
    assert "transparency" not in caplog.text
    # A transparent one and an opaque one: half as opaque, in the colours of the opaque one.
    both = average([a, samples[0]], tmp_path / "b.webp", size=SIZE, align="none").faces[0]
    assert float((both.alpha[0, : SIZE // 8 - 2] - 0.5).abs().max()) < 0.01
    top = slice(0, SIZE // 8 - 2)
    rgba = uncovered(both.image, both.alpha)
    assert float((rgba[:3, top] - expected[:, top]).abs().max()) < 0.02
    average([a], tmp_path / "one.jpg", size=SIZE, align="none")
    assert "a.png: its transparency is not kept; it is shown on white" in caplog.text


def test_a_region_morph_keeps_transparency(samples, tmp_path, caplog):
    a = clear_picture(tmp_path / "a.png", samples[0], 1.0)
    b = clear_picture(tmp_path / "b.png", samples[0], 1.0)
    one = regions(a, b, tmp_path / "r.png", eyes=1.0, time=0.0, size=SIZE, align="none")
    alpha = one.faces[0].alpha
    assert float(alpha[0, : SIZE // 8 - 8].max()) < 0.02
    assert float(alpha[0, SIZE // 4 :].min()) > 0.98
    with Image.open(one.files[0]) as found:
        assert found.mode == "RGBA"
    assert "transparency" not in caplog.text


def test_a_mask_counts_the_transparency_in_and_others_say_that_it_is_lost(
    samples, tmp_path, caplog
):
    half = clear_picture(tmp_path / "half.png", samples[0], 0.5)
    found = mask(half, tmp_path / "m.png", background="transparent", size=SIZE).faces[0].image
    whole = mask(samples[0], tmp_path / "n.png", background="transparent", size=SIZE)
    expected = whole.faces[0].image
    inside = expected[3] > 0.99
    assert float((found[3][inside] - 0.5).abs().max()) < 0.02
    assert float((found[:3, inside] - expected[:3, inside]).abs().mean()) < 0.03
    assert "transparency" not in caplog.text
    mask(half, tmp_path / "g.png", size=SIZE)
    assert "half.png: its transparency is not kept; it is shown on white" in caplog.text
