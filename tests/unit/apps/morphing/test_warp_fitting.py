"""Every warp by name, closed or trained, through the app."""

from __future__ import annotations

import math

import pytest
import torch

from facemorph import cli, morph
from facemorph.apps.morphing import warp_fitting
from facemorph.apps.morphing.morph_options import CLOSED_FORMS, WARPS
from facemorph.apps.morphing.warp_fitting import EXPERIMENTS, fit_warp
from facemorph.config.compose import conf_dir
from facemorph.errors import ConfigError, FacemorphError
from facemorph.faces.pair import FacePair, prepare_pair
from facemorph.fields.warps.classic_warps import PiecewiseAffine, ThinPlateSpline
from facemorph.fields.warps.conjugate_flow import NeuralConjugateFlow
from facemorph.fields.warps.neural_ode import NeuralODEWarp
from facemorph.fields.warps.siren_warp import ResidualSirenWarp, SirenWarp
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.systems.ifmorph.system import NeuralWarp

pytestmark = pytest.mark.usefixtures("coarse_lattices")

KINDS = {
    "thin_plate_flow": ThinPlateFlow,
    "tps": ThinPlateSpline,
    "piecewise_affine": PiecewiseAffine,
    "siren_residual": ResidualSirenWarp,
    "siren": SirenWarp,
    "neural_ode": NeuralODEWarp,
    "conjugate_flow": NeuralConjugateFlow,
}
TINY = {
    name: "ifmorph/tiny" if name.startswith("siren") else f"ifmorph/{name}_tiny"
    for name in EXPERIMENTS
}


@pytest.fixture(scope="module")
def pair(samples):
    return prepare_pair(*samples, size=64)


@pytest.fixture
def tiny(monkeypatch):
    """Trained warps with a few steps."""
    monkeypatch.setattr(warp_fitting, "EXPERIMENTS", TINY)


def test_names_are_those_of_the_config_files():
    assert set(WARPS) == {path.stem for path in (conf_dir() / "warp").glob("*.yaml")} == set(KINDS)
    for experiment in EXPERIMENTS.values():
        assert (conf_dir() / "experiment" / f"{experiment}.yaml").is_file()


def test_an_experiment_that_changes_is_composed_anew(monkeypatch):
    usual = warp_fitting.warp_config("siren_residual")
    monkeypatch.setattr(warp_fitting, "EXPERIMENTS", TINY)
    assert warp_fitting.warp_config("siren_residual") != usual
    monkeypatch.undo()
    assert warp_fitting.warp_config("siren_residual") == usual


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_forms(pair, name):
    system = fit_warp(pair, name)
    assert type(system.warp) is KINDS[name]
    assert not system.training
    assert not isinstance(system, NeuralWarp)  # no training, no Lightning
    assert torch.allclose(system.source.double(), pair.source, atol=1e-6)
    quality = system.quality()
    assert quality["landmark_error_px"] < 0.1
    assert torch.equal(system.render(0.0), pair.image_a)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_trained(pair, name, tiny):
    system = fit_warp(pair, name)
    assert type(system.warp) is KINDS[name]
    assert not system.training
    assert isinstance(system, NeuralWarp)
    assert all(math.isfinite(value) for value in system.quality().values())
    again = fit_warp(pair, name)
    for one, two in zip(system.warp.parameters(), again.warp.parameters(), strict=True):
        assert torch.equal(one, two)  # the experiment's seed
    if name != "siren":
        points = torch.rand(50, 2) * 2 - 1
        assert torch.equal(system.warp(points, 0.3, 0.3), points)


def test_training_brings_the_landmarks_together(pair):
    before = float((pair.source - pair.target).norm(dim=1).mean()) * 256
    tiny_fit = fit_warp(pair, "siren_residual", experiment="ifmorph/tiny").quality()["alignment_px"]
    assert tiny_fit < before


def test_experiment_by_argument(pair):
    system = fit_warp(pair, "siren", experiment="ifmorph/tiny")
    assert type(system.warp) is SirenWarp
    with pytest.raises(FacemorphError, match="nothing"):
        fit_warp(pair, "siren_residual", experiment="ifmorph/nothing")


def test_smoothing_only_where_it_exists(pair):
    exact, smooth = (
        fit_warp(pair, "tps", smoothing=value).quality()["landmark_error_px"] for value in (0, 0.1)
    )
    assert exact < 1e-3 < smooth
    assert fit_warp(pair, "piecewise_affine", smoothing=5.0).quality()["landmark_error_px"] < 1e-3


def test_unknown_name(pair):
    with pytest.raises(ConfigError) as raised:
        fit_warp(pair, "thin_plate")
    assert raised.value.where == "warp"
    for name in WARPS:
        assert name in raised.value.expected


@pytest.mark.slow
@pytest.mark.usefixtures("short_reports")
@pytest.mark.parametrize("name", WARPS)
def test_every_warp_through_the_app(samples, tmp_path, name, tiny):
    result = morph(*samples, tmp_path / "m.png", size=64, warp=name)
    metrics = result.metrics
    assert metrics["config"]["warp"] == name
    assert (metrics["config"]["smoothing"] is None) == (name not in CLOSED_FORMS)
    assert (metrics["heldout_landmark_error_px"] is None) == (name == "siren")
    assert "Held-out" in (tmp_path / "m.report.html").read_text() or name == "siren"
    assert result.frame(0.5).isfinite().all()
    if name != "siren":  # no identity at equal times by construction
        assert torch.equal(result.frame(0.0), result.pair.image_a)


@pytest.mark.usefixtures("short_reports")
def test_command_without_a_held_out_error(samples, tmp_path, tiny, capfd):
    words = [
        "morph",
        *map(str, samples),
        "-o",
        str(tmp_path / "m.png"),
        "--size",
        "64",
        "--warp",
        "siren",
    ]
    assert cli.run(words) == 0
    assert "held out not measured" in capfd.readouterr().out


def test_the_held_out_landmarks_are_not_seen(samples, monkeypatch):
    """Half of the landmarks, and those only, go into the second fit."""
    from facemorph.apps.morphing import warp_fitting as app

    seen = []

    def spy(some: FacePair, *words, **options):
        seen.append(some)
        return fit_warp(some, *words, **options)

    monkeypatch.setattr(app, "fit_warp", spy)
    morph(*samples, size=64, frames=2)
    whole, half = seen
    assert torch.equal(half.points_a, whole.points_a[::2])
    assert torch.equal(half.points_b, whole.points_b[::2])
