"""Some of many, evenly."""

import pytest

from facemorph.ops.seeds import evenly


@pytest.mark.parametrize(
    ("count", "most", "wanted"),
    [
        (5, 3, [0, 2, 4]),
        (5, 9, [0, 1, 2, 3, 4]),
        (100, 2, [0, 99]),
        (7, 1, [0]),
        (7, 0, []),
        (0, 4, []),
    ],
)
def test_evenly(count, most, wanted):
    assert evenly(count, most) == wanted


def test_no_number_is_taken_twice():
    for count in range(1, 40):
        for most in range(1, 45):
            found = evenly(count, most)
            assert len(set(found)) == len(found) == min(count, most)
            assert found == sorted(found)
