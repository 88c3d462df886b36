"""Defects of FLOWING's published code (specification: flows.md, 1.5) that this package does not
have.
"""

import pytest
import torch

from facemorph import cli
from facemorph.apps.morphing.warp_fitting import EXPERIMENTS
from facemorph.faces.pair import FacePair
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.warps.blended_pairs import warp_pair
from facemorph.fields.warps.conjugate_flow import NeuralConjugateFlow
from facemorph.fields.warps.neural_ode import NeuralODEWarp
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.metrics.warp_quality import map_quality
from facemorph.ops.frames import Frame
from facemorph.storage.checkpoint import load_checkpoint
from facemorph.systems.ifmorph.flowing_losses import ConjugateFlowLoss
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.system import NeuralWarp


def test_d1_the_conjugate_flow_s_inverse_error_is_measured():
    """It is no flow on the plane: the mean of two copies is taken. What it is off is a figure of
    every morph.
    """
    flow = NeuralConjugateFlow((16,), 10.0, generator_scale=5.0)
    measured = map_quality(flow, Frame(64, 64))
    centres = Frame(129, 129).pixel_centres().reshape(-1, 2)
    with torch.no_grad():
        errors = [
            (flow(flow(centres, 0.5, end), end, 0.5) - centres).norm(dim=1) * 256
            for end in (0.0, 1.0)
        ]
    assert measured["inverse_error_px"] == pytest.approx(float(torch.cat(errors).mean()), rel=0.02)
    assert measured["inverse_error_px"] > 0.01


def test_d1_the_copies_are_held_together_everywhere_and_not_at_landmarks_only():
    flow = NeuralConjugateFlow((16,), 10.0, generator_scale=5.0)
    marks = torch.zeros(1, 2)
    moving = torch.tensor([[0.5, -0.5, 0.7], [-0.6, 0.1, -0.9]])
    theirs, ours = (
        ConjugateFlowLoss(sample_share=share)(flow, marks, moving, marks, marks)
        for share in (0.0, 1.0)
    )
    assert float(ours["diagonal"].detach()) > float(theirs["diagonal"].detach())


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (32, 32)])
def test_d2_pictures_are_interpolated_on_any_frame(size):
    """Its look-up takes the nearest pixel, at row * height + column: wrong for pictures that are
    not square.
    """
    frame = Frame(*size)
    x, y = frame.pixel_centres().unbind(-1)
    picture = torch.stack(
        [0.5 + 0.3 * torch.sin(3 * x), 0.5 + 0.3 * torch.cos(2 * y), 0.5 + 0.2 * x * y]
    )
    half_a_pixel = 0.5 / frame.half_extent
    flow = NeuralODEWarp((4,))
    with torch.no_grad():
        for parameter in flow.network.parameters():
            parameter.zero_()
        # half a pixel in a unit of time
        flow.network.layers[-1].bias.copy_(torch.tensor([half_a_pixel, 0.0]))
        moved, _ = warp_pair(flow, SplineImage(picture), SplineImage(picture), frame, 1.0)
    x = x - half_a_pixel
    expected = torch.stack(
        [0.5 + 0.3 * torch.sin(3 * x), 0.5 + 0.3 * torch.cos(2 * y), 0.5 + 0.2 * x * y]
    )
    inner = (slice(None), slice(3, -3), slice(3, -3))
    torch.testing.assert_close(moved[inner], expected[inner], rtol=0, atol=2e-3)


def test_d3_paths_that_cross():
    """Its velocity does not change with time, so paths cannot cross; the default warp's does."""
    source = torch.tensor(
        [[-0.1, 0.0], [-0.08, 0.3], [0.6, 0.6], [-0.6, -0.6]], dtype=torch.float64
    )
    target = torch.tensor(
        [[0.1, 0.0], [-0.08, -0.02], [0.6, 0.6], [-0.6, -0.6]], dtype=torch.float64
    )
    flow = ThinPlateFlow(similarity=False).fit(source, target, Frame(64, 64))
    for time in (0.25, 0.5, 0.75, 1.0):
        straight = (1 - time) * source + time * target
        assert float((flow(source, 0.0, time) - straight).norm(dim=1).max()) < 1e-6
    first, second = (
        source[i] + time * (target[i] - source[i]) for i, time in ((0, 0.1), (1, 15 / 16))
    )
    torch.testing.assert_close(first, second, rtol=0, atol=1e-9)  # one place at two times
    assert map_quality(flow, Frame(64, 64))["fold_over_percent"] == 0


