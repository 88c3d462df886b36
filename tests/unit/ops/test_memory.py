"""Rendering when the memory runs out: once with half of the points at a time, then an error that
says what to do.
"""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import FacemorphError
from facemorph.fields.image_fields import render_field
from facemorph.ops.frames import Frame
from facemorph.ops.jets import Jet
from facemorph.ops.memory import is_out_of_memory

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
]


class Limited:
    """A picture that can compute only so many points at a time."""

    def __init__(self, most, error):
        self.most, self.error, self.sizes = most, error, []

    def __call__(self, xy, *, order=0):
        self.sizes.append(len(xy))
        if len(xy) > self.most:
            raise self.error
        return Jet(torch.cat([xy, xy[:, :1]], 1))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_half_of_the_points(error):
    centres = Frame(8, 8).pixel_centres()
    field = Limited(32, error)
    assert torch.equal(render_field(field, centres, chunk=60)[:2].permute(1, 2, 0), centres)
    assert field.sizes == [60, 30, 30, 4]
    with pytest.raises(
        FacemorphError, match=r"out of memory.*64 pixels in parts of 60 and of 30.*size"
    ):
        render_field(Limited(20, error), centres, chunk=60)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"):
        render_field(Limited(0, RuntimeError("shapes do not fit")), Frame(2, 2).pixel_centres())
    assert not is_out_of_memory(ValueError("can't allocate memory"))
    assert not is_out_of_memory(None)
