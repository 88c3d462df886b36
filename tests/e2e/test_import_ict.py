"""``facemorph import ict``: OBJ files in, the model out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facemorph import cli
from facemorph.geometry.models import ict
from facemorph.geometry.models.ict import import_ict, load_ict
from facemorph.geometry.textures.charts import islands

ROWS, COLUMNS = 13, 10


def obj(vertices, uv=(), polygons=()):
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in vertices.tolist()]
    lines += [f"vt {u!r} {v!r}" for u, v in np.asarray(uv, float).tolist()]
    lines += [
        "f " + " ".join(f"{vertex + 1}/{corner + 1}" for vertex, corner in polygon)
        for polygon in polygons
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A small clone with one row of quads for each part; returns its folder and what must
    come out.
    """
    generator = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(5, -5, ROWS + 1), np.linspace(-4, 4, COLUMNS + 1), indexing="ij")
    mean = np.stack([x, y, 5 - 0.2 * x**2], 2).reshape(-1, 3).astype(np.float32).astype(float)
    uv = np.stack([x / 8 + 0.5, y / 10 + 0.5], 2).reshape(-1, 2) * 0.98 + 0.01
    step = COLUMNS + 1
    quads = [
        [
            row * step + column,
            (row + 1) * step + column,
            (row + 1) * step + column + 1,
            row * step + column + 1,
        ]
        for row in range(ROWS)
        for column in range(COLUMNS)
    ]
    expressions = ("jawOpen", "mouthSmile_L")
    identity = generator.normal(size=(3, len(mean), 3)).astype(np.float16)
    expression = generator.normal(size=(2, len(mean), 3)).astype(np.float16)
    monkeypatch.setattr(
        ict,
        "PARTS",
        tuple((name, (number + 1) * COLUMNS) for number, (name, _) in enumerate(ict.PARTS)),
    )
    monkeypatch.setattr(ict, "NUM_IDENTITY", 3)
    monkeypatch.setattr(ict, "NARROW_FACE", 15)
    monkeypatch.setattr(ict, "EXPRESSIONS", expressions)
    monkeypatch.setattr(ict, "LANDMARKS", tuple(range(68)))
    monkeypatch.setattr(ict, "pretrained_folder", lambda: tmp_path / "cache")
    folder = tmp_path / "ICT-FaceKit"
    (folder / "FaceXModel").mkdir(parents=True)
    source = folder / "FaceXModel"
    polygons = [[(corner, corner) for corner in quad] for quad in quads]
    (source / "generic_neutral_mesh.obj").write_text(obj(mean, uv, polygons))
    for number, offsets in enumerate(identity):
        (source / f"identity{number:03}.obj").write_text(obj(mean + offsets.astype(float)))
    for name, offsets in zip(expressions, expression, strict=True):
        (source / f"{name}.obj").write_text(obj(mean + offsets.astype(float)))
    return folder, mean, identity, expression, np.array(quads)


def test_import_and_load(clone, tmp_path, capfd):
    folder, mean, identity, expression, quads = clone
    assert cli.run(["import", "ict", str(folder)]) == 0
    written = tmp_path / "cache" / "ict_facekit.npz"
    assert str(written) in capfd.readouterr().out.replace("\n", "")
    with np.load(written) as data:
        np.testing.assert_array_equal(data["mean"], mean.astype(np.float32))
        np.testing.assert_array_equal(data["identity"], identity)
        np.testing.assert_array_equal(data["expression"], expression)
        np.testing.assert_array_equal(data["faces"], quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3))
        names = data["component_names"].tolist()
        assert names[data["face_component"][0]] == "face"
        lacrimal = [names[part] for part in data["face_component"][9 * 20 : 10 * 20]]
        assert lacrimal == ["lacrimal_right"] * 10 + ["lacrimal_left"] * 10
    model = load_ict()
    assert not any(
        "eyelashes" in model.topology.components[part] for part in model.topology.face_component
    )
    expected = torch.from_numpy(mean + identity[0]).float() * 82 / 8.92
    torch.testing.assert_close(model.vertices(torch.eye(3))[0], expected, atol=1e-4, rtol=1e-5)
    mirrored = model.mean[model.topology.mirror] * torch.tensor([-1, 1, 1])
    torch.testing.assert_close(mirrored, model.mean, atol=1e-4, rtol=0)
    assert model.topology.uv.min() >= 0
    assert model.topology.uv.max() <= 1
    inside = ict.load_ict(written)
    assert torch.equal(inside.mean, model.mean)
    assert (
        cli.run(["import", "ict", str(folder / "FaceXModel"), "-o", str(tmp_path / "own.npz")]) == 0
    )
    assert torch.equal(load_ict(tmp_path / "own.npz").identity_basis, model.identity_basis)


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("identity001.obj", None, "1 of 6 files missing"),
        ("identity001.obj", lambda text: text.rsplit("v ", 1)[0], "other vertices"),
        ("jawOpen.obj", lambda text: text.replace("v ", "v nan ", 1), "not numbers"),
        ("jawOpen.obj", lambda text: text[:-4] + "\nv 1", "cannot be read"),
        ("generic_neutral_mesh.obj", lambda text: text.rsplit("f ", 1)[0], "expected 130 polygons"),
        ("generic_neutral_mesh.obj", lambda text: text.split("vt ", 1)[0], "point cloud"),
    ],
)
def test_broken_clones(clone, tmp_path, capfd, name, change, text):
    path = clone[0] / "FaceXModel" / name
    content = path.read_text()
    path.unlink()
    if change is not None:
        path.write_text(change(content))
    assert cli.run(["import", "ict", str(clone[0])]) == 2
    message = " ".join(capfd.readouterr().err.split())
    assert text in message
    assert "Traceback" not in message
    assert not (tmp_path / "cache" / "ict_facekit.npz").exists()


