"""The tour of a head begins and ends at the photograph and reaches every end."""

from __future__ import annotations

import pytest
import torch
from helpers.edit_models import bfm_like, flame_like, ict_like

from facemorph.apps.reenactment.editing.edit_sweep import sweep, sweep_axes
from facemorph.apps.reenactment.editing.edits import Edits
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters

SIDE = 400
MODELS = {"makehuman": load_makehuman, "flame": flame_like, "ict": ict_like, "bfm": bfm_like}


def fitted(model):
    head = FaceParameters.neutral(model)
    head.identity[0, 0] = 4.5  # 2 more would be out of range
    head.expression[0] = 0.25
    head.joints[:] = 0.05
    head.rotation[:] = torch.tensor([0.1, -0.3, 0.05])
    return head


@pytest.mark.parametrize("name", MODELS)
def test_it_starts_and_ends_at_the_photograph_and_reaches_every_end(name):
    model = MODELS[name]()
    source = fitted(model)
    found = sweep(model, source, SIDE, 8)
    rows, start = found.parameters.vector(), source.vector()[0]
    assert len(found.captions) == len(rows)
    assert torch.equal(rows[0], start)
    assert torch.equal(rows[-1], start)
    for axis in sweep_axes(model, source):
        of_axis = rows[torch.tensor([one == axis.words for one in found.captions])]
        assert torch.equal(of_axis[0], start)
        for value in (axis.low, axis.high):
            end = Edits(model, source, SIDE).apply(f"{axis.words} {value!r}").vector()
            assert bool((of_axis == end).all(1).any()), axis
    # Half of a way is half of the change, and no step is larger than that.
    steps = (rows[1:] - rows[:-1]).norm(dim=1)
    torch.testing.assert_close(rows[1], (start + rows[2]) / 2)
    assert float(steps.max()) <= 1.01 * float((rows - start).norm(dim=1).max()) / 2


def test_what_each_model_shows():
    words = {
        name: [axis.words for axis in sweep_axes(model, fitted(model))]
        for name, make in MODELS.items()
        for model in [make()]
    }
    head = [f"global_pose {axis}" for axis in ("yaw", "pitch", "roll")]
    shapes = [f"shape {number}" for number in range(4)]
    expressions = ["exp jawOpen", "exp mouthSmile"]
    jaw = ["jaw_pose yaw", "jaw_pose pitch"]
    more = ["exp mouthPucker", "exp browInnerUp", "exp eyeBlink"]
    assert words["makehuman"] == [*shapes, *expressions, *more, *jaw, *head]
    assert words["ict"] == [*shapes, *expressions, *jaw, *head]
    numbered = [f"exp {number}" for number in range(4)]
    assert words["flame"] == [*shapes, *numbered, *jaw, "jaw_pose roll", *head]
    assert words["bfm"] == [*shapes, *numbered[:2], *head]


def test_ends_stay_in_range_and_steps_are_smooth():
    model = load_makehuman()
    ends = {axis.words: (axis.low, axis.high) for axis in sweep_axes(model, fitted(model))}
    assert ends["shape 0"] == (2.5, 5.0)
    assert ends["shape 1"] == (-2.0, 2.0)
    assert ends["exp jawOpen"] == (0.0, 1.0)
    assert ends["jaw_pose pitch"] == (0.0, 13.0)
    assert ends["jaw_pose yaw"] == (-7.0, 7.0)
    assert ends["global_pose pitch"] == (-15.0, 15.0)
    found = sweep(model, FaceParameters.neutral(model), SIDE, 40)
    place = model.expression_names.index("mouthSmileLeft")
    chosen = torch.tensor([one == "exp mouthSmile" for one in found.captions])
    values = found.parameters.expression[chosen, place]
    assert len(values) == 20  # a neutral face has no less than no smile
    steps = values.diff()
    assert float(values.max()) == 1
    assert bool((steps[:10] > 0).all())
    assert bool((steps[10:] < 0).all())
    assert float(steps[0]) < 0.2 * float(steps.max())


@pytest.mark.parametrize("frames", [0, -4, 6, 7, 10_004])
def test_unusable_numbers_of_frames(frames):
    model = bfm_like()
    with pytest.raises(ConfigError, match="unusable number of frames"):
        sweep(model, FaceParameters.neutral(model), SIDE, frames)


def test_one_head_is_shown():
    model = bfm_like()
    with pytest.raises(DataError, match="one head"):
        sweep(model, FaceParameters.neutral(model, 2), SIDE)
