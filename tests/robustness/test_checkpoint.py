"""Checkpoints that are cut off, swapped, hostile, or written to a full disk or by a killed
process.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from helpers import forked
from omegaconf import OmegaConf

from facemorph.errors import CheckpointError, ChecksumError, ConfigError
from facemorph.storage.checkpoint import (
    RECORD,
    check_file,
    export_release,
    load_checkpoint,
    load_system,
    save_atomic,
)
from facemorph.storage.files import sha256_of
from facemorph.storage.runs import latest_checkpoint, register_run, runs
from facemorph.training.checkpoint_io import AtomicCheckpointIO

SYSTEM = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 2}


def make_checkpoint(path: Path, **changes) -> Path:
    torch.manual_seed(1)
    content = {
        "state_dict": torch.nn.Linear(2, 2).state_dict(),
        "callbacks": {},
        RECORD: {
            "config": {"system": SYSTEM},
            "seed": 0,
            "versions": {"facemorph": "0"},
            "digest": "x",
        },
    }
    save_atomic(content | changes, path)
    return path


class Bomb:
    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


# ------------------------------------------------------------
# writing


def test_round_trip_and_nothing_else_left(tmp_path):
    path = tmp_path / "new" / "a.ckpt"
    save_atomic({"w": torch.arange(3), "n": [1, "x", None]}, path)
    assert load_checkpoint(path)["w"].tolist() == [0, 1, 2]
    assert [p.name for p in path.parent.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize("after", [0, 1000, 60_000])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch, after, code):
    path = tmp_path / "last.ckpt"
    save_atomic({"w": torch.ones(3)}, path)
    real = Path.open

    class Full:
        def __init__(self, file):
            self.file, self.left = file, after

        def write(self, data):
            self.left -= len(memoryview(data).cast("B"))
            if self.left < 0:
                raise OSError(code, "No space left on device")
            return self.file.write(data)

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *args):
            self.file.close()

    def fake_open(self, mode="r", *args, **kwargs):
        file = real(self, mode, *args, **kwargs)
        return Full(file) if self.name.endswith(".part") and "w" in mode else file

    monkeypatch.setattr(Path, "open", fake_open)
    with pytest.raises(CheckpointError, match=r"disk full \(need \d+ MB, free \d+ MB\)"):
        save_atomic({"w": torch.zeros(100_000)}, path)
    monkeypatch.undo()
    assert load_checkpoint(path)["w"].tolist() == [1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/full").exists(), reason="needs to mount a small tmpfs"
)
def test_really_full_disk(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=False
    ).returncode:
        pytest.skip("mount is not allowed here")
    try:
        save_atomic({"w": torch.ones(1000)}, small / "last.ckpt")
        with pytest.raises(CheckpointError, match="disk full"):
            save_atomic({"w": torch.zeros(1_000_000)}, small / "last.ckpt")
        assert load_checkpoint(small / "last.ckpt")["w"].sum() == 1000
        assert [p.name for p in small.iterdir()] == ["last.ckpt"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_atomic({}, tmp_path / "file" / "last.ckpt")


WRITER = """
import sys, torch
from facemorph.storage.checkpoint import save_atomic
number = 0
while True:
    number += 1
    save_atomic({"n": number, "w": torch.full((200_000,), float(number))}, sys.argv[1])
    sys.stdout.write("x"); sys.stdout.flush()
