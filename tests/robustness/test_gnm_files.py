"""Files of GNM Head that are wrong, cut off, of another version, or hold pickled objects."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.gnm_lookalike import write_gnm

from facemorph import cli
from facemorph.errors import DataError, FacemorphError, GeometryError
from facemorph.geometry.models.model_files import load_model

NAN = np.full((582, 3), np.nan, np.float32)


@pytest.mark.parametrize(
    "key",
    [
        "template_joint_positions",
        "vertex_identity_basis",
        "joint_identity_basis",
        "expression_basis",
        "expression_names",
        "joint_names",
        "joint_parent_indices",
        "skinning_weights",
        "mirror_indices",
        "vertex_groups",
        "vertex_group_names",
        "triangles",
        "triangle_uvs",
    ],
)
def test_missing_keys(tmp_path, key):
    path, *_ = write_gnm(tmp_path, change={key: None})
    with pytest.raises(GeometryError, match=key) as caught:
        load_model(path)
    assert "gnm_head.npz" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"template_vertex_positions": NAN}, "not finite"),
        ({"template_vertex_positions": NAN[:, :2]}, "wrong shape"),
        ({"vertex_identity_basis": np.zeros((3, 582, 3))}, r"expected \(18, 582, 3\)"),
        ({"expression_basis": np.zeros((4, 582, 3))}, "expression_basis"),
        ({"expression_names": np.arange(91)}, "expression_names"),
        ({"expression_names": np.array([f"mode_{n}" for n in range(91)])}, "left_eye_"),
        ({"joint_names": np.array(["neck", "head", "jaw", "eye"])}, "left_eye"),
        ({"joint_parent_indices": np.array([1, -1, 1, 1])}, "parents first"),
        ({"skinning_weights": np.zeros((582, 4))}, r"\(4, 582\)"),
        ({"pose_correctives_regressor": np.zeros((27, 1746))}, r"\(36, 1746\)"),
        ({"triangles": np.full((1008, 3), 582)}, "names something"),
        ({"triangle_uvs": np.zeros((7, 3, 2))}, "triangle_uvs"),
        ({"mirror_indices": np.full(582, -1)}, "mirror_indices"),
        ({"vertex_group_names": np.array([f"group_{n}" for n in range(9)])}, "skin_exterior"),
        ({"vertex_groups": np.zeros((3, 582))}, "vertex_groups"),
    ],
)
def test_other_content(tmp_path, change, text):
    path, *_ = write_gnm(tmp_path, change=change)
    with pytest.raises(GeometryError, match=text) as caught:
        load_model(path)
    assert "gnm_head.npz" in str(caught.value)


@pytest.mark.parametrize("key", ["expression_basis", "template_vertex_positions", "version"])
def test_pickled_objects_are_not_read(tmp_path, key):
    path, *_ = write_gnm(tmp_path, change={key: np.array([{"a": 1}, None], dtype=object)})
    with pytest.raises(DataError, match=r"gnm_head\.npz"):
        load_model(path)


@pytest.mark.parametrize("share", [0, 0.3, 0.95])
def test_cut_files(tmp_path, share):
    path, *_ = write_gnm(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"gnm_head\.npz"):
        load_model(path)


@pytest.mark.slow
def test_changed_bytes(tmp_path):
    """Whatever is changed is read, or said in our words."""
    path, *_ = write_gnm(tmp_path)
    table = tmp_path / "head_sparse_68.txt"
    whole = {file: file.read_bytes() for file in (path, table)}
    generator = np.random.default_rng(0)
    outcomes = []
    for number in range(160):
        file = (path, path, path, table)[number % 4]
        content = bytearray(whole[file])
        for _ in range(generator.integers(1, 5)):
            last = min(len(content), 3000 if generator.random() < 0.8 else len(content))
            content[len(content) - 1 - generator.integers(last)] = generator.integers(256)
        file.write_bytes(bytes(content))
        try:
            outcomes.append(load_model(path).name)
        except FacemorphError as error:
            outcomes.append(type(error).__name__)
        file.write_bytes(whole[file])
    assert set(outcomes) == {"gnm", "DataError", "GeometryError"}


def test_ways_of_packing_that_nobody_has(tmp_path):
    path, *_ = write_gnm(tmp_path)
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    for offset, value in ((6, 190), (8, 1), (8, 64), (10, 77)):  # version, flags, method
        changed = content.copy()
        for start in range(content.index(b"PK\x01\x02"), directory + 1):
            if content[start : start + 4] == b"PK\x01\x02":
                changed[start + offset] = value
        path.write_bytes(bytes(changed))
        with pytest.raises(DataError, match=r"gnm_head\.npz"):
            load_model(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "68 rows"),
        ("1 2 3\n" * 68, "68 rows"),
        ("a b c d e f\n" * 68, "cannot be read"),
        ("9999 1 0 0 0 0\n" * 68, "names something"),
        ("0.5 1 0 0 0 0\n" * 68, "names something"),
        ("0 nan 0 0 0 0\n" * 68, "not finite"),
        ("inf 1 0 0 0 0\n" * 68, "not finite"),
        ("0 1 0 0 0 0\n" * 68, "same place"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_other_landmarks(tmp_path, content, text):
    path, *_ = write_gnm(tmp_path)
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "head_sparse_68.txt").write_bytes(data)
    with pytest.raises(FacemorphError, match=text) as caught:
        load_model(path)
    assert "head_sparse_68.txt" in str(caught.value)


def test_a_model_without_parts(tmp_path):
    """Files that lack what is not needed: correctives, teeth, tongue, sockets."""
    _, arrays, *_ = write_gnm(tmp_path)
    names = arrays["vertex_group_names"]
    kept = np.isin(names, ["skin_exterior", "upper_lip", "lower_lip"])
    path, *_ = write_gnm(
        tmp_path,
        change={
            "pose_correctives_regressor": None,
            "vertex_group_names": names[kept],
            "vertex_groups": arrays["vertex_groups"][kept],
        },
    )
    model = load_model(path)
    assert "teeth" not in model.topology.masks
    tongue = model.expression_basis[model.expression_names.index("tongueOut")]
    assert tongue.abs().max() == 0
    jaw = model.expression_basis[model.expression_names.index("jawOpen")]
    assert jaw.norm(dim=1).max() > 5


@pytest.mark.parametrize("command", ["import", "render"])
def test_commands_say_it(tmp_path, capfd, command):
    path, *_ = write_gnm(tmp_path, change={"skinning_weights": None})
    words = {
        "import": ["import", "gnm", str(path), "-o", str(tmp_path / "kept")],
        "render": ["render", "--model", str(path), "-o", str(tmp_path / "head.png")],
    }
    assert cli.run(words[command]) == 2
    message = " ".join(capfd.readouterr().err.split())
    assert "skinning_weights" in message
    assert "Traceback" not in message
    assert not (tmp_path / "kept").exists()
    assert cli.run(["import", "gnm", str(tmp_path / "nothing.npz")]) == 2
    assert "no such file" in capfd.readouterr().err