def test_a_file_with_fewer_parts_loads(clone, tmp_path):
    """As our own shortened one, which has no eyeballs: their names stay, without triangles."""
    assert cli.run(["import", "ict", str(clone[0]), "-o", str(tmp_path / "whole.npz")]) == 0
    with np.load(tmp_path / "whole.npz") as data:
        arrays = dict(data)
    eyes = [name.startswith("eyeball") for name in arrays["component_names"].tolist()]
    kept = ~np.asarray(eyes)[arrays["face_component"]]
    assert 0 < kept.sum() < len(kept)
    for name in ("faces", "faces_uv", "face_component"):
        arrays[name] = arrays[name][kept]
    np.savez(tmp_path / "fewer.npz", **arrays)
    whole, fewer = (load_ict(tmp_path / f"{name}.npz") for name in ("whole", "fewer"))
    assert torch.equal(fewer.mean, whole.mean)
    assert len(fewer.topology.faces) < len(whole.topology.faces)
    assert fewer.topology.components == whole.topology.components
    assert int(fewer.topology.faces_uv.max()) < len(fewer.topology.uv)


def test_another_folder(tmp_path, capfd):
    assert cli.run(["import", "ict", str(tmp_path)]) == 2
    assert "ICT-FaceKit" in capfd.readouterr().err


@pytest.fixture(scope="module")
def shared_arrays(root):
    path = root.parent / "shared" / "data" / "ict_facekit" / "full.npz"
    if not path.is_file():
        pytest.skip("needs ../shared/data/ict_facekit (MIT, not committed)")
    with np.load(path) as data:
        return path, {name: data[name] for name in data.files}


@pytest.mark.slow
def test_the_real_model_comes_back_from_obj_files(shared_arrays, tmp_path):
    """OBJ files written from the developers' arrays are imported to the same arrays."""
    _, arrays = shared_arrays
    mean, faces, faces_uv = arrays["mean"].astype(float), arrays["faces"], arrays["faces_uv"]
    # Two triangles that share a diagonal may have been a quad: as many as the part's count of
    # polygons asks for.
    both = ("lacrimal", *ict.SHELLS)
    names = [
        next((part for part in both if name.startswith(part)), name)
        for name in arrays["component_names"].tolist()
    ]
    of_face = [names[part] for part in arrays["face_component"]]
    quads, start = {}, 0
    for name, end in ict.PARTS:
        quads[name], start = of_face.count(name) - (end - start), end
    polygons, number = [], 0
    while number < len(faces):
        here, after = faces[number], faces[min(number + 1, len(faces) - 1)]
        pair = (
            here[0] == after[0]
            and here[2] == after[1]
            and faces_uv[number, 2] == faces_uv[number + 1, 1]
        )
        vertex, corner = [*here], [*faces_uv[number]]
        if pair and quads[of_face[number]] > 0:
            quads[of_face[number]] -= 1
            vertex, corner = [*vertex, after[2]], [*corner, faces_uv[number + 1, 2]]
            number += 1
        polygons.append(list(zip(map(int, vertex), map(int, corner), strict=True)))
        number += 1
    assert len(polygons) == ict.PARTS[-1][1]
    (tmp_path / "generic_neutral_mesh.obj").write_text(obj(mean, arrays["uv"], polygons))

    def fast(offsets):
        # 17 digits: as they are
        rows = zip(*(mean + offsets.astype(float)).T.tolist(), strict=True)
        return "".join(map("v %.17g %.17g %.17g\n".__mod__, rows))

    for index, offsets in enumerate(arrays["identity"]):
        (tmp_path / f"identity{index:03}.obj").write_text(fast(offsets))
    for name, offsets in zip(arrays["expression_names"], arrays["expression"], strict=True):
        (tmp_path / f"{name}.obj").write_text(fast(offsets))
    with np.load(import_ict(tmp_path, tmp_path / "found.npz")) as found:
        np.testing.assert_allclose(found["uv"], arrays["uv"], atol=1e-6)
        for name in set(found.files) - {"uv"}:
            np.testing.assert_array_equal(found[name], arrays[name], err_msg=name)


def test_the_real_model_as_loaded(shared_arrays):
    model = load_ict(shared_arrays[0])
    topology = model.topology
    points = model.landmarks(model.mean[None])[0]
    assert float((points[45] - points[36]).norm()) == pytest.approx(82, abs=1.5)
    uv, faces_uv = topology.uv, topology.faces_uv
    part = topology.face_component == topology.components.index("face")
    corners = uv[faces_uv[part]]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    signed = (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    assert (signed < 0).all()  # v down, nothing mirrored
    assert float(-signed.sum()) > 0.45  # with ears and forehead; the mask has less
    narrow = topology.triangles_in("face")
    assert bool((part | ~narrow).all())
    assert 0.2 < float(-signed[narrow[part]].sum()) < 0.35
    assert len(np.unique(islands(faces_uv.numpy()))) > 10
    ears = model.mean[topology.masks["ears"]]
    assert (
        ears[:, 0].abs().max()
        == model.mean[topology.masks["face"] | topology.masks["ears"], 0].abs().max()
    )
    paths = topology.contour.of(model.mean)
    torch.testing.assert_close(paths[:, 0], points[:17])
    assert (paths[:, :, 1] - paths[:, :1, 1]).abs().max() < 0.05
    torch.testing.assert_close(topology.mirror[topology.mirror], torch.arange(model.num_vertices))
