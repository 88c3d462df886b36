"""`facemorph morph` with everything that can be wrong: exit code 2, a message with a remedy,
nothing lost.
"""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import forked
from PIL import Image

from facemorph import cli, load_image
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.files.video_io import read_video

SMALL = ("--size", "64", "--frames", "3")
OLD = b"an older file"


pytestmark = pytest.mark.usefixtures("short_reports", "coarse_flows")


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Run the command in an empty folder; gives the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)

    def call(*words, size=SMALL):
        capfd.readouterr()
        code = cli.run(["morph", *map(str, words), *size])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return code, re.sub(r"\s+", " ", re.sub(r"[│╭╮╰╯─]", " ", captured.err)), captured.out

    return call


@pytest.fixture
def refused(run, tmp_path):
    """The command must end with 2, name all texts, and leave an older output and no part file."""

    def call(*words, says=(), output="out.mp4", size=SMALL):
        old = tmp_path / output
        old.write_bytes(OLD)
        code, errors, _ = run(*words, "-o", output, size=size)
        assert code == 2, errors
        for text in says:
            assert text in errors, errors
        assert old.read_bytes() == OLD
        assert not list(tmp_path.rglob("*.part"))
        return errors

    return call


@pytest.fixture(scope="module")
def points(samples):
    """Detected landmarks of both photographs."""
    return [EmbeddedDetector()(load_image(path))[0].points.double() for path in samples]


def png_header(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunks + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


# ------------------------------------------------------------
# photographs


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.jpg", None, "file not found"),
        ("empty.jpg", b"", "file is empty"),
        ("text.jpg", b"I am no picture", "not a readable picture"),
        ("film.gif", b"GIF89a" + bytes(50), "GIF"),
        ("pointer.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git-lfs"),
        ("bomb.png", png_header(100_000, 80_000), "too large"),
        ("big.png", png_header(9_000, 9_000), "too large"),
    ],
)
def test_files_that_are_no_photographs(refused, samples, tmp_path, place, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    pictures = list(samples)
    pictures[place] = name
    errors = refused(*pictures, says=(name, says))
    assert ". " in errors.strip()  # a sentence that helps follows


def test_truncated(refused, samples, tmp_path):
    Image.open(samples[0]).convert("RGB").save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
    refused("half.jpg", samples[1], says=("half.jpg", "truncated", "again"))


def test_a_folder_as_photograph(refused, samples, tmp_path):
    (tmp_path / "album").mkdir()
    refused("album", samples[1], says=("album", "folder", "Give one of its files"))


@pytest.mark.slow
def test_odd_pictures_that_work(run, samples, tmp_path):
    """16 bits, CMYK, grey, palette, alpha, EXIF rotation: as the plain photograph, or nearly so."""
    plain = Image.open(samples[0]).convert("RGB")
    plain.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    plain.convert("L").save(tmp_path / "grey.png")
    plain.quantize(256).save(tmp_path / "palette.png")
    plain.convert("RGBA").save(tmp_path / "alpha.webp", lossless=True)
    deep = np.asarray(plain).astype(np.uint16) * 257
    import cv2

    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    exif = Image.Exif()
    exif[0x0112] = 6
    plain.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    first = {}
    for name in (
        "cmyk.jpg",
        "grey.png",
        "palette.png",
        "alpha.webp",
        "deep.png",
        "turned.jpg",
        samples[0],
    ):
        code, errors, _ = run(name, samples[1], "-o", "m.png", "--time", "0", "--no-report")
        assert code == 0, (name, errors)
        first[name] = np.asarray(Image.open(tmp_path / "m.png"), float)
    exact = first.pop(samples[0])
    for name, picture in first.items():
        limit = {"deep.png": 0.01, "alpha.webp": 0.01, "grey.png": 60}.get(name, 6)
        assert np.abs(picture - exact).mean() <= limit, name


def test_no_face(refused, samples, tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(
        tmp_path / "noise.png"
    )
    refused(samples[0], "noise.png", says=("noise.png", "no face found", "--points-a"))
    refused(samples[0], samples[1], "--min-score", "2", says=("min_score", "(0, 1]"))


def test_several_faces_make_a_warning(run, samples, tmp_path, caplog):
    one, two = (Image.open(path).convert("RGB") for path in samples)
    both = Image.new("RGB", (one.width + 300, 600))
    both.paste(one, (0, 0))
    both.paste(two.resize((300, 352)), (one.width, 100))
    both.save(tmp_path / "both.png")
    code, errors, _ = run("both.png", samples[1], "-o", "m.png")
    assert code == 0, errors
    said = errors + caplog.text
    assert "2 faces found" in said
    assert "both.png" in said


# ------------------------------------------------------------
# landmark files


def with_points(refused, samples, tmp_path, points, change, says, *words):
    """Run with the landmarks of B changed."""
    write_points(points[0], tmp_path / "a.csv", "ibug68")
    lines = ["x,y", *(f"{x},{y}" for x, y in change(points[1].clone()).tolist())]
    (tmp_path / "b.csv").write_text("\n".join(lines) + "\n")
    return refused(*samples, "--points-a", "a.csv", "--points-b", "b.csv", *words, says=says)


def repeated(points):
    points[10:40] = points[10]
    return points


def on_a_line(points):
    points[:, 1] = 2 * points[:, 0] + 7
    points[:, 0], points[:, 1] = points[:, 0] / 3 + 1, points[:, 1] / 3 + 1
    return points


def one_outside(points):
    points[7] = points.new_tensor([5000.0, 20.0])
    return points


def one_nan(points):
    points[3, 0] = float("nan")
    return points


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (repeated, ("b.csv", "coincide", "(10, 11)", "Move or remove")),
        (on_a_line, ("b.csv", "on one line", "Add points")),
        (one_outside, ("b.csv", "outside", "indices 7", "5000.0", "Move them")),
        (one_nan, ("b.csv, line 5", "finite number", "nan")),
        (
            lambda points: points[:60],
            ("a.csv and", "b.csv", "schemes", "ibug68", "points60", "Give both faces"),
        ),
        (lambda points: points[:2], ("b.csv", "at least 3 points")),
    ],
    ids=["duplicate", "collinear", "outside", "nan", "fewer", "two"],
)
def test_landmarks_that_carry_no_warp(refused, samples, tmp_path, points, change, says):
    with_points(refused, samples, tmp_path, points, change, says)


