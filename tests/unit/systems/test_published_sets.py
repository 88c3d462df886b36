"""Readers of the peers' data sets, on small look-alikes with their names, keys, shapes
and types.
"""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import torch
from helpers.varitex_files import random_picture, write_varitex_files
from PIL import Image
from torch.utils.data import DataLoader

from facemorph.errors import ConfigError, DataError, ImageError
from facemorph.systems.gdpw.published_set import GDPWClips, find_clips, read_posed_vertices
from facemorph.systems.gif.published_set import GIFFiles
from facemorph.systems.varitex.published_set import VariTexFiles

SIZE = 24


def tensor_of(array):
    return torch.from_numpy(array).permute(2, 0, 1) / 255


def encoded(array, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind)
    return stream.getvalue()


# ------------------------------------------------------------
# VariTex
@pytest.fixture
def varitex(tmp_path):
    return write_varitex_files(tmp_path, SIZE)


def test_varitex(varitex):
    folder, images, uv = varitex
    found = VariTexFiles(folder, images, "val")
    assert len(found) == 2
    item = found[0]
    assert item["name"] == "00003.png"
    assert torch.equal(item["image"], tensor_of(random_picture(3, SIZE)))
    assert item["uv_mask"].dtype == torch.bool
    assert not bool(item["uv_mask"][0, :4].any())
    assert bool(item["uv_mask"][0, 4:].all())
    assert float(item["uv"][0, 5, 5]) == 0
    assert float(item["uv"][1, 5, 5]) == pytest.approx(0.625)
    assert (
        float(
            (item["uv"][:, 4:] * 2 - 1 - torch.from_numpy(uv[3]).permute(2, 0, 1)[:, 4:])
            .abs()
            .max()
        )
        < 1e-6
    )
    assert item["rotation"].shape == (3, 3)
    assert item["identity"].shape == (199,)
    batch = next(iter(DataLoader(VariTexFiles(folder, images, "all"), batch_size=5)))
    assert batch["segmentation"].shape == (5, SIZE, SIZE)


def test_random_pictures_take_the_size_of_the_uv_maps(varitex):
    folder, images, _ = varitex
    Image.fromarray(random_picture(0, 2 * SIZE)).save(images / "00000.png")
    assert VariTexFiles(folder, images)[0]["image"].shape == (3, SIZE, SIZE)


def test_varitex_files_that_are_wrong(varitex):
    folder, images, _ = varitex
    with pytest.raises(ConfigError, match="split"):
        VariTexFiles(folder, images, "test")
    np.save(folder / "sp.npy", np.zeros((5, 80), np.float32))
    with pytest.raises(DataError, match="199"):
        VariTexFiles(folder, images)
    np.save(folder / "sp.npy", np.zeros((4, 199), np.float32))
    with pytest.raises(DataError, match="different lengths"):
        VariTexFiles(folder, images)
    (folder / "sp.npy").write_bytes((folder / "uv.npy").read_bytes()[:300])
    with pytest.raises(DataError, match=r"sp\.npy"):
        VariTexFiles(folder, images)
    (folder / "sp.npy").unlink()
    with pytest.raises(DataError, match=r"sp\.npy"):
        VariTexFiles(folder, images)


def test_varitex_splits_and_pictures_that_are_not_there(varitex):
    folder, images, _ = varitex
    np.savez(folder / "dataset_splits.npz", train=np.array([9]))
    with pytest.raises(DataError, match="rows that are not there"):
        VariTexFiles(folder, images)
    with pytest.raises(DataError, match="splits"):
        VariTexFiles(folder, images, "val")
    (images / "00002.png").unlink()
    with pytest.raises(ImageError, match="00002"):
        VariTexFiles(folder, images, "all")[2]


class _Hostile:
    def __reduce__(self):
        return (open, ("ran", "w"))


def test_varitex_names_are_not_unpickled(varitex, tmp_path, monkeypatch):
    folder, images, _ = varitex
    monkeypatch.chdir(tmp_path)
    np.save(folder / "filename.npy", np.array([_Hostile()] * 5, dtype=object))
    with pytest.raises(DataError):
        VariTexFiles(folder, images)
    assert not (tmp_path / "ran").exists()


