"""``facemorph reconstruct``: parts of faces, depth maps, masks, the scan's own frame, interruption,
and bad input.
"""

from __future__ import annotations

import json
import os
import shutil
import signal

import cv2
import numpy as np
import pytest
import torch
from helpers.scan_sets import made_scans, prepared_scans
from scipy.spatial import cKDTree

from facemorph.apps.implicit import reconstruction as app
from facemorph.cli import run
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import write_points
from facemorph.geometry.meshes.mesh_files import Mesh, glb_bytes, obj_files, ply_bytes, read_mesh
from facemorph.geometry.meshes.mesh_sampling import sample_area
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")

pytestmark = pytest.mark.usefixtures("few_newton_steps")

QUICK = ["--resolution", "32", "--points", "256", "--samples", "2000", "--steps", "3"]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return made_scans(tmp_path_factory.mktemp("scans"), 2, 2)


@pytest.fixture(scope="module")
def prepared(scans, tmp_path_factory):
    return prepared_scans(scans, tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    assert (
        run(
            [
                "train",
                "experiment=imface/tiny",
                "device=cpu",
                "logger=none",
                "data.steps_per_epoch=16",
                "trainer.max_epochs=1",
                f"data.folder={prepared}",
                f"paths.output_root={folder}",
                f"paths.output_dir={folder}/run",
            ]
        )
        == 0
    )
    return folder / "run/checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def scan(scans):
    return read_mesh(scans / "1/1.ply"), torch.from_numpy(np.loadtxt(scans / "1/1.bnd")).float()


@pytest.fixture
def fit(trained, tmp_path):
    """Runs the command; exit code, report and folder."""

    def fitted(*words, name="out"):
        folder = tmp_path / name
        code = run(
            [
                "reconstruct",
                *map(str, words),
                "-o",
                str(folder),
                "--checkpoint",
                str(trained),
                *QUICK,
            ]
        )
        report = (
            json.loads((folder / "report.json").read_text())
            if (folder / "report.json").is_file()
            else None
        )
        return code, report, folder

    return fitted


def written(folder, mesh, landmarks, name="face.ply"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes({".ply": ply_bytes, ".glb": glb_bytes}[path.suffix](mesh))
    np.savetxt(path.with_suffix(".bnd"), landmarks.numpy())
    return path


def distance(mesh, other):
    """Mean distance from points of a mesh to another, in its unit."""
    one, two = (
        sample_area(which, 40_000, torch.Generator().manual_seed(seed))[0].numpy()
        for seed, which in enumerate((mesh, other))
    )
    return float(np.mean(cKDTree(two).query(one)[0]))


# ------------------------------------------------------------
# parts of faces
def test_half_a_face_is_completed(scan, fit, tmp_path, capsys):
    mesh, landmarks = scan
    half = Mesh(mesh.vertices, mesh.faces[(mesh.vertices[:, 0] < -6)[mesh.faces].all(1)])
    # the tip of the nose is gone too
    marks = torch.where(landmarks[:, :1] < -6, landmarks, torch.nan)
    assert bool(torch.isnan(marks[30]).all())
    code, report, folder = fit(written(tmp_path / "in", half, marks))
    assert code == 0
    assert "completed" in capsys.readouterr().out
    row = report["rows"][0]
    assert row["partial"] is True
    assert row["missing_landmarks"] == int(torch.isnan(marks).any(1).sum())
    assert float(read_mesh(folder / "face.ply").vertices[:, 0].max()) > 40
    for name in ("face_error.ply", "face_scan.ply"):
        assert float(read_mesh(folder / name).vertices[:, 0].max()) < 0
    whole = fit(written(tmp_path / "in", mesh, landmarks, "whole.ply"), name="whole")[1]["rows"][0]
    assert whole["partial"] is False
    # Placed without its nose, it lies where the whole scan does.
    one, other = (torch.tensor(which["placement"]["shift"]) for which in (row, whole))
    assert float((one - other).norm()) < 15


def test_masks_of_meshes_leave_parts_out(scan, fit, tmp_path, capsys):
    mesh, landmarks = scan
    path = written(tmp_path / "in", mesh, landmarks)
    kept = (mesh.vertices[:, 1] < landmarks[27, 1]).numpy()
    np.savetxt(tmp_path / "face.txt", kept.astype(int), fmt="%d")
    np.save(tmp_path / "face.npy", kept)
    sizes = []
    for number, mask in enumerate(("face.txt", "face.npy")):
        code, report, folder = fit(path, "--mask", tmp_path / mask, name=str(number))
        assert code == 0
        assert report["rows"][0]["partial"] is True
        sizes.append(len(read_mesh(folder / "face_scan.ply").vertices))
    assert sizes[0] == sizes[1]
    np.save(tmp_path / "short.npy", kept[:-1])
    np.save(tmp_path / "other.npy", kept * 2)
    np.save(tmp_path / "none.npy", kept * 0)
    for mask, message in (
        ("short.npy", f"{len(kept)} numbers"),
        ("other.npy", "0 or 1"),
        ("none.npy", "nothing"),
        ("face.ply", "not of this kind"),
        ("gone.npy", "cannot be read"),
    ):
        assert fit(path, "--mask", tmp_path / mask, name="bad")[0] == 2
        assert message in capsys.readouterr().err


# ------------------------------------------------------------
# depth maps
def depth_of(mesh, landmarks, size=(240, 200), field_of_view=20.0, turn=(0.1, 0.05, 0.05)):
    """Depth ``(H, W)`` millimetres along the axis, landmarks in pixels, and the focal length."""
    height, width = size
    rotation = rotation_from_euler(*(torch.tensor([angle]) for angle in turn))
    camera = Camera(
        rotation, torch.tensor([[width / 2 + 3, height / 2 - 5]]), torch.tensor([1.0]).log()
    ).as_pinhole(Frame(height, width), field_of_view)
    view = MeshView.of(mesh.vertices[None], mesh.faces, camera, size)
    away = float(camera.focal / camera.log_size.exp())
    depth = torch.where(view.mask[0, 0], away - view.depth[0, 0], 0.0)
    pixels = camera.project(landmarks[None]).pixels[0].double()
    return depth.numpy(), pixels, float(camera.focal)


def test_depth_maps_give_the_face_of_the_mesh(scan, fit, tmp_path):
    mesh, landmarks = scan
    depth, pixels, focal = depth_of(mesh, landmarks)
    (folder := tmp_path / "in").mkdir()
    np.save(folder / "a.npy", depth.astype(np.float32))
    cv2.imwrite(str(folder / "b.png"), np.rint(depth * 5).astype(np.uint16))
    for name in ("a", "b"):
        write_points(pixels, folder / f"{name}.json", "ibug68")
    code, report, one = fit(folder / "a.npy", "--focal", focal, name="a")
    assert code == 0
    assert report["rows"][0]["partial"] is True
    assert report["rows"][0]["placement"]["unit"] == 1.0  # millimetres, by the size of the face
    code, report, two = fit(
        folder / "b.png", "--field-of-view", "20", "--depth-scale", "5000", name="b"
    )
    assert code == 0
    assert report["rows"][0]["placement"]["unit"] == 0.001  # metres now
    code, _, whole = fit(written(folder, mesh, landmarks, "c.ply"), name="c")
    assert code == 0
    goal = read_mesh(whole / "c_scan.ply")
    for found, name in ((one, "a"), (two, "b")):
        assert distance(read_mesh(found / f"{name}_scan.ply"), goal) < 0.8  # pixels of 0.9 mm
    faces = [read_mesh(place / f"{name}.ply") for place, name in ((one, "a"), (whole, "c"))]
    assert distance(faces[1], faces[0]) < 2


def test_a_depth_map_with_a_wall_a_mask_and_a_photograph(scan, fit, tmp_path, capsys):
    mesh, landmarks = scan
    depth, pixels, focal = depth_of(mesh, landmarks)
    wall = np.where(depth == 0, depth.max() + 400, depth)
    (folder := tmp_path / "in").mkdir()
    np.save(folder / "face.npy", wall)
    write_points(pixels, folder / "face.json", "ibug68")
    code, report, plain = fit(folder / "face.npy", "--focal", focal, name="plain")
    assert code == 0
    assert float(read_mesh(plain / "face_scan.ply").vertices.norm(dim=1).max()) < 100.01
    mask = torch.zeros(3, *depth.shape)
    mask[:, :, :110] = 1
    save_image(mask, folder / "mask.png")
    code, report, cut = fit(
        folder / "face.npy", "--focal", focal, "--mask", folder / "mask.png", name="cut"
    )
    assert code == 0
    assert report["rows"][0]["missing_landmarks"] > 15
    low, high = (
        float(read_mesh(place / "face_scan.ply").vertices[:, 0].max()) for place in (cut, plain)
    )
    assert low < high - 30
    for words, message in (
        (["--mask", folder / "face.npy"], "picture"),
        ([], "focal"),
        (["--focal", "-3"], "focal"),
        (["--focal", "300", "--field-of-view", "30"], "one focal length"),
        (["--focal", "300", "--principal-point", "3"], "principal_point"),
        (["--focal", focal, "--image", folder / "small.png"], "size"),
    ):
        save_image(mask[:, :50], folder / "small.png")
        (folder / "face.json").unlink(missing_ok="--image" in words)
        assert (
            fit(
                folder / "face.npy",
                *(
                    words
                    if "focal" in message or "--focal" in words
                    else [*words, "--focal", focal]
                ),
                name="bad",
            )[0]
            == 2
        )
        assert message in capsys.readouterr().err
        write_points(pixels, folder / "face.json", "ibug68")


@pytest.mark.parametrize("kind", ["8 bits", "colour", "text", "no depth"])
def test_pictures_that_are_no_depth_maps(fit, tmp_path, capsys, kind):
    path = tmp_path / "face.png"
    if kind == "8 bits":
        cv2.imwrite(str(path), np.full((40, 40), 7, np.uint8))
    elif kind == "colour":
        cv2.imwrite(str(path), np.full((40, 40, 3), 7, np.uint16))
    elif kind == "no depth":
        cv2.imwrite(str(path), np.zeros((40, 40), np.uint16))
    else:
        path.write_text("depth")
    assert fit(path, "--focal", "50")[0] == 2
    error = capsys.readouterr().err
    assert "depth map" in error
    assert "Traceback" not in error


# ------------------------------------------------------------ the
# scan's frame
@pytest.mark.parametrize("kind", ["ply", "glb"])
def test_results_lie_on_the_scan(scan, fit, tmp_path, kind):
    mesh, landmarks = scan
    rotation = rotation_from_euler(*torch.tensor([1.9, -0.6, 0.4]))

    def moved(points):  # somewhere else, in centimetres
        return points @ rotation.T * 0.1 + torch.tensor([30.0, -20.0, 55.0])

    placed, marks = Mesh(moved(mesh.vertices), mesh.faces), moved(landmarks)
    path = written(tmp_path / "in", placed, marks, "face.ply")
    if kind == "glb":
        path.unlink()
        path = written(
            tmp_path / "in", Mesh(placed.vertices * 1000, placed.faces), marks, "face.glb"
        )
    code, report, own = fit(
        path, "--frame", "scan", "--kind", kind, "--topology", "template", name="own"
    )
    assert code == 0
    code, _, model = fit(path, "--kind", kind, "--topology", "template", name="model")
    assert code == 0
    given = report["rows"][0]["placement"]
    assert given["unit"] == 0.1
    turn, shift = torch.tensor(given["rotation"]), torch.tensor(given["shift"])
    with np.load(own / "face_codes.npz") as codes:
        assert codes["rotation"].tolist() == given["rotation"]
        assert codes["shift"].tolist() == given["shift"]
        assert float(codes["unit"]) == 0.1
    for name in (f"face.{kind}", "face_error.ply", "face_scan.ply", f"face_template.{kind}"):
        here, there = read_mesh(own / name).vertices, read_mesh(model / name).vertices
        if name.endswith("glb"):
            there = there * 1000  # GLB is in metres
        assert float((here @ turn.T / 0.1 + shift - there).abs().max()) < 2e-3
    # The scan's sheet has the scan's own vertices.
    assert (
        float(
            np.median(
                cKDTree(placed.vertices.numpy()).query(
                    read_mesh(own / "face_scan.ply").vertices.numpy()
                )[0]
            )
        )
        < 1e-4
    )


def test_prepared_scans_have_no_frame_of_their_own(prepared, fit, capsys):
    assert fit(next(prepared.glob("*/*.npz")), "--frame", "scan")[0] == 2
    assert "prepared from" in capsys.readouterr().err


def test_figures_after_rigid_alignment(scans, fit):
    code, report, _ = fit(scans / "1/1.ply", "--align")
    assert code == 0
    row = report["rows"][0]
    for name in ("fitted", "template"):
        assert (
            set(row[name]) == set(row[f"{name}_aligned"]) == set(report["mean"][f"{name}_aligned"])
        )
        assert row[f"{name}_aligned"]["accuracy"] <= 1.02 * row[name]["accuracy"]


# ------------------------------------------------------------
# interruption
def test_an_interrupted_run_keeps_its_figures_and_goes_on(scans, trained, tmp_path, monkeypatch):
    files, folder = [str(scans / f"{person}/1.ply") for person in (1, 2)], tmp_path / "out"
    words = ["reconstruct", *files, "-o", str(folder), "--checkpoint", str(trained), *QUICK]
    write = app.write_face

    def stopped(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return write(*arguments)

    (tmp_path / "out").mkdir()
    (folder / "mine.txt").write_text("stays")
    monkeypatch.setattr(app, "write_face", stopped)
    assert run(words) == 130
    report = json.loads((folder / "report.json").read_text())
    assert report["counts"] == {"done": 1, "failed": 0, "missing": 1}
    assert report["mean"]["fitted"] == {
        name: round(value, 4) for name, value in report["rows"][0]["fitted"].items()
    }
    first = {path: path.stat().st_mtime_ns for path in folder.glob("1_1*")}
    assert len(first) == 6
    monkeypatch.setattr(app, "write_face", write)
    assert run(words) == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["counts"] == {"done": 2, "failed": 0}
    assert all(path.stat().st_mtime_ns == time for path, time in first.items())
    assert load_image(folder / "faces.png").shape[1] > 600  # both are on the sheet
    assert run([*words, "--seed", "1"]) == 0  # other options: all anew
    assert all(path.stat().st_mtime_ns != time for path, time in first.items())
    assert (folder / "mine.txt").read_text() == "stays"
    assert len(list(folder.glob("*.ply"))) == 6


def test_two_processes_fit_the_same(scans, trained, tmp_path):
    files = [str(scans / f"{person}/1.ply") for person in (1, 2)]
    for workers in ("1", "2"):
        words = ["-o", str(tmp_path / workers), "--checkpoint", str(trained), "--workers", workers]
        assert run(["reconstruct", *files, *words, *QUICK]) == 0
    one, two = (json.loads((tmp_path / name / "report.json").read_text()) for name in "12")
    assert one["counts"] == two["counts"]
    for row, other in zip(one["rows"], two["rows"], strict=True):
        assert row["files"] == other["files"]
        assert row["template"] == pytest.approx(other["template"], rel=1e-4)
        # MKL rounds by where a buffer happens to lie, so that processes differ in the last bits.
        assert row["fitted"]["chamfer"] == pytest.approx(other["fitted"]["chamfer"], rel=0.02)


def test_a_scan_that_changed_is_fitted_again(scans, trained, tmp_path):
    files = [tmp_path / f"{person}.ply" for person in "ab"]
    for person, path in enumerate(files, 1):
        path.write_bytes((scans / f"{person}/1.ply").read_bytes())
        path.with_suffix(".bnd").write_bytes((scans / f"{person}/1.bnd").read_bytes())
    folder = tmp_path / "out"
    words = ["reconstruct", *map(str, files), "-o", str(folder), "--checkpoint", str(trained)]
    assert run([*words, *QUICK]) == 0
    times = [(folder / f"{name}.ply").stat().st_mtime_ns for name in "ab"]
    files[1].write_bytes((scans / "2/2.ply").read_bytes())
    assert run([*words, *QUICK]) == 0
    again = [(folder / f"{name}.ply").stat().st_mtime_ns for name in "ab"]
    assert again[0] == times[0]
    assert again[1] > times[1]


def test_one_person_is_fitted_again_when_a_scan_is_missing(scans, trained, tmp_path):
    files = [str(scans / f"1/{number}.ply") for number in (1, 2)]
    words = [
        "reconstruct",
        *files,
        "-o",
        str(tmp_path),
        "--checkpoint",
        str(trained),
        "--same-person",
        *QUICK,
    ]
    assert run(words) == 0
    (tmp_path / "2.ply").unlink()
    before = (tmp_path / "1.ply").stat().st_mtime_ns
    assert run(words) == 0
    assert (tmp_path / "2.ply").is_file()
    assert (tmp_path / "1.ply").stat().st_mtime_ns > before


def test_a_scan_that_has_changed_is_fitted_again(scan, fit, tmp_path):
    mesh, landmarks = scan
    path = written(tmp_path / "in", mesh, landmarks)
    one = fit(path)[1]["rows"][0]["template"]["chamfer"]
    written(tmp_path / "in", Mesh(mesh.vertices * 1.1, mesh.faces), landmarks * 1.1)
    os.utime(path, (1, 1))
    assert fit(path)[1]["rows"][0]["template"]["chamfer"] != one


def test_scans_are_not_overwritten(scan, fit, tmp_path, capsys):
    path = written(tmp_path / "out", *scan)
    content = path.read_bytes()
    assert fit(path)[0] == 2
    assert "overwrite" in capsys.readouterr().err
    assert path.read_bytes() == content


# ------------------------------------------------------------
# bad input
def flipped(*signs):
    return lambda mesh, landmarks: (
        Mesh(mesh.vertices * torch.tensor(signs), mesh.faces),
        landmarks * torch.tensor(signs),
    )


def with_nan(mesh, landmarks):
    vertices = mesh.vertices.clone()
    vertices[7, 1] = torch.nan
    return Mesh(vertices, mesh.faces), landmarks


def elsewhere(mesh, landmarks):
    return Mesh(mesh.vertices + 700, mesh.faces), landmarks


BAD = {
    "mirrored": (flipped(-1.0, 1.0, 1.0), [], "mirrored"),
    "upside down in z": (flipped(1.0, 1.0, -1.0), [], "mirrored"),
    "NaN": (with_nan, [], "not numbers"),
    "elsewhere": (elsewhere, [], "inside the sphere"),
    "cm as mm": (
        lambda mesh, landmarks: (Mesh(mesh.vertices / 10, mesh.faces), landmarks / 10),
        ["--unit", "mm"],
        "apart at most",
    ),
    "other landmarks": (lambda mesh, landmarks: (mesh, landmarks.flip(0)), [], "landmarks"),
    "a focal length": (lambda mesh, landmarks: (mesh, landmarks), ["--focal", "500"], "depth maps"),
    "no such frame": (
        lambda mesh, landmarks: (mesh, landmarks),
        ["--frame", "world"],
        "model | scan",
    ),
    "no such way": (
        lambda mesh, landmarks: (mesh, landmarks),
        ["--partial", "maybe"],
        "auto | yes | no",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named(scan, fit, tmp_path, capsys, kind):
    change, words, message = BAD[kind]
    changed, landmarks = change(*scan)
    (tmp_path / "in").mkdir()
    path = tmp_path / "in/face.obj"
    path.write_bytes(obj_files(changed, "face")["face.obj"])
    np.savetxt(path.with_suffix(".bnd"), landmarks.numpy())
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("stays")
    assert fit(path, *words)[0] == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert (tmp_path / "out/mine.txt").is_file()


def test_what_does_not_harm_a_scan(scan, fit, tmp_path, capsys):
    """Flipped axes that are a turn, triangles without area, and pieces that float before the face
    or lie behind.
    """
    mesh, landmarks = scan
    plain = fit(written(tmp_path / "in", mesh, landmarks, "plain.ply"), name="plain")[1]["rows"][0]
    turned = flipped(1.0, -1.0, -1.0)(mesh, landmarks)
    flat = Mesh(mesh.vertices, torch.cat([mesh.faces, mesh.faces[:40, [0, 0, 1]]]))
    cloth = torch.tensor(
        [[-40.0, 0, 40], [40, 0, 40], [0, 50, 40], [-30, -60, 20], [30, -60, 20], [0, -40, 30]]
    )
    cloth = cloth + landmarks[30]
    loose = Mesh(
        torch.cat([mesh.vertices, cloth]),
        torch.cat([mesh.faces, torch.tensor([[0, 1, 2], [3, 4, 5]]) + len(mesh.vertices)]),
    )
    for name, changed, marks in (
        ("turned", *turned),
        ("flat", flat, landmarks),
        ("loose", loose, landmarks),
    ):
        code, report, folder = fit(
            written(tmp_path / "in", changed, marks, f"{name}.ply"), name=name
        )
        assert code == 0
        row = report["rows"][0]
        assert row["template"]["chamfer"] == pytest.approx(plain["template"]["chamfer"], abs=0.02)
        assert float(read_mesh(folder / f"{name}_scan.ply").vertices[:, 2].max()) < 45
        assert row["loose_pieces"] == (2 if name == "loose" else 0)
        assert ("2 loose pieces" in capsys.readouterr().out) == (name == "loose")


def test_one_bad_scan_does_not_stop_the_others(scans, scan, fit, tmp_path):
    mesh, landmarks = flipped(-1.0, 1.0, 1.0)(*scan)
    path = written(tmp_path / "in", mesh, landmarks, "mirror.ply")
    shutil.copy(scans / "2/1.ply", tmp_path / "in/good.ply")
    shutil.copy(scans / "2/1.bnd", tmp_path / "in/good.bnd")
    code, report, _ = fit(path, tmp_path / "in/good.ply")
    assert code == 3
    assert report["counts"] == {"done": 1, "failed": 1}
    assert "mirror.ply" in report["rows"][0]["reason"]
    assert report["rows"][0]["error"] == "GeometryError"
