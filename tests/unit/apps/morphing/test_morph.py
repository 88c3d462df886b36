"""The morph as a function: its frames, figures and files."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from facemorph import MorphResult, load_image, morph
from facemorph.apps.morphing import morph_result as app
from facemorph.apps.morphing.morph_options import check_options, frame_times
from facemorph.errors import ConfigError, DataError, GeometryError, ImageError, OutputError
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.files.video_io import read_video
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.jobs.outputs import beside, check_output, torch_device
from facemorph.ops.blending import blend_linear

SIZE = 128
SMALL = {"size": SIZE, "frames": 4}
FIGURES = {
    "landmark_error_px": (0, 1.5),
    "heldout_landmark_error_px": (0, 6),
    "inverse_error_px": (0, 0.02),
    "inverse_error_max_px": (0, 1),
    "fold_over_percent": (0, 0),
    "min_determinant": (0.01, 1),
    "bending_energy": (0, 10),
    "identity_distance_a": (0.2, 1.2),
    "identity_distance_b": (0.2, 1.2),
}


def eight_bit(image):
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def close(a, b):
    """Mean absolute difference in 8-bit steps."""
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.fixture(scope="module")
def written(samples, tmp_path_factory):
    """A video with everything beside it."""
    folder = tmp_path_factory.mktemp("written")
    return morph(*samples, folder / "m.mp4", **SMALL)


@pytest.fixture(scope="module")
def result(samples):
    return morph(*samples, **SMALL)


# ------------------------------------------------------------ what the
# function gives


def test_result_without_output(result):
    assert isinstance(result, MorphResult)
    assert result.files == []
    assert result.times == [0, 1 / 3, 2 / 3, 1]
    frames = list(result.frames)
    assert [tuple(frame.shape) for frame in frames] == [(3, SIZE, SIZE)] * 4
    assert all(
        frame.dtype == torch.float32 and frame.min() >= 0 and frame.max() <= 1 for frame in frames
    )
    assert torch.equal(frames[1], result.frame(1 / 3))
    assert {"faces", "fit", "measure"} == set(result.metrics["seconds"])
    with pytest.raises(ConfigError, match="no such time"):
        result.frame(1.5)


def test_tensors_give_the_same_as_files(samples, result):
    tensors = morph(*(load_image(path) for path in samples), **SMALL)
    assert torch.equal(tensors.frame(0.4), result.frame(0.4))
    assert tensors.metrics["inputs"] == {
        "a": {"tensor": [3, 512, 512]},
        "b": {"tensor": [3, 600, 512]},
    }
    assert tensors.metrics["landmark_error_px"] == result.metrics["landmark_error_px"]


def test_the_inputs_are_not_changed(samples):
    a, b = (load_image(path) for path in samples)
    before = a.clone(), b.clone()
    morph(a, b, **SMALL)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


def test_two_runs_are_equal(samples, result):
    again = morph(*samples, **SMALL)
    assert torch.equal(again.frame(0.5), result.frame(0.5))


# ------------------------------------------------------------
# the figures


def test_contract_of_the_metrics(written, samples):
    metrics = json.loads(beside(written.files[0], "metrics.json").read_text())
    for key, (low, high) in FIGURES.items():
        assert isinstance(metrics[key], float), key
        assert low <= metrics[key] <= high, key
    for name, path in zip("ab", samples, strict=True):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert metrics["inputs"][name] == {"file": str(path), "sha256": digest}
    assert set(metrics["inputs"]) == {"a", "b"}
    seconds = metrics["seconds"]
    assert set(seconds) == {"faces", "fit", "measure", "render", "write", "report"}
    assert all(isinstance(value, float) and 0 <= value < 60 for value in seconds.values())
    assert metrics["config"] == {
        "size": SIZE,
        "frames": 4,
        "times": None,
        "warp": "thin_plate_flow",
        "smoothing": 1e-3,
        "detector": "embedded",
        "min_score": None,
        "scheme": "ibug68",
        "align": "portrait",
        "frontal": False,
        "device": "cpu",
        "blend": "multiband",
        "outside": "source",
        "mask": "face",
        "shape_time": None,
        "texture_time": None,
        "refine": False,
        "match_skin": True,
    }


def test_figures_are_what_they_say(written):
    """Errors of landmarks and inverse and the determinant, computed here from the warp alone."""
    warp, pair, metrics = written.system.warp, written.pair, written.metrics
    pixel = 2 / 512  # field coordinates: the longer side is 2
    with torch.no_grad():
        error = (warp(pair.source, 0.0, 1.0) - pair.target).norm(dim=1).mean() / pixel
        assert metrics["landmark_error_all_px"] == pytest.approx(float(error), rel=1e-3)
        grid = pair.frame.pixel_centres().reshape(-1, 2).double()
        back = warp(warp(grid, 0.5, 1.0), 1.0, 0.5)
        # Measured through the dense map, so with its interpolation error on top.
        exact = float((back - grid).norm(dim=1).mean() / pixel)
        assert exact <= metrics["inverse_error_px"] + 1e-4
        step = 1e-4
        right, down = (
            warp(grid + grid.new_tensor(move), 0.5, 0.0) for move in ((step, 0), (0, step))
        )
        here = warp(grid, 0.5, 0.0)
        (a, c), (b, d) = ((right - here) / step).T, ((down - here) / step).T
        smallest = float((a * d - b * c).min())
    assert smallest > 0
    assert metrics["min_determinant"] <= smallest + 0.05


def test_held_out_error_by_hand(result):
    from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow

    pair = result.pair
    blind = ThinPlateFlow(smoothing=1e-3).fit(pair.source[::2], pair.target[::2], pair.frame)
    ours = (blind(pair.source[1::2], 0.0, 0.5) - blind(pair.target[1::2], 1.0, 0.5)).norm(
        dim=1
    ).mean() * 256
    assert result.metrics["heldout_landmark_error_px"] == pytest.approx(float(ours), rel=1e-3)
    assert result.metrics["heldout_landmark_error_px"] > result.metrics["alignment_px"]


def test_identity_lies_between_both(samples, result):
    from facemorph.faces.identity import IdentityEmbedding, identity_distance

    pair, embed = result.pair, IdentityEmbedding()
    a, b = (
        embed(image, to_ibug68(points, pair.scheme).float())
        for image, points in ((pair.image_a, pair.points_a), (pair.image_b, pair.points_b))
    )
    apart = float(identity_distance(a, b).detach())
    for key in ("identity_distance_a", "identity_distance_b"):
        assert 0 < result.metrics[key] < apart
    same = morph(samples[0], samples[0], **SMALL).metrics
    assert same["landmark_error_px"] < 1e-6
    assert same["identity_distance_a"] == pytest.approx(same["identity_distance_b"])
    assert same["identity_distance_a"] < 0.05


def test_hand_made_points_are_met_exactly(frll, tmp_path):
    one, two = sorted((frll / "neutral").glob("*_03.tem"))[:2]
    hand = morph(
        one.with_suffix(".jpg"), two.with_suffix(".jpg"), points_a=one, points_b=two, **SMALL
    )
    assert hand.metrics["config"]["smoothing"] == 0
    assert hand.metrics["config"]["scheme"] == "frll189"
    assert hand.metrics["landmark_error_px"] < 0.01
    assert set(hand.metrics["inputs"]) == {"a", "b", "points_a", "points_b"}
    assert hand.metrics["identity_distance_a"] is not None


def test_landmark_files_instead_of_a_detector(samples, result, tmp_path, monkeypatch):
    from facemorph.faces.detection import EmbeddedDetector

    files = []
    for path in samples:
        face = EmbeddedDetector()(load_image(path))[0]
        files.append(write_points(face.points, tmp_path / f"{path.stem}.pts", face.scheme))
    monkeypatch.setattr(
        EmbeddedDetector, "__call__", lambda *_: pytest.fail("points are given: no detection")
    )
    given = morph(*samples, points_a=files[0], points_b=files[1], **SMALL)
    assert torch.allclose(given.frame(0.5), result.frame(0.5), atol=1e-3)
    assert given.metrics["inputs"]["points_a"]["file"] == str(files[0])
    assert (
        given.metrics["inputs"]["points_a"]["sha256"]
        == hashlib.sha256(files[0].read_bytes()).hexdigest()
    )


def few_points(result, indices, folder):
    """Both crops and some of their landmarks as files."""
    for name, points in (("a", result.pair.points_a), ("b", result.pair.points_b)):
        write_points(points[indices], folder / f"{name}.csv", f"points{len(indices)}")
    return {"points_a": folder / "a.csv", "points_b": folder / "b.csv", "align": "none"}


@pytest.mark.usefixtures("short_reports")
@pytest.mark.parametrize("warp", ["thin_plate_flow", "tps", "piecewise_affine"])
def test_few_points_are_enough(result, tmp_path, warp):
    options = few_points(result, [0, 8, 16, 30], tmp_path)
    few = morph(
        result.pair.image_a,
        result.pair.image_b,
        tmp_path / "few.png",
        warp=warp,
        **SMALL,
        **options,
    )
    assert few.metrics["identity_distance_a"] is None
    assert few.metrics["identity_distance_b"] is None
    assert "Identity distance" not in beside(few.files[0], "report.html").read_text()
    assert (
        json.loads(beside(few.files[0], "metrics.json").read_text())["identity_distance_a"] is None
    )


def test_points_of_an_unknown_scheme_need_whole_pictures(result, tmp_path):
    options = few_points(result, [0, 8, 16, 30], tmp_path) | {"align": "portrait"}
    with pytest.raises(DataError, match="align=none"):
        morph(result.pair.image_a, result.pair.image_b, **SMALL, **options)


def test_held_out_error_is_none_where_it_cannot_be_measured(result):
    def refuses(_):
        raise GeometryError("half of the points lie on one line")

    assert app.measure(result.system, result.pair, refuses)["heldout_landmark_error_px"] is None
    assert app.measure(result.system, result.pair, None)["heldout_landmark_error_px"] is None
    assert "siren" not in app.FITTED_TWICE


# ------------------------------------------------------------
# the pictures


def test_ends_and_what_lies_outside(samples):
    pictures = {}
    for outside in ("source", "target", "mix"):
        one = morph(*samples, outside=outside, **SMALL)
        pictures[outside] = [one.frame(time) for time in (0.0, 0.5, 1.0)]
    a, b = one.pair.image_a, one.pair.image_b
    corner = (slice(None), slice(0, 12), slice(0, 12))  # background
    assert np.array_equal(eight_bit(pictures["source"][0]), eight_bit(a))
    assert np.array_equal(eight_bit(pictures["mix"][0]), eight_bit(a))
    assert np.array_equal(eight_bit(pictures["mix"][2]), eight_bit(b))
    assert np.array_equal(eight_bit(pictures["target"][2]), eight_bit(b))
    for time, picture in enumerate(pictures["source"]):
        assert torch.allclose(picture[corner], a[corner], atol=0.06), time
    for time, picture in enumerate(pictures["target"]):
        assert torch.allclose(picture[corner], b[corner], atol=0.06), time
    between = (a[corner] + b[corner]) / 2
    assert torch.allclose(pictures["mix"][1][corner], between, atol=0.06)
    # The face itself hardly depends on what surrounds it.
    middle = (slice(None), slice(56, 72), slice(56, 72))
    assert torch.allclose(pictures["source"][1][middle], pictures["target"][1][middle], atol=0.12)


def test_linear_blend_is_the_plain_sum(samples):
    linear = morph(*samples, blend="linear", **SMALL)
    for time in (0.0, 0.25, 0.5, 1.0):
        first, second = linear.system.warped(time)
        expected = ((1 - time) * first + time * second).clamp(0, 1)
        assert torch.allclose(linear.frame(time), expected, atol=1e-6)
        share = torch.full_like(first[:1], time)[None]
        assert torch.allclose(
            blend_linear(first[None], second[None], share)[0].clamp(0, 1), expected, atol=1e-6
        )
    assert torch.equal(linear.frame(0.0), linear.pair.image_a)
    assert torch.equal(linear.frame(1.0), linear.pair.image_b)


@pytest.mark.parametrize("align", ["portrait", "ffhq", "ffhq_upright", "none"])
def test_alignments(samples, align):
    pictures = (samples[0], samples[0]) if align == "none" else samples
    one = morph(*pictures, align=align, size=64, frames=2)
    assert max(one.pair.image_a.shape[1:]) == 64
    assert one.metrics["fold_over_percent"] == 0


# ------------------------------------------------------------
# the files


def test_video(written):
    path = written.files[0]
    assert [file.name for file in written.files] == [
        "m.mp4",
        "m.sheet.png",
        "m.report.html",
        "m.metrics.json",
        "m.recipe.yaml",
    ]
    assert sorted(file.name for file in path.parent.iterdir()) == sorted(
        file.name for file in written.files
    )
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name in ("h264", "libx264")
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height, stream.average_rate) == (SIZE, SIZE, 24)
        assert "synthetic" in container.metadata["comment"]
    decoded = list(read_video(path))
    assert len(decoded) == 4
    for array, frame in zip(decoded, written.frames, strict=True):
        assert close(array, eight_bit(frame)) < 4
    assert close(decoded[0], eight_bit(written.pair.image_a)) < 4
    assert close(decoded[-1], eight_bit(written.pair.image_a)) > 2  # the face has changed


@pytest.mark.parametrize(("name", "size"), [("odd.mp4", 33), ("odd.mov", 65), ("odd.mkv", 33)])
def test_odd_sizes_and_other_containers(samples, tmp_path, name, size):
    morph(*samples, tmp_path / name, size=size, frames=3, frames_per_second=12.5, report=False)
    decoded = list(read_video(tmp_path / name))
    assert [array.shape for array in decoded] == [(size + 1, size + 1, 3)] * 3
    with av.open(str(tmp_path / name)) as container:
        assert (
            "synthetic"
            in {key.lower(): value for key, value in container.metadata.items()}["comment"]
        )
        assert float(container.streams.video[0].average_rate) == pytest.approx(12.5, abs=0.1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "odd.metrics.json",
        name,
        "odd.recipe.yaml",
    ]


def test_pictures_that_are_not_square(result, tmp_path):
    wide = [
        torch.nn.functional.pad(image, (30, 11), mode="replicate")
        for image in (result.pair.image_a, result.pair.image_b)
    ]
    one = morph(*wide, tmp_path / "wide.mp4", align="none", size=99, frames=2)
    assert one.frame(0.5).shape == (3, 75, 99)
    assert next(read_video(tmp_path / "wide.mp4")).shape == (76, 100, 3)


def test_gif(samples, tmp_path):
    one = morph(*samples, tmp_path / "m.gif", frames_per_second=10, **SMALL)
    with Image.open(one.files[0]) as gif:
        assert gif.format == "GIF"
        assert gif.n_frames == 4
        assert gif.size == (SIZE, SIZE)
        assert gif.info["duration"] == 100
        assert gif.info["loop"] == 0
        assert b"synthetic" in gif.info["comment"]
        assert close(np.asarray(gif.convert("RGB")), eight_bit(one.pair.image_a)) < 12


def test_folder(samples, tmp_path):
    one = morph(*samples, tmp_path / "out", **SMALL)
    names = [f"frame_{index:04d}.png" for index in range(4)]
    assert [path.name for path in one.files[:4]] == names
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == names
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out",
        "out.metrics.json",
        "out.recipe.yaml",
        "out.report.html",
        "out.sheet.png",
    ]
    for path, frame in zip(one.files[:4], one.frames, strict=True):
        assert np.array_equal(read(path), eight_bit(frame))
        assert read_synthetic_tag(path)["synthetic"] is True


@pytest.mark.slow
@pytest.mark.usefixtures("short_reports")
@pytest.mark.parametrize(
    ("time", "suffix"),
    [(0.0, ".png"), (0.5, ".png"), (1.0, ".png"), (None, ".jpg"), (0.25, ".webp")],
)
def test_stills(samples, tmp_path, time, suffix):
    path = tmp_path / f"still{suffix}"
    one = morph(*samples, path, size=96, time=time)
    shown = 0.5 if time is None else time
    assert one.times == [shown]
    assert one.metrics["config"]["times"] == [shown]
    assert one.metrics["config"]["frames"] == 1
    difference = close(read(path), eight_bit(one.frame(shown)))
    assert difference == 0 if suffix == ".png" else difference < 4
    if time == 0:
        assert np.array_equal(read(path), eight_bit(one.pair.image_a))
    assert read_synthetic_tag(path)["synthetic"] is True
    assert read_synthetic_tag(tmp_path / "still.sheet.png")["synthetic"] is True
    assert (tmp_path / "still.report.html").is_file()


@pytest.mark.slow
def test_one_time_into_a_folder(samples, tmp_path):
    one = morph(*samples, tmp_path / "out", size=64, time=0.3)
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["frame_0000.png"]
    assert "max=24 " in beside(one.files[0].parent, "report.html").read_text()


@pytest.mark.usefixtures("short_reports")
def test_names_with_dots_spaces_and_other_letters(samples, tmp_path):
    folder = tmp_path / "mein Ordner"
    one = morph(*samples, folder / "größe 1.0 [x].png", size=64)
    assert [path.name for path in one.files] == [
        "größe 1.0 [x].png",
        "größe 1.0 [x].sheet.png",
        "größe 1.0 [x].report.html",
        "größe 1.0 [x].metrics.json",
        "größe 1.0 [x].recipe.yaml",
    ]
    assert all(path.is_file() for path in one.files)


def test_the_working_folder_as_output(samples, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    one = morph(*samples, ".", size=64, frames=2, report=False)
    assert [path.name for path in one.files] == [
        "frame_0000.png",
        "frame_0001.png",
        "here.metrics.json",
        "here.recipe.yaml",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("short_reports")
def test_a_second_run_replaces_the_first(samples, tmp_path):
    morph(*samples, tmp_path / "m.png", size=64, time=0.2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    morph(*samples, tmp_path / "m.png", size=64, time=0.8)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == set(after)
    assert before["m.png"] != after["m.png"]


# ------------------------------------------------------------ what is
# checked beforehand


def test_frame_times():
    assert frame_times(None, 3, None) == [0, 0.5, 1]
    assert frame_times("x.png", 3, None) == [0.5]
    assert frame_times("x.JPG", 3, 1.0) == [1]
    assert frame_times("folder", 3, 0.25) == [0.25]
    assert len(frame_times(Path("x.MP4"), 24, None)) == 24
    for output, frames, time, error in (
        ("x.mp4", 24, 0.5, ConfigError),
        ("x.avi", 24, None, OutputError),
        ("x.mp4", 1, None, ConfigError),
        ("x.mp4", -3, None, ConfigError),
        ("x.png", 24, -0.1, ConfigError),
        ("x.png", 24, math.nan, ConfigError),
    ):
        with pytest.raises(error):
            frame_times(output, frames, time)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"warp": "thin"}, "warp"),
        ({"blend": "poisson"}, "blend"),
        ({"outside": "none"}, "outside"),
        ({"mask": "nose"}, "mask"),
        ({"fps": 0}, "fps"),
        ({"fps": math.nan}, "fps"),
        ({"fps": 1e9}, "fps"),
    ],
)
def test_check_options(change, key):
    good = {"warp": "tps", "blend": "linear", "outside": "mix", "mask": "face", "fps": 24}
    check_options(good["warp"], good, good["fps"])
    bad = good | change
    with pytest.raises(ConfigError) as raised:
        check_options(bad["warp"], bad, bad["fps"])
    assert raised.value.where == key
    assert raised.value.expected is not None


def test_torch_device():
    assert torch_device("cpu") == torch.device("cpu")
    assert torch_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("meta", "mps", "gpu", "", "cuda:99"):
        with pytest.raises(ConfigError) as raised:
            torch_device(name)
        assert raised.value.where == "device"


def test_check_output(tmp_path):
    photograph = tmp_path / "m.sheet.png"
    photograph.write_bytes(b"x")
    (tmp_path / "link.png").symlink_to(photograph)
    for output, item in (
        (tmp_path / "m.sheet.png", photograph),
        (tmp_path / "m.mp4", photograph),
        (photograph, tmp_path / "link.png"),
        (tmp_path / "m.mp4", str(photograph)),
        (tmp_path / "frames", tmp_path / "frames" / "frame_0003.png"),
    ):
        with pytest.raises(OutputError, match="overwrite"):
            check_output(output, [None, item])
    assert (
        check_output(tmp_path / "new" / "n.mp4", [photograph, torch.zeros(1)])
        == tmp_path / "new" / "n.mp4"
    )
    assert (tmp_path / "new").is_dir()
    assert not list((tmp_path / "new").iterdir())
    assert photograph.read_bytes() == b"x"


@pytest.mark.parametrize(
    "picture",
    [
        torch.zeros(3, 64, 64, dtype=torch.uint8),
        torch.full((3, 64, 64), 200.0),
        torch.full((3, 64, 64), math.nan),
        torch.zeros(1, 3, 64, 64),
        torch.zeros(64, 64),
    ],
)
def test_tensors_that_are_no_pictures(samples, picture):
    with pytest.raises(ImageError if picture.ndim == 3 else DataError, match="picture 2"):
        morph(samples[0], picture, **SMALL)


@pytest.mark.slow
def test_frames_named_by_their_percent_and_a_gif_of_a_largest_size(samples, tmp_path, caplog):
    one = morph(*samples, tmp_path / "out", names="percent", **{**SMALL, "frames": 3})
    names = ["frame_000.00.png", "frame_050.00.png", "frame_100.00.png"]
    assert [path.name for path in one.files[:3]] == names
    lines = (tmp_path / "out/times.csv").read_text().splitlines()
    assert lines[0] == "file,percent,seconds"
    assert lines[2].startswith("frame_050.00.png,50.0000,0.0416")
    plain = morph(*samples, tmp_path / "a.gif", **SMALL).files[0].stat().st_size
    limit = 0.7 * plain / 1e6
    small = morph(*samples, tmp_path / "b.gif", max_megabytes=limit, **SMALL).files[0]
    assert small.stat().st_size <= limit * 1e6
    assert "colours" in caplog.text
    with pytest.raises(ConfigError, match="a largest size is for a GIF"):
        morph(*samples, tmp_path / "c.mp4", max_megabytes=1.0, **SMALL)
