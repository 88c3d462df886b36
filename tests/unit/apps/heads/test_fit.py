"""Photographs, videos and scans to files: what is written, what a row says, what one bad input does
to the others.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.driving import RATE, performance

from facemorph.apps.fitting import deca_guess
from facemorph.apps.fitting.deca_guess import DECAGuess
from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.face_texture import cut_around, texture_of
from facemorph.apps.fitting.fit_pictures import PITCHES, YAWS, turntable
from facemorph.apps.fitting.located_face import locate
from facemorph.apps.fitting.scan_fitting import (
    find_scan_landmarks,
    read_landmarks_3d,
)
from facemorph.apps.heads import fit_worker
from facemorph.apps.heads.fit import fit
from facemorph.apps.implicit.scan_inputs import read_with_landmarks
from facemorph.errors import ConfigError, DataError, NoFaceFound
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag, save_image
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.files.video_io import write_frames
from facemorph.geometry.meshes.mesh_files import Mesh, obj_files, read_mesh
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.textures.atlas import atlas_of


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def clip(samples, model, tmp_path_factory):
    """A video and the parameters it was rendered with."""
    pictures, moved = performance(samples[1], model)
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_frames(pictures, path, RATE)
    return path, moved


@pytest.fixture(scope="module")
def fitted(samples, clip, tmp_path_factory):
    """The sample photographs, a video and a picture without a face, fitted together."""
    folder = tmp_path_factory.mktemp("fit")
    empty = save_image(torch.full((3, 80, 80), 0.5), folder / "empty.png")
    return folder, fit([*samples, empty, clip[0]], folder / "out", texture=128, obj=True)


@pytest.mark.slow
def test_each_input_has_its_files_and_a_row(fitted, model):
    folder, report = fitted
    out = folder / "out"
    assert report["counts"] == {"fitted": 3, "failed": 1}
    assert json.loads((out / "fit.json").read_text()) == report
    statuses = {Path(row["file"]).name: row["status"] for row in report["rows"]}
    assert statuses == {
        "sample_collins.png": "fitted",
        "sample_hopper.png": "fitted",
        "empty.png": "failed",
        "clip.mp4": "fitted",
    }
    for row in report["rows"]:
        for name in row.get("files", []):
            assert (out / name).stat().st_size > 50, name
    for name in ("sample_hopper.overlay.jpg", "sample_hopper.texture.png", "meshes.jpg"):
        assert read_synthetic_tag(out / name)["synthetic"] is True
    assert (
        "no face found"
        in next(row for row in report["rows"] if row["status"] == "failed")["reason"]
    )


def test_the_parameters_put_the_landmarks_where_they_were_found(fitted, samples, model):
    folder, report = fitted
    parameters = FaceParameters.load(folder / "out" / "sample_hopper.npz")
    points = model.landmarks(model.vertices(parameters.identity, parameters.expression))
    camera = Camera(
        torch.matrix_exp(_cross(parameters.rotation)), parameters.origin, parameters.log_size
    )
    found = locate(samples[1]).landmarks
    pupils = (found[36:42].mean(0) - found[42:48].mean(0)).norm()
    error = (camera.project(points).pixels[0, 17:] - found[17:]).norm(dim=1).mean() / pupils
    assert float(error) < 0.035  # offsets of the calibration included
    row = next(row for row in report["rows"] if "hopper" in row["file"])
    assert row["error_percent"] < 1
    assert abs(row["yaw"]) < 10


def _cross(vector):
    x, y, z = vector[0].tolist()
    return torch.tensor([[[0, -z, y], [z, 0, -x], [-y, x, 0]]])


def test_meshes_can_be_read_again(fitted, model):
    out = fitted[0] / "out"
    mesh = read_mesh(out / "sample_collins.obj")
    assert len(mesh.vertices) == model.num_vertices
    assert len(mesh.faces) == len(model.topology.faces)
    glb = read_mesh(out / "sample_collins.glb")
    extent = (mesh.vertices.amax(0) - mesh.vertices.amin(0)) / 1000
    torch.testing.assert_close(
        glb.vertices.amax(0) - glb.vertices.amin(0), extent, rtol=1e-3, atol=1e-4
    )
    assert "sample_collins.png" in (out / "sample_collins.mtl").read_text()


def test_a_video_has_a_row_of_parameters_for_each_frame_and_follows_the_motion(fitted, clip):
    folder, report = fitted
    row = next(row for row in report["rows"] if "clip" in row["file"])
    parameters = FaceParameters.load(folder / "out" / "clip.npz")
    assert row["frames"] == len(parameters) == len(clip[1])
    assert row["missing"] == 0
    assert row["segments"] == 1
    both = torch.stack([parameters.rotation[:, 1], clip[1].rotation[:, 1]])
    assert float(torch.corrcoef(both)[0, 1]) > 0.98
    jaw = parameters.expression_names.index("jawOpen")
    assert (
        float(
            torch.corrcoef(
                torch.stack([parameters.expression[:, jaw], clip[1].expression[:, jaw]])
            )[0, 1]
        )
        > 0.8
    )


@pytest.mark.slow
def test_photographs_of_one_person_share_identity_and_texture(samples, tmp_path):
    image = load_image(samples[1])
    save_image(image, tmp_path / "a.png")
    save_image((image * 0.8).clamp(0, 1), tmp_path / "b.png")
    save_image(torch.zeros(3, 60, 60), tmp_path / "c.png")
    report = fit(
        [tmp_path / f"{name}.png" for name in "abc"], tmp_path / "out", same_person=True, texture=64
    )
    assert report["counts"] == {"fitted": 2, "failed": 1}
    one, other = (FaceParameters.load(tmp_path / "out" / f"{name}.npz") for name in "ab")
    torch.testing.assert_close(one.identity, other.identity)
    textures = [load_image(tmp_path / "out" / f"{name}.texture.png") for name in "ab"]
    torch.testing.assert_close(*textures)


@pytest.mark.slow
def test_a_long_list_keeps_only_the_first_pictures_in_memory_and_page(
    samples, tmp_path, monkeypatch
):
    monkeypatch.setattr(fit_worker, "SHEETS", 1)
    monkeypatch.setattr(fit_worker, "TABLES", 1)
    monkeypatch.setattr(fit_worker, "HEADS", 1)
    fit(samples, tmp_path / "out", texture=64)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<figure") == page.count("class=sheet") == 1
    assert 'href="sample_hopper.overlay.jpg"' in page
    assert load_image(tmp_path / "out" / "meshes.jpg").shape[2] < 200


@pytest.mark.slow
def test_given_landmarks_are_used(samples, tmp_path):
    face = locate(samples[0])
    (tmp_path / "points").mkdir()
    write_points(face.landmarks.double() + 3, tmp_path / "points" / "sample_collins.json", "ibug68")
    shifted = fit([samples[0]], tmp_path / "a", points=tmp_path / "points", texture=64)
    plain = fit([samples[0]], tmp_path / "b", texture=64)
    assert shifted["counts"]["fitted"] == plain["counts"]["fitted"] == 1
    moved = [FaceParameters.load(tmp_path / name / "sample_collins.npz") for name in "ab"]
    assert 1 < float((moved[0].origin - moved[1].origin).abs().min()) < 8
    # has no file
    assert fit([samples[1]], tmp_path / "c", points=tmp_path / "points")["counts"]["failed"] == 1


@pytest.mark.slow
def test_a_scan_is_fitted_with_landmarks_found_or_given(model, tmp_path):
    generator = torch.Generator().manual_seed(4)
    identity = model.sample(1, generator, 0.7)
    vertices = model.vertices(identity)[0]
    turned = vertices[:, [0, 2, 1]] * torch.tensor([1.0, -1.0, 1.0]) / 10  # z up, centimetres
    for name, content in obj_files(Mesh(turned, model.topology.faces), "scan").items():
        (tmp_path / name).write_bytes(content)
    marks = model.landmarks(turned[None])[0]
    (tmp_path / "scan.txt").write_text(
        "\n".join(" ".join(map(str, mark)) for mark in marks.tolist())
    )
    for given in (None, tmp_path / "scan.txt", tmp_path):
        row = fit([tmp_path / "scan.obj"], tmp_path / "out", points=given)["rows"][0]
        assert row["status"] == "fitted", row
        assert row["mean_mm"] < 0.5
        assert row["percentile_95_mm"] < 1.5
        assert row["covered"] > 0.9
        assert row["scan_mean_mm"] < 0.5
        assert row["share"] > 0.9
        assert row["scale"] == pytest.approx(0.1, rel=0.05)
    found = FaceParameters.load(tmp_path / "out" / "scan.npz")
    face = model.topology.masks["face"]
    error = (
        (model.vertices(found.identity, found.expression)[0] - vertices)[face].norm(dim=1).mean()
    )
    mean = (model.mean - vertices)[face].norm(dim=1).mean()
    assert float(error) < 0.5 * float(mean)


@pytest.mark.slow
def test_a_scan_without_a_face_or_with_other_landmarks_is_a_failed_row(tmp_path):
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    mesh = Mesh(corners, torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
    for name, content in obj_files(mesh, "thing").items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(NoFaceFound, match="no face found on this scan"):
        find_scan_landmarks(mesh, None, tmp_path)
    assert fit([tmp_path / "thing.obj"], tmp_path / "out")["counts"]["failed"] == 1
    (tmp_path / "five.txt").write_text("1 2 3\n" * 5)
    with pytest.raises(DataError, match="not the landmarks of a scan"):
        read_landmarks_3d(tmp_path / "five.txt")
    (tmp_path / "words.txt").write_text("nose\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_landmarks_3d(tmp_path / "words.txt")


def test_lists_of_vertex_numbers_are_named(tmp_path):
    """FaceScape's toolkit has one for each of its topologies; a text file may hold one as well."""
    numbers = np.arange(68) * 300
    np.savez(tmp_path / "landmark_indices.npz", v10=numbers, v16=numbers + 1)
    np.savetxt(tmp_path / "column.txt", numbers, fmt="%d")
    np.savetxt(tmp_path / "line.csv", numbers[None], fmt="%d", delimiter=",")
    for name, found in (
        ("landmark_indices.npz", "v10, v16"),
        ("column.txt", "68 whole numbers up to 20100"),
        ("line.csv", "68 whole numbers up to 20100"),
    ):
        with pytest.raises(DataError, match="vertex numbers") as caught:
            read_landmarks_3d(tmp_path / name)
        assert found in str(caught.value)
        assert "v16 that of bilinear model 1.6" in str(caught.value)
    np.savetxt(tmp_path / "places.txt", np.arange(204).reshape(68, 3), fmt="%d")
    assert read_landmarks_3d(tmp_path / "places.txt").shape == (68, 3)


