"""The warp between two faces: training, closed forms, rendering, files, checkpoints, initial
states.
"""

import math

import av
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from PIL import Image

from facemorph.config.build import build
from facemorph.config.compose import plain
from facemorph.config.explained import compose
from facemorph.config.overrides import complete_overrides
from facemorph.errors import CheckpointError, ConfigError, DataError, GeometryError, OutputError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.files.video_io import SYNTHETIC_COMMENT, read_video
from facemorph.faces.pair import FacePair, prepare_pair
from facemorph.fields.image_fields import SirenImage
from facemorph.fields.warps.choices import BLENDS
from facemorph.fields.warps.classic_warps import PiecewiseAffine, ThinPlateSpline
from facemorph.fields.warps.siren_warp import ResidualSirenWarp, SirenWarp
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.ops.frames import Frame
from facemorph.storage.checkpoint import RECORD, load_checkpoint, load_system, save_atomic
from facemorph.systems.ifmorph.image_field import ImageField
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.losses import NeuralMorphingLoss
from facemorph.systems.ifmorph.pixel_samples import PixelSamples
from facemorph.systems.ifmorph.system import NeuralWarp

SIZE = 64
QUALITY = {
    "landmark_error_px",
    "alignment_px",
    "landmark_error_all_px",
    "inverse_error_px",
    "inverse_error_max_px",
    "fold_over_percent",
    "min_determinant",
    "bending_energy",
}


@pytest.fixture(scope="module")
def pair(samples):
    return prepare_pair(*samples, size=SIZE)


def wide_pair():
    """Smooth pictures of 40 x 72 with points that span them."""
    frame = Frame(40, 72)
    generator = torch.Generator().manual_seed(4)
    x, y = frame.pixel_centres().unbind(-1)
    images = [
        torch.stack([0.5 + 0.4 * torch.sin(a * x + b * y) for a, b in rows])
        for rows in (((5, 1), (2, 6), (1, 1)), ((3, 4), (6, 1), (2, 2)))
    ]
    marks = (
        torch.rand(20, 2, generator=generator, dtype=torch.float64) * torch.tensor([60.0, 30.0]) + 5
    )
    moved = marks + torch.randn(20, 2, generator=generator, dtype=torch.float64).clamp(-1, 1)
    return FacePair(*images, marks, moved, "points20")


def fit(pair, warp=None, **options):
    system = NeuralWarp(ThinPlateFlow(smoothing=1e-3) if warp is None else warp, **options)
    system.fit_closed_form(LandmarkPair.of(pair))
    return system.eval()


def train(system, data, epochs=1, **options):
    seed_everything(0, verbose=False)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(system, datamodule=data)
    return trainer


@pytest.fixture(scope="module")
def morph(pair):
    return fit(pair)


# ------------------------------------------------------------
# training
@pytest.mark.parametrize("kind", [SirenWarp, ResidualSirenWarp])
def test_training_brings_the_loss_down(pair, kind):
    torch.manual_seed(0)
    system = NeuralWarp(kind((24, 24)), learning_rate=3e-3)
    data = LandmarkPair.of(pair, num_samples=128, steps_per_epoch=60)
    system.take_pair(data)
    probe = data.make_batch(torch.Generator().manual_seed(99), 0)
    assert system.requires_training

    def loss():
        return float(
            system.loss(system.warp, probe["still"], probe["moving"], system.source, system.target)[
                "total"
            ].detach()
        )

    before, error = loss(), system.quality(coarse=True)["landmark_error_px"]
    trainer = train(system, data)
    assert loss() < 0.5 * before
    assert system.quality(coarse=True)["landmark_error_px"] < error
    logged = {name for name in trainer.callback_metrics if name.startswith("quality/")}
    assert logged == {f"quality/{name}" for name in QUALITY}
    assert {
        f"train/{name}" for name in ("data", "identity", "inverse", "thin_plate", "total")
    } <= set(trainer.callback_metrics)


