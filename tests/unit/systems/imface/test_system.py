"""ImFace's losses and system on a small field."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from facemorph.engine.compiled_terms import CompiledTerms
from facemorph.errors import ConfigError
from facemorph.systems.imface.losses import NAMES, ImFaceLoss
from facemorph.systems.imface.system import ImFace

SMALL = {"code": 8, "hidden": 16, "layers": 1}


def batch_of(count=3, points=20, seed=0):
    """Spheres of different radius, as scans."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.randn(count, points, 3, generator=generator) * 0.4
    radius = 0.3 + 0.1 * torch.arange(count)[:, None]
    marks = (
        torch.nn.functional.normalize(torch.randn(count, 68, 3, generator=generator), dim=-1)
        * radius[..., None]
    )
    return {
        "points": place,
        "distance": place.norm(dim=-1) - radius,
        "gradient": torch.nn.functional.normalize(place, dim=-1),
        "landmarks": marks,
        "neutral_landmarks": marks * 0.9,
        "identity": torch.tensor([0, 1, 1]),
        "expression": torch.tensor([0, 0, 1]),
        "neutral": torch.tensor([True, True, False]),
    }


@pytest.fixture
def system():
    torch.manual_seed(0)
    made = ImFace(2, 2, **SMALL)
    made.take_template(torch.randn(68, 3) * 0.3)
    return made


def test_every_term_is_its_equation(system):
    batch = batch_of()
    codes = system.codes(batch["identity"], batch["expression"])
    terms = ImFaceLoss(**{f"{name}_weight": 1.0 for name in NAMES})(
        system.field, batch, *codes, system.template_landmarks
    )
    points = batch["points"].clone().requires_grad_()
    values = system.field(points, *codes)
    along = torch.autograd.grad(values.distance.sum(), points, retain_graph=True)[0]
    inner = torch.autograd.grad(values.distance.sum(), values.neutral)[0]
    marks = system.field(batch["landmarks"], *codes)
    shown, still = system.field.landmarks(*codes)
    five = [36, 45, 30, 48, 54]
    cosine = (along * batch["gradient"]).sum(-1) / along.norm(dim=-1)
    expected = {
        "sdf": (values.distance - batch["distance"]).abs().mean(),
        "normal": (1 - cosine).mean(),
        "eikonal": (along.norm(dim=-1) - 1).abs().mean(),
        "reference_eikonal": (inner.norm(dim=-1) - 1).abs().mean(),
        "expression_landmarks": (shown - batch["landmarks"][:, five]).abs().mean(),
        "identity_landmarks": (still - batch["neutral_landmarks"][:, five]).abs().mean(),
        "deformed_landmarks": (marks.neutral - batch["neutral_landmarks"]).abs().mean(),
        "reference_landmarks": (marks.template - system.template_landmarks).abs().mean(),
        "neutral_deformation": (values.neutral - points)[:2].square().sum() / points.numel(),
        "identity_code": codes[0].square().mean(),
        "expression_code": codes[1].square().mean(),
        "correction": values.correction.abs().mean(),
    }
    assert set(terms) == {*NAMES, "total"}
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(
            float(value.detach()), rel=2e-4, abs=1e-6
        ), name
    assert float(terms["total"].detach()) == pytest.approx(
        sum(float(value.detach()) for value in expected.values()), rel=1e-4
    )


def raw_motions(system, points, codes):
    """What D's networks put out at points, by their relative positions and no shortcut."""
    field = system.field.expression
    marks, tensors = system.field.landmarks(*codes)[0], field.hyper(codes[1])
    values = (points[:, :, None] - marks[:, None]).flatten(2)
    for weight, bias in zip(tensors[::2], tensors[1::2], strict=True):
        values = values @ weight.transpose(1, 2) + bias[:, None]
        if weight is not tensors[-2]:
            values = torch.sin(30 * values)
    share = field.blend.fusion(points)[0]
    return (share[..., None] * values.unflatten(-1, (5, -1))).sum(2)


def neutral_deformation(system, batch, form):
    codes = system.codes(batch["identity"], batch["expression"])
    loss = ImFaceLoss(neutral_deformation_weight=1.0, neutral_deformation_of=form)
    terms = loss(system.field, batch, *codes, system.template_landmarks)
    return float(terms["neutral_deformation"].detach())


