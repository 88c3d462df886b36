"""Details on a trained base: what is taken over, and what is refused."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import CheckpointError, ConfigError
from facemorph.storage.checkpoint import RECORD, save_atomic
from facemorph.systems.imface.detail_system import ImFacePlusPlus, start_from_base
from facemorph.systems.imface.system import ImFace

SMALL = {"code": 8, "hidden": 16, "layers": 1}
DETAIL = {"detail_code": 10, "residual_hidden": 8, "residual_layers": 1}


def saved(folder, kind=ImFace, **options):
    """A checkpoint as training leaves it, and its system."""
    torch.manual_seed(1)
    options = {**SMALL, **(DETAIL if kind is ImFacePlusPlus else {}), **options}
    system = kind(2, 2, **options)
    system.take_template(torch.randn(68, 3) * 0.3)
    path = folder / "base.ckpt"
    config = {"system": {"_target_": f"{kind.__module__}.{kind.__name__}", **options}}
    save_atomic({"state_dict": system.state_dict(), RECORD: {"config": config}}, path)
    return str(path), system


def started(path, landmarks, people=2, *, base_learns=False, **options):
    torch.manual_seed(2)
    system = ImFacePlusPlus(people, 2, **{**SMALL, **DETAIL, "local": "shared", **options})
    before = [
        codes.weight.detach().clone() for codes in (system.identity_codes, system.expression_codes)
    ]
    found = start_from_base(
        path,
        system.field,
        (system.identity_codes, system.expression_codes),
        landmarks,
        base_learns=base_learns,
        options="system.hidden",
    )
    return system, before, found


@pytest.mark.parametrize("kind", [ImFace, ImFacePlusPlus])
def test_the_field_and_the_codes_of_the_same_people_are_taken_over(tmp_path, kind):
    path, base = saved(tmp_path, kind, local="shared")
    system, _, landmarks = started(path, base.template_landmarks.clone())
    assert torch.equal(landmarks, base.template_landmarks)
    for name, value in base.field.state_dict().items():
        assert torch.equal(system.field.state_dict()[name], value)
    assert torch.equal(system.identity_codes.weight, base.identity_codes.weight)
    assert torch.equal(system.expression_codes.weight, base.expression_codes.weight)
    assert all(one.requires_grad for one in system.parameters())


@pytest.mark.parametrize(("people", "moved"), [(3, 0.0), (2, 0.01)])
def test_codes_of_other_people_start_at_the_mean_or_are_refused(tmp_path, people, moved):
    path, base = saved(tmp_path, local="shared")
    marks = base.template_landmarks + torch.tensor([moved, 0, 0])
    system, before, landmarks = started(path, marks, people, base_learns=True)
    assert torch.equal(landmarks, base.template_landmarks)
    for codes, start, trained in (
        (system.identity_codes, before[0], base.identity_codes),
        (system.expression_codes, before[1], base.expression_codes),
    ):
        assert torch.allclose(codes.weight, start + trained.weight.mean(0), atol=1e-7)
    with pytest.raises(ConfigError) as caught:
        started(path, marks, people)
    text = str(caught.value)
    assert f"{people} people x 2 expressions" in text
    assert f"2 people x 2 expressions; mean landmarks {100 * moved:.3g} mm away" in text


@pytest.mark.parametrize(
    "options", [{"hidden": 24}, {"code": 12}, {"motion": "translation"}, {"local": "separate"}]
)
def test_other_variants_are_refused_and_both_values_shown(tmp_path, options):
    path, base = saved(tmp_path, local="shared")
    with pytest.raises(CheckpointError, match="another variant") as caught:
        started(path, base.template_landmarks, **options)
    assert caught.value.expected != caught.value.found
    assert str(caught.value.expected) in str(caught.value)
    assert str(caught.value.found) in str(caught.value)


def test_other_systems_are_refused(tmp_path):
    path = tmp_path / "other.ckpt"
    save_atomic(
        {"state_dict": {}, RECORD: {"config": {"system": {"_target_": "torch.nn.Identity"}}}}, path
    )
    with pytest.raises(CheckpointError, match="ImFace") as caught:
        started(str(path), torch.zeros(68, 3))
    assert caught.value.found == "Identity"


def test_files_that_hold_code_are_refused(tmp_path):
    path = tmp_path / "hostile.ckpt"
    torch.save({"state_dict": print}, path)
    with pytest.raises(CheckpointError, match="refused"):
        started(str(path), torch.zeros(68, 3))
