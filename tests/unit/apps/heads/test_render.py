"""Sliders, poses and lights: what a render shows is what the numbers say."""

from __future__ import annotations

import math

import pytest
import torch

from facemorph.apps.heads.render import KINDS, render
from facemorph.apps.heads.rendered_head import LIGHTS, set_sliders, sliders, studio_light
from facemorph.errors import ConfigError, DataError, OutputError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag, save_image
from facemorph.faces.files.video_io import read_video
from facemorph.geometry.meshes.mesh_files import read_mesh
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.lighting import shading
from facemorph.ops.rotations import rotation_from_vector


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


def test_sliders_set_what_they_name_and_both_sides_of_a_pair(model):
    neutral = FaceParameters.neutral(model, 2)
    moved = set_sliders(
        neutral, model, {"jawOpen": 0.6, "mouthSmile": 0.5}, {3: 1.5}, {"head": (20.0, 0.0, 0.0)}
    )
    named = dict(zip(model.expression_names, moved.expression[1].tolist(), strict=True))
    assert {name: round(value, 6) for name, value in named.items() if value} == {
        "jawOpen": 0.6,
        "mouthSmileLeft": 0.5,
        "mouthSmileRight": 0.5,
    }
    assert moved.identity[:, 3].tolist() == [1.5, 1.5]
    assert int((moved.identity != 0).sum()) == 2
    head = rotation_from_vector(moved.joints[0, model.joint_names.index("head")])
    assert math.degrees(math.asin(-float(head[2, 0]))) == pytest.approx(20, abs=1e-3)
    assert {name for name, _, _ in sliders(model)} == set(model.expression_names)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (({"jawOpn": 0.5}, {}, {}), r"no such slider.*Did you mean jawOpen"),
        (({"smile": 0.5}, {}, {}), "no such slider"),
        (({"xyz": 0.5}, {}, {}), "render --list"),
        (({"jawOpen": 1.5}, {}, {}), r"out of range \(expected 0 to 1, found 1.5\)"),
        (({"jawOpen": math.nan}, {}, {}), "out of range"),
        (({}, {80: 1.0}, {}), "0 to 79"),
        (({}, {3: 50.0}, {}), "within 5"),
        (({}, {}, {"jaw": (0.0, 1.0, 0.0)}), "slider"),
        (({}, {}, {"head": (120.0, 0.0, 0.0)}), "turned too far"),
    ],
)
def test_sliders_that_are_not_there_or_out_of_range(model, values, match):
    with pytest.raises(ConfigError, match=match):
        set_sliders(FaceParameters.neutral(model), model, *values)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shows_the_head_in_the_middle(tmp_path, kind):
    result = render(None, tmp_path / "a.png", kind=kind, size=64)
    image = load_image(result.files[0])
    assert image.shape == (3, 64, 64)
    assert read_synthetic_tag(result.files[0])["synthetic"] is True
    assert (image[:, 32, 32] - image[:, 1, 1]).abs().max() > 0.05


def test_yaw_turns_to_the_right_and_pitch_down(tmp_path):
    nearest = {}
    for name, options in (
        ("yaw", {"yaw": 30.0}),
        ("pitch", {"pitch": 30.0}),
        ("front", {}),
        ("up", {"pitch": -30.0}),
    ):
        depth = load_image(
            render(None, tmp_path / f"{name}.png", kind="depth", size=96, **options).files[0]
        )[0]
        # of the front: the nose
        rows, columns = (depth >= depth.max() - 0.02).nonzero(as_tuple=True)
        nearest[name] = (float(columns.float().mean()), float(rows.float().mean()))
    assert nearest["yaw"][0] > nearest["front"][0] + 4
    # Bent down, the forehead is nearest; bent up, chin and shoulders.
    assert nearest["pitch"][1] + 4 < nearest["front"][1] < nearest["up"][1] - 4
    assert abs(nearest["front"][0] - 47.5) < 1


