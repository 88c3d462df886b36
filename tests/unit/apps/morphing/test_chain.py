"""Chains: every picture once, no jump at the joints, round again, and what is written."""

import json

import pytest
import torch

from facemorph import load_image
from facemorph.apps.morphing.chain import chain
from facemorph.errors import ConfigError, DataError, NoFaceFound, OutputError
from facemorph.faces.files.image_io import resize_image
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.faces.files.video_io import read_video
from facemorph.faces.pair import prepare_faces
from facemorph.fields.warps.choices import BLENDS, CHAIN_BLENDS
from facemorph.jobs.recipe import read_recipe
from facemorph.jobs.redo import redo

pytestmark = pytest.mark.usefixtures("short_reports", "coarse_flows")

SIZE = 64


@pytest.fixture(scope="module")
def three(samples):
    """Two photographs, and one of them in another light: three different pictures."""
    images = [load_image(path) for path in samples]
    return [*images, (images[0] * 0.7 + 0.2).clamp(0, 1)]


@pytest.fixture(scope="module")
def faces(three):
    return prepare_faces(three, size=SIZE)


@pytest.fixture(scope="module")
def looped(three):
    return chain(three, loop=True, frames=4, size=SIZE)


def test_pictures_are_key_frames(looped, faces):
    assert len(looped.segments) == 3
    for index, face in enumerate([*faces, faces[0]]):
        assert torch.equal(looped.frame(float(index)), face.image)


def test_each_picture_is_shown_once(looped, three):
    frames = list(looped.frames)
    assert len(frames) == 12
    distinct = {frame.numpy().tobytes() for frame in frames}
    assert len(distinct) == 12
    line = chain(three, frames=4, size=SIZE)
    assert line.times == [index / 4 for index in range(9)]
    assert torch.equal(list(line.frames)[-1], line.segments[-1].pair.image_b)


def test_no_jump_at_the_joints(looped):
    """The step over a joint tends to nothing as steps inside a segment do, in the frame's whole
    area.
    """
    for joint in (1.0, 2.0):
        steps = []
        for h in (0.1, 0.01, 0.001):
            left, right = looped.frame(joint - h), looped.frame(joint + h)
            steps.append(float((left - right).abs().max()))
        assert steps[2] < 0.05 * steps[0]
        assert steps[2] < 0.02
    ends = looped.frame(0.001), looped.frame(2.999)
    assert float((ends[0] - ends[1]).abs().max()) < 0.02


def test_easing_slows_down_at_each_picture(three, looped):
    eased = chain(three, loop=True, frames=4, size=SIZE, easing="ease")
    for joint in (1.0, 2.0):
        slow = float((eased.frame(joint + 0.01) - eased.frame(joint)).abs().mean())
        fast = float((looped.frame(joint + 0.01) - looped.frame(joint)).abs().mean())
        assert slow < 0.2 * fast
    assert torch.equal(eased.frame(0.5), looped.frame(0.5))


def test_two_pictures_there_and_back(samples):
    result = chain(samples, loop=True, frames=2, size=SIZE)
    assert len(result.segments) == 2
    assert result.times == [0.0, 0.5, 1.0, 1.5]
    one, two = result.segments
    assert torch.equal(one.pair.image_a, two.pair.image_b)


@pytest.mark.parametrize("blend", CHAIN_BLENDS)
def test_every_blend_ends_at_the_next_picture(samples, blend):
    result = chain(samples, frames=1, size=SIZE, blend=blend)
    assert torch.equal(result.frame(0.0), result.segments[0].pair.image_a)
    assert torch.equal(result.frame(1.0), result.segments[0].pair.image_b)


def test_blends_that_would_jump_are_refused(samples):
    for blend in set(BLENDS) - set(CHAIN_BLENDS):
        with pytest.raises(ConfigError, match="no such choice"):
            chain(samples, blend=blend)


@pytest.mark.parametrize("name", ["tps", "piecewise_affine"])
def test_other_warps(samples, name):
    result = chain(samples, frames=2, size=SIZE, warp=name)
    assert result.metrics["config"]["warp"] == name
    assert result.frame(0.5).isfinite().all()


def test_refined(samples):
    plain, fine = (chain(samples, frames=2, size=SIZE, refine=state) for state in (False, True))
    assert float((plain.frame(0.5) - fine.frame(0.5)).abs().max()) > 0.01
    assert torch.equal(fine.frame(1.0), plain.frame(1.0))


def test_files_and_figures(samples, tmp_path):
    files = [*samples, samples[0]]
    result = chain(files, tmp_path / "c.mp4", frames=3, size=SIZE)
    assert [path.name for path in result.files] == [
        "c.mp4",
        "c.report.html",
        "c.metrics.json",
        "c.recipe.yaml",
    ]
    assert len(list(read_video(tmp_path / "c.mp4"))) == 7
    metrics = json.loads((tmp_path / "c.metrics.json").read_text())
    assert len(metrics["segments"]) == 2
    for segment, (a, b) in zip(metrics["segments"], [(0, 1), (1, 0)], strict=True):
        assert segment["from_to"] == [samples[a].stem, samples[b].stem]
        assert segment["landmark_error_px"] < 1
        assert segment["heldout_landmark_error_px"] > 0
    assert (tmp_path / "c.report.html").read_text().count("<section>") == 2
    assert len(metrics["inputs"]) == 3


def test_the_recipe_repeats(samples, tmp_path):
    result = chain(
        samples, tmp_path / "c", frames=2, size=SIZE, loop=True, easing="ease", report=False
    )
    assert all(read_synthetic_tag(path) for path in result.files if path.suffix == ".png")
    recipe = read_recipe(tmp_path / "c.recipe.yaml")
    assert recipe["function"] == "chain"
    assert recipe["arguments"]["loop"] is True
    assert redo(tmp_path / "c.recipe.yaml").identical


def test_bad_input(samples, tmp_path):
    flat = torch.full((3, 80, 80), 0.5)
    for pictures, options, error in (
        (samples[:1], {}, DataError),
        ([], {}, DataError),
        (str(samples[0]), {}, DataError),
        (samples, {"frames": 0}, ConfigError),
        (samples, {"easing": "0.5"}, ConfigError),
        (samples, {"easing": "slow"}, ConfigError),
        (samples, {"warp": "none"}, ConfigError),
        (samples, {"warp": "@last"}, ConfigError),
        (samples, {"warp": str(tmp_path)}, ConfigError),
        ([*samples, flat], {}, NoFaceFound),
        (samples, {"points": [samples[0]]}, DataError),
    ):
        with pytest.raises(error):
            chain(pictures, size=SIZE, **options)
    for output in ("c.png", "c.txt"):
        with pytest.raises((ConfigError, OutputError)):
            chain(samples, tmp_path / output)
    with pytest.raises(ConfigError, match="no such time"):
        chain(samples, frames=1, size=SIZE).frame(1.5)
    shapes = [resize_image(load_image(samples[0]), (120, 90)), load_image(samples[1])]
    with pytest.raises(ConfigError, match="shapes"):
        chain(shapes, align="none", size=SIZE)


def test_no_input_is_overwritten(samples, tmp_path):
    copy = tmp_path / "frame_0000.png"
    copy.write_bytes(samples[0].read_bytes())
    before = copy.read_bytes()
    with pytest.raises(OutputError, match="overwrite"):
        chain([copy, samples[1]], tmp_path)
    assert copy.read_bytes() == before