@pytest.mark.slow
@pytest.mark.parametrize("same_person", [False, True])
def test_an_error_of_any_kind_costs_one_input_alone(
    samples, model, tmp_path, monkeypatch, same_person
):
    for name, content in obj_files(Mesh(model.mean, model.topology.faces), "good").items():
        (tmp_path / name).write_bytes(content)
    marks = model.landmarks(model.mean[None])[0].tolist()
    (tmp_path / "good.txt").write_text("\n".join(" ".join(map(str, mark)) for mark in marks))
    (tmp_path / "point.obj").write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")

    def broken(path, *_, **__):
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr(fit_worker, "locate", broken)
    (tmp_path / f"{samples[1].stem}.txt").write_text("1 2\n")
    files = [samples[1], tmp_path / "point.obj", tmp_path / "good.obj"]
    report = fit(files, tmp_path / "out", points=tmp_path, same_person=same_person)
    assert [row["status"] for row in report["rows"]] == ["failed", "failed", "fitted"]
    assert "a bug of facemorph: float division" in report["rows"][0]["reason"]
    assert "point.obj: this mesh has no surface" in report["rows"][1]["reason"]


@pytest.mark.slow
def test_a_scan_inside_out_is_told_and_mirrored_landmarks_are_refused(model, tmp_path, caplog):
    marks = model.landmarks(model.mean[None])[0]
    mirror, inwards = torch.tensor([-1.0, 1.0, 1.0]), model.topology.faces.flip(1)
    for name, points, own in (
        ("inside_out", model.mean, marks),
        # Its landmarks are numbered as the subject's left and right were before.
        ("mirrored", model.mean * mirror, marks * mirror),
    ):
        for file, content in obj_files(Mesh(points, inwards), name).items():
            (tmp_path / file).write_bytes(content)
        lines = [" ".join(map(str, mark)) for mark in own.tolist()]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    files = [tmp_path / "inside_out.obj", tmp_path / "mirrored.obj"]
    rows = fit(files, tmp_path / "out", points=tmp_path)["rows"]
    assert [row["status"] for row in rows] == ["fitted", "failed"]
    assert "inside_out.obj: all triangles faced inwards and are turned over" in caplog.text
    assert "mirrored.obj" not in caplog.text
    assert rows[0]["mean_mm"] < 0.2
    assert "this scan is mirrored" in rows[1]["reason"]
    mesh, _ = read_with_landmarks(tmp_path / "mirrored.obj", tmp_path / "mirrored.txt")
    assert torch.equal(mesh.faces, inwards)
    # Found on the outside, not through the head.
    mesh, found = read_with_landmarks(tmp_path / "inside_out.obj", None)
    assert torch.equal(mesh.faces, model.topology.faces)
    assert float((found - marks)[17:].norm(dim=1).nanmedian()) < 6


