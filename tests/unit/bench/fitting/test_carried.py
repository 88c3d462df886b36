"""What a viewer sees of an expression."""

import math
from dataclasses import replace

import pytest
import torch

from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.located_face import LocatedFace
from facemorph.bench.fitting.carried import NAMES, Receivers, agreement, carried_rows, seen_of
from facemorph.geometry.models.makehuman import load_makehuman


def drawn(**expression):
    model = load_makehuman()
    values = torch.zeros(1, model.num_expression)
    for name, value in expression.items():
        values[:, model.expression_index(name)] = value
    marks = model.landmarks(model.vertices(torch.zeros(1, model.num_identity), values))
    return marks[..., :2] * torch.tensor([1.0, -1.0])


def test_signs():
    change = seen_of(drawn(mouthSmile=0.5)) - seen_of(drawn())
    assert change[0, 0] > 0.05  # wider
    assert change[0, 1] < -0.05  # corners higher
    assert (seen_of(drawn(jawOpen=0.5)) - seen_of(drawn()))[0, 2] > 0.2
    assert (seen_of(drawn(eyeBlink=1.0)) - seen_of(drawn()))[0, 3] < -0.1


def test_turned_and_scaled_pictures_measure_the_same():
    marks, angle = drawn(mouthSmile=0.4, jawOpen=0.2), math.radians(25)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    torch.testing.assert_close(seen_of(3 * marks @ turn.T + 40), seen_of(marks))
    assert seen_of(marks).shape == (1, len(NAMES))


def test_agreement_is_least_squares():
    driver = torch.tensor([1.0, 2.0, 4.0, 8.0])
    correlation, slope = agreement(driver, 0.5 * driver + 3)
    assert correlation == pytest.approx(1.0)
    assert slope == pytest.approx(0.5)
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 50, generator=generator)
    found = agreement(one, other)
    assert found[0] == pytest.approx(float(torch.corrcoef(torch.stack([one, other]))[0, 1]))
    line = torch.linalg.lstsq(torch.stack([one, torch.ones(50)], 1), other[:, None]).solution
    assert found[1] == pytest.approx(float(line[0]), rel=1e-4)


def test_without_photographs_that_is_said():
    rows = carried_rows(load_makehuman(), None, None)
    assert [row.value for row in rows] == [None]


def test_marks_go_where_the_head_goes():
    """On a face that is drawn from the head itself, the painted corners are the head's."""
    model = load_makehuman()
    marks = 1.2 * drawn()[0] + 128
    face = LocatedFace(torch.full((3, 256, 256), 0.5), marks, "file", "face")
    fitted = fit_faces([face], model)[0]
    receivers = Receivers.__new__(Receivers)  # without photographs
    receivers.model = model
    wide = fitted.parameters.expression.clone()
    wide[:, [model.expression_index(f"mouthSmile{side}") for side in ("Left", "Right")]] += 0.3
    both = torch.cat([fitted.parameters.expression, wide])
    moved = replace(fitted.parameters[torch.zeros(2, dtype=torch.long)], expression=both)
    marks = seen_of(receivers.marked(face, fitted, moved))
    head = seen_of(receivers.drawn(fitted, both))
    assert head[1, 0] - head[0, 0] > 0.05
    torch.testing.assert_close(
        (marks[1] - marks[0])[:2], (head[1] - head[0])[:2], atol=0.01, rtol=0.15
    )