def test_a_few_coincident_points_are_merged(run, samples, tmp_path, points):
    changed = points[1].clone()
    changed[61] = changed[60]
    for name, some in (("a", points[0]), ("b", changed)):
        write_points(some, tmp_path / f"{name}.csv", "ibug68")
    code, errors, _ = run(*samples, "-o", "m.png", "--points-a", "a.csv", "--points-b", "b.csv")
    assert code == 0, errors
    metrics = json.loads((tmp_path / "m.metrics.json").read_text())
    assert metrics["fold_over_percent"] == 0


def test_mirrored_face_is_refused_with_advice(refused, samples, tmp_path, points):
    """The points of B numbered as if in a mirror: left is right."""

    def mirrored(some):
        some[:, 0] = 512 - some[:, 0]
        return some

    with_points(refused, samples, tmp_path, points, mirrored, ("mirror", "left"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.pts", None, "not found"),
        ("empty.csv", b"", "empty.csv"),
        ("binary.tem", bytes(range(128, 256)), "not a text file"),
        ("points.xyz", b"neither points nor a table", "points.xyz"),
        ("pickle.tem", b"\x80\x04K\x01.", "a pickle of Python"),
        ("broken.json", b'{"points": [[1, 2', "broken.json"),
        ("short.pts", b"version: 1\nn_points: 68\n{\n1 2\n}\n", "short.pts"),
    ],
)
def test_landmark_files_that_cannot_be_read(refused, samples, tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refused(*samples, "--points-a", name, says=(name, says))


def test_schemes_that_differ(refused, samples, tmp_path, points):
    write_points(points[0][:40], tmp_path / "a.json", "points40")
    refused(
        *samples,
        "--points-a",
        "a.json",
        "--align",
        "none",
        says=("a.json and", "points40", "ibug68"),
    )


# ------------------------------------------------------------
# options


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ("mask.csv", "no points")),
        ("x,y\n1,2\n", ("mask.csv", "at least 3")),
        ("x,y\n1,a\n", ("mask.csv, line 2",)),
        ("x,y\n1,1\n2,2\n3,3\n", ("mask.csv", "line")),
        ("x,y\n900,900\n990,900\n990,990\n", ("outside of the frame", "64 x 64")),
    ],
)
def test_polygons_that_are_no_masks(refused, samples, tmp_path, text, says):
    (tmp_path / "mask.csv").write_text(text)
    refused(*samples, "--mask", "mask.csv", says=says)