def test_only_the_warp_is_trained(pair):
    torch.manual_seed(0)
    system = NeuralWarp(ResidualSirenWarp((8,)), source_field=SirenImage((8,)))
    before = [p.clone() for p in system.source_field.parameters()]
    weights = [p.clone() for p in system.warp.parameters()]
    train(system, LandmarkPair.of(pair, num_samples=32, steps_per_epoch=2))
    assert all(
        torch.equal(a, b) for a, b in zip(before, system.source_field.parameters(), strict=True)
    )
    assert not any(
        torch.equal(a, b) for a, b in zip(weights, system.warp.parameters(), strict=True)
    )
    assert not any(p.requires_grad for p in system.source_field.parameters())


def test_training_twice_is_training_the_same(pair):
    def weights():
        torch.manual_seed(0)
        system = NeuralWarp(ResidualSirenWarp((8,)))
        train(system, LandmarkPair.of(pair, num_samples=32, steps_per_epoch=3))
        return system.state_dict()

    one, two = weights(), weights()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_border_anchors_are_trained_like_landmarks(pair):
    torch.manual_seed(0)
    warp, data = ResidualSirenWarp((8,)), LandmarkPair.of(pair, num_samples=32)
    seen = []

    class Loss(NeuralMorphingLoss):
        def forward(self, warp, still, moving, source, target):
            seen.append((source, target))
            return super().forward(warp, still, moving, source, target)

    for anchors in (0, 3):
        system = NeuralWarp(warp, Loss(), border_anchors=anchors)
        system.take_pair(data)
        system.log_dict = lambda *_, **__: None
        system.training_step(data.make_batch(torch.Generator().manual_seed(0), 0), 0)
    assert len(seen[0][0]) == 68
    assert len(seen[1][0]) == 68 + 12
    assert torch.equal(seen[1][0][68:], seen[1][1][68:])


# ------------------------------------------------------------
# closed forms
@pytest.mark.parametrize(
    "warp", [ThinPlateFlow(), ThinPlateSpline(), PiecewiseAffine()], ids=lambda w: type(w).__name__
)
def test_closed_forms_need_no_training(pair, warp):
    system = fit(pair, warp)
    assert not system.requires_training
    assert not list(system.warp.parameters())
    quality = system.quality()
    assert set(quality) == QUALITY
    assert quality["landmark_error_px"] < 0.01
    assert quality["fold_over_percent"] < 1
    assert set(system.quality(coarse=True)) == QUALITY


def test_the_flow_has_the_quality_that_it_claims(morph):
    quality = morph.quality()
    assert quality["alignment_px"] < 3
    assert quality["fold_over_percent"] == 0
    assert quality["min_determinant"] > 0.1
    assert quality["inverse_error_px"] < 0.1
    assert all(math.isfinite(value) for value in quality.values())


def test_landmarks_on_every_other_point_are_measured_on_those(pair):
    system = NeuralWarp(ThinPlateFlow())
    system.fit_closed_form(LandmarkPair.of(pair, subset="even"))
    assert system.source.shape == (34, 2)
    assert system.quality()["landmark_error_px"] < 0.01


def test_mirrored_faces_stop_the_fit(pair):
    flipped = FacePair(
        pair.image_a,
        pair.image_b.flip(2),
        pair.points_a,
        pair.points_b * torch.tensor([-1.0, 1.0]) + torch.tensor([SIZE, 0.0]),
        pair.scheme,
    )
    with pytest.raises(GeometryError, match="mirror"):
        fit(flipped)


# ------------------------------------------------------------
# rendering
@pytest.mark.parametrize("outside", ["source", "mix"])
def test_time_zero_is_the_first_picture_to_the_bit(morph, pair, outside):
    assert torch.equal(morph.render(0.0, outside=outside), pair.image_a)
    assert torch.equal(morph.render(0.0, blend="linear"), pair.image_a)


