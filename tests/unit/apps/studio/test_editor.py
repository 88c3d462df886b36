"""The landmark editor without a browser: wire format, previews, session."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from facemorph import cli
from facemorph.apps.studio import editor, hosting
from facemorph.apps.studio.editor_preview import (
    MovingFlow,
    PreviewSolver,
    dense_positions,
    draw_preview,
)
from facemorph.apps.studio.editor_session import open_session
from facemorph.apps.studio.editor_wire import MAX_MESSAGE, MAX_PAIRS, pack, parse_request
from facemorph.errors import ConfigError, DataError, GeometryError, MissingExtra, OutputError
from facemorph.faces.files.landmark_files import read_points, write_points
from facemorph.fields.warps.maps import dense_map, lattice_shift, map_determinants
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.ops.frames import Frame

FRAME = Frame(48, 64)


def landmarks(count=40, moved=0.05):
    """Points inside the frame in field coordinates, and the same moved a little."""
    source = (torch.rand(count, 2, dtype=torch.float64) * 2 - 1) * torch.tensor([0.8, 0.55])
    return source, source + moved * torch.randn(count, 2, dtype=torch.float64).clamp(-2, 2)


def request(**changes):
    content = {
        "kind": "morph",
        "id": 3,
        "points": [[[1, 2], [3, 4.5]], [[5, 6], [7, 8]]],
        "ids": [0, 5],
        "time": 0.25,
    }
    return json.dumps(content | changes)


# ------------------------------------------------------------
# wire
def test_a_request():
    found = parse_request(request(detail="drag", mask=True))
    assert (found.kind, found.id, found.ids, found.time, found.detail, found.mask) == (
        "morph",
        3,
        [0, 5],
        0.25,
        "drag",
        True,
    )
    assert torch.equal(
        found.points, torch.tensor([[[1, 2], [3, 4.5]], [[5, 6], [7, 8]]], dtype=torch.float64)
    )
    carried = parse_request(request(kind="carry", side=1, at=[2, 3]))
    assert carried.side == 1
    assert carried.at.tolist() == [2, 3]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "3",
        "null",
        "[" * 100_000,
        " " * (MAX_MESSAGE + 1),
        "{}",
        *(
            request(**change)
            for change in (
                {"kind": "delete"},
                {"kind": None},
                {"kind": ["morph"]},
                {"id": -1},
                {"id": True},
                {"id": "1"},
                {"id": 2**40},
                {"points": []},
                {"points": [[[1, 2]]]},
                {"points": [[[1, 2]], [[1, 2], [3, 4]]]},
                {"points": [[], []]},
                {"points": [[["1", "2"], ["1", "2"]]] * 2},
                {"points": [[[1, None], [1, 2]]] * 2},
                {"points": "all"},
                {"points": [[[1e300, 0], [0, 0]]] * 2},
                {"points": [[[10**400, 0], [0, 0]]] * 2},
                {"points": [[[float("nan"), 0], [0, 0]]] * 2},
                {"points": [[[float("inf"), 0], [0, 0]]] * 2},
                {"points": [[[1, 2, 3], [1, 2, 3]]] * 2},
                {"points": [[[0, 0]] * (MAX_PAIRS + 1)] * 2},
                {"ids": [0]},
                {"ids": [0, 0]},
                {"ids": [0, 1.5]},
                {"ids": {"0": 1}},
                {"ids": [0, -1]},
                {"time": -0.1},
                {"time": 2},
                {"time": float("nan")},
                {"time": "half"},
                {"time": True},
                {"detail": "fine"},
                {"kind": "carry"},
                {"kind": "carry", "at": [1]},
                {"kind": "carry", "at": "here"},
            )
        ),
    ],
)
def test_wrong_requests_are_typed_errors(text):
    with pytest.raises(DataError):
        parse_request(text)


def unpack(message):
    """Header and data, as the page reads them."""
    end = 4 + int.from_bytes(message[:4], "little")
    return json.loads(message[4:end]), message[end:]


def test_binary_replies():
    for size in range(5):
        header = {"kind": "morph", "text": "x" * size}
        message = pack(header, b"\1\2\3\4")
        assert unpack(message) == (header, b"\1\2\3\4")
        assert (len(message) - 4) % 4 == 0  # what a Float32Array in the page needs


# ------------------------------------------------------------
# previews
@pytest.mark.parametrize("time", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("frame", [FRAME, Frame(64, 64)])
def test_coefficients_are_the_dense_map(time, frame):
    source, target = landmarks()
    maps = PreviewSolver(frame, 1e-3).lattice(source, target, time)
    flow = ThinPlateFlow(1e-3, steps=2).fit(source, target, frame)
    sent = np.frombuffer(maps.coefficients.numpy().tobytes(), np.float32).reshape(
        maps.coefficients.shape
    )
    assert np.array_equal(sent, maps.coefficients.numpy())
    found = dense_positions(maps, frame)
    for end in (0, 1):
        expected = dense_map(flow, frame, time, float(end))
        assert float((found[end] - expected).abs().max()) < 2e-6


def test_dragging_is_close_to_the_final_picture():
    solver, (source, target) = PreviewSolver(FRAME, 0.0), landmarks(30, 0.02)
    coarse, fine = (
        dense_positions(solver.lattice(source, target, 0.5, detail), FRAME)
        for detail in ("drag", "still")
    )
    assert float((coarse - fine).norm(dim=-1).mean()) < 0.5 / 256  # half a pixel of 512


@pytest.mark.parametrize("time", [0.0, 0.3, 1.0])
def test_the_flow_of_moving_points(time):
    frame, (source, _) = Frame(512, 512), landmarks(60)
    turned = source @ torch.tensor([[1.02, 0.1], [-0.1, 0.98]]).double()
    target = turned + 0.03 * torch.sin(3 * source)  # 8 px of 512, as between two faces
    flow, careful = MovingFlow(0.0), ThinPlateFlow(steps=16, lattice_nodes=33)
    for each in (flow, careful):
        each.begin(source, target, frame)
    assert float((flow.landmarks_at(time) - careful.landmarks_at(time)).abs().max()) < 1e-6
    for shift, end in zip(flow.shifts_at(frame, time), (0.0, 1.0), strict=True):
        difference = 256 * (shift - lattice_shift(careful, frame, time, end, 33)).norm(dim=-1)
        assert float(difference.mean()) < 0.1  # px of 512
        assert float(difference.max()) < 1.0
        assert (end == time) == bool((shift.abs() < 1e-6).all())


def test_a_drag_that_folds_is_solved_with_care():
    source = torch.tensor(
        [[-0.3, 0.0], [0.3, 0.0], [0.0, 0.3], [0.0, -0.3], [0.05, 0.0]], dtype=torch.float64
    )
    target = source.clone()
    target[4, 0] = 0.45  # beyond its neighbour
    solver = PreviewSolver(FRAME, 0.0)
    maps = solver.lattice(source, target, 0.5, "drag")
    cell = 1 / FRAME.half_extent**2
    for positions in dense_positions(maps, FRAME).double():
        assert float(map_determinants(positions).min()) / cell > 0
    figures = solver.measure(source, target)
    assert figures["fold_over_percent"] == 0
    assert figures["smoothing"] > 0
    assert len(figures["errors"]) == 5
    assert max(figures["errors"]) > 1  # the price of not folding


@pytest.mark.parametrize("detail", ["drag", "still"])
def test_points_without_a_warp_say_why(detail):
    source, _ = landmarks()
    with pytest.raises(GeometryError, match="mirror"):
        PreviewSolver(FRAME, 0.0).lattice(source, source * torch.tensor([-1.0, 1.0]), 0.5, detail)


def test_the_server_draws_for_browsers_that_cannot():
    images = torch.stack([torch.full((3, 48, 64), 0.2), torch.full((3, 48, 64), 0.6)])
    source, target = landmarks()
    solver = PreviewSolver(FRAME, 1e-3)
    maps = solver.lattice(source, target, 0.5)

    def drawn(mask):
        return (
            np.asarray(Image.open(io.BytesIO(draw_preview(images, maps, 0.5, mask)))).astype(float)
            / 255
        )

    whole = drawn(None)
    assert whole.shape == (48, 64, 3)
    assert np.abs(whole - 0.4).max() < 0.02
    face = drawn(solver.mask(source, target, 0.5, "points40"))
    assert abs(face[0, 0, 0] - 0.2) < 0.02  # outside of the face A alone
    assert face.max() > 0.35


# ------------------------------------------------------------
# session
@pytest.fixture
def session(samples, tmp_path):
    return open_session(*samples, tmp_path / "points")


def test_pictures_of_different_sizes(session):
    description = session.describe()
    assert description["sizes"] == [[512, 512], [512, 600]]
    assert description["base"] == "ibug68"
    assert session.points.shape == (2, 68, 2)
    assert not session.unsaved
    source, target = session.landmarks()
    pair = session.pair
    assert torch.allclose(source, pair.source, atol=1e-6)
    assert torch.allclose(target, pair.target, atol=1e-6)
    for side in (0, 1):
        back = session.from_field(session.to_field(session.points[side], side), side)
        assert torch.allclose(back, session.points[side], atol=1e-6)


@pytest.mark.slow
def test_edits_are_saved_and_go_on(session, samples, tmp_path, capsys):
    points = session.points.clone()
    session.take(points, list(range(68)))
    assert not session.unsaved  # nothing has changed
    points[1, 30] += 3
    points = torch.cat([points, points.new_tensor([[[20.5, 30]], [[9999, 40]]])], 1)
    session.take(points, [*range(68), 68])
    assert session.unsaved
    assert session.scheme == "ibug68+1"
    files = session.save()
    assert [path.name for path in files] == [
        f"points.{side}{suffix}" for side in "ab" for suffix in (".json", ".tem", ".pts")
    ]
    assert not session.unsaved
    for path in files:
        found, scheme = read_points(path)
        side = int(path.name.split(".")[1] == "b")
        assert torch.allclose(found, session.points[side], atol=1e-9)
        assert scheme == ("ibug68+1" if path.suffix == ".json" else "points69")
    assert session.points[1, 68].tolist() == [512, 40]  # clipped to the picture
    again = open_session(*samples, tmp_path / "points")
    assert torch.equal(again.points, session.points)
    assert again.scheme == "ibug68+1"
    assert again.describe()["named"] == 68
    output = tmp_path / "m.png"
    assert (
        cli.run(
            [
                "morph",
                *map(str, samples),
                "-o",
                str(output),
                "--size",
                "64",
                "--no-report",
                "--points-a",
                str(files[0]),
                "--points-b",
                str(files[3]),
            ]
        )
        == 0
    )
    assert output.is_file()


def test_unsaved_points_come_back(session, samples, tmp_path):
    assert session.autosave() is None
    ids = [*range(5), *range(6, 68)]
    points = session.points[:, ids] + 0.25
    session.take(points, ids)
    assert session.scheme == "points67"
    assert session.autosave() == tmp_path / "points.autosave.json"
    again = open_session(*samples, tmp_path / "points")
    assert again.unsaved
    assert again.ids == ids
    assert torch.equal(again.points, session.points)
    # the frame is that of the first points
    assert torch.equal(again.pair.image_b, session.pair.image_b)
    again.save()
    assert not (tmp_path / "points.autosave.json").exists()


def test_points_are_not_lost(session, samples, tmp_path):
    session.save()
    other = write_points(session.points[0], tmp_path / "other.json", "ibug68")
    with pytest.raises(OutputError, match="overwritten"):
        open_session(*samples, tmp_path / "points", points_a=other, points_b=other)
    ours = [tmp_path / f"points.{side}.json" for side in "ab"]
    assert (
        open_session(*samples, tmp_path / "points", points_a=ours[0], points_b=ours[1]).scheme
        == "ibug68"
    )
    (tmp_path / "points.autosave.json").write_text('{"format": "else"}')
    with pytest.raises(DataError, match="restored"):
        open_session(*samples, tmp_path / "points")
    with pytest.raises(OutputError):
        open_session(*samples, tmp_path / "other.json" / "points")


def test_only_json_where_the_count_lies(session, tmp_path):
    session.save()
    assert (tmp_path / "points.a.tem").exists()
    ids = [*range(1, 68), 68]
    session.take(session.points[:, [*range(1, 68), 0]], ids)  # 68 points, but not those of ibug68
    assert [path.name for path in session.save()] == ["points.a.json", "points.b.json"]
    assert not (tmp_path / "points.a.tem").exists()
    assert read_points(tmp_path / "points.a.json")[1] == "points68"


def test_lines_of_a_template_are_kept(session, samples, tmp_path):
    template = tmp_path / "a.tem"
    write_points(session.points[0], template, "ibug68")
    template.write_text(template.read_text().strip()[:-1] + "1\n0\n3\n0 1 2\n")
    again = open_session(*samples, tmp_path / "new", points_a=template, points_b=template)
    again.save()
    assert (tmp_path / "new.a.tem").read_text().split("\n")[-5:-1] == ["1", "0", "3", "0 1 2"]


# ------------------------------------------------------------
# command
def test_without_the_extra(monkeypatch, samples, capfd):
    monkeypatch.setattr(
        hosting.importlib.util, "find_spec", lambda name: None if name == "uvicorn" else object()
    )
    with pytest.raises(MissingExtra, match=r"pip install 'facemorph-torch\[ui\]'"):
        editor.edit(*samples)


def test_bad_input(samples, tmp_path, monkeypatch, capfd):
    pytest.importorskip("uvicorn")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="port"):
        editor.edit(*samples, port=70000)
    taken = hosting.listen(0)
    with taken, pytest.raises(ConfigError, match="in use"):
        editor.edit(*samples, port=taken.getsockname()[1])
    a, b = map(str, samples)
    for words, text in (
        (["nothing.jpg", b], "nothing.jpg"),
        ([a, b, "--points-a", "no.tem"], "no.tem"),
        ([a, b, "--detector", "none"], "detector"),
        ([a, b, "--size", "3"], "size"),
    ):
        assert cli.run(["edit", *words, "--no-browser"]) == 2
        captured = capfd.readouterr()
        assert text in captured.err
        assert "Traceback" not in captured.err


def test_a_measured_error_is_in_pixels_of_512():
    source, target = landmarks(20, 0.01)
    figures = PreviewSolver(Frame(64, 64), 1e-1).measure(source, target)
    flow = ThinPlateFlow(1e-1, steps=2, lattice_nodes=65).fit(source, target, Frame(64, 64))
    moved = flow(source, 0.0, 1.0).tolist()
    expected = [math.dist(one, two) * 256 for one, two in zip(moved, target.tolist(), strict=True)]
    assert figures["errors"] == pytest.approx(expected, abs=1e-3)
