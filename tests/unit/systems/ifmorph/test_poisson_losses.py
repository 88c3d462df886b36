"""Neural Poisson blending: its loss, its samples, its limit, and its defects in the original
project.
"""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from torch.nn.functional import avg_pool2d

from facemorph.config.build import build
from facemorph.config.explained import compose
from facemorph.errors import CheckpointError, ConfigError, DataError, GeometryError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.pair import prepare_pair
from facemorph.fields.image_fields import SirenImage, SplineImage
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.ops.frames import Frame
from facemorph.ops.jets import autograd_jet
from facemorph.ops.poisson import GUIDANCES
from facemorph.systems.ifmorph.image_field import ImageField, reconstruction_psnr
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.poisson_losses import NeuralPoissonLoss
from facemorph.systems.ifmorph.poisson_samples import PoissonSamples
from facemorph.systems.ifmorph.system import NeuralWarp


def data(samples, **options):
    made = PoissonSamples(
        *samples, **({"size": 64, "batch_size": 1024, "steps_per_epoch": 100} | options)
    )
    made.setup()
    return made


# ------------------------------------------------------------
# the loss
def test_loss_against_automatic_differentiation():
    torch.manual_seed(0)
    field = SirenImage((12, 12), 10.0, 7.0).double()
    shapes = {"inside": (9, 2), "gradient": (9, 3, 2), "xy": (7, 2), "colour": (7, 3)}
    batch = {name: torch.randn(shape).double() for name, shape in shapes.items()}
    terms = NeuralPoissonLoss(2.0, 50.0)(field, batch)
    jacobian = autograd_jet(lambda xy: field(xy).value, batch["inside"], 1).jacobian
    gradient = sum(
        ((jacobian[:, c, d] - batch["gradient"][:, c, d]) ** 2).mean()
        for c in range(3)
        for d in range(2)
    )
    colour = sum(
        ((field(batch["xy"]).value[:, c] - batch["colour"][:, c]) ** 2).mean() for c in range(3)
    )
    torch.testing.assert_close(terms["gradient"], gradient)
    torch.testing.assert_close(terms["colour"], colour)
    torch.testing.assert_close(terms["total"], 2 * gradient + 50 * colour)


def test_a_picture_that_has_the_gradients_and_colours_costs_nothing():
    spline = SplineImage(torch.rand(3, 16, 20))
    inside, outer = torch.rand(30, 2) - 0.5, torch.rand(30, 2) - 0.5
    batch = {
        "inside": inside,
        "gradient": spline(inside, order=1).jacobian,
        "xy": outer,
        "colour": spline(outer).value,
    }
    assert float(NeuralPoissonLoss()(spline, batch)["total"]) == 0


# ------------------------------------------------------------
# the samples
@pytest.mark.parametrize("gradient", GUIDANCES)
def test_samples(samples, gradient):
    made = data(samples, gradient=gradient, time=0.3)
    batch = made.make_batch(torch.Generator().manual_seed(1), 0)
    assert batch["inside"].shape == batch["xy"].shape == (1024, 2)
    assert batch["gradient"].shape == (1024, 3, 2)
    assert batch["colour"].shape == (1024, 3)
    again = made.make_batch(torch.Generator().manual_seed(1), 0)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    # Where both lie, along the seam, colours are known; together they are the whole frame.
    inner = {tuple(point) for point in made.inside.tolist()}
    outer = {tuple(point) for point in made.outer.tolist()}
    assert len(inner | outer) == 64 * 64
    assert 0 < len(inner & outer) < len(inner)
    # What the direct solution has outside is what the network is to have there.
    at = {
        tuple(point): index
        for index, point in enumerate(Frame(64, 64).pixel_centres().reshape(-1, 2).tolist())
    }
    only = [index for index, point in enumerate(made.outer.tolist()) if tuple(point) not in inner]
    pixels = [at[tuple(made.outer[index].tolist())] for index in only]
    assert torch.equal(made.colours[only].clamp(0, 1), made.image.flatten(1).t()[pixels])


