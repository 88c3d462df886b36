"""The lengths that a PNG's parts say they have."""

import cv2
import numpy as np
import pytest

from facemorph.storage.png_files import check_parts


@pytest.fixture(scope="module")
def png():
    picture = np.arange(192, dtype=np.uint16).reshape(8, 8, 3)
    return bytes(cv2.imencode(".png", picture)[1])


def test_whole_files_fit_and_may_go_on(png):
    for content in (png, png + b"what others append", b"no PNG"):
        assert check_parts(content) is None


@pytest.mark.parametrize("part", [b"IHDR", b"IDAT", b"IEND"])
def test_a_part_beyond_the_end_does_not(png, part):
    place = png.index(part) - 4
    for content in (png[:place] + b"\x7f\xff\xff\xff" + png[place + 4 :], png[: place + 9]):
        with pytest.raises(ValueError, match="longer than the file"):
            check_parts(content)
