"""The landmark editor's server by Starlette's test client: who may ask what, and what
comes back.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("starlette", reason="needs the extra ui")
pytest.importorskip("httpx", reason="needs httpx for starlette's test client")

from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from facemorph.apps.studio import editor_server
from facemorph.apps.studio.editor_preview import Lattice, dense_positions
from facemorph.apps.studio.editor_server import PAGE, EditorServer
from facemorph.apps.studio.editor_session import open_session
from facemorph.faces.files.landmark_files import read_points

HOST = "http://127.0.0.1"


def unpack(message):
    """Header and data of a reply, as the page reads them."""
    end = 4 + int.from_bytes(message[:4], "little")
    return json.loads(message[4:end]), message[end:]


@pytest.fixture
def server(samples, tmp_path):
    return EditorServer(open_session(*samples, tmp_path / "points", size=64))


@pytest.fixture
def client(server):
    with TestClient(server.app(), base_url=HOST) as client:
        yield client


def message(server, **changes):
    session = server.session
    return json.dumps(
        {
            "kind": "morph",
            "id": 1,
            "points": session.points.tolist(),
            "ids": session.ids,
            "time": 0.5,
        }
        | changes
    )


def connect(server, client, **headers):
    return client.websocket_connect(f"/{server.path}/live", headers={"host": "127.0.0.1"} | headers)


def test_the_page_and_nothing_else(server, client):
    assert len(server.path) >= 20
    for name in (
        "",
        "editor.js",
        "editor.css",
        "panel.js",
        "state",
        "photograph0",
        "face1",
        "points/b.tem",
    ):
        reply = client.get(f"/{server.path}/{name}")
        assert reply.status_code == 200, name
        assert reply.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
    for path in (
        "/",
        "/state",
        "/guess/",
        f"/{server.path}/..%2f..%2feditor.py",
        f"/{server.path}/points/..%2fa.json",
        f"/{server.path}/points/c.json",
        f"/{server.path}/index.html",
        f"/{server.path}/photograph2",
    ):
        assert client.get(path).status_code == 404, path
    state = client.get(f"/{server.path}/state").json()
    assert state["points"] == server.session.points.tolist()


def test_nothing_is_asked_of_other_hosts():
    for path in PAGE.iterdir():
        text = path.read_text()
        for scheme in ("http://", "https://", "//cdn", "@import"):
            assert scheme not in text, (path.name, scheme)


def test_foreign_hosts_and_origins(server, client):
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        assert client.get(f"/{server.path}/", headers={"host": host}).status_code == 400
    assert client.get(f"/{server.path}/", headers={"host": "localhost:8000"}).status_code == 200
    for origin in ("http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"):
        with pytest.raises(WebSocketDisconnect), connect(server, client, origin=origin):
            pytest.fail("let in")
    with connect(server, client, origin=HOST) as socket:
        socket.send_text(message(server))
        assert unpack(socket.receive_bytes())[0]["kind"] == "morph"


def test_a_morph_comes_back(server, client):
    with connect(server, client) as socket:
        socket.send_text(message(server, id=7, mask=True))
        header, data = unpack(socket.receive_bytes())
    assert (header["id"], header["format"]) == (7, "lattice")
    rows, columns = header["rows"], header["columns"]
    size = rows * columns * 16
    coefficients = torch.from_numpy(
        np.frombuffer(data[:size], "<f4").reshape(rows, columns, 4).copy()
    )
    frame = server.session.pair.frame
    found = dense_positions(Lattice(coefficients, tuple(header["first"]), header["spacing"]), frame)
    expected = dense_positions(server._solver.lattice(*server.session.landmarks(), 0.5), frame)
    assert torch.equal(found, expected)
    mask = np.frombuffer(data[size:], np.uint8).reshape(header["mask"])
    assert mask[0, 0] == 0
    assert mask.max() == 255
    with connect(server, client) as socket:
        socket.send_text(message(server, picture=True))
        header, data = unpack(socket.receive_bytes())
    assert header["format"] == "jpeg"
    assert data[:2] == b"\xff\xd8"


def test_wrong_messages_are_answered_and_nothing_breaks(server, client):
    before = server.session.points.clone()
    with connect(server, client) as socket:
        for text in (
            "",
            "{",
            "[[[",
            '{"id": 4}',
            message(server, points=[[[1]]]),
            message(server, kind="../etc/passwd"),
        ):
            socket.send_text(text)
            reply = json.loads(socket.receive_text())
            assert (reply["kind"], reply["error"]) == ("error", "DataError"), text
        socket.send_bytes(b"\0\1\2")
        assert json.loads(socket.receive_text())["error"] == "DataError"
        mirrored = server.session.points.clone()
        mirrored[1, :, 0] = 512 - mirrored[1, :, 0]
        socket.send_text(message(server, id=9, points=mirrored.tolist()))
        reply = json.loads(socket.receive_text())
        assert (reply["id"], reply["error"]) == (9, "GeometryError")
        assert "mirror" in reply["message"]
        socket.send_text(message(server, points=before.tolist()))
        assert unpack(socket.receive_bytes())[0]["kind"] == "morph"


def test_what_nobody_foresaw_is_answered_too(server, client, monkeypatch):
    monkeypatch.setattr(server._solver, "lattice", lambda *rest: 1 / 0)
    with connect(server, client) as socket:
        socket.send_text(message(server, id=5))
        reply = json.loads(socket.receive_text())
        assert (reply["kind"], reply["id"], reply["error"]) == ("error", 5, "ZeroDivisionError")
        socket.send_text(message(server, kind="measure"))
        assert json.loads(socket.receive_text())["kind"] == "measure"


def test_figures_and_a_carried_point(server, client):
    session = server.session
    with connect(server, client) as socket:
        socket.send_text(message(server, kind="measure"))
        figures = json.loads(socket.receive_text())
        socket.send_text(message(server, kind="carry", side=0, at=session.points[0, 30].tolist()))
        there = torch.tensor(json.loads(socket.receive_text())["at"], dtype=torch.float64)
        socket.send_text(message(server, kind="carry", side=1, at=there.tolist()))
        back = torch.tensor(json.loads(socket.receive_text())["at"], dtype=torch.float64)
    assert figures["fold_over_percent"] == 0
    assert 0 < figures["landmark_error_px"] < 2
    assert len(figures["errors"]) == 68
    # detected points are met up to smoothing
    assert float((there - session.points[1, 30]).norm()) < 2
    assert float((back - session.points[0, 30]).norm()) < 0.05  # the flow's inverse


def test_saving_and_downloading(server, client, tmp_path):
    points = server.session.points.clone()
    points[0, 3] += 2
    with connect(server, client) as socket:
        socket.send_text(message(server, points=points.tolist()))
        socket.receive_bytes()
        assert (tmp_path / "points.autosave.json").is_file()  # a killed server loses nothing
        socket.send_text(message(server, kind="save", points=points.tolist()))
        reply = json.loads(socket.receive_text())
    assert "points.a.json" in reply["files"]
    assert not (tmp_path / "points.autosave.json").exists()
    assert torch.equal(read_points(tmp_path / "points.a.json")[0], points[0])
    for name in ("a.json", "a.tem", "a.pts"):
        reply = client.get(f"/{server.path}/points/{name}")
        assert "attachment" in reply.headers["content-disposition"]
        path = tmp_path / f"down.{name}"
        path.write_bytes(reply.content)
        assert torch.allclose(read_points(path)[0], points[0], atol=1e-9)


def test_a_folder_that_cannot_be_written(server, client, monkeypatch):
    def refuse(*arguments, **options):
        raise editor_server.OutputError("file cannot be written", where="x")

    monkeypatch.setattr(server.session, "write", refuse)
    monkeypatch.setattr(server.session, "autosave", refuse)
    points = (server.session.points + 1).tolist()
    with connect(server, client) as socket:
        socket.send_text(message(server, kind="save", points=points))
        assert json.loads(socket.receive_text())["error"] == "OutputError"
        socket.send_text(message(server, points=points))
        assert unpack(socket.receive_bytes())[0]["kind"] == "morph"
    assert server.session.unsaved
    monkeypatch.undo()


def test_ending_the_server_keeps_unsaved_points(server, tmp_path):
    with TestClient(server.app(), base_url=HOST):
        server.session.take(server.session.points + 1, server.session.ids)
    assert (
        json.loads((tmp_path / "points.autosave.json").read_text())["points"]
        == server.session.points.tolist()
    )


def test_package_data():
    sizes = {path.name: len(path.read_text().splitlines()) for path in Path(PAGE).iterdir()}
    assert {"index.html", "editor.js", "editor.css"} <= set(sizes)
    assert max(sizes.values()) < 400