def test_a_mask_that_the_output_would_overwrite(run, samples, tmp_path):
    (tmp_path / "m.metrics.json").write_text('{"points": [[10, 10], [50, 10], [50, 50]]}')
    code, errors, _ = run(
        *samples, "--mask", "m.metrics.json", "-o", "m.png", size=("--size", "64")
    )
    assert code == 2
    assert "overwrite this input" in errors


def test_parts_of_the_face_need_named_landmarks(refused, samples, tmp_path, points):
    write_points(points[0][:40], tmp_path / "a.json", "points40")
    words = (
        "--points-a",
        "a.json",
        "--points-b",
        "a.json",
        "--align",
        "none",
        "--mask",
        "lower_face",
    )
    refused(samples[0], samples[0], *words, says=("points40", "ibug68"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--frames", "1"), ("frames", "two frames", "--time")),
        (("--frames", "0"), ("frames",)),
        (("--frames", "many"), ("--frames", "integer")),
        (("--time", "2"), ("time", "0 to 1", "2")),
        (("--time", "nan"), ("time", "0 to 1")),
        (("--time", "0.5"), ("time", "not a video", ".png")),
        (("--size", "0"), ("size", "16 to 8192")),
        (("--size", "100000"), ("size", "16 to 8192", "100000")),
        (("--warp", "thin"), ("warp", "thin_plate_flow | tps", "thin")),
        (("--blend", "dist"), ("blend", "multiband | linear | linear_masked", "dist")),
        (("--blend", "poisson"), ("blend", "poisson_average", "poisson")),
        (("--mask", "nose"), ("mask", "face | lower_face", "polygon's file", "nose")),
        (("--mask", "nowhere.json"), ("nowhere.json", "not found")),
        (("--outside", "black"), ("outside", "source | target | mix")),
        (("--detector", "magic"), ("detector", "embedded", "magic")),
        (("--align", "best"), ("align", "portrait | ffhq", "best")),
        (("--device", "tpu"), ("device", "auto, cpu or cuda", "tpu")),
        (("--device", "meta"), ("device", "auto, cpu or cuda")),
        (("--fps", "0"), ("fps", "frames per second")),
        (("--fps", "nan"), ("fps",)),
        (("--frmes", "3"), ("--frmes", "--frames")),
        (("--ouside", "mix"), ("--ouside", "--outside")),
        (("third.png",), ("third.png",)),
    ],
)
def test_wrong_options(refused, samples, words, says):
    refused(*samples, says=says, size=(*SMALL, *words))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_cuda(refused, samples):
    refused(*samples, "--device", "cuda", says=("device", "cuda", "--device cpu"))


def test_missing_arguments(run, samples):
    for words in ((), (samples[0],), samples):
        code, errors, _ = run(*words)
        assert code == 2
        assert "Missing" in errors


@pytest.mark.parametrize("name", ["out.avi", "out.txt", "out.jpeg2000", "out.mp3"])
def test_unknown_kind_of_output(refused, samples, name):
    refused(*samples, output=name, says=(name, ".mp4 .mov .mkv .gif .png"))


def test_whole_pictures_of_different_shapes(refused, samples):
    refused(*samples, "--align", "none", says=("align", "different shapes", "portrait"))


# ------------------------------------------------------------
# outputs


def test_an_input_is_never_overwritten(run, samples, tmp_path):
    copies = {name: tmp_path / name for name in ("a.png", "b.sheet.png", "frames/frame_0001.png")}
    (tmp_path / "frames").mkdir()
    for path in copies.values():
        path.write_bytes(samples[0].read_bytes())
    (tmp_path / "link.png").symlink_to(copies["a.png"])
    for a, output in (
        ("a.png", "a.png"),
        ("a.png", "./frames/../a.png"),
        ("link.png", "a.png"),
        ("b.sheet.png", "b.mp4"),
        ("frames/frame_0001.png", "frames"),
    ):
        for pair in ((a, samples[1]), (samples[1], a)):
            code, errors, _ = run(*pair, "-o", output)
            assert code == 2
            assert "overwrite" in errors
            assert a in errors
            assert "-o" in errors
    for path in copies.values():
        assert path.read_bytes() == samples[0].read_bytes()
    assert len(list((tmp_path / "frames").glob("*.png"))) == 1


