"""A sheet of portraits."""

import torch

from facemorph.engine.portraits import write_portraits
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.model_files import load_model


def test_portraits_are_written_with_a_sheet(tmp_path):
    people = (
        torch.zeros(8, 5),
        torch.zeros(8, 13),
        torch.zeros(8, load_model("makehuman").num_identity),
    )
    seen = []

    def picture(codes, parameters):
        seen.append(parameters)
        return torch.linspace(0, 1, 8)[:, None, None, None].expand(-1, 3, 16, 16)

    paths = write_portraits(tmp_path / "out", "makehuman", 16, people, picture)
    assert [path.name for path in paths] == [
        "faces.png",
        *(f"face_{k:03d}.png" for k in range(1, 9)),
    ]
    assert load_image(paths[0]).shape == (3, 32, 96)
    assert float(load_image(paths[8]).min()) > 0.99
    assert not seen[0].rotation.any()
