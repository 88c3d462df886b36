"""The view Morph without a browser: what is drawn is what the commands make."""

from __future__ import annotations

import io
import json
import time

import numpy as np
import pytest
import torch
from PIL import Image

from facemorph.apps.morphing.classics import average, caricature
from facemorph.apps.morphing.morph import morph
from facemorph.apps.studio.messages import Request
from facemorph.apps.studio.views.morph import MorphPanel, quick_average
from facemorph.errors import DataError
from facemorph.faces.files.image_io import resize_image

BOTH = ["sample_collins", "sample_hopper"]


@pytest.fixture(scope="module")
def panel(library, exports):
    return MorphPanel(library, exports)


@pytest.fixture(scope="module")
def points(panel):
    return [panel.library.project.points_of(name) for name in BOTH]


@pytest.fixture
def points_come_back(panel, points):
    """The library is that of other tests too."""
    library, (name, _) = panel.library, BOTH
    content, listed = points[0].read_bytes(), list(library.project.listed)
    yield
    points[0].write_bytes(content)
    library.project.listed[:] = listed
    library.project.head_of(name).unlink(missing_ok=True)
    library._located.pop(name, None)
    library._look_at(name, library.photograph(name).path)
    looked_at(library)


def looked_at(library):
    begun = time.monotonic()
    while library.photograph(BOTH[0]).state == "waiting":
        assert time.monotonic() - begun < 120
        time.sleep(0.02)


def ask(panel, kind, **content):
    answer = panel.handlers()[kind](Request(1, kind, {"photographs": BOTH, **content}))
    return answer if isinstance(answer, tuple) else (answer, b"")


def drawn(panel, **content):
    _, data = ask(panel, "morph.draw", **content)
    array = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255


def decibels(a, b):
    return -10 * float((a - b).square().mean().log10())


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"time": 0.5},
        {"time": 0.5, "shape": 0.2, "texture": 0.8},
        {"time": 0.3, "blend": "linear"},
        {"time": 0.7, "outside": "target", "blend": "linear_masked"},
        {"time": 0.4, "mask": "lower_face", "blend": "poisson_mix"},
    ],
    ids=str,
)
def test_stills_are_those_of_the_command(panel, samples, points, options):
    content = {"mask": "face", "blend": "multiband", **options}
    picture = drawn(panel, mode="morph", detail="still", **content)
    command = {
        "shape_time" if key == "shape" else "texture_time" if key == "texture" else key: value
        for key, value in content.items()
    }
    made = morph(
        samples[0], samples[1], points_a=points[0], points_b=points[1], report=False, **command
    )
    assert decibels(picture, next(iter(made.frames))) > 34  # a JPEG of the same


def test_drafts_are_near_stills(panel):
    content = {"mode": "morph", "time": 0.4, "blend": "linear", "mask": "frame"}
    still, draft = drawn(panel, detail="still", **content), drawn(panel, detail="draft", **content)
    assert draft.shape == (3, 384, 384)
    assert decibels(resize_image(still, (384, 384)), draft) > 30


def test_averages_are_those_of_the_command(panel, samples, points):
    weights = [1.0, 0.5]
    picture = drawn(panel, mode="average", detail="still", weights=weights)
    made = average(list(samples), points=points, weights=weights).faces[0]
    assert decibels(picture, made.image) > 34
    draft = quick_average(panel.selection(Request(1, "x", {"photographs": BOTH})).faces, weights)
    assert decibels(resize_image(made.image, draft.shape[1:]), draft) > 28


def test_caricatures_are_those_of_the_command(panel, samples, points):
    picture = drawn(panel, mode="caricature", detail="still", shape=0.8, color=0.2, detailed=0.1)
    made = caricature(
        samples[0], [samples[1]], shape=0.8, color=0.2, texture=0.1, points=points
    ).faces[0]
    assert decibels(picture, made.image) > 34


def test_figures_and_warnings(panel):
    header, _ = ask(panel, "morph.open")
    assert any("sizes" in text for text in header["warnings"])
    assert not any("points" in text for text in header["warnings"])  # pictures are named
    header, _ = ask(panel, "morph.measure")
    assert header["figures"]["landmark_error_px"] < 1
    assert header["figures"]["fold_over_percent"] == 0
    json.dumps(header, allow_nan=False)


def test_commands_and_their_points(panel, samples, points):
    header, _ = ask(panel, "morph.command", mode="morph", time=0.25, texture=0.5, blend="linear")
    assert header["command"] == (
        f"facemorph morph {samples[0]} {samples[1]} -o sample_collins_sample_hopper.png "
        "--blend linear --time 0.25 --texture-time 0.5"
    )
    header, _ = ask(panel, "morph.command", mode="average", weights=[1, 0.5])
    assert "--weights 1,0.5" in header["command"]
    header, _ = ask(panel, "morph.command", mode="caricature", shape=1.0)
    assert f"--average {samples[1]} --shape 1 " in header["command"]


@pytest.mark.parametrize(
    "content",
    [
        {"photographs": []},
        {"photographs": ["sample_collins"]},
        {"photographs": ["sample_collins", "nobody"]},
        {"photographs": BOTH * 20},
        {"mode": "average", "weights": [0, 0]},
        {"mode": "average", "weights": [1]},
        {"mode": "average", "weights": [-1, 2]},
        {"mode": "morph", "time": 2},
        {"mode": "morph", "blend": "/etc/passwd"},
        {"mode": "morph", "mask": "/etc/passwd"},
        {"mode": "nothing"},
        {"mode": "caricature", "shape": 100},
    ],
    ids=str,
)
def test_what_cannot_be_drawn(panel, content):
    with pytest.raises(DataError):
        ask(panel, "morph.draw", **{"mode": "morph", "mask": "face", **content})


def test_the_editor_gives_its_points_to_the_project(panel, points, points_come_back):
    header, _ = ask(panel, "morph.edit")
    _, server, _ = panel.editing._open[header["path"]]
    assert ask(panel, "morph.edit")[0]["path"] == header["path"]  # opened once
    moved = server.session.points.clone()
    moved[0, 30] += torch.tensor([3.0, 2.0])
    server.session.take(moved, server.session.ids)
    before = [panel.library.photograph(name).version for name in BOTH]
    answer, _ = ask(panel, "morph.edited", path=header["path"])
    assert answer["changed"] == BOTH[:1]
    from facemorph.faces.files.landmark_files import read_points

    kept, _ = read_points(points[0])
    assert torch.allclose(kept, moved[0], atol=1e-6)
    assert panel.library.has_own_points(BOTH[0])
    assert not panel.library.has_own_points(BOTH[1])
    versions = [panel.library.photograph(name).version for name in BOTH]
    assert versions[0] > before[0]
    assert versions[1] == before[1]
    looked_at(panel.library)
    command, _ = ask(panel, "morph.command", mode="morph")
    assert f"--points-a {points[0]} --points-b {points[1]}" in command["command"]
    with pytest.raises(DataError, match="not open"):
        ask(panel, "morph.edited", path=header["path"])
