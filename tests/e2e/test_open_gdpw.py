"""The open model of reenactment: it moves photographs that it has never seen, after installation
alone.
"""

from __future__ import annotations

import pytest
import torch

from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.located_face import locate
from facemorph.apps.reenactment.editing.edits import Edits
from facemorph.apps.reenactment.reenactor import Reenactor
from facemorph.cli import run
from facemorph.faces.agreement import approximate_yaw, opening_of
from facemorph.faces.files.image_io import load_image
from facemorph.faces.identity import IdentityEmbedding
from facemorph.storage.runs import open_models

MOST_BYTES = 8_000_000


@pytest.fixture(scope="module")
def people(samples):
    return [Reenactor(path, size=384) for path in samples]


def said(person, words):
    return person(Edits(person.model, person.parameters, person.frame.width).apply(words))


def marks(picture):
    return locate(picture).landmarks


def test_it_is_small_and_says_what_it_is():
    folder = open_models()["gdpw"]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MOST_BYTES
    card = (folder / "README.md").read_text()
    for credit in ("Chris McAndrew / UK Parliament", "DeBruine", "Cooke", "CC BY 4.0", "faker-js"):
        assert credit in card


def test_the_photograph_comes_back(people):
    for person in people:
        difference = (person(person.parameters) - person.portrait.image).abs().mean()
        assert float(difference) < 4 / 255


def test_words_do_what_they_say(people):
    """Found again by the detector, which knows nothing of the words."""
    for person in people:
        before = marks(person.portrait.image)
        open_mouth = marks(said(person, "exp jawOpen 0.7"))
        assert opening_of(open_mouth) > opening_of(before) + 0.15
        turned = marks(said(person, "global_pose yaw 15"))
        assert 6 < approximate_yaw(turned) - approximate_yaw(before) < 25
        height = before[:, 1].max() - before[:, 1].min()
        smile = marks(said(person, "exp mouthSmile 1"))
        corners = (smile - before)[[48, 54]]
        assert float(corners[:, 1].mean()) < -0.01 * float(height)  # upwards


def test_it_stays_the_same_person(people):
    embed = IdentityEmbedding()
    photographs = [embed(one.portrait.image, marks(one.portrait.image)) for one in people]
    for person, own, other in zip(people, photographs, photographs[::-1], strict=True):
        for words in ("global_pose yaw 15", "exp mouthSmile 0.7", "exp jawOpen 0.5"):
            picture = said(person, words)
            found = embed(picture, marks(picture))
            assert float((found - own).norm()) < float((found - other).norm())


def test_a_performance_is_carried_over(people):
    """The expression and the turn of one photograph, on the other."""
    first, second = people
    asked = first.parameters.with_expression(
        **dict.fromkeys(first.model.expression_names, 0.0)
    ).with_expression(jawOpen=0.5, browInnerUp=0.6)
    picture = first(asked)
    fitted = fit_faces([locate(picture)], first.model)[0].parameters
    index = first.model.expression_names.index("jawOpen")
    assert abs(float(fitted.expression[0, index]) - 0.5) < 0.25
    assert not torch.equal(picture, second(second.parameters))


def test_the_command_needs_nothing_else(samples, tmp_path):
    words = ["reenact", str(samples[1]), "--edit", "exp mouthSmile 0.6", "--paste-back"]
    assert run([*words, "-o", str(tmp_path / "smile.png")]) == 0
    picture, photograph = load_image(tmp_path / "smile.png"), load_image(samples[1])
    assert picture.shape == photograph.shape
    assert 0.0005 < float((picture - photograph).abs().mean()) < 0.05