@pytest.mark.parametrize("outside", ["target", "mix"])
def test_time_one_is_the_second_picture_to_the_bit(morph, pair, outside):
    assert torch.equal(morph.render(1.0, outside=outside), pair.image_b)
    assert torch.equal(morph.render(1.0, blend="linear"), pair.image_b)


def test_outside_decides_about_the_corner_and_not_about_the_face(morph, pair):
    end = morph.render(1.0, outside="source")
    first, second = morph.warped(1.0)
    assert torch.equal(second, pair.image_b)
    face = morph.mask(1.0, morph.frame) == 1
    corners = torch.zeros_like(face)
    corners[:, :6, :6] = corners[:, :6, -6:] = True
    for place, near, far in ((face, second, first), (corners, first, second)):
        to_near, to_far = (((end - picture).abs() * place).sum() for picture in (near, far))
        assert float(to_near) < 0.75 * float(to_far)  # bands of low frequency reach across


@pytest.mark.parametrize(
    "warp", [SirenWarp((8,)), ResidualSirenWarp((8,))], ids=lambda w: type(w).__name__
)
def test_the_ends_are_exact_for_trained_warps_too(pair, warp):
    system = NeuralWarp(warp)
    system.take_pair(LandmarkPair.of(pair))
    assert torch.equal(system.render(0.0), pair.image_a)
    assert torch.equal(system.render(1.0, outside="mix"), pair.image_b)


def test_half_way_is_the_mean_of_both_warped_pictures(morph):
    first, second = morph.warped(0.5)
    torch.testing.assert_close(
        morph.render(0.5, blend="linear"), ((first + second) / 2).clamp(0, 1), rtol=0, atol=1e-6
    )
    assert float((first - second).abs().mean()) > 0.01


def test_warping_aligns_the_faces(morph, pair):
    first, second = morph.warped(0.5)
    mask = morph.mask(0.5, morph.frame)
    before = ((pair.image_a - pair.image_b).abs() * mask).sum()
    assert float(((first - second).abs() * mask).sum()) < float(before)


@pytest.mark.parametrize(
    ("size", "shape"), [(32, (32, 32)), (100, (100, 100)), (None, (SIZE, SIZE))]
)
def test_sizes(morph, size, shape):
    frame = morph.render(0.4, size=size)
    assert frame.shape == (3, *shape)
    assert 0 <= float(frame.min()) <= float(frame.max()) <= 1
    assert not frame.requires_grad


def test_a_polygon_is_carried_with_the_warp(morph, tmp_path):
    """A small polygon about the mouth: the blend changes there and nowhere else, at every time."""
    mouth = morph.frame.to_pixels(morph.source[48:60].double())
    file = write_points(mouth, tmp_path / "mouth.json", "points12")
    for time in (0.25, 0.75):
        frame = morph.render(time, blend="linear_masked", mask=file)
        changed = (frame - morph.warped(time)[0].clamp(0, 1)).abs().amax(0) > 1e-3
        there = morph.frame.to_pixels(morph.warp(morph.source[48:60].double(), 0.0, time))
        rows, columns = changed.nonzero().unbind(1)
        assert len(rows) > 3
        assert float(columns.min()) >= float(there[:, 0].min()) - 1
        assert float(columns.max()) <= float(there[:, 0].max()) + 1
        assert float(rows.min()) >= float(there[:, 1].min()) - 1
        assert float(rows.max()) <= float(there[:, 1].max()) + 1
    assert torch.equal(morph.render(0.5, mask=file), morph.render(0.5, mask=mouth))
    # The same place at another size of the output.
    large = morph.mask(0.5, morph.frame.scaled_to(2 * SIZE), file)
    small = torch.nn.functional.avg_pool2d(large, 2)
    assert float((small - morph.mask(0.5, morph.frame, file)).abs().mean()) < 0.002


