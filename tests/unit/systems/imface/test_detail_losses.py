"""ImFace++: losses of details, stages of training, surfaces, and what is refused."""

from __future__ import annotations

import math
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch import Callback

from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import CheckpointError, ConfigError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.scans.scan_sheets import PreparedScan
from facemorph.systems.imface.code_fitting import FittingOptions, fit_codes
from facemorph.systems.imface.detail_losses import NAMES, ResidualLoss, cross_faded
from facemorph.systems.imface.detail_system import ImFacePlusPlus
from facemorph.systems.imface.evaluation import ImFaceEvaluation
from facemorph.systems.imface.losses import NAMES as BASE_NAMES
from facemorph.systems.imface.losses import ImFaceLoss
from facemorph.systems.imface.system import ImFace

SMALL = {"code": 8, "hidden": 16, "layers": 1}
DETAIL = {"detail_code": 10, "residual_hidden": 8, "residual_layers": 1}


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


def made(**options):
    torch.manual_seed(0)
    system = ImFacePlusPlus(2, 2, **{**SMALL, **DETAIL, **options})
    system.take_template(torch.randn(68, 3) * 0.3)
    return system


def with_details(system):
    """Last layers that are not 0 any more."""
    torch.nn.init.normal_(system.residual.networks.tensors[-2], std=0.3)
    torch.nn.init.normal_(system.field.template.tensors[-2], std=0.05)
    return system


class Spheres(SeededStepDataModule):
    """Two people with two expressions."""

    num_identities = num_expressions = 2

    def mean_landmarks(self):
        return batch_of()["landmarks"].mean(0)

    def make_batch(self, generator, step):
        return batch_of(seed=step)


# ------------------------------------------------------------
# losses
def test_every_term_is_its_equation():
    system, batch = with_details(made()), batch_of()
    codes = system.codes(batch["identity"], batch["expression"])
    detail = system.detail_codes(torch.tensor([0, 1, 3]))
    values = system.residual(
        system.field, torch.cat([batch["points"], batch["points"] + 1], 1), *codes, detail
    )
    terms = ResidualLoss(**{f"{name}_weight": 1.0 for name in NAMES})(values, batch, detail)
    along, inner = values.gradient[:, :20], values.reference_gradient[:, :20]
    expected = {
        "residual_sdf": (values.distance[:, :20] - batch["distance"]).abs().mean(),
        "residual_normal": (1 - (along * batch["gradient"]).sum(-1) / along.norm(dim=-1)).mean(),
        "residual_eikonal": (along.norm(dim=-1) - 1).abs().mean(),
        "residual_reference_eikonal": (inner.norm(dim=-1) - 1).abs().mean(),
        "detail_code": detail.square().mean(),
    }
    assert set(terms) == {*NAMES, "total"}
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(
            float(value.detach()), rel=1e-4, abs=1e-7
        ), name
    assert float(terms["total"].detach()) == pytest.approx(
        sum(float(one.detach()) for one in expected.values())
    )


def test_released_weights_and_impossible_ones():
    assert ResidualLoss().weights == {
        "residual_sdf": 3000,
        "residual_normal": 100,
        "residual_eikonal": 50,
        "residual_reference_eikonal": 50,
        "detail_code": 1000,
    }
    with pytest.raises(ConfigError, match="residual_sdf_weight"):
        ResidualLoss(residual_sdf_weight=-1)
    with pytest.raises(ConfigError, match="no term"):
        ResidualLoss(0, 0, 0, 0, 0)


def test_losses_fade_into_each_other_and_codes_stay_held():
    base = {
        "sdf": torch.tensor(8.0),
        "identity_code": torch.tensor(2.0),
        "total": torch.tensor(10.0),
    }
    residual = {"residual_sdf": torch.tensor(4.0), "total": torch.tensor(4.0)}
    terms = cross_faded(base, residual, 0.25)
    assert {name: float(value) for name, value in terms.items()} == {
        "sdf": 6.0,
        "identity_code": 2.0,
        "residual_sdf": 1.0,
        "total": 9.0,
    }


def test_base_terms_are_the_same_out_of_the_values_with_details():
    system, batch = with_details(made()), batch_of()
    codes = system.codes(batch["identity"], batch["expression"])
    loss = ImFaceLoss()
    values = system.residual(system.field, loss.places(batch), *codes, torch.randn(3, 10))
    one = loss.of_values(values.base, system.field, batch, *codes, system.template_landmarks)
    other = loss(system.field, batch, *codes, system.template_landmarks)
    assert one.keys() == other.keys() == {*BASE_NAMES, "total"}
    assert all(torch.equal(one[name], other[name]) for name in one)


