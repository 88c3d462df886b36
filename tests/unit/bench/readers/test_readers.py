"""Every reader reads its own files, and refuses damaged ones with errors of ours alone."""

from __future__ import annotations

import pytest

from facemorph.bench.readers.reader import READ, REFUSED, Trial, changed_file
from facemorph.bench.readers.readers import READERS

CHANGES = 40
SLOW = {"configs": 6, "overrides": 6}  # a config is composed each time


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_files(reader):
    trial = Trial(reader)
    for name, outcome in trial.unchanged().items():
        assert outcome.kind == READ, (name, outcome)
    found = []
    with trial.folder() as folder:
        for index in range(SLOW.get(reader.name, CHANGES)):
            name, content = changed_file(reader, trial.seeds, 1, index)
            outcome = trial.outcome(folder, name, content)
            assert outcome.kind in (READ, REFUSED), (index, name, outcome)
            assert not outcome.asked, (index, name, outcome)
            found.append(outcome.kind)
    assert REFUSED in found or READ in found


def test_all_names_differ():
    assert len({reader.name for reader in READERS}) == len(READERS)
