"""Synthetic sets: exact labels, the same bytes however they are made, resumable, and no surprise
with options.
"""

from __future__ import annotations

import json
import signal
from functools import partial

import cv2
import numpy as np
import pytest
import torch

from facemorph.apps.sets import picture_making, synthetic_set
from facemorph.apps.sets.synthetic_faces import (
    DEEP,
    DEPTH_STEPS,
    DEPTH_ZERO,
    SyntheticFaces,
    SynthOptions,
    picture_name,
)
from facemorph.errors import ConfigError, DataError, FacemorphError, Interrupted, OutputError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag, to_bytes
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import vertices_of
from facemorph.geometry.rendering.renders import MeshView, sample_texture
from facemorph.geometry.rendering.shaded_pictures import render_bytes, render_picture
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.geometry.synthetic.random_skin import NAMES

synthesize = partial(synthetic_set.synthesize, workers=1)
SMALL = {"size": 64, "texture": 64, "skins": 2, "supersample": 1}


@pytest.fixture(scope="module")
def faces():
    return SyntheticFaces(SynthOptions(**SMALL, labels=("uv", "normals", "depth", "mask")))


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".jpg", ".png") and path.name != "overview.jpg"
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    synthesize(folder, 6, **SMALL)
    return folder


@pytest.mark.parametrize("supersample", [1, 2, 3])
@pytest.mark.parametrize("index", [0, 5])
def test_compiled_picture_is_that_of_the_plain_twin(faces, supersample, index):
    parameters = faces.parameters(index)
    vertices, camera = vertices_of(faces.model, parameters), faces.camera(parameters)
    background = faces.background(np.random.default_rng(0))
    texture = faces.texture(index)
    picture = render_bytes(
        vertices,
        faces.model.topology,
        camera,
        faces.corners_uv,
        texture,
        parameters.light,
        background,
        supersample,
    )
    with torch.enable_grad():  # gradients take the plain way
        light = parameters.light.clone().requires_grad_()
        plain = render_picture(
            vertices,
            faces.model.topology,
            camera,
            (64, 64),
            torch.from_numpy(texture).movedim(-1, 0)[None] / 255,
            light=light,
            supersample=supersample,
        )
    expected = to_bytes(plain.over(torch.from_numpy(background).movedim(-1, 0))[0])
    assert np.abs(picture.astype(int) - expected).max() <= 1
    assert (picture == expected).mean() > 0.99


def test_maps_are_exact(faces):
    """Depth, normals, mask as of a view of its own; the texture looked up by uv, under the light,
    is the picture.
    """
    parameters = faces.parameters(3)
    vertices, camera = vertices_of(faces.model, parameters), faces.camera(parameters)
    view = MeshView.of(vertices, faces.model.topology.faces, camera, (64, 64))
    maps, mask = faces.maps(parameters), view.mask[0, 0].numpy()
    assert np.array_equal(maps["mask"] == 255, mask)
    depth = maps["depth"].astype(float) / DEPTH_STEPS - DEPTH_ZERO
    assert np.abs(depth - view.depth[0, 0].numpy())[mask].max() < 0.51 / DEPTH_STEPS
    normals = maps["normals"].astype(float) / DEEP * 2 - 1
    assert np.abs(normals - view.normals()[0].movedim(0, -1).numpy())[mask].max() < 1e-4
    uv = torch.from_numpy(maps["uv"][..., :2].astype(np.float32) / DEEP).movedim(-1, 0)[None]
    texture = torch.from_numpy(faces.texture(3)).movedim(-1, 0)[None] / 255
    from facemorph.geometry.rendering.lighting import shading

    lit = shading(torch.from_numpy(normals).float(), parameters.light[0, None, None])
    colour = (sample_texture(texture, uv)[0].movedim(0, -1) * lit).clamp(0, 1).numpy()
    picture = faces.picture(3, parameters).astype(float) / 255
    assert np.abs(colour - picture)[mask].max() < 0.01