def test_a_part_of_the_photograph_and_its_camera_fit_together(model):
    camera = Camera(torch.eye(3)[None], torch.tensor([[120.0, 90.0]]), torch.tensor([0.4]).log())
    image = torch.rand(3, 200, 300)
    part, near = cut_around(image, camera, model.mean[None], 128)
    assert max(part.shape[1:]) == 128
    whole, small = (
        camera.project(model.mean[None]).pixels[0],
        near.project(model.mean[None]).pixels[0],
    )
    scale = float((near.log_size - camera.log_size).exp())
    torch.testing.assert_close((small - small[0]) / scale, whole - whole[0], rtol=1e-4, atol=1e-3)
    assert (small >= -1).all()
    assert (small <= 129).all()


def test_the_turntable_turns_right_and_down(model):
    texture = torch.zeros(3, 64, 64)
    table = turntable(model, model.mean[None], texture, 64)
    assert (len(table), len(table[0])) == (len(PITCHES), len(YAWS))
    middle = table[1]
    # mirror images but for a pixel
    torch.testing.assert_close(middle[0], middle[-1].flip(-1), rtol=0, atol=0.35)
    # Towards the last column the tip of the nose goes right, and so does the outline in front of
    # the face.
    edge = [
        int((one.mean(0) < 0.4).nonzero()[:, 1].max())
        for one in (middle[0][:, 25:40], middle[-1][:, 25:40])
    ]
    assert edge[1] != edge[0]