def test_the_neutral_deformation_is_of_points_or_of_motions(system):
    """The released code squares the six numbers of a screw; the other terms do not notice."""
    batch = batch_of()
    codes = system.codes(batch["identity"], batch["expression"])
    raw = raw_motions(system, batch["points"], codes)
    assert raw.shape == (3, 20, 6)
    expected = float(raw[:2].square().sum().detach()) / raw.numel()
    assert neutral_deformation(system, batch, "motion") == pytest.approx(expected, rel=1e-4)
    assert neutral_deformation(system, batch, "displacement") != pytest.approx(expected, rel=0.02)
    both = [
        ImFaceLoss(neutral_deformation_of=form)(
            system.field, batch, *codes, system.template_landmarks
        )
        for form in ("displacement", "motion")
    ]
    assert [name for name in NAMES if not torch.equal(both[0][name], both[1][name])] == [
        "neutral_deformation"
    ]


def test_a_translation_is_its_own_displacement():
    torch.manual_seed(0)
    system = ImFace(2, 2, motion="translation", **SMALL)
    forms = [neutral_deformation(system, batch_of(), form) for form in ("displacement", "motion")]
    assert forms[0] == pytest.approx(forms[1], rel=1e-4)


def test_the_form_without_a_name_is_that_of_older_models(system):
    """Configs that do not name it were trained by displacements."""
    assert ImFaceLoss().neutral_deformation_of == "displacement"
    with pytest.raises(ConfigError, match="neutral_deformation_of"):
        ImFaceLoss(neutral_deformation_of="screw")


def test_weights_scale_terms_and_zero_leaves_them_out(system):
    batch = batch_of()
    codes = system.codes(batch["identity"], batch["expression"])
    terms = ImFaceLoss(sdf_weight=10.0, normal_weight=0)(
        system.field, batch, *codes, system.template_landmarks
    )
    once = ImFaceLoss(sdf_weight=1.0)(system.field, batch, *codes, system.template_landmarks)
    assert "normal" not in terms
    assert float(terms["sdf"].detach()) == pytest.approx(10 * float(once["sdf"].detach()), rel=1e-5)
    with pytest.raises(ConfigError, match="eikonal"):
        ImFaceLoss(eikonal_weight=-1.0)


def test_each_expression_of_each_identity_has_a_code(system):
    one, two = system.codes(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    assert torch.equal(one[0], one[1])
    assert not torch.equal(two[0], two[1])
    assert not torch.equal(two[1], two[2])
    assert float(system.expression_codes.weight.detach().std()) == pytest.approx(0.01, rel=0.5)


@pytest.mark.slow
def test_it_learns(system):
    batch = batch_of(points=200)
    optimizer = torch.optim.Adam(system.parameters(), lr=2e-3)
    first = None
    for _ in range(60):
        terms = system.loss(
            system.field,
            batch,
            *system.codes(batch["identity"], batch["expression"]),
            system.template_landmarks,
        )
        first = first or {name: float(value.detach()) for name, value in terms.items()}
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
    assert float(terms["sdf"].detach()) < 0.4 * first["sdf"]
    assert float(terms["normal"].detach()) < 0.5 * first["normal"]


def test_the_step_size_waits_and_goes_down():
    system = ImFace(1, 1, decay=0.5, decay_after=20, **SMALL)
    schedule = system.configure_optimizers()["lr_scheduler"].lr_lambdas[0]
    assert [schedule(epoch) for epoch in (0, 19, 29, 30, 40)] == [1, 1, 1, 0.5, 0.25]


@pytest.mark.slow
def test_the_step_compiles_whole_and_stays_the_same(system, monkeypatch):
    """One graph, no break; its backward pass gives the same gradients (aot_eager: without
    generating code).
    """
    plain = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **how: plain(function, backend="aot_eager", **how)
    )
    monkeypatch.setattr(system, "log_dict", lambda terms: None)
    found = []
    for compiled in (False, True):
        system.compiled = CompiledTerms(compiled)
        system.zero_grad()
        total = system.training_step(batch_of(), 0)
        total.backward()
        found.append(
            [total.detach(), *(parameter.grad.clone() for parameter in system.parameters())]
        )
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))
    assert not any("compiled" in name for name in system.state_dict())


def test_one_cycle(system):
    system.schedule, system.learning_rate = "one_cycle", 1.0
    system._trainer = SimpleNamespace(estimated_stepping_batches=100)
    made = system.configure_optimizers()
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[5] == pytest.approx(1)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.012


def test_what_cannot_be():
    with pytest.raises(ConfigError, match="schedule"):
        ImFace(schedule="never")
    with pytest.raises(ConfigError, match="landmarks"):
        ImFace(1, 1, landmarks=6, **SMALL)
    with pytest.raises(ConfigError, match="people"):
        ImFace(0, 1, **SMALL)
