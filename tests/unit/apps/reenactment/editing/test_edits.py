"""What statements do to a head, against numbers worked out by hand, and the way back."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.edit_models import bfm_like, flame_like, ict_like
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facemorph.apps.reenactment.editing.edit_targets import CARRIERS
from facemorph.apps.reenactment.editing.edits import Edits
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.ops.rotations import nearest_rotation, vector_from_rotation

SIDE = 400
OWN = (0.1, -0.3, 0.05)  # the head's pose in the photograph, axis times angle


def photograph(model):
    """A fitted head, none of whose numbers is 0."""
    head = FaceParameters.neutral(model)
    generator = torch.Generator().manual_seed(1)
    head.identity[:] = torch.randn(head.identity.shape, generator=generator)
    head.expression[:] = torch.rand(head.expression.shape, generator=generator) * 0.4
    head.joints[:] = torch.randn(head.joints.shape, generator=generator) * 0.05
    head.rotation[:] = torch.tensor(OWN)
    head.origin[:] = torch.tensor([210.0, 190.0])
    head.log_size[:] = math.log(1.4)
    return head


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture
def edits(model):
    return Edits(model, photograph(model), SIDE)


def changes(edits):
    """The numbers that differ from the photograph's, by name."""
    found = {}
    for name, value in edits.current.tensors().items():
        own = edits.source.tensors()[name]
        for place in (value != own)[0].nonzero().tolist() if value.dim() > 1 else []:
            label = (
                edits.model.expression_names[place[0]] if name == "expression" else (name, *place)
            )
            found[label] = round(float(value[(0, *place)]), 5)
        if value.dim() == 1 and not torch.equal(value, own):
            found[name] = round(float(value[0]), 5)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("shape 3 1.5", {("identity", 3): 1.5}),
        ("shape 0 -5 shape 79 5", {("identity", 0): -5.0, ("identity", 79): 5.0}),
        ("exp jawOpen 0.6", {"jawOpen": 0.6}),
        ("exp 24 0.6", {"jawOpen": 0.6}),
        ("exp mouthSmile 0.5", {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}),
        ("exp jawOpen 0.6 exp jawOpen 0.2", {"jawOpen": 0.2}),
        ("exp 24 0.6 exp jawOpen 0.2", {"jawOpen": 0.2}),
        ("exp mouthSmile 0.5 exp mouthSmileLeft 0.9",
         {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.5}),
        ("exp mouthSmileLeft 0.9 exp mouthSmile 0.5",
         {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}),
        ("cam scale 2", {"log_size": math.log(2.8)}),
        ("cam scale 2 cam scale 0.5", {"log_size": math.log(0.7)}),
        ("cam tx 0.1", {("origin", 0): 250.0}),
        ("cam ty 0.25 cam tx -0.5", {("origin", 0): 10.0, ("origin", 1): 290.0}),
        ("jaw_pose pitch 10", {"jawOpen": 0.5}),
        ("jaw_pose yaw 3.5", {"jawLeft": 0.5, "jawRight": 0.0}),
        ("jaw_pose yaw -7", {"jawLeft": 0.0, "jawRight": 1.0}),
        ("jaw_pose pitch 10 exp jawOpen 0.1", {"jawOpen": 0.1}),
        ("leye_pose yaw 7.5", {"eyeLookOutLeft": 0.5, "eyeLookInLeft": 0.0}),
        ("reye_pose yaw 7.5", {"eyeLookOutRight": 0.0, "eyeLookInRight": 0.5}),
        ("leye_pose pitch -5", {"eyeLookDownLeft": 0.0, "eyeLookUpLeft": 0.5}),
        ("reye_pose pitch 10", {"eyeLookDownRight": 1.0, "eyeLookUpRight": 0.0}),
        ("shape 3 1.5 reset", {}),
        ("shape 3 1.5 reset exp jawOpen 0.6", {"jawOpen": 0.6}),
        ("shape 3 1.5 shape 3 2 undo", {("identity", 3): 1.5}),
        ("shape 3 1.5 reset undo", {("identity", 3): 1.5}),
        ("shape 3 1.5 shape 4 2 undo undo", {}),
        ("shape 3 1.5 undo shape 4 2", {("identity", 4): 2.0}),
    ],
)  # fmt: skip
def test_statements_set_the_numbers_that_they_say(edits, text, expected):
    edits.apply(text)
    found = changes(edits)
    assert found == {name: pytest.approx(value, abs=1e-4) for name, value in expected.items()}


