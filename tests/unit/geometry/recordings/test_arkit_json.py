"""ARKit's coefficients in JSON: the forms of apps and data sets, names, times, heads, and what is
refused.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from facemorph.errors import DataError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.recordings.arkit_json import is_arkit_json, read_arkit_json
from facemorph.ops.rotations import rotation_from_vector

OPEN = [0.0, 0.25, 0.5, 0.75]
SMILE = [0.8, 0.6, 0.4, 0.2]


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture
def read(model, tmp_path):
    def reading(content):
        path = tmp_path / "take.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_arkit_json(path, model)

    return reading


def frames(jaw="jawOpen", smile="mouthSmileLeft", key="blendShapes", scale=1.0, **others):
    return [
        {key: {jaw: scale * a, smile: scale * b, "somethingElse": 0.0}}
        | {name: value(number) for name, value in others.items()}
        for number, (a, b) in enumerate(zip(OPEN, SMILE, strict=True))
    ]


def scored(name, score):
    return [
        {
            "timestamp": 1700000000000 + 40 * number,
            "blendshapes": [{name: "jawOpen", score: a}, {name: "mouthSmileLeft", score: b}],
        }
        for number, (a, b) in enumerate(zip(OPEN, SMILE, strict=True))
    ]


def stamped(step, begin=0.0):
    return lambda number: begin + step * number


FORMS = {
    "list": frames(timestamp=stamped(0.04, 812.5)),
    "object": {"frames": frames("JawOpen", "MouthSmileLeft", "blendShapeWeights"), "fps": 25},
    "sides": {"fps": 25.0, "frames": frames("JawOpen", "mouthSmile_L", "blend_shapes")},
    "percent": {"frameRate": 25, "frames": frames("face.jawOpen", "mouthSmile.L", scale=100)},
    "codes": frames(timecode=lambda number: f"10:00:00:{number:02d}", key="blendshapes"),
    "scores": scored("categoryName", "score"),
    "values": scored("name", "value"),
    "nanoseconds": frames(time=stamped(40_000_000)),
    "beat": {
        "names": ["jawOpen", "mouthSmileLeft"],
        "frames": [
            {"weights": [a, b], "time": 0.04 * number, "rotation": []}
            for number, (a, b) in enumerate(zip(OPEN, SMILE, strict=True))
        ],
    },
    "audio2face": {
        "exportFps": 25,
        "facsNames": ["jawOpen", "mouthSmileLeft"],
        "weightMat": [list(row) for row in zip(OPEN, SMILE, strict=True)],
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_say_the_same(model, read, form):
    found, rate = read(FORMS[form])
    assert rate == pytest.approx(24 if form == "codes" else 25)
    names = model.expression_names
    for name, values in (("jawOpen", OPEN), ("mouthSmileLeft", SMILE)):
        torch.testing.assert_close(
            found.expression[:, names.index(name)], torch.tensor(values), msg=name
        )
    assert int((found.expression != 0).any(0).sum()) == 2
    assert not found.rotation.any()
    assert not found.identity.any()


def test_they_are_known_by_their_content(tmp_path):
    path = tmp_path / "a.txt"
    for content in FORMS.values():
        path.write_text(json.dumps(content))
        assert is_arkit_json(path)
    for content in ({"points": [[1, 2]]}, [1, 2], {"frames": 3}, {"shapes": []}, 5, [[]]):
        path.write_text(json.dumps(content))
        assert not is_arkit_json(path)
    path.write_text("{")
    assert not is_arkit_json(path)


def test_uneven_times_are_made_even(model, read):
    """Values that grow with time, whenever the frames were."""
    times = np.array([0.0, 0.02, 0.04, 0.06, 0.16, 0.2])
    content = [{"time": t, "blendShapes": {"jawOpen": 4 * t}} for t in times.tolist()]
    found, rate = read(content)
    assert rate == pytest.approx(25)
    expected = 4 * torch.linspace(0, 0.2, 6)
    jaw = found.expression[:, model.expression_names.index("jawOpen")]
    torch.testing.assert_close(jaw, expected, atol=1e-5, rtol=0)


def test_frames_without_a_face_are_made_from_their_neighbours(model, read):
    content = {"fps": 10, "frames": frames()}
    content["frames"][2]["blendShapes"] = None
    content["frames"].append({"blendShapes": {}})
    found, rate = read(content)
    assert rate == pytest.approx(10)
    jaw = found.expression[:, model.expression_names.index("jawOpen")]
    torch.testing.assert_close(jaw, torch.tensor([0.0, 0.25, 0.5, 0.75, 0.75]))


TURN = Rotation.from_euler("ZYX", [0.1, -0.4, 0.3])  # roll, yaw and pitch as ours


def heads():
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = TURN.as_matrix(), [0.1, -0.2, -0.4]
    pitch, yaw, roll = Rotation.as_euler(TURN, "XYZ")
    names = dict(zip(("yaw", "pitch", "roll"), (-0.4, 0.3, 0.1), strict=True))
    return {
        "transform": {"transform": matrix.T.ravel().tolist()},
        "columns": {"head_transform": matrix.T.tolist()},
        "radians": names,
        "degrees": {"head": {name: math.degrees(value) for name, value in names.items()}},
        "prefixed": {"headPose": {f"head_{name}": value for name, value in names.items()}},
        "euler": {"eulerAngles": [pitch, yaw, roll]},
        "axes": {"headRotation": {"euler_angles": {"x": pitch, "y": yaw, "z": roll}}},
    }


@pytest.mark.parametrize("form", heads())
def test_the_heads_rotation(read, form):
    content = {"fps": 25, "frames": frames()}
    for frame in content["frames"][1:]:
        frame.update(heads()[form])
    found, _ = read(content)
    expected = torch.from_numpy(TURN.as_matrix()).float().expand(4, 3, 3)
    turned = rotation_from_vector(found.rotation)
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)


def damaged(**changes):
    content = {"fps": 25, "frames": frames()}
    content["frames"][1] |= changes
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[" * 5000, "cannot be read"),
        ("[]", "number of frames"),
        ("5", "no recording of a face"),
        ({"points": [1]}, "no recording of a face.*points"),
        ({"fps": 30, "frames": [{"shapes": {}}]}, "frame 1.*no blendShapes, but shapes"),
        ({"fps": 30, "frames": [{"blendShapes": {"smirk": 1}}]}, "none of this recording"),
        ({"fps": 30, "frames": [{"blendShapes": {}}]}, "shows a face"),
        (frames(), "how fast.*neither.*fps"),
        ({"fps": 0, "frames": frames()}, "how fast"),
        ({"fps": 1e5, "frames": frames()}, "times"),
        ({"fps": 25, "frames": frames(scale=300)}, "no known unit"),
        (frames(time=stamped(-1)), "times"),
        (frames(time=lambda number: [0, 0.1, 0.05, 0.2][number]), "frame 3.*backwards"),
        (damaged(time=0.1), "frame 1.*no time"),
        (damaged(blendShapes={"jawOpen": "much"}), "frame 2.*much"),
        (damaged(blendShapes={"jawOpen": float("nan")}), "frame 2"),
        (damaged(blendShapes={"jawOpen": 10**400}), "frame 2"),
        (damaged(blendShapes=[0.1, 0.2]), "frame 2.*2 numbers for 0 names"),
        (damaged(blendShapes="x"), "frame 2"),
        (damaged(transform=[1, 2, 3]), "frame 2.*3 numbers"),
        (damaged(transform=np.diag([1, 1, -1, 1]).ravel().tolist()), "columns first"),
        (damaged(transform=[1, 0, 0, 5, 0, 1, 0, 6, 0, 0, 1, 7, 0, 0, 0, 1]), "columns first"),
        (damaged(yaw=900, pitch=0, roll=0), "angle"),
        ({"frames": [7, None], "fps": 2}, "frame 1"),
    ],
)
def test_others_are_refused_with_what_is_expected(read, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(content)
    assert "take.json" in str(caught.value)


def test_frames_with_rotations_of_two_forms(read):
    content = damaged(yaw=0.1, pitch=0, roll=0)
    content["frames"][2]["eulerAngles"] = [0.1, 0, 0]
    with pytest.raises(DataError, match="different forms"):
        read(content)


def test_rotations_that_are_not_read_are_said(read, caplog):
    found, _ = read(damaged(headRotation=[0.0, 0.1, 0.0, 0.99]))
    assert not found.rotation.any()
    assert "headrotation" in caplog.text