# ------------------------------------------------------------
# GIF
def gif_parameters(seed):
    draw = np.random.default_rng(seed)
    shapes = {"shape": 100, "exp": 50, "pose": 6, "cam": 3, "tex": 50, "lit": (9, 3)}
    return {key: draw.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


@pytest.fixture
def gif(tmp_path):
    lmdb = pytest.importorskip("lmdb", reason="the extra `datasets` is not installed")
    images, renders = (
        tmp_path / "multiscale.lmdb",
        tmp_path / "deca_rendered_with_public_texture.lmdb",
    )
    for path, entries in (
        (images, [f"{size}-{n:05d}" for n in range(3) for size in (128, 256)]),
        (renders, [f"{kind}256-{n:05d}" for n in range(3) for kind in ("", "norm_map_")]),
    ):
        with (
            lmdb.open(str(path), map_size=2**24) as environment,
            environment.begin(write=True) as transaction,
        ):
            for seed, key in enumerate(entries):
                side = int(key.split("-")[0].split("_")[-1])
                transaction.put(key.encode(), encoded(random_picture(seed, side)))
            transaction.put(b"length", b"3")
    parameters = tmp_path / "flame_params_public_texture_model.npy"
    np.save(parameters, {f"{n:05d}.pkl": gif_parameters(n) for n in (2, 0)}, allow_pickle=True)
    return images, renders, parameters


def test_gif(gif):
    found = GIFFiles(*gif)
    assert len(found) == 2  # number 1 has no parameters
    item = found[1]
    assert item["number"] == 2
    assert torch.equal(item["image"], tensor_of(random_picture(5, 256)))
    assert torch.equal(item["normals"], tensor_of(random_picture(5, 256)))
    assert torch.equal(item["render"], tensor_of(random_picture(4, 256)))
    expected = gif_parameters(2)
    assert torch.equal(item["parameters"][100:150], torch.from_numpy(expected["exp"]))
    assert torch.equal(item["parameters"][209:].view(9, 3), torch.from_numpy(expected["lit"]))
    assert GIFFiles(*gif, size=128)[0]["image"].shape == (3, 128, 128)
    batch = next(iter(DataLoader(found, batch_size=2, num_workers=1)))
    assert batch["parameters"].shape == (2, 236)


def test_gif_files_that_are_wrong(gif, tmp_path):
    images, renders, parameters = gif
    with pytest.raises(DataError, match="64-00000"):
        GIFFiles(*gif, size=64)[0]
    with pytest.raises(DataError, match="LMDB"):
        GIFFiles(tmp_path / "nothing.lmdb", renders, parameters)
    np.save(parameters, {"00000.pkl": {"shape": np.zeros(100)}}, allow_pickle=True)
    with pytest.raises(DataError, match="another layout"):
        GIFFiles(images, renders, parameters)
    np.save(parameters, np.zeros(3))
    with pytest.raises(DataError):
        GIFFiles(images, renders, parameters)
    parameters.write_bytes(pickle.dumps(_Hostile()))
    with pytest.raises(DataError):
        GIFFiles(images, renders, parameters)


# ------------------------------------------------------------
# GDPW
def write_vertices(path, values, kind=11):
    frame = pytest.importorskip("lz4.frame", reason="the extra `datasets` is not installed")
    header = np.array([kind, values.ndim, *values.shape], "<i4").tobytes()
    path.write_bytes(frame.compress(header + values.tobytes()))


@pytest.fixture
def clips(tmp_path):
    for person, video, count in (("ann", "v1", 3), ("ann", "v2", 1), ("bob", "v1", 2)):
        folder = tmp_path / person / video / "10#20"
        folder.mkdir(parents=True)
        for frame in range(count):
            Image.fromarray(random_picture(frame, SIZE)).save(folder / f"{frame:07d}_img.jpg")
            write_vertices(
                folder / f"{frame:07d}_posed_vertx.lz4", np.full((7, 3), frame, np.float32)
            )
    return tmp_path


def test_gdpw(clips):
    assert [(clip.person, len(clip.frames)) for clip in find_clips(clips)] == [
        ("ann", 3),
        ("bob", 2),
    ]
    pairs = GDPWClips(clips)
    assert len(pairs) == 2
    item = pairs[0]
    assert item["person"] == "ann"
    # the earlier is the source
    assert float(item["source_vertices"][0, 0]) < float(item["target_vertices"][0, 0])
    assert item["source"].shape == (3, SIZE, SIZE)
    assert torch.equal(pairs[0]["source"], item["source"])
    seen = set()
    for epoch in range(20):
        pairs.set_epoch(epoch)
        again = pairs[0]
        seen.add((float(again["source_vertices"][0, 0]), float(again["target_vertices"][0, 0])))
    assert seen == {(0.0, 1.0), (0.0, 2.0), (1.0, 2.0)}


def test_gdpw_files_that_are_wrong(clips, tmp_path):
    path = clips / "x.lz4"
    for values, kind in ((np.zeros((7, 2), np.float32), 11), (np.zeros((7, 3), np.int32), 5)):
        write_vertices(path, values, kind)
        with pytest.raises(DataError, match="no vertices"):
            read_posed_vertices(path)
    write_vertices(path, np.arange(21, dtype=np.float64).reshape(7, 3), 12)
    assert float(read_posed_vertices(path)[6, 2]) == 20
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError):
        read_posed_vertices(path)
    path.write_bytes(b"not lz4")
    with pytest.raises(DataError):
        read_posed_vertices(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no clips"):
        find_clips(tmp_path / "empty")
