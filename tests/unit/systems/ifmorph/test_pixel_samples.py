"""Random points and colours of one picture: both rules, determinism, frames that are not square."""

import pytest
import torch

from facemorph.data.resumable import StepDataset
from facemorph.errors import ConfigError
from facemorph.faces.files.image_output import save_image
from facemorph.fields.image_fields import SplineImage
from facemorph.ops.frames import Frame
from facemorph.systems.ifmorph.pixel_samples import PixelSamples


def ready(height=20, width=32, **options):
    data = PixelSamples(
        torch.rand(3, height, width), align="none", size=max(height, width), **options
    )
    data.setup("fit")
    return data


def batch(data, step=0):
    return StepDataset(data.make_batch, data.seed)[step]


def test_pixels_are_pixels():
    data = ready(batch_size=500)
    made = batch(data)
    assert made["xy"].shape == (500, 2)
    assert made["colour"].shape == (500, 3)
    column, row = (Frame(20, 32).to_pixels(made["xy"]) - 0.5).round().long().unbind(1)
    assert torch.equal(made["colour"], data.image[:, row, column].t())
    exact = Frame(20, 32).pixel_centres()[row, column]
    assert torch.equal(made["xy"], exact)
    assert len(torch.unique(row * 32 + column)) < 500  # with replacement
    assert len(torch.unique(row * 32 + column)) > 200


def test_continuous_samples_have_the_colours_of_the_spline():
    data = ready(batch_size=400, sampling="continuous")
    made = batch(data)
    torch.testing.assert_close(
        made["colour"], SplineImage(data.image)(made["xy"]).value, rtol=0, atol=1e-5
    )
    half = torch.tensor([1.0, 20 / 32])
    assert bool((made["xy"].abs() <= half).all())
    torch.testing.assert_close(made["xy"].abs().amax(0), half, rtol=0.05, atol=0)


@pytest.mark.parametrize("sampling", ["pixels", "continuous"])
def test_batches_depend_on_seed_and_step_only(sampling):
    picture = torch.rand(3, 16, 16)

    def made(seed, step):
        data = PixelSamples(
            picture, align="none", size=16, sampling=sampling, seed=seed, batch_size=50
        )
        data.setup()
        return batch(data, step)

    assert torch.equal(made(1, 2)["xy"], made(1, 2)["xy"])
    assert not torch.equal(made(1, 2)["xy"], made(1, 3)["xy"])
    assert not torch.equal(made(1, 2)["xy"], made(2, 2)["xy"])


def test_setup_is_done_once_and_pictures_may_be_files(tmp_path):
    path = tmp_path / "a.png"
    save_image(torch.rand(3, 30, 30), path)
    data = PixelSamples(path, align="none", size=24)
    data.setup("fit")
    kept = data.image
    data.setup("fit")
    assert data.image is kept
    assert kept.shape == (3, 24, 24)


def test_a_face_is_cut_as_for_a_morph(samples):
    data = PixelSamples(samples[0], size=48)
    data.setup()
    assert data.image.shape == (3, 48, 48)


def test_wrong_options():
    with pytest.raises(ConfigError, match=r"pixels \| continuous") as caught:
        PixelSamples("a.png", sampling="grid")
    assert caught.value.where == "data.sampling"
    with pytest.raises(ConfigError, match="unusable size"):
        PixelSamples(torch.rand(3, 8, 8), align="none", size=4).setup()