def test_lights_shine_from_their_side_and_black_texture_stays_black(tmp_path):
    sides = torch.tensor([[-1.0, 0, 0.6], [1, 0, 0.6], [0, 1, 0.6], [0, -1, 0.6]])
    normals = torch.nn.functional.normalize(sides, dim=1)
    for name, brighter in (("left", 0), ("right", 1), ("top", 2), ("below", 3)):
        assert int(shading(normals, studio_light(name))[:, 0].argmax()) == brighter, name
    assert set(LIGHTS) == {"front", "left", "right", "top", "below"}
    save_image(torch.zeros(3, 32, 32), tmp_path / "black.png")
    image = load_image(
        render(
            None, tmp_path / "a.png", texture=tmp_path / "black.png", size=64, light="left"
        ).files[0]
    )
    assert float(image[:, 32, 32].max()) == 0


def test_turntables_videos_and_meshes(tmp_path, model):
    result = render(None, tmp_path / "turn.gif", turntable=True, frames=6, size=48)
    assert result.frames == 6
    row = load_image(
        render(None, tmp_path / "row.png", turntable=True, frames=3, size=48, kind="depth").files[0]
    )
    assert row.shape == (3, 48, 144)
    front = load_image(render(None, tmp_path / "front.png", size=48, kind="depth").files[0])
    torch.testing.assert_close(row[:, :, 48:96], front)
    moved = FaceParameters.neutral(model, 5)
    moved.expression[:, model.expression_names.index("jawOpen")] = torch.linspace(0, 1, 5)
    moved.save(tmp_path / "take.npz")
    assert render(tmp_path / "take.npz", tmp_path / "take.mp4", size=48).frames == 5
    assert len(list(read_video(tmp_path / "take.mp4"))) == 5
    for suffix in (".glb", ".obj", ".ply"):
        files = render(None, tmp_path / f"head{suffix}", expression={"jawOpen": 0.5}).files
        assert len(read_mesh(files[0]).faces) == len(model.topology.faces)
    expected = model.vertices(
        torch.zeros(1, 80), FaceParameters.neutral(model).with_expression(jawOpen=0.5).expression
    )
    torch.testing.assert_close(
        read_mesh(tmp_path / "head.ply").vertices, expected[0], rtol=0, atol=1e-3
    )


def test_the_texture_beside_the_parameters_is_used(tmp_path, model):
    FaceParameters.neutral(model).save(tmp_path / "a.npz")
    save_image(
        torch.tensor([0.0, 1.0, 0.0])[:, None, None].expand(3, 32, 32), tmp_path / "a.texture.png"
    )
    image = load_image(render(tmp_path / "a.npz", tmp_path / "out.png", size=64).files[0])
    assert image[:, 32, 32].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("name", "options", "error", "match"),
    [
        ("a.bmp", {}, OutputError, "unknown kind of output"),
        ("a.png", {"kind": "xray"}, ConfigError, "kind: no such choice"),
        ("a.png", {"light": "moon"}, ConfigError, "light: no such choice"),
        ("a.png", {"size": 3}, ConfigError, "unusable size"),
        ("a.gif", {"frames": 1, "turntable": True}, ConfigError, "number of frames"),
        ("a.gif", {"frames_per_second": 0.0}, ConfigError, "unusable speed"),
        ("a.png", {"yaw": math.nan}, ConfigError, "yaw: this is no angle"),
    ],
)
def test_wrong_options(tmp_path, name, options, error, match):
    with pytest.raises(error, match=match):
        render(None, tmp_path / name, **options)


def test_wrong_sources(tmp_path, model):
    other = FaceParameters.neutral(model)
    object.__setattr__(other, "model", "ict")
    other.save(tmp_path / "ict.npz")
    with pytest.raises(DataError, match=r"belong to another model.*--model ict"):
        render(tmp_path / "ict.npz", tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="face parameters or a photograph"):
        render(tmp_path / "a.txt", tmp_path / "a.png")
    save_image(torch.zeros(3, 32, 48), tmp_path / "wide.png")
    with pytest.raises(DataError, match="square"):
        render(None, tmp_path / "a.png", texture=tmp_path / "wide.png")