@pytest.mark.parametrize(
    "blend", [blend for blend in BLENDS if blend not in ("poisson_source", "poisson_target")]
)
def test_blends_do_not_jump_in_time(morph, blend):
    """Frames a hundredth apart are alike, at the ends too; those of one picture's gradients do jump
    at them.
    """
    for start in (0.0, 0.24, 0.49, 0.5, 0.99):
        one, two = (
            morph.render(time, blend=blend, outside="mix") for time in (start, start + 0.01)
        )
        assert float((one - two).abs().mean()) < 0.012


def test_polygons_outside_of_the_frame(morph):
    with pytest.raises(GeometryError, match="outside of the frame"):
        morph.render(0.5, mask=torch.tensor([[500.0, 500.0], [600.0, 500.0], [600.0, 600.0]]))


@pytest.mark.parametrize("blend", BLENDS)
def test_every_blend_is_rendered(morph, blend):
    frame = morph.render(0.5, blend=blend, mask="lower_face")
    assert frame.shape == (3, SIZE, SIZE)
    assert 0 <= float(frame.min()) <= float(frame.max()) <= 1
    outside = morph.mask(0.5, morph.frame, "lower_face")[0] == 0
    if blend not in ("multiband", "linear", "target"):
        torch.testing.assert_close(
            frame[:, outside], morph.warped(0.5)[0][:, outside].clamp(0, 1), rtol=0, atol=1e-6
        )


def test_masks_follow_the_face(morph):
    for time in (0.0, 0.5, 1.0):
        mask = morph.mask(time, morph.frame)
        assert mask.shape == (1, SIZE, SIZE)
        points = (
            morph.frame.to_pixels(morph.warp(morph.source.double(), 0.0, time))
            .long()
            .clamp(0, SIZE - 1)
        )
        nose = points[30]
        assert float(mask[0, nose[1], nose[0]]) == 1
        assert float(mask[0, 0, 0]) < 0.5


@pytest.mark.parametrize(
    "warp",
    [ThinPlateFlow(), ThinPlateSpline(), PiecewiseAffine(), ResidualSirenWarp((8,))],
    ids=lambda w: type(w).__name__,
)
def test_pictures_that_are_not_square(warp):
    pair = wide_pair()
    system = fit(pair, warp)
    assert system.frame == Frame(40, 72)
    assert torch.equal(system.render(0.0), pair.image_a)
    assert torch.equal(system.render(1.0, outside="mix"), pair.image_b)
    assert system.render(0.5).shape == (3, 40, 72)
    assert system.render(0.5, size=36).shape == (3, 20, 36)
    assert set(system.quality()) == QUALITY


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"time": 1.1}, "time"),
        ({"time": -0.1}, "time"),
        ({"time": math.nan}, "time"),
        ({"time": 0.5, "blend": "dist"}, "blend"),
        ({"time": 0.5, "mask": "nose"}, "mask"),
        ({"time": 0.5, "outside": "none"}, "outside"),
    ],
)
def test_wrong_options_of_render(morph, options, key):
    with pytest.raises(ConfigError) as caught:
        morph.render(**options)
    assert caught.value.where == key


# ------------------------------------------------------------
# files
def test_infer_writes_a_video_marked_as_synthetic(morph, tmp_path):
    files = morph.infer(tmp_path / "a.mp4", frames=4, frames_per_second=8)
    assert files == [tmp_path / "a.mp4"]
    assert len(list(read_video(files[0]))) == 4
    with av.open(str(files[0])) as container:
        assert {key.lower(): value for key, value in container.metadata.items()}[
            "comment"
        ] == SYNTHETIC_COMMENT


def test_infer_writes_a_gif_marked_as_synthetic(morph, tmp_path):
    (path,) = morph.infer(tmp_path / "a.gif", times=[0.2, 0.4, 0.6])
    with Image.open(path) as picture:
        assert picture.n_frames == 3
        assert b"synthetic" in picture.info["comment"]


