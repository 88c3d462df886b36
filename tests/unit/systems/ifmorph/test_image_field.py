"""A photograph in a network: training, figures, pictures out, checkpoints."""

import math

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from facemorph.config.build import build
from facemorph.config.compose import plain
from facemorph.config.explained import compose
from facemorph.config.overrides import complete_overrides
from facemorph.errors import ConfigError, OutputError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.fields.image_fields import MultiresGrid, SirenImage, SplineImage
from facemorph.ops.frames import Frame
from facemorph.ops.jets import Jet
from facemorph.storage.checkpoint import RECORD, load_system, save_atomic
from facemorph.systems.ifmorph.image_field import ImageField, reconstruction_psnr
from facemorph.systems.ifmorph.pixel_samples import PixelSamples


def smooth(height=24, width=40):
    x, y = Frame(height, width).pixel_centres().unbind(-1)
    return torch.stack(
        [0.5 + 0.3 * torch.sin(4 * x), 0.5 + 0.3 * torch.cos(3 * y), 0.4 + 0.2 * x * y]
    )


def data(picture, **options):
    options = {"batch_size": 256, "steps_per_epoch": 40} | options
    return PixelSamples(picture, align="none", size=max(picture.shape[1:]), **options)


def train(system, samples, epochs=1):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(system, datamodule=samples)
    return trainer


@pytest.mark.parametrize("sampling", ["pixels", "continuous"])
@pytest.mark.parametrize(
    ("field", "rate"), [(SirenImage, 2e-3), (MultiresGrid, 2e-2)], ids=["siren", "grid"]
)
def test_training_raises_the_psnr(field, rate, sampling):
    torch.manual_seed(0)
    network = SirenImage((32, 32), 15.0) if field is SirenImage else MultiresGrid((8, 40))
    picture = smooth()
    before = reconstruction_psnr(network, picture)["psnr"]
    trainer = train(ImageField(network, rate, "cosine"), data(picture, sampling=sampling), 2)
    after = reconstruction_psnr(network, picture)
    assert after["psnr"] > before + 8
    assert after["psnr"] > 22
    assert float(trainer.callback_metrics["quality/psnr"]) == pytest.approx(after["psnr"], abs=1e-3)
    assert float(trainer.callback_metrics["quality/psnr_between"]) == pytest.approx(
        after["psnr_between"], abs=1e-3
    )


def test_the_loss_is_the_sum_over_channels_of_the_mean_over_points():
    class Constant(nn.Module):
        def forward(self, xy, *, order=0):
            return Jet(torch.zeros(len(xy), 3))

    system = ImageField(Constant())
    system.log = lambda *_, **__: None
    batch = {"xy": torch.zeros(2, 2), "colour": torch.tensor([[0.1, 0.2, 0.3], [0.0, 0.0, 0.4]])}
    assert float(system.training_step(batch, 0)) == pytest.approx((0.01 + 0.04 + 0.09 + 0.16) / 2)


def test_psnr_by_hand():
    class Off(nn.Module):
        def __init__(self, image, by):
            super().__init__()
            self.spline, self.by = SplineImage(image), by

        def forward(self, xy, *, order=0):
            return Jet(self.spline(xy).value + self.by)

    picture = smooth()
    found = reconstruction_psnr(Off(picture, 0.1), picture)
    assert found["psnr"] == pytest.approx(20, abs=1e-3)
    assert found["psnr_between"] == pytest.approx(20, abs=1e-3)
    assert reconstruction_psnr(Off(picture, 0.0), picture)["psnr"] > 90


@pytest.mark.parametrize("size", [None, 40, 20, 81])
def test_infer_writes_a_picture_of_the_right_shape(tmp_path, size):
    system = ImageField(SirenImage((8,)))
    train(system, data(smooth(), steps_per_epoch=1))
    (path,) = system.infer(tmp_path / "a.png", size=size)
    image = load_image(path)
    longer = size or 40
    assert image.shape == (3, round(24 * longer / 40), longer)
    assert read_synthetic_tag(path)["synthetic"] is True
    folder = system.infer(tmp_path / "deep" / "folder")
    assert folder == [tmp_path / "deep" / "folder" / "reconstruction.png"]


@pytest.mark.parametrize("size", [0, -3, 65537])
def test_unusable_sizes(tmp_path, size):
    system = ImageField(SirenImage((8,)))
    train(system, data(smooth(), steps_per_epoch=1))
    with pytest.raises(ConfigError, match="unusable size"):
        system.infer(tmp_path / "a.png", size=size)


def test_unknown_kinds_of_files(tmp_path):
    system = ImageField(SirenImage((8,)))
    train(system, data(smooth(), steps_per_epoch=1))
    with pytest.raises(OutputError):
        system.infer(tmp_path / "a.tiff")


@pytest.mark.parametrize("kind", ["image_tiny", "image_grid"])
def test_a_checkpoint_gives_the_same_picture(tmp_path, kind):
    words = [f"experiment=ifmorph/{kind}", "data.image="]
    words += ["system.field.resolutions=[8,24]"] if kind == "image_grid" else []
    composed = compose("train", complete_overrides("train", words))
    config = plain({"system": composed["system"]})
    system = build(config["system"])
    train(system, data(smooth(), steps_per_epoch=3))
    save_atomic(
        {"state_dict": system.state_dict(), RECORD: {"config": config}}, tmp_path / "a.ckpt"
    )
    again = load_system(tmp_path / "a.ckpt")
    (first,) = system.infer(tmp_path / "one.png")
    (second,) = again.infer(tmp_path / "two.png")
    assert torch.equal(load_image(first), load_image(second))
    assert torch.equal(again.frame_size, torch.tensor([24, 40]))


def test_wrong_rates():
    for rate, schedule in ((math.nan, "cosine"), (1e-3, "step")):
        with pytest.raises(ConfigError):
            train(ImageField(SirenImage((8,)), rate, schedule), data(smooth(), steps_per_epoch=1))