@pytest.mark.parametrize(
    "text", ["global_pose yaw 20", "global_pose roll -10 global_pose yaw 20 global_pose pitch 5"]
)
def test_the_head_turns_from_where_it_is_in_the_photograph(edits, text):
    edits.apply("global_pose yaw 50 " + text)  # a later angle replaces an earlier one
    words = text.split()
    angles = {"roll": 0.0, "yaw": 0.0, "pitch": 0.0} | dict(
        zip(words[1::3], map(float, words[2::3]), strict=True)
    )
    expected = Rotation.from_euler("ZYX", list(angles.values()), degrees=True)
    expected = expected * Rotation.from_rotvec(OWN)
    found = Rotation.from_rotvec(edits.current.rotation[0].numpy())
    assert (found * expected.inv()).magnitude() < 1e-6
    assert torch.equal(edits.current.joints, edits.source.joints)


def test_joints_take_one_angle_and_keep_the_others():
    model = flame_like()
    edits = Edits(model, photograph(model), SIDE)
    edits.apply("jaw_pose pitch 12 leye_pose yaw -9 jaw_pose roll 2")
    for joint, changed in (("jaw", {1: 12, 2: 2}), ("eye_left", {0: -9}), ("eye_right", {})):
        place = model.joint_names.index(joint)
        own, found = (
            Rotation.from_rotvec(head.joints[0, place].numpy()).as_euler("ZYX", degrees=True)[
                [1, 2, 0]
            ]
            for head in (edits.source, edits.current)
        )
        for axis in range(3):
            assert found[axis] == pytest.approx(changed.get(axis, own[axis]), abs=1e-3)
    assert torch.equal(edits.current.expression, edits.source.expression)
    edits.apply("exp 2 -4.5")
    assert float(edits.current.expression[0, 2]) == -4.5


def test_a_model_with_other_names_for_the_sides():
    model = ict_like()
    edits = Edits(model, photograph(model), SIDE)
    edits.apply("exp mouthSmile 0.9 reye_pose yaw -15 jaw_pose pitch 5")
    expected = {"mouthSmile_L": 0.9, "mouthSmile_R": 0.9, "eyeLookIn_R": 0.0, "eyeLookOut_R": 1.0}
    assert changes(edits) == {
        name: pytest.approx(value) for name, value in (expected | {"jawOpen": 0.25}).items()
    }


@pytest.mark.parametrize(("part", "axis"), CARRIERS)
def test_degrees_of_expressions_are_those_of_the_embedded_head(model, part, axis):
    """Its eyeballs turn, and its lower teeth turn about the ears, as far as the table says."""
    carrier = CARRIERS[part, axis]
    component = {"jaw_pose": "teeth_lower", "leye_pose": "eye_left", "reye_pose": "eye_right"}[part]
    faces = model.topology.faces[
        model.topology.face_component == model.topology.components.index(component)
    ]
    rows = faces.unique()
    start = model.mean[rows]
    for name, sign in ((carrier.positive, 1), (carrier.negative, -1)):
        if name is None:
            continue
        end = start + model.expression_basis[model.expression_names.index(name)][rows]
        if part == "jaw_pose":
            ears = torch.tensor([0.0, -30.0, -58.0])
            along = torch.tensor([0.0, -1.0, 0.0] if axis == "pitch" else [1.0, 0.0, 0.0])
            first, last = (
                math.atan2(float(place @ along), float(place[2]))
                for place in (start.mean(0) - ears, end.mean(0) - ears)
            )
            degrees = math.degrees(last - first)
        else:
            rotation, _ = nearest_rotation((end - end.mean(0)).T @ (start - start.mean(0)))
            vector = torch.rad2deg(vector_from_rotation(rotation))
            degrees = float(vector[0 if axis == "pitch" else 1])
        assert degrees * sign == pytest.approx(carrier.degrees, rel=0.15)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("shape 80 1", r"^edit 1: shape 80 1: no such identity .*expected 0 to 79, within 5"),
        ("undo", r"^edit 1: undo: there is nothing to undo"),
        ("shape 0 5.1", "within 5"),
        ("shape 0 1 undo undo", r"^edit 3: undo: there is nothing to undo"),
        ("shape 0 1 exp 1 1 exp 77 1.0", r"^edit 3: exp 77 1.0: .*expected 0 to 51, found 77"),
        ("exp jawOpn 0.5", r"^edit 1: exp jawOpn 0.5: .*Did you mean jawOpen"),
        ("exp xyz 0.5", "render --list"),
        ("exp jawOpen 1.1", r"^edit 1: .*out of range \(expected 0 to 1, found 1.1\)"),
        ("exp 24 -0.1", "0 to 1"),
        ("shape 0 1\nexp 77 1", r"^line 2, edit 2: exp 77 1"),
        ("jaw_pose pitch -1", r"expected 0 to 20 degrees, found -1.0"),
        ("jaw_pose yaw 7.5", r"^edit 1: jaw_pose yaw 7.5: turned further.*-7 to 7 degrees"),
        ("jaw_pose roll 1", "the model makehuman cannot turn this"),
        ("leye_pose yaw 20", "-15 to 15 degrees"),
        ("leye_pose roll 2", r"no joint eye_left, .*expected yaw \| pitch, found roll"),
        ("shape 0 1 xyz", r"^edit 2: xyz"),
    ],
)  # fmt: skip
def test_a_text_with_an_error_changes_nothing(edits, text, match):
    with pytest.raises(ConfigError, match=match):
        edits.apply(text)
    assert edits.current is edits.source
    assert edits.statements == ""
    with pytest.raises(ConfigError, match="nothing to undo"):
        edits.undo()
    before = edits.apply("shape 5 1 exp jawOpen 1")
    with pytest.raises(ConfigError):
        edits.apply("exp jawOpen 0.5 reset xyz")
    assert edits.current is before
    assert edits.statements == "shape 5 1\nexp jawOpen 1"


