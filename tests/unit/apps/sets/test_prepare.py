"""Training sets of photographs: what is written, resumed, filtered, split and refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from helpers.driving import performance
from PIL import Image, ImageFilter

from facemorph.apps.fitting.face_fitting import refine_faces
from facemorph.apps.sets import prepared_set as module
from facemorph.apps.sets import refined_fits
from facemorph.apps.sets.prepare import prepare_dataset
from facemorph.apps.sets.prepare_pictures import sharpness
from facemorph.apps.sets.prepared_set import find_sources, validation_people
from facemorph.data.face_set import SetIndex
from facemorph.errors import ConfigError, DataError, FacemorphError, GeometryError
from facemorph.faces.alignment import apply_affine, invert_affine, reenactment_crop
from facemorph.faces.detection import find_face
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import read_points
from facemorph.faces.files.video_io import write_frames
from facemorph.geometry.fitting.landmark_solver import distance_between_pupils
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame

SIZE = 96


@pytest.fixture(scope="module")
def photographs(samples, tmp_path_factory):
    """Two pictures of each of two people, a blurred one, one without a face, and a file that is
    none.
    """
    folder = tmp_path_factory.mktemp("photographs")
    for path in samples:
        person = path.stem.removeprefix("sample_")
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
            picture.save(folder / f"{person}_1.jpg", quality=95)
            picture.rotate(6, resample=Image.Resampling.BICUBIC).save(
                folder / f"{person}_2.jpg", quality=95
            )
            if person == "hopper":
                picture.filter(ImageFilter.GaussianBlur(6)).save(folder / "smooth_1.jpg")
                picture.resize((60, 72)).save(folder / "tiny_1.jpg")
    Image.fromarray(np.full((80, 80, 3), 127, np.uint8)).save(folder / "wall_1.png")
    (folder / "broken_1.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def prepared(photographs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    report = prepare_dataset(
        photographs, folder, kind="gdpw", size=SIZE, validation=0.5, min_sharpness=0.08
    )
    return folder, report


def rows(report):
    return {row["name"]: row for row in report["rows"]}


def test_every_photograph_is_used_or_reported(prepared):
    folder, report = prepared
    found = rows(report)
    assert {name for name, row in found.items() if row["status"] == "done"} == {
        "collins_1",
        "collins_2",
        "hopper_1",
        "hopper_2",
    }
    assert found["wall_1"]["error"] == "NoFaceFound"
    assert found["broken_1"]["status"] == "failed"
    assert "blurred" in found["smooth_1"]["reason"]
    assert found["tiny_1"]["status"] in ("filtered", "failed")
    assert report["counts"]["done"] == 4
    assert report["unlike"] == {}
    assert sum(report["counts"].values()) == 8
    assert json.loads((folder / "report.json").read_text())["counts"] == report["counts"]
    assert (folder / "overview.jpg").is_file()


def test_strangers_whose_names_begin_alike_are_said(samples, tmp_path, caplog):
    """`female_1.jpg`, `female_2.jpg`: the rule for names made one person of all of them."""
    (tmp_path / "photographs").mkdir()
    for number, path in enumerate(samples):
        (tmp_path / f"photographs/woman_{number}.png").write_bytes(path.read_bytes())
    words = tmp_path / "photographs", tmp_path / "set"
    report = prepare_dataset(*words, kind="gif", size=SIZE, validation=0)
    assert report["people"] == 1
    assert report["unlike"]["woman"] > 0.6
    assert any("look like several people: woman" in message for message in caplog.messages)
    again = prepare_dataset(*words, kind="gif", size=SIZE, validation=0, people="each")
    assert (again["people"], again["unlike"]) == (2, {})


def test_crops_landmarks_parameters_and_masks_fit_each_other(prepared):
    folder, _ = prepared
    index, parameters, model = (
        SetIndex.read(folder),
        FaceParameters.load(folder / "parameters.npz"),
        load_makehuman(),
    )
    assert len(parameters) == len(index.names) == 4
    for number, name in enumerate(index.names):
        picture, mask = (load_image(folder / f"{kind}/{name}.png") for kind in ("images", "masks"))
        points, scheme = read_points(folder / f"landmarks/{name}.json")
        assert scheme == "ibug68"
        assert picture.shape == mask.shape == (3, SIZE, SIZE)
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        inner = points[17:].long()
        assert bool(mask[0, inner[:, 1], inner[:, 0]].all())  # the face is in the mask
        one = parameters[number]
        vertices = vertices_of(model, one)
        fitted = camera_of(one, Frame(SIZE, SIZE)).project(model.landmarks(vertices)).pixels[0]
        pupils = float(distance_between_pupils(points[None].float()))
        assert float((fitted - points).norm(dim=1)[17:].mean()) < 0.08 * pupils


def test_a_person_has_one_identity_and_is_in_one_split(prepared):
    folder, report = prepared
    index, parameters = SetIndex.read(folder), FaceParameters.load(folder / "parameters.npz")
    for person in ("collins", "hopper"):
        mine = [row for row, one in enumerate(index.people) if one == person]
        assert len(mine) == 2
        assert torch.equal(parameters.identity[mine[0]], parameters.identity[mine[1]])
        assert len({index.split[row] for row in mine}) == 1
    assert not torch.equal(parameters.identity[0], parameters.identity[2])
    assert report["splits"] == {"training": 2, "validation": 2}


def test_it_goes_on_where_it_was(photographs, prepared, tmp_path, monkeypatch):
    first = prepare_dataset(
        photographs,
        tmp_path,
        kind="gdpw",
        size=SIZE,
        validation=0.5,
        min_sharpness=0.08,
        shard="0/2",
    )
    assert first["counts"]["missing"] == 4
    again = prepare_dataset(
        photographs,
        tmp_path,
        kind="gdpw",
        size=SIZE,
        validation=0.5,
        min_sharpness=0.08,
        shard="1/2",
    )
    assert again["counts"] == prepared[1]["counts"]
    assert (tmp_path / "index.json").read_bytes() == (prepared[0] / "index.json").read_bytes()
    looked = []
    monkeypatch.setattr(
        module.PicturePreparer,
        "attempt",
        lambda self, source: (
            looked.append(source.name)
            or {"name": source.name, "status": "failed", "reason": "again"}
        ),
    )
    prepare_dataset(
        photographs, tmp_path, kind="gdpw", size=SIZE, validation=0.5, min_sharpness=0.08
    )
    assert sorted(looked) == sorted(
        name for name, row in rows(again).items() if row["status"] == "failed"
    )


@pytest.mark.slow
def test_two_processes_prepare_the_same_and_changed_photographs_anew(
    photographs, prepared, tmp_path, monkeypatch
):
    copies, output = tmp_path / "photographs", tmp_path / "out"
    copies.mkdir()
    for path in photographs.iterdir():
        (copies / path.name).write_bytes(path.read_bytes())
    options = {"kind": "gdpw", "size": SIZE, "validation": 0.5, "min_sharpness": 0.08}
    report = prepare_dataset(copies, output, workers=2, **options)
    assert report["counts"] == prepared[1]["counts"]
    for name in ("images/hopper_1.png", "landmarks/hopper_1.json", "index.json"):
        assert (output / name).read_bytes() == (prepared[0] / name).read_bytes()
    looked, real = [], module.PicturePreparer.attempt
    monkeypatch.setattr(
        module.PicturePreparer,
        "attempt",
        lambda self, source: looked.append(source.name) or real(self, source),
    )
    (copies / "hopper_1.jpg").write_bytes((copies / "collins_1.jpg").read_bytes())
    (copies / "smooth_1.jpg").write_bytes((copies / "collins_2.jpg").read_bytes())  # was filtered
    prepare_dataset(copies, output, **options)
    failed = {name for name, row in rows(report).items() if row["status"] == "failed"}
    assert set(looked) == failed | {"hopper_1", "smooth_1"}


def test_other_settings_and_wrong_ones(photographs, prepared, tmp_path):
    with pytest.raises(DataError, match="size"):
        prepare_dataset(
            photographs, prepared[0], kind="gdpw", size=64, validation=0.5, min_sharpness=0.08
        )
    for options, says in (
        ({"kind": "nothing"}, "kind"),
        ({"kind": "gif", "size": 8}, "size"),
        ({"kind": "gif", "max_yaw": -1}, "max_yaw"),
        ({"kind": "gif", "validation": 1}, "validation"),
        ({"kind": "gif", "people": "x"}, "people"),
        ({"kind": "gif", "shard": "2/2"}, "shard"),
        ({"kind": "gif", "model": "x"}, "model"),
    ):
        with pytest.raises(FacemorphError, match=says):
            prepare_dataset(photographs, tmp_path / "new", **options)
    with pytest.raises(ConfigError, match="among the photographs"):
        prepare_dataset(photographs, photographs, kind="gif")
    with pytest.raises(DataError, match="no such folder"):
        prepare_dataset(tmp_path / "missing", tmp_path / "new", kind="gif")
    with pytest.raises(DataError, match="no prepared"):
        SetIndex.read(tmp_path)


def test_masks_of_the_user_are_added(photographs, tmp_path, samples):
    masks = tmp_path / "masks"
    masks.mkdir()
    with Image.open(photographs / "hopper_1.jpg") as picture:
        size = picture.size
    hat = np.zeros((size[1], size[0], 3), np.uint8)
    hat[:120] = 255
    Image.fromarray(hat).save(masks / "hopper_1.png")
    Image.fromarray(hat[:50]).save(masks / "hopper_2.png")
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "hopper_1.jpg").write_bytes((photographs / "hopper_1.jpg").read_bytes())
    prepare_dataset(folder, tmp_path / "plain", kind="gif", size=SIZE)
    prepare_dataset(folder, tmp_path / "own", kind="gif", size=SIZE, masks=masks)
    plain, own = (load_image(tmp_path / f"{name}/masks/hopper_1.png") for name in ("plain", "own"))
    assert float(own.mean()) > float(plain.mean())
    assert bool((own >= plain).all())
    (folder / "hopper_2.jpg").write_bytes((photographs / "hopper_2.jpg").read_bytes())
    with pytest.raises(FacemorphError, match="another size"):
        prepare_dataset(folder, tmp_path / "wrong", kind="gif", size=SIZE, masks=masks)


def test_one_photograph_of_a_person_is_not_enough_for_reenactment(photographs, tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "hopper_1.jpg").write_bytes((photographs / "hopper_1.jpg").read_bytes())
    report = prepare_dataset(folder, tmp_path / "out", kind="gdpw", size=SIZE)
    assert report["counts"]["filtered"] == 1
    assert "only photograph" in report["rows"][0]["reason"]
    assert len(FaceParameters.load(tmp_path / "out/parameters.npz")) == 0


def test_names_and_people(tmp_path):
    for name in ("ann/a.jpg", "ann/b.jpg", "bob/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = find_sources(tmp_path)
    assert [(source.name, source.person) for source in found] == [
        ("ann_a", "ann"),
        ("ann_b", "ann"),
        ("bob_a", "bob"),
    ]
    assert [source.person for source in find_sources(tmp_path, "each")] == [
        "ann_a",
        "ann_b",
        "bob_a",
    ]
    (tmp_path / "ann_a.png").write_bytes(b"")
    with pytest.raises(DataError, match="same name"):
        find_sources(tmp_path)


def test_splits_keep_people_as_a_set_grows():
    people = [f"p{index}" for index in range(400)]
    few, many = validation_people(people[:200], 0.2, 1), validation_people(people, 0.2, 1)
    assert few == many & set(people[:200])
    assert 50 < len(many) < 110
    assert validation_people(people, 0.2, 2) != many
    assert validation_people(["a"], 0.5, 0) == set()
    assert len(validation_people(["a", "b"], 0.01, 0)) == 1
    assert len(validation_people(["a", "b"], 0.99, 0)) == 1
    assert validation_people(people, 0, 0) == set()


def test_sharpness_tells_blur_and_not_size(samples):
    image = load_image(samples[1])
    points = find_face(image).points
    sharp = sharpness(image, points)
    small = torch.nn.functional.interpolate(
        image[None], scale_factor=0.8, mode="bilinear", antialias=True
    )[0]
    assert sharpness(small, points * 0.8) == pytest.approx(sharp, rel=0.25)
    blurred = torch.nn.functional.avg_pool2d(image[None], 15, 1, 7)[0]
    assert sharpness(blurred, points) < 0.4 * sharp


def test_the_reenactment_crop(samples):
    image = load_image(samples[1])
    points = find_face(image).points
    cut = reenactment_crop(image, points, 128)
    assert cut.image.shape == (3, 128, 128)
    back = apply_affine(cut.points.double(), cut.matrix)
    assert float((back - points).abs().max()) < 1e-3
    low, high = points.amin(0), points.amax(0)
    side = float((high - low).mean()) * 1.1 * 1.35
    corners = apply_affine(
        torch.tensor([[0.0, 0.0], [128.0, 128.0]], dtype=torch.float64), cut.matrix
    )
    assert float((corners[1] - corners[0] - side).abs().max()) < 1e-3
    middle = (low + high) / 2
    assert float(middle[1] - corners[0, 1]) == pytest.approx(0.6 * side, abs=1e-3)
    assert float(apply_affine(points.double(), invert_affine(cut.matrix)).max()) < 128


@pytest.mark.slow
def test_videos_give_frames_of_one_person(samples, tmp_path):
    folder = tmp_path / "takes"
    folder.mkdir()
    pictures, _ = performance(samples[1], load_makehuman(), frames=12, size=192)
    write_frames(pictures, folder / "hopper_take.mp4")
    (folder / "broken_take.mp4").write_bytes(b"no video")
    report = prepare_dataset(folder, tmp_path / "out", kind="gdpw", size=SIZE, frames=5)
    found = rows(report)
    names = [f"hopper_take_{number:07d}" for number in (0, 3, 6, 8, 11)]
    assert set(found) == {*names, "broken_take"}
    assert report["counts"]["done"] == 5
    assert found["broken_take"]["status"] == "failed"
    parameters = FaceParameters.load(tmp_path / "out/parameters.npz")
    assert bool((parameters.identity == parameters.identity[0]).all())
    assert not torch.equal(parameters.rotation[0], parameters.rotation[2])
    assert list(SetIndex.read(tmp_path / "out").names) == names
    again = prepare_dataset(folder, tmp_path / "out", kind="gdpw", size=SIZE, frames=5)
    assert again["counts"] == report["counts"]
    with pytest.raises(ConfigError, match="frames"):
        prepare_dataset(folder, tmp_path / "new", kind="gdpw", frames=0)


def test_refined_sets_hold_light_and_skin(photographs, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    for name in ("hopper_1.jpg", "hopper_2.jpg"):
        (folder / name).write_bytes((photographs / name).read_bytes())
    prepare_dataset(folder, tmp_path / "out", kind="gdpw", size=SIZE, refine=True)
    found = FaceParameters.load(tmp_path / "out/parameters.npz")
    assert found.albedo.shape[1] > 0
    assert torch.equal(found.identity[0], found.identity[1])
    assert not torch.equal(found.light[0], found.light[1])


@pytest.fixture
def two(photographs, tmp_path):
    """A folder of a photograph of each of two people."""
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("collins_1.jpg", "hopper_1.jpg"):
        (folder / name).write_bytes((photographs / name).read_bytes())
    return folder


def test_refined_fits_stay_and_one_that_fails_costs_no_other(two, tmp_path, monkeypatch):
    asked = []

    def refine(faces, fits, **options):
        asked.append(faces[0].name)
        if len(asked) == 1:
            raise GeometryError("no skin is seen", where=faces[0].name)
        return refine_faces(faces, fits, **options)

    monkeypatch.setattr(refined_fits, "refine_faces", refine)
    words = {"kind": "varitex", "size": SIZE, "validation": 0.0, "refine": True}
    report = prepare_dataset(two, tmp_path / "out", **words)
    assert report["counts"]["failed"] == 1
    assert "no skin is seen" in rows(report)["collins_1"]["reason"]
    assert SetIndex.read(tmp_path / "out").names == ("hopper_1",)
    assert len(FaceParameters.load(tmp_path / "out/parameters.npz")) == 1
    report = prepare_dataset(two, tmp_path / "out", **words)
    assert report["counts"]["done"] == 2
    assert asked == ["collins_1", "hopper_1", "collins_1"]
    found = FaceParameters.load(tmp_path / "out/parameters.npz")
    alone = FaceParameters.load(tmp_path / "out/refined/collins_1.npz")
    assert torch.equal(found.albedo[0], alone.albedo[0])


@pytest.mark.slow
def test_fits_are_refined_in_several_processes(two, tmp_path):
    words, found = {"kind": "varitex", "size": SIZE, "refine": True}, []
    for workers in (1, 2):
        prepare_dataset(two, tmp_path / "out", workers=workers, **words)
        found.append(FaceParameters.load(tmp_path / "out/parameters.npz").tensors())
        shutil.rmtree(tmp_path / "out/refined")
    for key, value in found[0].items():  # rounding moves what 50 steps of Adam come to
        torch.testing.assert_close(found[1][key], value, atol=0.02, rtol=1e-3)
