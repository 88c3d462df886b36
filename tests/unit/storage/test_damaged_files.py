"""Files of facemorph that somebody or something has changed: an error that names the file."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
import pytest
import torch

from facemorph.apps.implicit.scan_inputs import read_depth
from facemorph.bench.readers.reader import READ, REFUSED, Reader, Trial
from facemorph.errors import CheckpointError, DataError
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.model_arrays import read_landmark_vertices
from facemorph.jobs.records import Records
from facemorph.storage.checkpoint import load_checkpoint, load_system
from facemorph.storage.files import read_json, write_whole
from facemorph.storage.release_folders import write_release
from facemorph.storage.runs import INDEX, runs
from facemorph.systems.gdpw.paired_faces import read_pairs
from facemorph.systems.ifmorph.face_autoencoder import FaceAutoencoder

SETTINGS = {"_target_": "facemorph.systems.ifmorph.face_autoencoder.FaceAutoencoder"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("card.yaml", b"licence: \xff"),
        ("card.yaml", b"[" * 5000),
        ("config.yaml", b"system: a: b"),
        ("config.yaml", b"- &a [*a]"),
        ("model.safetensors", b"\xff" * 40),
        ("model.safetensors", b"\x02\0\0\0\0\0\0\0{}more"),
    ],
)
def test_releases_whose_sums_are_right_and_whose_files_are_damaged(tmp_path, name, content):
    folder = write_release(
        tmp_path / "release", SETTINGS, FaceAutoencoder().state_dict(), {"licence": "MIT"}
    )
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / name).write_bytes(content)
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError) as caught:
        load_system(folder)
    assert str(folder) in str(caught.value)


def test_lines_of_records_and_runs_that_are_damaged_hide_no_others(tmp_path):
    row = {"name": "a", "status": "done", "made": 1.0}
    lines = [json.dumps(row), json.dumps({**row, "name": "b", "made": "yesterday"}), "[" * 5000]
    (tmp_path / "records.0-of-1.jsonl").write_text("\n".join(lines))
    assert Records(tmp_path).all().keys() == {"a"}
    run = {"folder": str(tmp_path), "key": "k"}
    others = [{**run, "folder": folder} for folder in (3, None, ["a"], "a\0b", "x" * 3000)]
    text = "\n".join([json.dumps(run), *map(json.dumps, others), "[" * 5000])
    (tmp_path / INDEX).write_bytes(text.encode() + b"\n\xff\xfe")
    assert runs(tmp_path) == [run]


def test_a_checkpoint_that_counts_its_parts_wrongly(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"a": torch.zeros(3)}, path)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x06\x07")  # where a zip file says how many disks it is on
    content[at + 16 : at + 20] = (9).to_bytes(4, "little")
    path.write_bytes(content[:-30])
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        load_checkpoint(path)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.ckpt|config"):
        load_system(path)


def test_numbers_without_end_in_a_list_of_pairs(tmp_path):
    (tmp_path / "pairs.json").write_text('{"source": [1e999], "target": [0], "kind": ["genuine"]}')
    with pytest.raises(DataError, match=r"pairs\.json"):
        read_pairs(tmp_path)


def test_a_depth_map_that_says_it_is_huge(tmp_path):
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes([0, 1, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0])
    (tmp_path / "depth.png").write_bytes(head + bytes(4))
    with pytest.raises(DataError, match=r"depth\.png: this depth map cannot be read"):
        read_depth(tmp_path / "depth.png")


def _with_a_long_part(png):
    """The first part of the picture's data says that it has 2 GiB."""
    place = png.index(b"IDAT") - 4
    return png[:place] + (2**31 - 10).to_bytes(4, "big") + png[place + 4 :]


def assert_no_memory_is_taken(read, name, content):
    trial = Trial(Reader(name, lambda: {name: content}, read))
    with trial.folder() as folder:
        outcome = trial.outcome(folder, name, content)
    assert outcome.kind in (READ, REFUSED), outcome.text
    assert outcome.memory < 100
    assert not outcome.asked


def test_a_part_of_a_depth_map_that_says_it_is_huge(tmp_path):
    depth = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    path = tmp_path / "depth.png"
    png = bytes(cv2.imencode(".png", depth)[1])
    path.write_bytes(png)
    np.testing.assert_array_equal(read_depth(path).numpy(), depth)
    assert_no_memory_is_taken(read_depth, path.name, _with_a_long_part(png))


def test_a_part_of_a_deep_picture_that_says_it_is_huge(tmp_path):
    colours = np.arange(192, dtype=np.uint16).reshape(8, 8, 3) * 300
    path = tmp_path / "deep.png"
    png = bytes(cv2.imencode(".png", colours)[1])
    path.write_bytes(png)
    np.testing.assert_allclose(
        load_image(path).permute(1, 2, 0).numpy() * 65535, colours[..., ::-1], rtol=1e-5
    )
    assert_no_memory_is_taken(load_image, path.name, _with_a_long_part(png))


def test_json_that_is_nested_without_end(tmp_path):
    path = tmp_path / "vertices.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested"):
        read_json(path)
    with pytest.raises(DataError, match=r"vertices\.json: these landmarks cannot be read"):
        read_landmark_vertices(path, 100)
    path.write_text(json.dumps([*range(68)]))
    np.testing.assert_array_equal(read_landmark_vertices(path, 100).vertices[:, 0], np.arange(68))


def test_names_that_leave_no_room_for_a_part(tmp_path):
    name = "Ü" * 124 + ".json"  # 253 bytes
    write_whole(tmp_path / name, b"whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"whole"