def test_written_labels_say_what_was_drawn(whole, faces):
    index = json.loads((whole / "index.json").read_text())
    parameters = FaceParameters.load(whole / "parameters.npz")
    landmarks = np.load(whole / "landmarks.npz")
    assert index["names"] == [picture_name(number) for number in range(6)]
    assert len(parameters) == 6
    vertices = vertices_of(faces.model, parameters)
    points = faces.model.landmarks(vertices)
    assert torch.allclose(points, torch.from_numpy(landmarks["millimetres"]), atol=1e-4)
    for number in range(6):
        camera = faces.camera(parameters[number])
        pixels = camera.project(points[number : number + 1]).pixels[0]
        assert torch.allclose(pixels, torch.from_numpy(landmarks["pixels"][number]), atol=1e-3)
        view = MeshView.of(
            vertices[number : number + 1], faces.model.topology.faces, camera, (64, 64)
        )
        mask = cv2.imread(
            str(whole / "mask" / f"{index['names'][number]}.png"), cv2.IMREAD_UNCHANGED
        )
        assert ((mask == 255) == view.mask[0, 0].numpy()).mean() > 0.999
        uv = cv2.imread(str(whole / "uv" / f"{index['names'][number]}.png"), cv2.IMREAD_UNCHANGED)[
            ..., ::-1
        ]
        assert uv.dtype == np.uint16
        expected = view.uv(faces.model.topology)[0].movedim(0, -1).numpy()
        inside = (mask == 255) & view.mask[0, 0].numpy()
        assert np.median(np.abs(uv[..., :2] / DEEP - expected)[inside]) < 2e-5
        assert read_synthetic_tag(whole / index["files"][number])["synthetic"] is True
        assert load_image(whole / index["files"][number]).shape == (3, 64, 64)


def test_same_bytes_in_parts_by_processes_and_resumed(whole, tmp_path, monkeypatch):
    for shard in ("1/2", "0/2"):
        report = synthesize(tmp_path / "parts", 6, shard=shard, **SMALL)
    assert report["counts"]["done"] == 6
    assert contents(tmp_path / "parts") == contents(whole)
    synthesize(tmp_path / "grown", 2, **SMALL)
    synthesize(tmp_path / "grown", 6, **SMALL)
    assert contents(tmp_path / "grown") == contents(whole)
    first = tmp_path / "grown" / "images" / f"{picture_name(4)}.jpg"
    first.unlink()  # what is gone is made again
    synthesize(tmp_path / "grown", 6, **SMALL)
    assert contents(tmp_path / "grown") == contents(whole)
    for name in ("parameters.npz", "landmarks.npz"):
        one, other = np.load(whole / name), np.load(tmp_path / "grown" / name)
        assert all(np.array_equal(one[key], other[key]) for key in one.files)


@pytest.mark.slow
def test_two_processes_make_the_same(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_making, "CHUNK", 3)
    report = synthesize(tmp_path / "set", 6, workers=2, **SMALL)
    assert report["counts"]["done"] == 6
    assert contents(tmp_path / "set") == contents(whole)


def test_interrupted_run_continues(whole, tmp_path, monkeypatch):
    real, made = picture_making.make_picture, []

    def make_picture(worker, index):
        made.append(index)
        if index == 2:
            signal.raise_signal(signal.SIGTERM)
        return real(worker, index)

    monkeypatch.setattr(picture_making, "make_picture", make_picture)
    with pytest.raises(Interrupted) as caught:
        synthesize(tmp_path / "set", 6, **SMALL)
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert made == [0, 1, 2]
    assert json.loads((tmp_path / "set/report.json").read_text())["counts"] == {
        "done": 3,
        "failed": 0,
        "missing": 3,
    }
    made.clear()
    synthesize(tmp_path / "set", 6, **SMALL)
    assert made == [3, 4, 5]
    assert contents(tmp_path / "set") == contents(whole)