def test_landmark_file_is_not_overwritten(run, samples, tmp_path, points):
    write_points(points[0], tmp_path / "m.metrics.json", "ibug68")
    before = (tmp_path / "m.metrics.json").read_bytes()
    code, errors, _ = run(*samples, "-o", "m.png", "--points-a", "m.metrics.json")
    assert code == 2
    assert "overwrite" in errors
    assert (tmp_path / "m.metrics.json").read_bytes() == before


def test_output_below_a_file(run, samples, tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    code, errors, _ = run(*samples, "-o", "file/out.mp4")
    assert code == 2
    assert "file/out.mp4: the output cannot be written" in errors
    assert "-o" in errors
    assert (tmp_path / "file").read_bytes() == OLD


def test_folder_with_the_name_of_a_file(run, samples, tmp_path):
    (tmp_path / "out.mp4").mkdir()
    (tmp_path / "out").write_bytes(OLD)
    for name in ("out.mp4", "out"):
        code, errors, _ = run(*samples, "-o", name)
        assert code == 2
        assert name in errors
    assert (tmp_path / "out").read_bytes() == OLD


def test_read_only_folder(run, samples, tmp_path, monkeypatch):
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "m.mp4").write_bytes(OLD)
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):  # root may write everywhere
        real = Path.touch

        def touch(self, *words, **options):
            if self.parent == Path("locked"):
                raise PermissionError(13, "Permission denied")
            real(self, *words, **options)

        monkeypatch.setattr(Path, "touch", touch)
    monkeypatch.setattr(
        EmbeddedDetector, "__call__", lambda *_: pytest.fail("checked before any work")
    )
    code, errors, _ = run(*samples, "-o", "locked/m.mp4")
    folder.chmod(0o755)
    assert code == 2
    assert "locked/m.mp4" in errors
    assert "Permission denied" in errors
    assert (folder / "m.mp4").read_bytes() == OLD


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    ("output", "full", "written"),
    [
        ("m.mp4", ".m.{}.mp4.part", ()),
        ("m.gif", ".m.{}.gif.part", ()),
        ("m.png", "m.png.{}.part", ()),
        ("m.mp4", "m.sheet.png.{}.part", ("m.mp4",)),
        ("m.mp4", "m.report.html.{}.part", ("m.mp4", "m.sheet.png")),
        ("m.mp4", "m.metrics.json.{}.part", ("m.mp4", "m.sheet.png", "m.report.html")),
    ],
)
def test_full_disk(run, samples, tmp_path, output, full, written):
    """The part file is the device that is always full: what is written before stays, what was there
    too.
    """
    olds = [tmp_path / name for name in (output, "m.sheet.png", "m.report.html", "m.metrics.json")]
    for old in olds:
        old.write_bytes(OLD)
    (tmp_path / full.format(os.getpid())).symlink_to("/dev/full")
    code, errors, _ = run(*samples, "-o", output)
    assert code == 2
    assert "No space left on device" in errors
    assert "room" in errors or "space" in errors
    assert not list(tmp_path.rglob("*.part"))
    for old in olds:
        assert (old.read_bytes() == OLD) == (old.name not in written)
        assert old.stat().st_size > 0


def test_full_disk_while_writing_a_folder(run, samples, tmp_path, monkeypatch):
    real, count = os.replace, []

    def replace(source, target):
        count.append(target)
        if len(count) == 3:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    code, errors, _ = run(*samples, "-o", "frames", size=("--size", "64", "--frames", "5"))
    assert code == 2
    assert "No space left" in errors
    assert sorted(path.name for path in (tmp_path / "frames").glob("*.png")) == [
        "frame_0000.png",
        "frame_0001.png",
    ]