@pytest.mark.parametrize(
    ("make", "text", "match"),
    [
        (flame_like, "jaw_pose pitch 91", r"^edit 1: jaw_pose pitch 91: a joint is turned too far"),
        (flame_like, "exp 0 1e39", "expected -5 to 5"),
        (flame_like, "exp jawOpen 0.5", "no such slider"),
        (flame_like, "exp 6 0.5", "0 to 5"),
        (
            bfm_like,
            "jaw_pose pitch 3",
            r"bfm2017 cannot turn this: it has no joint jaw, .*\(found pitch\)",
        ),
        (bfm_like, "reye_pose yaw 3", "no joint eye_right"),
        (ict_like, "jaw_pose roll 3", "cannot turn this"),
    ],
)
def test_what_other_models_lack(make, text, match):
    model = make()
    with pytest.raises(ConfigError, match=match):
        Edits(model, photograph(model), SIDE).apply(text)


def test_undo_goes_back_statement_by_statement_over_all_texts(edits):
    texts = ("", "shape 0 1", "shape 0 1\nexp jawOpen 0.5", "exp jawOpen 0.5\nshape 0 2")
    edits.apply("shape 0 1, exp jawOpen 0.5")
    edits.apply("shape 0 2")
    seen = [edits.current]
    for text in (*reversed(texts[:-1]),):
        edits.undo()
        assert edits.statements == text
        seen.append(edits.current)
    assert seen[-1] is edits.source
    assert [float(head.identity[0, 0]) for head in seen[:3]] == [2, 1, 1]


def test_statements_of_which_nothing_is_left_are_left_out(edits):
    edits.apply("exp mouthSmile 0.5 exp mouthSmileLeft 0.1")
    assert edits.statements == "exp mouthSmile 0.5\nexp mouthSmileLeft 0.1"
    edits.apply("exp mouthSmileRight 0.2 jaw_pose pitch 4 exp 24 1")
    assert edits.statements == "exp mouthSmileLeft 0.1\nexp mouthSmileRight 0.2\nexp 24 1"


def test_one_head_of_the_model_is_edited(model):
    with pytest.raises(DataError, match="one head"):
        Edits(model, FaceParameters.neutral(model, 2), SIDE)
    with pytest.raises(DataError, match="another model"):
        Edits(model, FaceParameters.neutral(flame_like()), SIDE)


def between(low, high):
    return st.floats(low, high, width=32).map(repr)


AXIS = st.sampled_from(["yaw", "pitch", "roll"])
STATEMENT = st.one_of(
    st.tuples(st.just("shape"), st.integers(0, 4).map(str), between(-5, 5)),
    st.tuples(st.just("exp"), st.sampled_from(["jawOpen", "mouthSmile", "mouthSmile_L", "3"]),
              between(0, 1)),
    st.tuples(st.just("global_pose"), AXIS, between(-40, 40)),
    st.tuples(st.just("jaw_pose"), st.just("yaw"), between(-7, 7)),
    st.tuples(st.just("reye_pose"), st.just("pitch"), between(-10, 10)),
    st.tuples(st.just("cam"), st.just("scale"), between(0.5, 2)),
    st.tuples(st.just("cam"), st.just("tx"), between(-0.5, 0.5)),
    st.just(("reset",)),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(STATEMENT, max_size=12), st.integers(0, 3))
def test_statements_give_the_same_head_again(words, undone):
    model = ict_like()
    source = photograph(model)
    first, second = Edits(model, source, SIDE), Edits(model, source, SIDE)
    first.apply("\n".join(map(" ".join, words + [("undo",)] * min(undone, len(words)))))
    second.apply(first.statements)
    assert torch.equal(first.current.vector(), second.current.vector())
    assert first.statements == second.statements
