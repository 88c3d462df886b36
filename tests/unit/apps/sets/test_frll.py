"""Fetching the Face Research Lab London Set: from a folder, an archive, or the network, always
checked.
"""

from __future__ import annotations

import hashlib
import zipfile

import pytest

from facemorph import cli
from facemorph.apps.sets import frll
from facemorph.errors import CheckpointError, DataError

FILES = {
    "neutral/001_03.jpg": b"one",
    "neutral/001_03.tem": b"two",
    frll.PAIRS: b"001_03.jpg 002_03.jpg\n",
}


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """Checksums of three small files in the place of the real ones."""
    path = tmp_path / "sha256.txt"
    path.write_text(
        "".join(f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in FILES.items())
    )
    monkeypatch.setattr(frll, "CHECKSUMS", path)
    return tmp_path


def folder_of(path, files=FILES):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def archive_of(path, files=FILES):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"set/{name}", content)
            archive.writestr(f"__MACOSX/set/._{name.rsplit('/', 1)[-1]}", b"shadow")
    return path


@pytest.mark.parametrize("make", [folder_of, archive_of])
def test_a_local_copy_is_laid_out_and_kept(pinned, make):
    source, output = make(pinned / "source"), pinned / "out"
    assert sorted(frll.fetch_frll(output, source)["written"]) == sorted(FILES)
    for name, content in FILES.items():
        assert (output / name).read_bytes() == content
    again = frll.fetch_frll(output, pinned / "nowhere")  # nothing is read where all is there
    assert sorted(again["kept"]) == sorted(FILES)


def test_nothing_wrong_is_kept(pinned):
    source = folder_of(pinned / "source", {**FILES, "neutral/001_03.jpg": b"another"})
    (source / "neutral/001_03.tem").unlink()
    report = frll.fetch_frll(pinned / "out", source)
    assert report == {
        "written": [frll.PAIRS],
        "kept": [],
        "wrong": ["neutral/001_03.jpg"],
        "missing": ["neutral/001_03.tem"],
    }
    assert not (pinned / "out/neutral/001_03.jpg").exists()


def test_a_damaged_file_is_fetched_again(pinned):
    output = folder_of(pinned / "out", {**FILES, "neutral/001_03.tem": b"cut o"})
    assert frll.fetch_frll(output, folder_of(pinned / "source"))["written"] == [
        "neutral/001_03.tem"
    ]
    assert (output / "neutral/001_03.tem").read_bytes() == b"two"


def test_the_network(pinned):
    archive = archive_of(
        pinned / "frll.zip", {name: text for name, text in FILES.items() if name != frll.PAIRS}
    )
    asked = []

    def opener(url):
        asked.append(url)
        content = archive.read_bytes() if url == frll.PICTURES_URL else FILES[frll.PAIRS]
        yield from (content[start : start + 7] for start in range(0, len(content), 7))

    assert len(frll.fetch_frll(pinned / "out", opener=opener)["written"]) == 3
    assert asked == [frll.PICTURES_URL, frll.PAIRS_URL]
    assert all(url.startswith("https://") for url in asked)

    def unreachable(url):
        raise CheckpointError("cannot be downloaded", where=url)
        yield

    with pytest.raises(CheckpointError, match="figshare"):
        frll.fetch_frll(pinned / "other", opener=unreachable)


def test_sources_that_are_none(pinned):
    (pinned / "file.zip").write_text("no archive")
    for source in ("file.zip", "nowhere"):
        with pytest.raises(DataError, match="--from"):
            frll.fetch_frll(pinned / "out", pinned / source)


def test_the_real_checksums_are_those_of_the_real_files(frll, tmp_path, capfd):
    words = ["data", "frll", "--from", str(frll), "-o", str(tmp_path)]
    assert cli.run(words) == 0
    assert "205 written, 0 kept" in capfd.readouterr().out
    assert (tmp_path / "neutral/001_03.jpg").read_bytes() == (
        frll / "neutral/001_03.jpg"
    ).read_bytes()


def test_the_command_ends_with_three_where_files_are_missing(pinned, capfd):
    source = folder_of(pinned / "source")
    (source / "neutral/001_03.tem").unlink()
    assert cli.run(["data", "frll", "--from", str(source), "-o", str(pinned / "out")]) == 3
    assert "1 missing: neutral/001_03.tem" in capfd.readouterr().err