def test_smaller_count_takes_nothing_away(tmp_path):
    synthesize(tmp_path, 3, labels=["parameters"], **SMALL)
    report = synthesize(tmp_path, 1, labels=["parameters"], **SMALL)
    assert report["counts"]["done"] == 3
    assert len(FaceParameters.load(tmp_path / "parameters.npz")) == 3


def test_other_options_are_refused_with_both_values(tmp_path):
    synthesize(tmp_path, 1, labels=[], **SMALL)
    with pytest.raises(DataError) as caught:
        synthesize(tmp_path, 1, labels=[], seed=5, **SMALL)
    assert caught.value.expected == "seed=0"
    assert caught.value.found == "seed=5"


def test_frames_of_a_person_share_identity_and_skin():
    faces = SyntheticFaces(SynthOptions(same_identity=3, skins=0, size=64))
    rows = [faces.parameters(index) for index in range(6)]
    for index in range(6):
        assert torch.equal(rows[index].identity, rows[index // 3 * 3].identity)
        assert torch.equal(rows[index].albedo, rows[index // 3 * 3].albedo)
        assert faces.skin_number(index) == index // 3
    assert not torch.equal(rows[0].identity, rows[3].identity)
    assert not torch.equal(rows[0].expression, rows[1].expression)
    assert not torch.equal(rows[0].rotation, rows[1].rotation)
    assert not torch.equal(rows[0].light, rows[1].light)


def test_pictures_of_a_person_can_share_light_and_background():
    look = {"same_identity": 2, "skins": 2, "size": 64, "texture": 64}
    shared, apart = (
        SyntheticFaces(SynthOptions(**look, same_light=same)) for same in (True, False)
    )
    ours = [shared.parameters(index) for index in range(4)]
    assert torch.equal(ours[0].light, ours[1].light)
    assert not torch.equal(ours[1].light, ours[2].light)
    assert not torch.equal(ours[0].rotation, ours[1].rotation)
    first, second, other = (shared.picture(index, ours[index]) for index in (0, 1, 2))
    corners = [one[:2, (0, 1, -2, -1)] for one in (first, second, other)]  # beside the head
    assert (corners[0] == corners[1]).all()
    assert not (corners[0] == corners[2]).all()
    # Nothing else is drawn anew, and sets without it stay as they are.
    plain = [apart.parameters(index) for index in range(2)]
    assert torch.equal(plain[0].rotation, ours[0].rotation)
    assert not torch.equal(plain[0].light, plain[1].light)


def test_no_person_is_in_both_splits(tmp_path):
    synthesize(tmp_path, 22, labels=[], same_identity=2, **{**SMALL, "size": 32})
    index = json.loads((tmp_path / "index.json").read_text())
    held = {
        person
        for person, split in zip(index["people"], index["split"], strict=True)
        if split == "validation"
    }
    assert held == {"0000009"}
    assert index["split"].count("validation") == 2


def test_ict_has_faces_too(frll):
    """The developers' copy of ICT-FaceKit: the face is in the middle, lips and hair are where they
    belong.
    """
    path = frll.parent / "ict_facekit/full.npz"
    if not path.is_file():
        pytest.skip("needs ../shared/data/ict_facekit")
    faces = SyntheticFaces(
        SynthOptions(model=str(path), size=64, texture=128, skins=1, camera="pinhole")
    )
    for index in range(3):
        parameters = faces.parameters(index)
        pixels, _ = faces.landmarks(parameters)
        assert bool(((pixels > 0) & (pixels < 64)).all())
        assert faces.picture(index, parameters).std() > 10


def test_skin_and_background_of_the_user(tmp_path, samples):
    from facemorph.faces.files.image_output import save_image

    (tmp_path / "skins").mkdir()
    save_image(torch.full((3, 64, 64), 0.5), tmp_path / "skins/my_texture.png")
    (tmp_path / "skins/photo.png").write_bytes(samples[0].read_bytes())
    (tmp_path / "skins/nobody.png").write_bytes((tmp_path / "skins/my_texture.png").read_bytes())
    (tmp_path / "behind").mkdir()
    save_image(
        torch.tensor([0.0, 1.0, 0.0])[:, None, None].expand(3, 40, 90),
        tmp_path / "behind/green.png",
    )
    options = {**SMALL, "skin": str(tmp_path / "skins"), "background": str(tmp_path / "behind")}
    report = synthesize(tmp_path / "set", 3, labels=["mask", "parameters"], **options)
    assert report["counts"] == {"done": 2, "failed": 1, "missing": 0}
    assert report["failed"][0]["name"] == picture_name(1)  # my_texture, nobody, photo
    assert FaceParameters.load(tmp_path / "set/parameters.npz").albedo.shape == (2, 0)
    picture = load_image(tmp_path / "set/images" / f"{picture_name(0)}.jpg")
    mask = load_image(tmp_path / "set/mask" / f"{picture_name(0)}.png")[0] > 0.5
    assert float(picture[1][~mask].mean()) > 0.9
    assert float(picture[0][~mask].mean()) < 0.1


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"size": 8}, "size"),
        ({"supersample": 9}, "supersample"),
        ({"kind": "gif"}, "kind"),
        ({"seed": -1}, "seed"),
        ({"camera": "fish"}, "camera"),
        ({"skin": "nowhere"}, "skin"),
        ({"background": "nowhere"}, "background"),
        ({"same_identity": 0}, "same_identity"),
        ({"labels": ["colour"]}, "labels"),
        ({"workers": -1}, "workers"),
        ({"shard": "2/2"}, "shard"),
        ({"model": "nobody"}, "nobody"),
        ({"max_yaw": 200}, "max_yaw"),
    ],
)
def test_bad_options_are_named(tmp_path, options, where):
    with pytest.raises(FacemorphError) as caught:
        synthesize(tmp_path / "set", 2, **options)
    assert where in str(caught.value)
    assert not (tmp_path / "set" / "settings.json").exists()