def test_infer_writes_a_folder_marked_as_synthetic(morph, pair, tmp_path):
    files = morph.infer(tmp_path / "frames", frames=3)
    assert [path.name for path in files] == ["frame_0000.png", "frame_0001.png", "frame_0002.png"]
    assert all(read_synthetic_tag(path)["synthetic"] for path in files)
    assert float((load_image(files[0]) - pair.image_a).abs().max()) <= 0.5 / 255 + 1e-6
    middle = morph.render(0.5)
    assert float((load_image(files[1]) - middle).abs().max()) <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.PNG"])
def test_infer_writes_one_picture_marked_as_synthetic(morph, tmp_path, name):
    (path,) = morph.infer(tmp_path / name, times=[0.5], blend="linear", size=48)
    assert read_synthetic_tag(path)["synthetic"] is True
    assert load_image(path).shape == (3, 48, 48)


def test_one_frame_is_the_source(morph, pair, tmp_path):
    (path,) = morph.infer(tmp_path / "one", frames=1)
    assert float((load_image(path) - pair.image_a).abs().max()) <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("a.png", {"frames": 3}, ConfigError),
        ("a.png", {"times": [0.1, 0.2]}, ConfigError),
        ("a.mp4", {"frames": 0}, ConfigError),
        ("a.mp4", {"times": [0.5, 2.0]}, ConfigError),
        ("a.mp4", {"blend": "poisson"}, ConfigError),
        ("a.mp4", {"mask": "nose"}, ConfigError),
        ("a.mp4", {"mask": "nowhere.json"}, DataError),
        ("folder", {"outside": "white"}, ConfigError),
        ("a.mp4", {"times": []}, OutputError),
        ("folder", {"times": []}, OutputError),
        ("a.mp4", {"frames_per_second": 0}, OutputError),
        ("a.avi", {}, OutputError),
        ("a.bmp", {}, OutputError),
        ("none/a.png", {"times": [0.5]}, OutputError),
        ("none/a.mp4", {"frames": 2}, OutputError),
    ],
)
def test_wrong_options_of_infer(morph, tmp_path, name, options, error):
    with pytest.raises(error):
        morph.infer(tmp_path / name, **options)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# ------------------------------------------------------------
# checkpoints
def experiment(*overrides):
    config = compose("train", complete_overrides("train", overrides))
    return plain({key: config[key] for key in ("system", "data", "seed")})


def write_checkpoint(system, config, path):
    save_atomic(
        {"state_dict": system.state_dict(), RECORD: {"config": {"system": config["system"]}}}, path
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("experiment=ifmorph/tiny",),
        ("experiment=ifmorph/closed_form", "data.a=", "data.b="),
        ("experiment=ifmorph/tiny", "warp@system.warp=siren"),
        ("experiment=ifmorph/tiny", "warp@system.warp=tps"),
        ("experiment=ifmorph/tiny", "warp@system.warp=piecewise_affine"),
    ],
    ids=["tiny", "closed_form", "siren", "tps", "piecewise_affine"],
)
def test_a_checkpoint_renders_the_same_without_the_files(pair, tmp_path, words):
    config = experiment(*words)
    system = build(config["system"])
    data = LandmarkPair.of(pair, num_samples=32, steps_per_epoch=2)
    if system.requires_training:
        train(system, data)
    else:
        system.fit_closed_form(data)
    path = write_checkpoint(system, config, tmp_path / "a.ckpt")
    again = load_system(path)
    assert not again.training
    for time in (0.0, 0.37, 1.0):
        assert torch.equal(again.render(time), system.eval().render(time))
    assert again.quality() == pytest.approx(system.quality(), rel=1e-6, abs=1e-6)


def test_two_checkpoints_of_other_sizes_load_into_one_system(pair, tmp_path):
    wide = fit(wide_pair())
    square = fit(pair)
    square.load_state_dict(wide.state_dict())
    assert torch.equal(square.render(0.3), wide.render(0.3))