@pytest.mark.parametrize("output", ["m.mp4", "m.gif", "m.png", "frames"])
def test_ctrl_c_while_rendering(run, samples, tmp_path, monkeypatch, output):
    from facemorph.apps.morphing.morph_result import MorphResult

    real, frames = MorphResult.frame, []

    def frame(self, time):
        frames.append(time)
        # The first picture is for the figures; a still has one more, a sequence is stopped in its
        # middle.
        if len(frames) == (2 if output == "m.png" else 3):
            raise KeyboardInterrupt
        return real(self, time)

    monkeypatch.setattr(MorphResult, "frame", frame)
    if output != "frames":
        (tmp_path / output).write_bytes(OLD)
    code, _, _ = run(*samples, "-o", output)
    assert code == 130
    assert not list(tmp_path.rglob("*.part"))
    if output == "frames":
        assert [path.name for path in (tmp_path / "frames").glob("*.png")] == ["frame_0000.png"]
    elif output == "m.png":
        assert (tmp_path / output).read_bytes() == OLD
        assert len(list(tmp_path.iterdir())) == 1
    else:  # what there is of it takes its place
        assert len(list(read_video(tmp_path / output))) == 1
        assert len(list(tmp_path.iterdir())) == 1


# ------------------------------------------------------------ in a
# process of its own


def process(tmp_path, *words):
    return forked.start("-m", "facemorph.cli", "morph", *words, folder=tmp_path)


@pytest.mark.slow
def test_process_ends_with_2_and_one_message(samples, tmp_path):
    one = process(tmp_path, "nothing here.jpg", samples[1], "-o", "m.mp4")
    out, errors = one.communicate(timeout=900)
    assert one.returncode == 2
    assert errors.startswith("error: nothing here.jpg: file not found")
    assert len(errors.splitlines()) == 1
    assert out == ""


@pytest.mark.slow
def test_process_interrupted(samples, tmp_path):
    (tmp_path / "m.mp4").write_bytes(OLD)
    one = process(tmp_path, *samples, "-o", "m.mp4", "--frames", "2000", "--size", "256")
    limit = time.monotonic() + 600
    while time.monotonic() < limit:
        assert one.poll() is None, one.errors
        if any(part.stat().st_size for part in tmp_path.glob(".m.*.part")):
            break
        time.sleep(0.05)
    one.send_signal(signal.SIGINT)
    _, errors = one.communicate(timeout=900)
    assert one.returncode == 130, errors
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["m.mp4"]
    count = len(list(read_video(tmp_path / "m.mp4")))
    assert 0 < count < 2000
    assert f"frames kept in m.mp4: {count}" in errors


def test_names_with_spaces_letters_and_brackets(run, samples, tmp_path):
    import shlex

    folder = tmp_path / "mes photos à moi"
    folder.mkdir()
    names = ["Zoë & [bold]Ann.png", "名前 'x'.png"]
    for name, path in zip(names, samples, strict=True):
        (folder / name).write_bytes(path.read_bytes())
    output = folder / "[/red] out.mp4"
    code, errors, out = run(*(folder / name for name in names), "-o", output)
    assert code == 0, errors
    assert str(output) in out
    following = shlex.split(out.split("next: ")[1])
    assert following[:6] == [
        "facemorph",
        "morph",
        *(str(folder / name) for name in names),
        "-o",
        str(output),
    ]
    code, errors, _ = run(folder / "[/red] gone.png", samples[1], "-o", output)
    assert code == 2
    assert "[/red] gone.png: file not found" in errors


@pytest.mark.slow
def test_the_next_command_can_be_run(run, samples, tmp_path):
    """What a command prints at its end works, word for word."""
    import shlex

    code, _, out = run(*samples, "-o", "m.mp4")
    assert code == 0
    for name in ("m.mp4", "m.sheet.png", "m.report.html", "m.metrics.json"):
        assert name in out
    words = shlex.split(re.sub(r"\(.*?\)", "", out.split("next: ")[1]))
    assert words[:2] == ["facemorph", "morph"]
    assert words[-2:] == ["--outside", "mix"]
    assert run(*words[2:])[0] == 0
    code, _, out = run(*samples, "-o", "folder")
    assert code == 0
    assert "folder" in out.splitlines()
    assert "frame_0001.png" not in out