# ------------------------------------------------------------
# stages
class Watch(Callback):
    """Weights of base and details before every step, the terms logged, and which
    parameters learn.
    """

    def __init__(self):
        self.weights, self.terms, self.learning = [], [], []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.weights.append(
            tuple(
                torch.cat([one.detach().flatten().clone() for one in group])
                for group in module._groups()
            )
        )

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.learning.append(
            tuple(any(one.grad is not None for one in group) for group in module._groups())
        )
        self.terms.append({name.removeprefix("train/") for name in trainer.logged_metrics})


def train(system, folder, watch, **options):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        log_every_n_steps=1,
        callbacks=[watch],
        use_distributed_sampler=False,
        **{"max_epochs": 2, **options},
    )
    trainer.fit(system, datamodule=Spheres(10, seed=0))
    return trainer


@pytest.mark.slow
def test_stages_train_first_the_base_then_both_then_details(tmp_path):
    system, watch = made(learning_rate=1e-3), Watch()
    train(system, tmp_path, watch)  # 20 steps: until 4, until 10, and the rest
    assert len(watch.weights) == 20
    assert watch.learning == [(True, False)] * 5 + [(True, True)] * 5 + [(False, True)] * 10
    changes = [
        tuple(not torch.equal(one, two) for one, two in zip(*pair, strict=True))
        for pair in zip(watch.weights, watch.weights[1:], strict=False)
    ]
    # At the knots themselves a step size is 0: step 4 has no details yet, step 10 no base.
    assert changes == [(True, False)] * 5 + [(True, True)] * 5 + [(False, True)] * 9
    assert system.share_of_details(4) == 0
    assert system.share_of_details(7) == pytest.approx(0.5)
    assert system.share_of_details(10) == 1


def test_each_stage_has_its_losses():
    system, batch = made(), batch_of()
    system.num_steps, seen = 100, {}
    for step in (0, 35, 60):
        system._trainer = SimpleNamespace(global_step=step)
        system.log_dict = lambda terms, step=step: seen.update(
            {step: {one.removeprefix("train/") for one in terms}}
        )
        system.training_step(batch, 0)
    assert seen == {
        0: {*BASE_NAMES, "total"},
        35: {*BASE_NAMES, *NAMES, "total"},
        60: {*NAMES, "total"},
    }


@pytest.mark.slow
@pytest.mark.parametrize(("step", "backend"), [(0, "eager"), (35, "aot_eager"), (60, "eager")])
def test_each_stage_compiles_whole_and_stays_the_same(monkeypatch, step, backend):
    """One graph, no break, and the same gradients (aot_eager: without generating code). The second
    stage has the terms of both others; the backward graph of the first is compiled in
    test_system.py too.
    """
    plain, graphs = torch.compile, []

    def compiled(function, **how):
        graphs.append(how["fullgraph"])
        return plain(function, backend=backend, **how)

    monkeypatch.setattr(torch, "compile", compiled)
    found = []
    for wanted in (False, True):
        system = with_details(made(compile=wanted))
        system.num_steps, system._trainer = 100, SimpleNamespace(global_step=step)
        monkeypatch.setattr(system, "log_dict", lambda terms: None)
        system.on_train_batch_start(None, 0)
        total = system.training_step(batch_of(), 0)
        total.backward()
        found.append(
            [total.detach(), *(one.grad for one in system.parameters() if one.grad is not None)]
        )
    assert graphs == [True]
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


def test_a_run_without_end_has_no_stages(tmp_path):
    with pytest.raises(ConfigError, match="no end"):
        train(made(), tmp_path, Watch(), max_epochs=-1)


@pytest.mark.parametrize(("known", "fine"), [({}, False), ({"find_unused_parameters": True}, True)])
def test_processes_must_accept_what_is_frozen(known, fine):
    system = made()
    system._trainer = SimpleNamespace(
        datamodule=Spheres(1),
        world_size=2,
        strategy=SimpleNamespace(_ddp_kwargs=known, root_device=torch.device("cpu")),
    )
    if fine:
        system.setup("fit")
        return
    with pytest.raises(ConfigError, match="ddp_find_unused_parameters_true"):
        system.setup("fit")


@pytest.mark.parametrize("stages", [(0.5, 0.2), (-0.1, 0.5), (0.2, 1.5), (0.2,)])
def test_impossible_stages(stages):
    with pytest.raises(ConfigError, match="stages"):
        made(stages=stages)


def test_codes_of_details_that_cannot_be_divided():
    with pytest.raises(ConfigError, match="multiple of 5"):
        made(detail_code=128)


# ------------------------------------------------------------
# checkpoints
@pytest.mark.parametrize(
    ("own", "other"), [("ImFace", "ImFacePlusPlus"), ("ImFacePlusPlus", "ImFace")]
)
def test_checkpoints_of_the_other_system_are_refused_and_both_named(own, other):
    systems = {"ImFace": ImFace(2, 2, **SMALL), "ImFacePlusPlus": made()}
    with pytest.raises(CheckpointError, match=rf"expected {own}, found {other}"):
        systems[own].load_state_dict(systems[other].state_dict())


