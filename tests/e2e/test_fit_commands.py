"""``fit``, ``render`` and ``animate`` as their user has them: words, exit codes, files, and a head
that turns.
"""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from helpers import forked

from facemorph import cli
from facemorph.bench.pages import editor as drive
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.video_io import read_video, write_frames

needs_browser = pytest.mark.skipif(drive.why_not() is not None, reason=str(drive.why_not()))


@pytest.fixture(scope="module")
def fitted(samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    assert cli.run(["fit", *map(str, samples), "-o", str(folder), "--texture", "128"]) == 0
    return folder


def test_fit_then_render_as_the_next_command_says(fitted, tmp_path, capfd, samples):
    assert cli.run(["fit", str(samples[0]), "-o", str(tmp_path / "again"), "--texture", "64"]) == 0
    following = next(
        line for line in capfd.readouterr().out.splitlines() if line.startswith("next: ")
    )
    words = following.removeprefix("next: facemorph ").split()
    assert words[0] == "render"
    words[words.index("-o") + 1] = str(tmp_path / "turned.png")
    assert cli.run(words) == 0
    assert (tmp_path / "turned.png").stat().st_size > 1000


def test_one_bad_picture_is_a_row_and_exit_code_3(samples, tmp_path, capfd):
    save_image(torch.zeros(3, 50, 50), tmp_path / "black.png")
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    words = [
        "fit",
        str(samples[0]),
        str(tmp_path / "black.png"),
        str(tmp_path / "torn.jpg"),
        "-o",
        str(tmp_path / "out"),
        "--texture",
        "64",
    ]
    assert cli.run(words) == 3
    assert "black.png: no face found" in capfd.readouterr().err
    report = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert report["counts"] == {"fitted": 1, "failed": 2}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "1 fitted, 2 failed" in page
    assert "no face found" in page
    assert 'src="http' not in page
    assert "@import" not in page


def test_sliders_are_listed_and_unknown_ones_get_near_names(tmp_path, capfd):
    assert cli.run(["render", "--list"]) == 0
    listed = capfd.readouterr().out
    assert "jawOpen" in listed
    assert "0 to 1" in listed
    assert "joint neck" in listed
    assert cli.run(["render", "-o", str(tmp_path / "a.png"), "--set", "jawOpn=0.4"]) == 2
    assert "Did you mean jawOpen" in capfd.readouterr().err
    for words in (
        ["--set", "jawOpen"],
        ["--set", "jawOpen=wide"],
        ["--joint", "head=3"],
        ["--identity", "x=1"],
        [],
    ):
        assert cli.run(["render", *(["-o", str(tmp_path / "a.png")] if words else []), *words]) == 2
    assert not (tmp_path / "a.png").exists()


def test_animate_writes_a_video(samples, fitted, tmp_path):
    assert (
        cli.run(
            [
                "animate",
                str(samples[0]),
                "--driving",
                str(fitted / "sample_hopper.npz"),
                "-o",
                str(tmp_path / "out.gif"),
                "--size",
                "96",
                "--relative-to",
                "nothing",
            ]
        )
        == 0
    )
    assert (tmp_path / "out.gif").stat().st_size > 1000
    assert (
        cli.run(
            [
                "animate",
                str(samples[0]),
                "--driving",
                str(tmp_path / "no.mp4"),
                "-o",
                str(tmp_path / "out.mp4"),
            ]
        )
        == 2
    )


def test_animate_follows_a_recording_in_json(samples, tmp_path, capfd):
    take, out = tmp_path / "take.json", tmp_path / "out"
    frames = [{"blendShapes": {"jawOpen": share}} for share in (0.0, 0.5, 1.0)]
    take.write_text(json.dumps({"fps": 50, "frames": frames}))
    words = ["animate", str(samples[0]), "--driving", str(take), "-o", str(out), "--size", "96"]
    assert cli.run(words) == 0
    assert "next: facemorph reenact" in capfd.readouterr().out
    pictures = [load_image(path) for path in sorted(out.glob("*.png"))]
    assert len(pictures) == 3
    changes = [float((one - pictures[0]).abs().mean()) for one in pictures]
    assert changes[2] > changes[1] > 0.001
    take.write_text(json.dumps({"frames": frames}))
    assert cli.run([*words[:-3], str(tmp_path / "other"), "--size", "96"]) == 2
    assert "how fast" in capfd.readouterr().err
    assert not (tmp_path / "other").exists()


def test_animate_shows_head_and_shoulders_or_the_whole_photograph(samples, fitted, tmp_path):
    photograph = load_image(samples[0])
    wide = torch.nn.functional.pad(photograph, (photograph.shape[2] // 2,) * 2, mode="replicate")
    save_image(wide, tmp_path / "wide.png")
    words = [
        "animate",
        str(tmp_path / "wide.png"),
        "--driving",
        str(fitted / "sample_hopper.npz"),
        "--size",
        "96",
    ]
    shapes = []
    for name, further in (("portrait", []), ("whole", ["--whole"])):
        assert cli.run([*words, *further, "-o", str(tmp_path / name)]) == 0
        frame = load_image(next((tmp_path / name).glob("*.png")))
        shapes.append(frame.shape[2] / frame.shape[1])
    assert abs(shapes[1] - wide.shape[2] / wide.shape[1]) < 0.05
    assert shapes[0] < shapes[1] - 0.2


def test_an_animation_is_made_again_from_its_recipe(samples, fitted, tmp_path):
    assert (
        cli.run(
            [
                "animate",
                str(samples[0]),
                "--driving",
                str(fitted / "sample_hopper.npz"),
                "-o",
                str(tmp_path / "out.gif"),
                "--size",
                "96",
            ]
        )
        == 0
    )
    again = tmp_path / "again.gif"
    # Bit for bit, or to the last bits of the fit, which depend on how memory lies (LAPACK).
    assert cli.run(["redo", str(tmp_path / "out.recipe.yaml"), "-o", str(again)]) in (0, 3)
    first, second = (list(read_video(path)) for path in (tmp_path / "out.gif", again))
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert abs(one.astype(int) - other).mean() < 0.5


def test_a_video_that_cuts_to_another_person_fails_at_that_frame(samples, tmp_path, capfd):
    pictures = [
        torch.nn.functional.interpolate(load_image(path)[None], (300, 256), mode="bilinear")[0]
        for path in samples
    ]
    write_frames([pictures[1]] * 4 + [pictures[0]] * 3, tmp_path / "two.mp4", 10)
    write_frames([pictures[1]] * 3 + [pictures[1].flip(-1)] * 3, tmp_path / "one.mp4", 10)
    files = [str(tmp_path / name) for name in ("two.mp4", "one.mp4")]
    assert cli.run(["fit", *files, "-o", str(tmp_path / "out"), "--texture", "64"]) == 3
    assert "two.mp4, frame 4: the video shows another person" in capfd.readouterr().err
    rows = json.loads((tmp_path / "out" / "fit.json").read_text())["rows"]
    assert rows[1]["status"] == "fitted"
    assert rows[1]["segments"] == 2
    assert rows[1]["frames"] == 6
    assert (
        cli.run(
            ["fit", files[0], "-o", str(tmp_path / "first"), "--texture", "64", "--first-segment"]
        )
        == 0
    )
    assert json.loads((tmp_path / "first" / "fit.json").read_text())["rows"][0]["frames"] == 4


def test_a_folder_that_cannot_be_written_is_said_before_any_work(
    samples, tmp_path, capfd, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("facemorph.apps.heads.fit_worker.HeadFitter.fit_one", None)
    assert cli.run(["fit", str(samples[0]), "-o", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written" in capfd.readouterr().err


def test_an_interrupted_fit_leaves_whole_files_only(samples, tmp_path):
    inputs = []
    for number in range(40):
        inputs.append(tmp_path / f"{number}.png")
        inputs[-1].write_bytes(samples[number % 2].read_bytes())
    out = tmp_path / "out"
    process = forked.start("-m", "facemorph.cli", "fit", *inputs, "-o", out, folder=tmp_path)
    try:
        deadline = time.monotonic() + 600
        while not list(out.glob("*.npz")) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=900) == 130
    finally:
        process.kill()
    assert list(out.glob("*.npz"))
    assert not list(out.glob("*.part"))


@needs_browser
def test_the_head_of_the_report_turns_when_dragged(fitted):
    asked = []
    with drive.open_page((Path(fitted) / "report.html").resolve().as_uri(), asked) as page:
        where = "document.querySelector('figure.table').dataset"
        read = f"() => [Number({where}.row), Number({where}.column)]"
        source = "() => document.querySelector('figure.table img').src"
        start, first = page.evaluate(read), page.evaluate(source)
        assert start == [1, 6]
        assert first.startswith("data:image/jpeg")
        box = page.query_selector("figure.table img").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + box["width"] / 4, y + box["height"] / 2, steps=6)
        page.mouse.up()
        dragged = page.evaluate(read)
        assert dragged[0] == 2
        assert 8 <= dragged[1] <= 11
        assert page.evaluate(source) != first
        page.mouse.move(x - 50, y - 50, steps=3)
        assert page.evaluate(read) == dragged  # the button is up
        page.focus("figure.table")
        for _ in range(20):
            page.keyboard.press("ArrowLeft")
        assert page.evaluate(read) == [2, 0]
    assert all(address.startswith(("file:", "data:")) for address in asked)
