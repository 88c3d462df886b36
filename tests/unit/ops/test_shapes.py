"""Shape checks at public borders, and the block that runs on one thread."""

import pytest
import torch

from facemorph.errors import DataError
from facemorph.ops.shapes import check_shape
from facemorph.ops.threads import one_thread


@pytest.mark.parametrize(
    ("shape", "pattern", "sizes"),
    [
        ((2, 3, 8, 6), "B 3 H W", {"B": 2, "H": 8, "W": 6}),
        ((5, 2), "P 2", {"P": 5}),
        ((0, 2), "P 2", {"P": 0}),
        ((4, 7, 9, 2), "... N 2", {"N": 9}),
        ((2,), "... 2", {}),
        ((3, 3), "D D", {"D": 3}),
        ((), "", {}),
    ],
)
def test_fits(shape, pattern, sizes):
    assert check_shape(torch.zeros(shape), pattern) == sizes


@pytest.mark.parametrize(
    ("shape", "pattern"),
    [
        ((2, 4, 8, 6), "B 3 H W"),
        ((3, 8, 6), "B 3 H W"),
        ((1, 2, 3, 8, 6), "B 3 H W"),
        ((5, 3), "P 2"),
        ((2,), "... N 2"),
        ((3, 4), "D D"),
        ((1,), ""),
        ((), "N"),
    ],
)
def test_does_not_fit(shape, pattern):
    with pytest.raises(DataError) as caught:
        check_shape(torch.zeros(shape), pattern, "landmarks")
    assert "landmarks" in str(caught.value)
    assert caught.value.found == tuple(shape)


def test_one_thread_inside_and_the_old_number_after():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with one_thread():
            assert torch.get_num_threads() == 1
            with one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="inside"), one_thread():
            raise ValueError("inside")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