def test_other_sizes_and_networks_of_details_are_refused():
    for options in ({"residual": "film"}, {"detail_code": 20}, {"residual_hidden": 16}):
        with pytest.raises(CheckpointError, match="another variant"):
            made(**options).load_state_dict(made().state_dict())


def test_numbers_of_codes_come_from_the_checkpoint():
    system = ImFacePlusPlus(**SMALL, **DETAIL)
    system.load_state_dict(made().state_dict())
    assert system.detail_codes.weight.shape == (4, 10)
    assert torch.equal(system.mean_detail(), system.detail_codes.weight.mean(0))
    assert len(system.mean_codes()) == 2


# ------------------------------------------------------------
# surfaces
@pytest.mark.slow
def test_surfaces_have_the_mean_details_unless_others_are_given(monkeypatch):
    pytest.importorskip("igl", reason="the extra `scans` is not installed")
    system = made(local="shared")
    codes, plain = system.mean_codes(), ImFace(2, 2, **SMALL)
    plain.field.load_state_dict(system.field.state_dict())
    bare, expected = (
        found.mesh.vertices
        for found in (system.surface_without_details(*codes, 32), plain.surface(*codes, 32))
    )
    assert torch.equal(bare, expected)
    # A base that is a plane at z = 0.1 for every code.
    monkeypatch.setattr(ImFaceEvaluation, "traced", lambda self, x: (x[:, 2] - 0.1, x, None))
    monkeypatch.setattr(
        ImFaceEvaluation,
        "gradient",
        lambda self, trace: torch.tensor([0.0, 0.0, 1.0]).expand(4096, 3),
    )
    monkeypatch.setattr(ImFaceEvaluation, "distance", lambda self, x: x[:, 2] - 0.1)
    with torch.no_grad():
        for tensor in list(system.residual.networks.tensors)[-1:]:
            tensor.fill_(0.2)  # r = 0.2 everywhere: all are displaced
    mean = system.surface(*codes, 32).mesh.vertices[:, 2]
    given = system.surface(*codes, 32, detail=system.mean_detail()).mesh.vertices[:, 2]
    assert torch.equal(mean, given)
    # F(z) = u + 0.05 tanh(0.2) / (1 + (u / 0.02)^4), u = z - 0.1; marching cubes is linear between
    # the grid's planes.
    planes = torch.linspace(-1, 1, 33).double()
    u = planes - 0.1
    values = u + 0.05 * math.tanh(0.2) / (1 + (u / 0.02) ** 4)
    first = int((values < 0).sum()) - 1
    share = values[first] / (values[first] - values[first + 1])
    expected = float(planes[first] + share * (planes[first + 1] - planes[first]))
    assert expected < 0.099
    inner = mean[mean < 0.0999]  # the rim is cut from the unit ball
    assert torch.allclose(inner, torch.full_like(inner, expected), atol=1e-5)
    assert len(inner) > 0.9 * len(mean)


# ------------------------------------------------------------
# fitting
def scan_of(system, identity, expression, detail, count=150):
    """Points on which the field with details says what the codes are."""
    points = torch.rand(count, 3) - 0.5
    with torch.no_grad():
        values = system.residual(
            system.field, points[None], identity[None], expression[None], detail[None]
        )
    normals = torch.nn.functional.normalize(values.gradient[0], dim=1)
    nothing = Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))
    return PreparedScan(
        points[:1],
        normals[:1],
        points[1:],
        values.distance[0, 1:],
        normals[1:],
        torch.full((68, 3), torch.nan),
        nothing,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "residual"), [("lbfgs", "sine"), ("lbfgs", "film"), ("adam", "sine")]
)
def test_fitting_finds_details(method, residual):
    system = with_details(made(residual=residual))
    system.residual_loss = ResidualLoss(
        detail_code_weight=0, residual_eikonal_weight=0, residual_reference_eikonal_weight=0
    )
    identity, expression = system.mean_codes()
    scans = [scan_of(system, identity, expression, torch.randn(10) * 0.3) for _ in range(2)]
    before = {name: value.clone() for name, value in system.state_dict().items()}
    found = fit_codes(
        system, scans, FittingOptions(method, points=100, steps=20, learning_rate=1e-2)
    )
    assert found.detail.shape == (2, 10)
    assert not torch.equal(found.detail[0], found.detail[1])
    assert min(found.detail_losses[-3:]) < 0.7 * found.detail_losses[0]
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())


def test_fitting_imface_has_no_details():
    system = ImFace(2, 2, **SMALL)
    plus = with_details(made())
    scan = scan_of(plus, *plus.mean_codes(), plus.mean_detail())
    found = fit_codes(system, [scan], FittingOptions(points=50, steps=2))
    assert found.detail is None
    assert found.detail_losses == []