def test_d3_landmarks_are_measured_at_the_end_and_not_half_way_only():
    frame = Frame(32, 32)
    marks = torch.rand(6, 2, dtype=torch.float64) * 20 + 6
    pair = FacePair(torch.rand(3, 32, 32), torch.rand(3, 32, 32), marks, marks + 2, "points6")
    system = NeuralWarp(NeuralODEWarp())
    system.take_landmarks(pair.source, pair.target, frame)
    quality = system.quality()
    assert {"landmark_error_px", "alignment_px"} <= set(quality)


@pytest.mark.slow
@pytest.mark.usefixtures("coarse_lattices")
@pytest.mark.parametrize("name", ["neural_ode", "conjugate_flow"])
def test_d4_the_best_checkpoint_is_the_best(samples, tmp_path, name):
    """Its `--checkpoint best` loads the last weights; its checkpoints of the conjugate flow are
    pickled modules.
    """
    assert (
        cli.run(
            [
                "train",
                f"experiment=ifmorph/{name}_tiny",
                f"data.a={samples[0]}",
                f"data.b={samples[1]}",
                "device=cpu",
                "logger=none",
                "trainer.max_epochs=3",
                "system.learning_rate=0.01",
                f"paths.output_root={tmp_path}",
            ]
        )
        == 0
    )
    best, last = (
        load_checkpoint(next(tmp_path.rglob(f"{which}.ckpt"))) for which in ("best", "last")
    )
    values = [state["best"] for key, state in last["callbacks"].items() if "RunCheckpoints" in key]
    assert len(values) == 1
    if best["epoch"] != last["epoch"]:
        assert any(
            not torch.equal(best["state_dict"][key], last["state_dict"][key])
            for key in best["state_dict"]
        )
    output = tmp_path / "best.png"
    checkpoint = next(tmp_path.rglob("best.ckpt"))
    assert cli.run(["infer", f"checkpoint={checkpoint}", f"output={output}", "+times=[0.5]"]) == 0
    assert output.is_file()


@pytest.mark.parametrize("name", ["neural_ode", "conjugate_flow"])
def test_d9_missing_landmarks_are_an_error_with_a_name(samples, tmp_path, capfd, name):
    """It stops at a tuple that cannot be unpacked."""
    flat, points = tmp_path / "flat.png", tmp_path / "empty.json"
    from facemorph.faces.files.image_output import save_image

    save_image(torch.full((3, 64, 64), 0.5), flat, synthetic=True)
    words = ["morph", str(samples[0]), str(flat), "-o", str(tmp_path / "m.png"), "--warp", name]
    assert cli.run(words) == 2
    assert "flat.png" in capfd.readouterr().err
    points.write_text("{}")
    assert cli.run([*words, "--points-a", str(points)]) == 2
    error = capfd.readouterr().err
    assert "empty.json" in error
    assert "Traceback" not in error
    assert not (tmp_path / "m.png").exists()


def test_d9_both_flows_take_the_landmarks_of_every_reader():
    """One data module for all warps: there is no second key that another script does not read."""
    assert {"neural_ode", "conjugate_flow"} <= set(EXPERIMENTS)
    images, points = torch.rand(2, 3, 16, 16), torch.rand(2, 5, 2) * 16
    pair = FacePair(*images, *points, "points5")
    system = NeuralWarp(NeuralConjugateFlow((4,)))
    system.take_pair(LandmarkPair.of(pair))
    assert len(system.source) == 5