def image_checkpoint(picture, path, hidden=(16, 16), kind="ifmorph/image_tiny"):
    config = experiment(
        f"experiment={kind}", f"system.field.hidden_features=[{','.join(map(str, hidden))}]"
    )
    system = build(config["system"])
    train(
        system,
        PixelSamples(
            picture, align="none", size=max(picture.shape[1:]), batch_size=64, steps_per_epoch=3
        ),
    )
    write_checkpoint(system, config, path)
    return system


def test_initial_states_come_from_checkpoints(pair, tmp_path):
    fields = [
        image_checkpoint(image, tmp_path / f"{name}.ckpt")
        for name, image in (("a", pair.image_a), ("b", pair.image_b))
    ]
    words = [
        "experiment=ifmorph/tiny",
        "+field@system.source_field=siren",
        "+field@system.target_field=siren",
        "system.source_field.hidden_features=[16,16]",
        "system.target_field.hidden_features=[16,16]",
        f"system.source_checkpoint={tmp_path / 'a.ckpt'}",
        f"system.target_checkpoint={tmp_path / 'b.ckpt'}",
    ]
    config = experiment(*words)
    system = build(config["system"])
    data = LandmarkPair.of(pair, num_samples=32, steps_per_epoch=2)
    train(system, data)
    for ours, theirs in zip((system.source_field, system.target_field), fields, strict=True):
        expected = theirs.field.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in ours.state_dict().items())
    path = write_checkpoint(system, config, tmp_path / "warp.ckpt")
    for name in ("a.ckpt", "b.ckpt"):
        (tmp_path / name).unlink()  # the warp's checkpoint has it all
    assert torch.equal(load_system(path).render(0.5), system.eval().render(0.5))


def test_initial_states_of_another_network_are_refused(pair, tmp_path):
    image_checkpoint(pair.image_a, tmp_path / "a.ckpt", hidden=(12,))
    system = NeuralWarp(
        ResidualSirenWarp((8,)),
        source_field=SirenImage((16, 16)),
        source_checkpoint=tmp_path / "a.ckpt",
    )
    with pytest.raises(CheckpointError, match=r"system\.source_field") as caught:
        system.take_pair(LandmarkPair.of(pair))
    assert str(caught.value.where).endswith("a.ckpt")
    assert caught.value.remedy


def test_initial_states_of_another_system_are_refused(pair, tmp_path):
    config = experiment("experiment=ifmorph/closed_form", "data.a=", "data.b=")
    warp = build(config["system"])
    warp.fit_closed_form(LandmarkPair.of(pair))
    write_checkpoint(warp, config, tmp_path / "warp.ckpt")
    for name in ("warp.ckpt", "missing.ckpt"):
        system = NeuralWarp(
            ResidualSirenWarp((8,)), source_field=SirenImage(), source_checkpoint=tmp_path / name
        )
        with pytest.raises(CheckpointError):
            system.take_pair(LandmarkPair.of(pair))


def test_an_image_field_is_no_warp(pair, tmp_path):
    system = image_checkpoint(pair.image_a, tmp_path / "a.ckpt")
    assert isinstance(system, ImageField)
    content = load_checkpoint(tmp_path / "a.ckpt")
    content[RECORD] = {"config": {"system": experiment("experiment=ifmorph/tiny")["system"]}}
    save_atomic(content, tmp_path / "b.ckpt")
    with pytest.raises(CheckpointError, match="do not fit"):
        load_system(tmp_path / "b.ckpt")


def test_a_system_without_a_pair_says_so():
    system = NeuralWarp(ResidualSirenWarp())
    for use in (lambda: system.render(0.5), system.quality, lambda: system.frame):
        with pytest.raises(ConfigError, match="not been fitted"):
            use()


def test_a_checkpoint_needs_a_network_to_fill():
    with pytest.raises(ConfigError, match=r"field@system\.source_field=siren"):
        NeuralWarp(ResidualSirenWarp(), source_checkpoint="a.ckpt")
