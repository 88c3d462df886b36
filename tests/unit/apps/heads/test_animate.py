"""Transfer of motion, and the photograph that bends with the head."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from helpers.driving import RATE, performance

from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.located_face import locate
from facemorph.apps.heads.animate import animate
from facemorph.apps.heads.driven_portrait import (
    CALM,
    as_shown,
    at_rest,
    portrait_of,
    resized,
    transfer,
)
from facemorph.errors import ConfigError, DataError, NoFaceFound, OutputError
from facemorph.faces.files.image_output import read_synthetic_tag, save_image
from facemorph.faces.files.video_io import read_video, video_rate, write_frames
from facemorph.geometry.fitting.landmark_calibration import STRENGTH
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.portrait_motion import HeadView, flat_motion
from facemorph.geometry.portraits.portrait_warp import PortraitWarp
from facemorph.geometry.textures.texture_completion import complete_texture
from facemorph.geometry.textures.unprojection import unproject
from facemorph.ops.rotations import (
    angle_between,
    rotation_from_euler,
    rotation_from_vector,
    vector_from_rotation,
)


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def portrait(samples, model):
    """A photograph that can be moved."""
    face = resized(portrait_of(locate(samples[0])), 256)
    fitted = fit_faces([face], model)[0]
    texture = complete_texture(
        model, unproject(model, fitted.vertices()[0], fitted.camera(), face.image, 256)
    )
    return PortraitWarp(model, face.image, HeadView(fitted.vertices(), fitted.camera()), texture)


@pytest.fixture(scope="module")
def clip(samples, model, tmp_path_factory):
    pictures, moved = performance(samples[1], model, frames=12)
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_frames(pictures, path, RATE)
    return path, moved


def euler(yaw, pitch=0.0, roll=0.0):
    return rotation_from_euler(*torch.deg2rad(torch.tensor([[yaw], [pitch], [roll]])))


def faces(model, count, **changes):
    return replace(FaceParameters.neutral(model, count), **changes)


def test_relative_motion_starts_from_the_source_and_ends_where_the_driving_face_goes(model):
    index = model.expression_names.index("jawOpen")
    source = faces(
        model,
        1,
        rotation=vector_from_rotation(euler(5.0)),
        origin=torch.tensor([[50.0, 60.0]]),
        log_size=torch.tensor([2.0]).log(),
        identity=torch.randn(1, 80),
    )
    expression = torch.zeros(3, model.num_expression)
    expression[:, index] = torch.tensor([0.2, 0.2, 0.7])
    driving = faces(
        model,
        3,
        expression=expression,
        origin=torch.tensor([[10.0, 10], [10, 10], [14, 10]]),
        rotation=vector_from_rotation(torch.cat([euler(10.0), euler(10.0), euler(30.0)])),
        log_size=torch.tensor([1.0, 1.0, 1.5]).log(),
    )
    moved = transfer(source, driving, model, "first")
    torch.testing.assert_close(moved.rotation[0], source.rotation[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(
        moved.expression[:, index], torch.tensor([0.0, 0.0, 0.5]), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        rotation_from_vector(moved.rotation[2]), euler(25.0)[0], rtol=0, atol=1e-5
    )
    # 4 pixels of a head of half the size
    torch.testing.assert_close(moved.origin[2], torch.tensor([58.0, 60.0]))
    torch.testing.assert_close(moved.log_size.exp(), torch.tensor([2.0, 2.0, 3.0]))
    assert (moved.identity == source.identity).all()
    plain = transfer(source, driving, model, "nothing")
    torch.testing.assert_close(plain.expression, driving.expression)
    torch.testing.assert_close(plain.rotation, driving.rotation, rtol=0, atol=1e-5)


def test_a_calm_face_keeps_its_look_under_the_expression_of_another(model):
    smile, brow = model.expression_index("mouthSmileLeft")[0], model.expression_index("browDown")[0]
    own = torch.zeros(1, model.num_expression)
    own[0, smile], own[0, brow] = 0.9, 0.1
    driving = torch.zeros(1, model.num_expression)
    driving[0, smile] = 0.5
    moved = transfer(
        faces(model, 1, expression=own), faces(model, 1, expression=driving), model, "nothing"
    )
    assert float(moved.expression[0, smile]) == pytest.approx(0.5 + CALM)
    assert float(moved.expression[0, brow]) == pytest.approx(0.1)


def test_a_driver_is_as_strong_as_it_is_and_no_stronger_than_the_model(model):
    seen = faces(model, 1, expression=torch.full((1, model.num_expression), 0.2))
    shown = as_shown(seen, model, "embedded")
    torch.testing.assert_close(shown.expression, STRENGTH["embedded"] * seen.expression)
    assert torch.equal(as_shown(seen, model, "dlib").expression, seen.expression)
    most = faces(model, 1, expression=torch.ones(1, model.num_expression))
    assert float(as_shown(most, model, "embedded").expression.max()) == 1


def test_the_face_at_rest_is_what_most_frames_show(model):
    rotation = vector_from_rotation(torch.cat([euler(40.0), *[euler(2.0)] * 8, euler(-30.0)]))
    expression = torch.rand(10, model.num_expression) + 0.1
    expression[3] = 0.05
    rest = at_rest(faces(model, 10, rotation=rotation, expression=expression))
    torch.testing.assert_close(rest.expression, expression[3:4])
    assert float(angle_between(rotation_from_vector(rest.rotation[0]), euler(2.0)[0])) < 1e-3
    assert len(rest) == 1


def test_expressions_stay_within_their_range(model):
    driving = faces(
        model, 2, expression=torch.tensor([[0.0], [1.0]]).expand(2, model.num_expression)
    )
    source = faces(model, 1, expression=torch.full((1, model.num_expression), 0.5))
    moved = transfer(source, driving, model, "first")
    assert float(moved.expression.max()) <= 1


def test_flat_motion_is_the_similarity_between_points():
    generator = torch.Generator().manual_seed(0)
    old = torch.rand(30, 2, generator=generator) * 100
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]]) * 1.3
    matrix, shift = flat_motion(old, old @ turn.T + torch.tensor([7.0, -3.0]))
    torch.testing.assert_close(matrix, turn, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(shift, torch.tensor([7.0, -3.0]), rtol=0, atol=1e-2)


def test_a_head_that_does_not_move_leaves_the_photograph_as_it_is(portrait):
    difference = (portrait(portrait.motion.source) - portrait.image).abs()
    assert float(difference.mean()) < 0.004
    assert float(difference.mean(0)[:40].max()) < 0.02  # nothing bends far from the face


def test_a_turned_head_keeps_the_borders_and_moves_the_nose(portrait, model):
    turned = portrait.motion.source.camera.turned(
        euler(20.0) @ portrait.motion.source.camera.rotation
    )
    target = HeadView(portrait.motion.source.vertices, turned)
    result = portrait(target)
    border = torch.ones_like(result, dtype=torch.bool)
    border[:, 3:-3, 3:-3] = False
    assert float((result - portrait.image).abs()[border].mean()) < 0.03
    tip = model.topology.landmarks.vertices[30, 0]
    before, after = (
        portrait.motion.source_pixels[tip],
        turned.project(target.vertices).pixels[0, tip],
    )
    assert float(after[0] - before[0]) > 4

    # The pixels around the tip went along: they are nearer to the photograph's at the old place
    # than at the same place.
    def patch(image, at):
        x, y = (int(value) for value in at)
        return image[:, y - 5 : y + 6, x - 5 : x + 6]

    moved = (patch(result, after) - patch(portrait.image, before)).abs().mean()
    stayed = (patch(result, after) - patch(portrait.image, after)).abs().mean()
    assert float(moved) < 0.7 * float(stayed)


def test_anchors_map_the_face_exactly_and_the_borders_to_themselves(portrait):
    turned = portrait.motion.source.camera.turned(
        euler(-15.0) @ portrait.motion.source.camera.rotation
    )
    view = portrait.motion.look(HeadView(portrait.motion.source.vertices, turned))
    to, origin = portrait.motion._anchors(view)
    assert to.shape == origin.shape
    assert len(to) > 100
    still = (to == origin).all(1)
    assert {(0.0, 0.0), (256.0, 256.0)} <= {tuple(place) for place in to[still].tolist()}


@pytest.mark.slow
def test_a_video_is_written_with_the_driving_speed_and_its_sheet(samples, clip, tmp_path, model):
    result = animate(samples[0], clip[0], tmp_path / "out.mp4", size=128)
    assert result.frames == 12
    assert [file.name for file in result.files] == ["out.mp4", "out.sheet.jpg", "out.recipe.yaml"]
    frames = [torch.from_numpy(frame) for frame in read_video(tmp_path / "out.mp4")]
    assert len(frames) == 12
    assert video_rate(tmp_path / "out.mp4") == RATE
    assert read_synthetic_tag(tmp_path / "out.sheet.jpg")["synthetic"] is True
    assert (
        max(float((a.float() - b.float()).abs().mean()) for a, b in itertools.pairwise(frames))
        > 0.3
    )


@pytest.mark.slow
def test_parameters_drive_as_their_video_does(samples, clip, tmp_path):
    clip[1].save(tmp_path / "take.npz")
    result = animate(
        samples[0], tmp_path / "take.npz", tmp_path / "frames", size=96, relative_to="first"
    )
    assert result.frames == 12
    assert len(list((tmp_path / "frames").glob("frame_*.png"))) == 12
    assert (tmp_path / "frames.sheet.jpg").is_file()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"renderer": "gdpw"}, ConfigError, "no such choice"),
        ({"relative_to": "mean"}, ConfigError, "rest | first"),
        ({"size": 10}, ConfigError, "unusable size"),
        ({"frames_per_second": -1.0}, ConfigError, "unusable speed"),
    ],
)
def test_wrong_options(samples, clip, tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        animate(samples[0], clip[0], tmp_path / "a.mp4", **options)


def test_wrong_inputs(samples, clip, tmp_path, model):
    with pytest.raises(OutputError, match="unknown kind"):
        animate(samples[0], clip[0], tmp_path / "a.png")
    empty = save_image(torch.zeros(3, 64, 64), tmp_path / "empty.png")
    with pytest.raises(NoFaceFound):
        animate(empty, clip[0], tmp_path / "a.mp4")
    other = FaceParameters.neutral(model)
    object.__setattr__(other, "model", "ict")
    other.save(tmp_path / "ict.npz")
    with pytest.raises(DataError, match="another model"):
        animate(samples[0], tmp_path / "ict.npz", tmp_path / "a.mp4")
    with pytest.raises(OutputError, match="overwrite this input"):
        animate(samples[0], clip[0], clip[0])
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
def test_frames_without_a_face_are_held_so_that_the_length_is_the_videos(
    samples, clip, tmp_path, caplog
):
    path, _ = clip
    frames = [torch.from_numpy(one).permute(2, 0, 1) / 255 for one in read_video(path)]
    blank = [torch.full_like(frames[0], 0.5)] * 3
    write_frames([*blank, *frames[:5]], tmp_path / "late.mp4", RATE)
    result = animate(samples[0], tmp_path / "late.mp4", tmp_path / "out.mp4", size=96)
    assert result.frames == len(list(read_video(tmp_path / "out.mp4"))) == 8
    assert "3 frames show no face" in caplog.text