def test_decas_guess_is_for_flame_and_pads_what_it_does_not_say(model, samples, monkeypatch):
    with pytest.raises(ConfigError, match="DECA knows FLAME only"):
        DECAGuess("deca_model.tar", model)

    class Encoder(torch.nn.Module):
        def forward(self, images):
            assert images.shape[1:] == (3, 224, 224)
            return type("Codes", (), {"shape": images.mean((1, 2, 3))[:, None].expand(-1, 100)})()

    class Flame:
        name, num_identity = "flame2023", 300

    monkeypatch.setattr(deca_guess.DECAEncoder, "load", classmethod(lambda cls, path: Encoder()))
    guess = DECAGuess("deca_model.tar", Flame())([locate(samples[0]), locate(samples[1])])
    assert guess.shape == (2, 300)
    assert (guess[:, :100] != 0).all()
    assert (guess[:, 100:] == 0).all()


@pytest.mark.parametrize(
    ("option", "match"),
    [
        ({"smoothing": "kalman"}, "no such choice"),
        ({"texture": 10}, "unusable size"),
        ({"noise": 0.0}, "above 0"),
        ({"model": "nobody"}, "no such face model"),
        ({"points": "missing"}, "no such landmark file"),
        ({"deca": "deca_model.tar"}, "FLAME only"),
        ({"field_of_view": 400.0}, "field of view"),
    ],
)
def test_wrong_options_are_refused_before_any_work(samples, tmp_path, option, match):
    with pytest.raises((ConfigError, DataError), match=match):
        fit([samples[0]], tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()


def test_the_eyes_of_a_small_face_keep_their_iris(samples, model):
    face = locate(samples[0])  # its head is about 140 pixels high
    fitted = fit_faces([face], model)
    texture = texture_of(fitted, [face.image], 256)
    atlas = atlas_of(model, 256)
    for name in ("eye_left", "eye_right"):
        luma = texture[:, atlas.part(model.topology, name)].mean(0)
        assert float(luma.quantile(0.05)) < 0.6 * float(luma.quantile(0.8))


def test_the_results_never_lie_among_the_photographs(samples, tmp_path):
    save_image(load_image(samples[0]), tmp_path / "a.png")
    with pytest.raises(DataError, match="the results would lie among the photographs"):
        fit([tmp_path], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_one_landmark_file_is_for_one_photograph(samples, tmp_path):
    write_points(locate(samples[0]).landmarks, tmp_path / "points.json", "ibug68")
    with pytest.raises(
        DataError, match=r"one landmark file cannot be that of several inputs.*2 inputs"
    ):
        fit(samples[:2], tmp_path / "out", points=tmp_path / "points.json")


def test_what_was_fitted_before_an_interruption_is_in_the_report(samples, tmp_path, monkeypatch):
    done = []

    def work(self, task):
        if done:
            raise KeyboardInterrupt
        done.append(task)
        raise DataError("no matter")

    monkeypatch.setattr(fit_worker.HeadFitter, "fit_one", work)
    with pytest.raises(KeyboardInterrupt):
        fit(samples[:2], tmp_path)
    rows = json.loads((tmp_path / "fit.json").read_text())["rows"]
    assert [row["file"] for row in rows] == [str(samples[0])]
    assert (tmp_path / "report.html").exists()


@pytest.mark.slow
def test_the_same_call_goes_on_and_changes_are_fitted_anew(samples, tmp_path, monkeypatch):
    inputs, output, fitted = [tmp_path / f"{name}.png" for name in "abc"], tmp_path / "out", []
    inputs[0].write_bytes(samples[0].read_bytes())
    inputs[1].write_bytes(samples[1].read_bytes())
    inputs[2].write_bytes(b"no picture")
    real = fit_worker.HeadFitter.fit_one
    monkeypatch.setattr(
        fit_worker.HeadFitter,
        "fit_one",
        lambda self, task: fitted.append(task.path.stem) or real(self, task),
    )

    def again(**options):
        fitted.clear()
        report = fit(inputs, output, texture=64, **options)
        return report, list(fitted)

    first, done = again()
    assert done == ["a", "b", "c"]
    page, sheet = (output / "report.html").read_bytes(), (output / "meshes.jpg").read_bytes()
    second, done = again()
    assert done == ["c"]  # what failed is tried again
    assert second["counts"] == first["counts"] == {"fitted": 2, "failed": 1}
    assert (output / "report.html").read_bytes() == page
    assert (output / "meshes.jpg").read_bytes() == sheet
    inputs[1].write_bytes(samples[0].read_bytes())
    assert again()[1] == ["b", "c"]
    one, other = (FaceParameters.load(output / f"{name}.npz") for name in "ab")
    torch.testing.assert_close(one.rotation, other.rotation, atol=1e-3, rtol=1e-3)
    (output / "a.npz").unlink()
    assert again()[1] == ["a", "c"]
    assert again(noise=0.05)[1] == ["a", "b", "c"]


@pytest.mark.slow
def test_two_processes_fit_the_same(samples, tmp_path):
    for workers in (1, 2):
        fit(samples, tmp_path / str(workers), texture=64, workers=workers)
    files = {path.name for path in (tmp_path / "1").iterdir()}
    assert files == {path.name for path in (tmp_path / "2").iterdir()}
    for name in ("sample_collins", "sample_hopper"):
        # MKL rounds by where a buffer happens to lie, so that processes differ in the last bits.
        one, other = (FaceParameters.load(tmp_path / f"{folder}/{name}.npz") for folder in "12")
        torch.testing.assert_close(one.identity, other.identity, atol=1e-2, rtol=1e-3)
        torch.testing.assert_close(one.rotation, other.rotation, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_one_person_is_fitted_anew_when_a_result_is_gone(samples, tmp_path):
    inputs = [tmp_path / f"{name}.png" for name in "ab"]
    inputs[0].write_bytes(samples[0].read_bytes())
    save_image((load_image(samples[0]) * 0.8).clamp(0, 1), inputs[1])
    options = {"same_person": True, "texture": 64}
    fit(inputs, tmp_path / "out", **options)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.npz")}
    fit(inputs, tmp_path / "out", **options)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    (tmp_path / "out/b.glb").unlink()
    fit(inputs, tmp_path / "out", **options)
    assert all(path.stat().st_mtime_ns > time for path, time in times.items())


def test_a_poor_fit_is_said(samples, tmp_path, caplog):
    """Landmarks that no head has, as of a portrait upside down."""
    points = locate(samples[1]).landmarks.double()
    torch.manual_seed(0)
    write_points(points + 12 * torch.randn_like(points), tmp_path / "p.json", "ibug68")
    report = fit([samples[1]], tmp_path / "out", points=tmp_path / "p.json", texture=64)
    assert report["rows"][0]["error_percent"] > 4
    assert "fits poorly" in caplog.text