"""


@pytest.mark.slow
def test_killed_while_writing(tmp_path):
    """5 kills and 45 looks at random moments of writing: never a broken file, at most one part
    left.
    """
    path = tmp_path / "last.ckpt"
    generator = torch.Generator().manual_seed(0)
    pause = torch.rand(50, generator=generator).tolist()
    for number in range(0, 50, 10):  # five processes
        process = forked.start("-c", WRITER, path, folder=tmp_path.parent)
        while len(process.output) < 3 and process.poll() is None:
            time.sleep(0.01)
        for share in pause[number : number + 9]:
            # A stop is a look at any moment: what a kill would leave is what is there now.
            time.sleep(0.02 * share)
            process.send_signal(signal.SIGSTOP)
            content = load_checkpoint(path)
            assert (content["w"] == content["n"]).all()
            process.send_signal(signal.SIGCONT)
        time.sleep(0.02 * pause[number + 9])
        process.kill()
        assert process.wait(timeout=900) == -signal.SIGKILL
        content = load_checkpoint(path)
        assert (content["w"] == content["n"]).all()
        assert len(list(tmp_path.glob(".*.part"))) <= 1
    save_atomic({"n": 0}, path)
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


# ------------------------------------------------------------
# reading


def test_missing_address_empty_and_pointer(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="address"):
        load_checkpoint("https://example.com/a.ckpt")
    with pytest.raises(CheckpointError, match="address"):
        AtomicCheckpointIO().load_checkpoint("http://example.com/a.ckpt", weights_only=False)
    (tmp_path / "empty.ckpt").touch()
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(tmp_path / "empty.ckpt")
    pointer = tmp_path / "pointer.ckpt"
    pointer.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 98000000\n"
    )
    with pytest.raises(CheckpointError, match=r"file is \d+ bytes, a git-lfs pointer"):
        load_checkpoint(pointer)


def test_truncated(tmp_path):
    path = make_checkpoint(tmp_path / "a.ckpt")
    data = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(CheckpointError, match="truncated"):
            load_checkpoint(path)
    big = tmp_path / "big"
    big.write_bytes(bytes(12_000_000))
    with pytest.raises(CheckpointError, match="truncated: 12 of 98 MB"):
        check_file(big, size=98_000_000)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("through", ["load_checkpoint", "load_system", "lightning"])
def test_hostile_pickle_does_not_run(tmp_path, legacy, through):
    path = tmp_path / "evil.ckpt"
    torch.save(
        {"state_dict": {}, RECORD: Bomb(tmp_path / "ran")},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    load = {
        "load_checkpoint": load_checkpoint,
        "load_system": load_system,
        "lightning": lambda p: AtomicCheckpointIO().load_checkpoint(p, weights_only=False),
    }[through]
    with pytest.raises(CheckpointError, match=r"forbidden globals.*system"):
        load(path)
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(CheckpointError):
        load(tmp_path / "plain.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content", [b"no checkpoint at all", b"PK\x03\x04" + b"x" * 100, bytes(range(256)) * 4, b"\x80"]
)
def test_not_a_checkpoint(tmp_path, content):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "x.ckpt")


def test_load_system_and_what_may_be_wrong_with_it(tmp_path):
    good = load_system(make_checkpoint(tmp_path / "a.ckpt"))
    assert not good.training
    assert good.record["seed"] == 0
    with pytest.raises(CheckpointError, match="no facemorph config"):
        load_system(make_checkpoint(tmp_path / "b.ckpt", **{RECORD: None}))
    with pytest.raises(CheckpointError, match="no system"):
        load_system(make_checkpoint(tmp_path / "c.ckpt", **{RECORD: {"config": {}}}))
    with pytest.raises(CheckpointError, match="do not fit"):
        load_system(make_checkpoint(tmp_path / "d.ckpt", state_dict={"weight": torch.zeros(3, 2)}))
    for target in (
        "os.system",
        "torch.load",
        "lightning.pytorch.Trainer",
        "torch.nn.functional.torch.load",
    ):
        record = {"config": {"system": {"_target_": target}}}
        with pytest.raises(ConfigError, match="refused"):
            load_system(make_checkpoint(tmp_path / "e.ckpt", **{RECORD: record}))


def test_averages_take_the_place_of_weights(tmp_path):
    state = torch.nn.Linear(2, 2).state_dict()
    averages = {"EMA": {"averages": {"weight": torch.full((2, 2), 7.0)}, "num_updates": 1}}
    path = make_checkpoint(tmp_path / "a.ckpt", state_dict=state, callbacks=averages)
    assert (load_system(path).weight == 7).all()
    assert torch.equal(load_system(path, weights="raw").weight, state["weight"])


# ------------------------------------------------------------
# releases


def test_release_round_trip(tmp_path):
    folder = export_release(
        make_checkpoint(tmp_path / "a.ckpt"), tmp_path / "release", card={"licence": "CC0"}
    )
    assert sorted(p.name for p in folder.iterdir()) == [
        "MANIFEST.json",
        "card.yaml",
        "config.yaml",
        "model.safetensors",
    ]
    first, second = load_system(tmp_path / "a.ckpt"), load_system(folder)
    assert torch.equal(first.weight, second.weight)
    assert second.record["licence"] == "CC0"
    with pytest.raises(CheckpointError, match="not empty"):
        export_release(tmp_path / "a.ckpt", folder)


def test_a_release_of_half_the_size(tmp_path):
    checkpoint = make_checkpoint(tmp_path / "a.ckpt")
    whole, half = (
        export_release(checkpoint, tmp_path / name, half=short)
        for name, short in (("whole", False), ("half", True))
    )
    exact, rounded = load_system(whole).weight, load_system(half).weight
    assert rounded.dtype == exact.dtype == torch.float32
    assert torch.equal(rounded, exact.half().float())
    assert (half / "model.safetensors").stat().st_size < (
        whole / "model.safetensors"
    ).stat().st_size


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "card.yaml"])
def test_one_flipped_bit_is_found(tmp_path, name):
    folder = export_release(make_checkpoint(tmp_path / "a.ckpt"), tmp_path / "release")
    data = bytearray((folder / name).read_bytes())
    for position in (0, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[position] ^= 1
        (folder / name).write_bytes(changed)
        with pytest.raises(ChecksumError, match=name):
            load_system(folder)
    (folder / name).write_bytes(data[:-3])
    with pytest.raises(CheckpointError, match="truncated"):
        load_system(folder)


@pytest.mark.parametrize("manifest", ["", "[]", "{}", "{", '{"model.safetensors": 3}'])
def test_broken_manifest(tmp_path, manifest):
    folder = export_release(make_checkpoint(tmp_path / "a.ckpt"), tmp_path / "release")
    (folder / "MANIFEST.json").write_text(manifest)
    with pytest.raises(CheckpointError, match="no release folder"):
        load_system(folder)


def test_malicious_config_in_a_release(tmp_path):
    folder = export_release(make_checkpoint(tmp_path / "a.ckpt"), tmp_path / "release")
    for evil in (
        {"_target_": "os.system", "_args_": [f"touch {tmp_path / 'ran'}"]},
        {"_target_": "${oc.env:PATH}"},
    ):
        text = OmegaConf.to_yaml(OmegaConf.create({"system": evil})).encode()
        (folder / "config.yaml").write_bytes(text)
        manifest = json.loads((folder / "MANIFEST.json").read_text())
        manifest["config.yaml"] = {"sha256": sha256_of(folder / "config.yaml"), "bytes": len(text)}
        (folder / "MANIFEST.json").write_text(json.dumps(manifest))
        with pytest.raises(ConfigError):
            load_system(folder)
    assert not (tmp_path / "ran").exists()


# ------------------------------------------------------------
# runs


def test_newest_run(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEMORPH_OUTPUT", str(tmp_path))
    with pytest.raises(CheckpointError, match="no run"):
        latest_checkpoint()
    for number, (system, key) in enumerate((("image", "k1"), ("warp", "k2"), ("image", "k3"))):
        folder = tmp_path / f"run{number}"
        make_checkpoint(folder / "checkpoints" / "last.ckpt")
        register_run(tmp_path, folder, system=system, experiment=f"e{number}", key=key)
    register_run(tmp_path, tmp_path / "gone", system="warp", experiment=None, key="k2")
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"cut off')
    assert len(runs()) == 3
    assert latest_checkpoint().parts[-3] == "run2"
    assert latest_checkpoint("@last:warp").parts[-3] == "run1"
    assert latest_checkpoint("@last:e0").parts[-3] == "run0"
    assert latest_checkpoint(key="k1").parts[-3] == "run0"
    for alias in ("@last:nothing", "@first"):
        with pytest.raises(CheckpointError):
            latest_checkpoint(alias)
    os.utime(make_checkpoint(tmp_path / "run2" / "checkpoints" / "interrupted.ckpt"))
    assert latest_checkpoint().name == "interrupted.ckpt"
