"""Bad readers are caught and reported, and the rest of the files is tried all the same."""

from __future__ import annotations

import tempfile

import pytest
from helpers import bad_readers

from facemorph import cli
from facemorph.bench.readers import readers
from facemorph.bench.readers.reader import READ, REFUSED, changed_file
from facemorph.bench.readers.readers import rows_of
from facemorph.bench.readers.watched import CRASH, HANG, MEMORY, Limits, try_reader
from facemorph.errors import ConfigError, DataError


def tried(read, changes=3, **options):
    # No time is short enough to tell a reader that hangs from one on a busy machine.
    seconds = 1.0 if read is bad_readers.sleeping else 300.0
    limits = Limits(seconds=seconds, mebibytes=30.0)
    return try_reader(bad_readers.reader(read), changes, limits=limits, **options)


def test_refusals_with_our_errors_are_well():
    tally = tried(bad_readers.refusing, 30)
    assert tally.kinds[READ] + tally.kinds[REFUSED] == tally.changes == 30
    assert not tally.bad
    assert all(row.ok in (True, None) for row in rows_of(tally))


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (bad_readers.raising, "ValueError"),
        pytest.param(bad_readers.sleeping, HANG, marks=pytest.mark.slow),
        (bad_readers.allocating, MEMORY),
        (bad_readers.asking, MEMORY),
        (bad_readers.dying, CRASH),
    ],
)
def test_harm_is_reported_and_the_file_is_kept(tmp_path, read, kind):
    tally = tried(read, keep=tmp_path)
    assert tally.changes == 3
    assert tally.kinds[kind] == len(tally.bad) > 0
    assert kind in tally.bad[0][2]
    assert any(row.ok is False for row in rows_of(tally))
    index, name, _ = tally.bad[0]
    kept = tmp_path / f"{read.__name__}_{index}_{name}"
    reader = bad_readers.reader(read)
    assert kept.read_bytes() == changed_file(reader, reader.seeds(), 0, index)[1]
    assert len(list(tmp_path.iterdir())) == len(tally.bad)


@pytest.mark.parametrize(
    "read",
    [
        bad_readers.refusing,
        pytest.param(bad_readers.sleeping, marks=pytest.mark.slow),
        bad_readers.dying,
    ],
)
def test_nothing_is_left_on_the_disk(tmp_path, monkeypatch, read):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tried(read)
    assert not list(tmp_path.iterdir())


def test_a_reader_that_does_not_read_its_own_files():
    with pytest.raises(DataError, match=r"unreadable.*nothing is good"):
        tried(bad_readers.unreadable)


@pytest.mark.parametrize(("read", "code"), [("refusing", 0), ("raising", 3)])
def test_the_command_ends_with_3_where_there_is_harm(monkeypatch, capfd, read, code):
    found = (bad_readers.reader(getattr(bad_readers, read)),)
    monkeypatch.setattr(readers, "READERS", found)
    assert cli.run(["bench", "readers", "--changes", "2", "--only", read]) == code
    captured = capfd.readouterr()
    assert f"{read}: 2 changes" in captured.err
    assert ("ValueError" in captured.err) == (code == 3)


def test_names_of_readers():
    assert [reader.name for reader in readers.chosen(["meshes", "runs"])] == ["meshes", "runs"]
    assert len(readers.chosen([])) == len(readers.READERS)
    with pytest.raises(ConfigError, match="Did you mean 'meshes'"):
        readers.chosen(["mesh"])