@pytest.mark.slow
def test_gradients_are_those_of_the_warped_picture(samples):
    """Defect 6 of the original project: its target lacks the warp's Jacobian."""
    pictures = [avg_pool2d(load_image(path), 15, 1, 7, count_include_pad=False) for path in samples]
    made = data(pictures, gradient="target", time=0.4, size=256)
    pair = prepare_pair(*pictures, size=256)
    warp = ThinPlateFlow(smoothing=1e-3).fit(pair.source, pair.target, pair.frame)
    positions = warp(made.inside, 0.4, 1.0).float()
    before_warp = SplineImage(pair.image_b)(positions, order=1).jacobian
    warp_jacobian = (
        autograd_jet(lambda xy: warp(xy, 0.4, 1.0), made.inside, 1).jacobian.float().detach()
    )
    full = before_warp @ warp_jacobian
    scale = full.square().mean().sqrt()
    right = float((made.slopes - full).square().mean().sqrt() / scale)
    wrong = float((made.slopes - before_warp).square().mean().sqrt() / scale)
    assert right < 0.07  # the warped picture is sampled once more
    assert wrong > 2 * right


def test_samples_of_a_checkpoint(samples, tmp_path, monkeypatch):
    pair = prepare_pair(*samples, size=64)
    system = NeuralWarp(ThinPlateFlow(smoothing=1e-3))
    system.fit_closed_form(LandmarkPair.of(pair))
    monkeypatch.setattr(
        "facemorph.systems.ifmorph.poisson_samples.load_system", lambda checkpoint: system
    )
    made = PoissonSamples(checkpoint="morph.ckpt", batch_size=8)
    made.setup()
    both = data(samples)
    torch.testing.assert_close(made.image, both.image, rtol=0, atol=1e-4)
    torch.testing.assert_close(
        made.image, system.render(0.5, blend="poisson_average"), rtol=0, atol=1e-4
    )
    assert torch.equal(made.inside, both.inside)
    monkeypatch.setattr(
        "facemorph.systems.ifmorph.poisson_samples.load_system",
        lambda checkpoint: ImageField(SirenImage((4,))),
    )
    with pytest.raises(CheckpointError, match="no morph"):
        PoissonSamples(checkpoint="picture.ckpt").setup()


def test_masks_of_samples(samples, tmp_path):
    file = tmp_path / "polygon.csv"
    file.write_text("x,y\n20,20\n44,20\n44,44\n20,44\n")
    counts = {mask: len(data(samples, mask=mask).inside) for mask in ("face", "lower_face", file)}
    assert counts["lower_face"] < counts["face"]
    assert 0.4 * 24 * 24 < counts[file] < 24 * 24
    made = data(samples, mask="frame")  # the border of the frame is what is known then
    assert len(made.inside) + len(made.outer) > 64 * 64


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"a": None, "b": None}, "data"),
        ({"b": None}, "data"),
        ({"checkpoint": "x.ckpt"}, "data"),
        ({"gradient": "both"}, "data.gradient"),
        ({"outside": "none"}, "data.outside"),
        ({"time": 1.5}, "data.time"),
        ({"time": float("nan")}, "data.time"),
        ({"border": 0}, "data.border, data.batch_size"),
        ({"mask": "nose"}, "mask"),
    ],
)
def test_wrong_options(options, where):
    with pytest.raises(ConfigError) as caught:
        PoissonSamples(**({"a": "a.png", "b": "b.png"} | options))
    assert caught.value.where == where


def test_wrong_files(samples, tmp_path):
    with pytest.raises(DataError, match="not found"):
        PoissonSamples(*samples, mask=tmp_path / "nowhere.csv")
    far = tmp_path / "far.csv"
    far.write_text("x,y\n900,900\n990,900\n990,990\n")
    with pytest.raises(GeometryError, match="outside of the frame"):
        data(samples, mask=far)


# ------------------------------------------------------------
# the limit
@pytest.mark.slow
def test_it_approaches_the_direct_solution(samples):
    seed_everything(0, verbose=False)
    made = data(samples, batch_size=2048, steps_per_epoch=350)
    system = ImageField(SirenImage((64, 64, 64), 40.0, 30.0), 1e-3, "cosine", NeuralPoissonLoss())
    before = reconstruction_psnr(system.field, made.image)["psnr"]
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(system, datamodule=made)
    after = float(trainer.callback_metrics["quality/psnr"])
    assert after > 30 > 15 > before
    assert {"train/gradient", "train/colour", "train/total"} <= set(trainer.callback_metrics)
    # It has learnt the blend and not one of the pictures.
    assert (
        reconstruction_psnr(system.field, prepare_pair(*samples, size=64).image_a)["psnr"]
        < after - 3
    )


def test_the_experiment(tmp_path):
    config = compose("train", ["experiment=ifmorph/poisson", "data.a=a.png", "data.b=b.png"])
    system = build(config.system)
    assert isinstance(system.loss, NeuralPoissonLoss)
    assert system.field.omegas == [40.0, 30.0, 30.0]
    assert [layer.out_features for layer in system.field.layers] == [256, 256, 256, 3]