def test_no_pictures_is_no_set(tmp_path):
    with pytest.raises(ConfigError):
        synthesize(tmp_path, 0)


def test_file_in_the_way_of_the_folder(tmp_path):
    (tmp_path / "images").write_text("mine")
    with pytest.raises(OutputError):
        synthesize(tmp_path, 1, labels=[], **SMALL)
    assert (tmp_path / "images").read_text() == "mine"


def test_pinholes_have_a_focal_length():
    faces = SyntheticFaces(SynthOptions(camera="pinhole", size=64))
    assert all(float(faces.parameters(index).focal) > 64 for index in range(5))


def test_open_skins_follow_from_their_numbers(tmp_path):
    """Random people of the open texture model: the same however asked for, and labelled by the
    nearest procedural skin.
    """
    look = {**SMALL, "skins": 3, "skin": "open"}
    first, again = SyntheticFaces(SynthOptions(**look)), SyntheticFaces(SynthOptions(**look))
    textures = [first.texture(number) for number in range(3)]
    assert np.array_equal(textures[2], again.texture(2))
    assert not np.array_equal(textures[0], textures[1])
    assert all(texture.shape == (64, 64, 3) for texture in textures)
    parameters = first.parameters(1)
    assert parameters.albedo.shape == (1, len(NAMES))
    assert float(parameters.albedo.abs().max()) < 6
    assert torch.equal(parameters.albedo, again.parameters(1).albedo)
    mean, basis = skin_basis(first.model)
    face = first.model.topology.masks["face"]
    colours = (mean + (parameters.albedo[0] @ basis.flatten(1)).view_as(mean))[face]
    tone = textures[1][16:36, 20:44].reshape(-1, 3).mean(0) / 255
    assert np.abs(colours.mean(0).numpy() - tone).max() < 0.12
    with pytest.raises(ConfigError, match="another face model"):
        SynthOptions(skin="open", model="ict")
    with pytest.raises(DataError, match="cannot be read"):
        SynthOptions(skin=str(tmp_path / "missing.safetensors"))
