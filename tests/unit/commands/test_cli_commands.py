"""The command line in process: words, exit codes, and what it must not import."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from facemorph import cli
from facemorph.commands.tools.doctor import examine
from facemorph.entry.exits import guarded
from facemorph.errors import CheckpointError, ChecksumError, ConfigError
from facemorph.storage import pretrained
from facemorph.storage.pretrained import Weights, fetch, registry


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--help"], 0, "train"),
        (["--version"], 0, "facemorph"),
        (["trian"], 2, "train"),
        (["list", "sistems"], 2, "systems"),
        (["list", "experiments"], 0, "tiny"),
        (["list", "systems"], 0, ""),
        (["list", "pretrained"], 0, "2dfan4"),
        (["export", "nothing.ckpt", "folder"], 2, "no such file"),
        (["train", "experiment=nothing"], 2, "nothing"),
        (["infer", "@nothing"], 2, "alias"),
        (["download", "nothing"], 2, "no weights"),
        (["doctor", "--jsn"], 2, "json"),
    ],
)
def test_words(words, code, text, capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.run(words) == code
    captured = capfd.readouterr()
    assert text in captured.out + captured.err
    assert "Traceback" not in captured.err


def test_help_does_not_import_torch():
    code = (
        "import sys; from facemorph import cli; sys.exit('torch' in sys.modules or 'hydra' in "
        "sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_doctor_finds_everything_here(capfd):
    assert cli.run(["doctor", "--json"]) == 0
    findings = json.loads(capfd.readouterr().out)
    assert {f["state"] for f in findings} <= {"ok", "note"}
    assert any(f["name"].startswith("embedded") for f in findings)


def test_doctor_with_something_missing(monkeypatch, capfd):
    import facemorph.commands.tools.doctor as module

    monkeypatch.setattr(module, "REQUIRED", ("no-such-package",))
    assert cli.run(["doctor"]) == 2
    assert "pip install no-such-package" in capfd.readouterr().out
    monkeypatch.setattr(module, "_disk", lambda: 1 / 0)
    assert any(f["state"] == "missing" for f in examine())


def test_exit_codes(capfd):
    def stop():
        raise KeyboardInterrupt

    def bug():
        raise ZeroDivisionError

    def wrong():
        raise ConfigError("wrong", where="a.b", remedy="Right it.")

    assert guarded(lambda: None) == 0
    assert guarded(stop) == 130
    assert guarded(wrong) == 2
    assert "a.b: wrong. Right it." in capfd.readouterr().err
    with pytest.raises(ZeroDivisionError):
        guarded(bug)
    with pytest.raises(ConfigError):
        guarded(wrong, debug=True)


# ------------------------------------------------------------
# pretrained weights

DATA = b"weights" * 1000


@pytest.fixture
def entry(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "pretrained_folder", lambda: tmp_path / "here")
    return Weights(
        "test",
        "https://example.com/w.bin",
        "w.bin",
        hashlib.sha256(DATA).hexdigest(),
        "CC0",
        len(DATA),
    )


def test_fetch(entry):
    path = fetch("w", entries={"w": entry}, opener=lambda url: iter([DATA[:10], DATA[10:]]))
    assert path.read_bytes() == DATA
    assert fetch("w", entries={"w": entry}, opener=None) == path  # there already: no network
    path.write_bytes(b"x" * len(DATA))
    with pytest.raises(ChecksumError):
        fetch("w", entries={"w": entry})


@pytest.mark.parametrize("blocks", [[DATA[:-1]], [DATA, b"more"], [b"x" * len(DATA)], []])
def test_wrong_content_is_not_kept(entry, blocks):
    with pytest.raises(ChecksumError):
        fetch("w", entries={"w": entry}, opener=lambda url: iter(blocks))
    assert not list(entry.path.parent.iterdir())


def test_local_file_network_and_wrong_addresses(entry, tmp_path):
    local = tmp_path / "mine.bin"
    local.write_bytes(DATA)
    with pytest.raises(CheckpointError, match="cannot be downloaded"):
        fetch("w", entries={"w": entry})  # the tests have no network
    for url in ("http://example.com/w", "file:///etc/passwd", "ftp://example.com/w"):
        with pytest.raises(ConfigError, match="https"):
            fetch("w", entries={"w": Weights("", url, "w.bin", entry.sha256, "")})
    assert fetch("w", file=local, entries={"w": entry}).read_bytes() == DATA
    short = Weights("", entry.url, "v.bin", entry.sha256[:4], "")
    with pytest.raises(ChecksumError):
        fetch("v", file=local, entries={"v": short})


def test_registry(tmp_path):
    for weights in registry().values():
        assert weights.url.startswith("https://")
        assert len(weights.sha256) >= 10
        assert weights.licence
    (Path(tmp_path) / "r.yaml").write_text("a: {nonsense: 1}")
    with pytest.raises(ConfigError):
        registry(Path(tmp_path) / "r.yaml")
