"""The studio's server by Starlette's test client: who may ask, what comes back, what is kept."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time

import pytest
import torch
from PIL import Image

pytest.importorskip("starlette", reason="needs the extra ui")
pytest.importorskip("httpx", reason="needs httpx for starlette's test client")

from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from facemorph.apps.studio import server as server_module
from facemorph.apps.studio.project import Project
from facemorph.apps.studio.server import PAGE, StudioServer
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import read_points
from facemorph.faces.files.video_io import write_frames

HOST = "http://127.0.0.1"
PATIENCE = 120


@pytest.fixture
def project(tmp_path, samples):
    with Project(tmp_path / "project").opened() as opened:
        for path in samples:
            opened.add(path)
        yield opened


@pytest.fixture
def server(project):
    return StudioServer(project)


@pytest.fixture
def client(server):
    with TestClient(server.app(), base_url=HOST) as client:
        yield client


def connect(server, client, **headers):
    return client.websocket_connect(f"/{server.path}/live", headers={"host": "127.0.0.1"} | headers)


def ask(socket, kind, number=1, **content):
    """The answer to a request; events that come before it are left aside."""
    socket.send_text(json.dumps({"id": number, "kind": kind, **content}))
    return answer(socket, number)


def answer(socket, number):
    while True:
        message = socket.receive()
        if "text" in message and message["text"] is not None:
            header, data = json.loads(message["text"]), b""
        else:
            raw = message["bytes"]
            end = 4 + int.from_bytes(raw[:4], "little")
            header, data = json.loads(raw[4:end]), raw[end:]
        if header.get("id") == number:
            return header, data


def looked_at(server):
    """Wait until every photograph has been looked at, and all windows were told."""
    server.library._thread.submit(lambda: None).result(PATIENCE)
    return server.library.photographs


def test_the_page_and_nothing_else(server, client):
    assert len(server.path) >= 20
    for file in PAGE.rglob("*.js"):
        reply = client.get(f"/{server.path}/{file.relative_to(PAGE).as_posix()}")
        assert reply.status_code == 200
        assert reply.content == file.read_bytes()
        assert "'unsafe" not in reply.headers["content-security-policy"]
    page = client.get(f"/{server.path}/").text
    assert 'src="studio.js"' in page
    assert "<script>" not in page
    assert "style=" not in page
    for path in (
        "",
        "live",
        "studio.js",
        f"{server.path}/../studio.json",
        f"{server.path}/exports/../studio.json",
        f"{server.path}/exports/%2e%2e/studio.json",
        f"{server.path}/exports//etc/passwd",
        f"{server.path}/thumbnail/..%2f..%2fstudio.json",
        f"{server.path}/photograph/nobody",
        f"{server.path}/edit/nobody/",
        f"{server.path}/vendor/../../../cli.py",
        f"x{server.path}/",
    ):
        assert client.get(f"/{path}").status_code == 404, path


def test_who_may_ask(server, client):
    assert client.get(f"/{server.path}/", headers={"host": "evil.example"}).status_code == 400
    with pytest.raises(WebSocketDisconnect), connect(server, client, origin="http://evil.example"):
        pass
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/live"):
        pass
    with connect(server, client, origin="http://127.0.0.1") as socket:
        assert ask(socket, "studio.state")[0]["kind"] == "studio.state"
    foreign = client.post(
        f"/{server.path}/upload?name=a.png", content=b"x", headers={"origin": "http://evil.example"}
    )
    assert foreign.status_code == 403


def test_photographs_are_looked_at_and_kept_as_the_commands_read_them(server, client, samples):
    photographs = looked_at(server)
    for one, path in zip(photographs.values(), samples, strict=True):
        assert one.state == "ready"
        assert one.size == tuple(load_image(path).shape[:0:-1])
        points, scheme = read_points(server.project.points_of(one.id))
        assert (scheme, points.shape) == ("ibug68", (68, 2))
        assert server.project.head_of(one.id).is_file()
        small = Image.open(io.BytesIO(client.get(f"/{server.path}/thumbnail/{one.id}").content))
        assert max(small.size) == 160


def test_uploads(server, client, samples, tmp_path):
    looked_at(server)
    good = client.post(
        f"/{server.path}/upload?name=../../new%20face.png", content=samples[0].read_bytes()
    )
    assert good.json() == {"photograph": "new_face"}
    assert looked_at(server)["new_face"].state == "ready"
    kept = server.project.find("new_face").path
    assert kept == server.project.folder / "photographs" / "new_face.png"
    assert kept.read_bytes() == samples[0].read_bytes()
    for name, content in (
        ("a.png", b"no picture"),
        ("a.exe", samples[0].read_bytes()),
        ("a", samples[0].read_bytes()),
        ("a.png", b""),
        ("b.jpg", b"\xff\xd8\xff\xe0" + bytes(100)),
    ):
        reply = client.post(f"/{server.path}/upload?name={name}", content=content)
        assert reply.status_code == 422, name
        assert reply.json()["message"]
    assert sorted(path.name for path in kept.parent.iterdir()) == ["new_face.png"]


def test_an_upload_that_is_too_large_is_refused(server, client, monkeypatch):
    monkeypatch.setattr(server_module, "LARGEST_UPLOAD", 1000)
    reply = client.post(f"/{server.path}/upload?name=a.png", content=bytes(5000))
    assert reply.status_code == 422
    message = reply.json()["message"]
    assert "a.png" in message
    assert "too large" in message
    assert not list((server.project.folder / "photographs").iterdir())


def test_a_picture_without_a_face_says_why(server, client, tmp_path):
    Image.new("RGB", (200, 200), (90, 120, 60)).save(tmp_path / "meadow.png")
    with connect(server, client) as socket:
        header, _ = ask(socket, "studio.open", path=str(tmp_path / "meadow.png"))
        assert header["names"] == ["meadow"]
        photograph = looked_at(server)["meadow"]
        assert photograph.state == "failed"
        assert "face" in photograph.text
        header, _ = ask(socket, "head.open", photograph="meadow")
        assert header["kind"] == "error"
        header, _ = ask(socket, "studio.open", path=str(tmp_path / "nowhere"))
        assert "no such folder" in header["message"]


@pytest.mark.slow
def test_answers_and_errors_over_the_socket(server, client):
    looked_at(server)
    with connect(server, client) as socket:
        header, data = ask(socket, "head.draw", photograph="sample_collins", detail="draft")
        assert header["picture"] == len(data)
        assert Image.open(io.BytesIO(data)).size == (384, 384)
        for number, (kind, content) in enumerate(
            (
                ("nothing", {}),
                ("head.draw", {}),
                ("head.draw", {"photograph": "sample_collins", "detail": "fine"}),
                ("head.draw", {"photograph": "sample_collins", "edits": {"exp nose": 1}}),
                ("head.draw", {"photograph": "sample_collins", "edits": {"exp jawOpen": 9}}),
                ("head.draw", {"photograph": "sample_collins", "edits": {"undo; rm": 1}}),
                ("head.drive", {"photograph": "sample_collins"}),
                ("head.record", {"photograph": "sample_collins", "begin": False}),
                ("head.export", {"photograph": "sample_collins", "format": ".exe"}),
                ("morph.open", {"photographs": []}),
                ("morph.open", {"photographs": ["sample_collins", "sample_collins"]}),
                ("morph.draw", {"photographs": ["sample_collins"], "mode": "morph"}),
                ("morph.edited", {"path": "nothing"}),
                ("studio.keep", {"views": 3}),
                ("studio.remove", {"photograph": "nobody"}),
                ("studio.cancel", {"work": "x"}),
            ),
            start=10,
        ):
            header, _ = ask(socket, kind, number, **content)
            assert header["kind"] == "error", (kind, content)
            assert header["error"] != "Exception"
        socket.send_text("{")
        socket.send_bytes(b"\x00")
        assert ask(socket, "studio.state", 99)[0]["photographs"]


def test_two_windows_are_told_and_do_not_harm_each_other(server, client):
    looked_at(server)
    with connect(server, client) as first, connect(server, client) as second:
        ask(first, "studio.keep", views={"head": {"edits": {"exp jawOpen": 0.2}}})
        ask(second, "studio.keep", views={"morph": {"mode": "average"}})
        ask(first, "studio.remove", photograph="sample_hopper")
        told = json.loads(second.receive_text())
        assert told["event"] == "library"
        assert [one["id"] for one in told["photographs"]] == ["sample_collins"]
    kept = json.loads(server.project.state_file.read_text())["views"]
    assert kept == {"head": {"edits": {"exp jawOpen": 0.2}}, "morph": {"mode": "average"}}


@pytest.mark.slow
def test_drafts_are_near_what_is_drawn_with_care(server, client):
    looked_at(server)

    def picture(detail, **edits):
        with connect(server, client) as socket:
            _, data = ask(
                socket, "head.draw", photograph="sample_collins", detail=detail, edits=edits
            )
        image = Image.open(io.BytesIO(data)).convert("RGB")
        return torch.tensor(list(image.getdata())).float().reshape(384, 384, 3) / 255

    moved = {"exp jawOpen": 0.3, "global_pose yaw": 8}
    draft, still, rest = picture("draft", **moved), picture("still", **moved), picture("still")
    assert float((draft - still).square().mean()) < 10 ** (-3.5)  # 35 dB
    assert float((still - rest).square().mean()) > 4 * float((draft - still).square().mean())


def test_the_server_leaves_with_its_page(project, monkeypatch):
    monkeypatch.setattr(server_module, "LEAVE_AFTER", 0.05)
    left = []
    server = StudioServer(project, lambda: left.append(1))
    with TestClient(server.app(), base_url=HOST) as client:
        with connect(server, client) as socket:
            ask(socket, "studio.state")
            time.sleep(0.2)
            assert left == []
        begun = time.monotonic()
        while not left and time.monotonic() - begun < PATIENCE:
            time.sleep(0.01)
    assert left == [1]


def test_files_go_where_they_belong(server, client, samples, tmp_path):
    looked_at(server)
    path = tmp_path / "film.mp4"
    write_frames([torch.full((3, 64, 64), share) for share in (0.2, 0.8)], path)
    points = server.project.points_of("sample_collins").read_bytes()
    with connect(server, client) as socket:
        assert ask(socket, "studio.state")[0]["drivers"] == []
        post = f"/{server.path}/upload?name="
        reply = client.post(f"{post}film.mp4", content=path.read_bytes())
        assert reply.json() == {"driver": "film.mp4"}
        assert json.loads(socket.receive_text())["drivers"] == ["film.mp4"]
        assert ask(socket, "studio.state")[0]["drivers"] == ["film.mp4"]
        reply = client.post(f"{post}sample_collins.json", content=points)
        assert reply.json() == {"points": "sample_collins"}
        assert server.library.has_own_points("sample_collins")
        for name in ("nobody.json", "broken.mp4", "numbers.npz", "table.csv"):
            reply = client.post(f"{post}{name}", content=b"nothing of use")
            assert reply.status_code == 422, name
            assert reply.json()["message"]
    looked_at(server)


def test_a_page_that_is_left_in_the_middle_of_an_upload_is_no_fault(server):
    messages = iter(
        [
            {"type": "http.request", "body": b"half", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    sent = []

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/{server.path}/upload",
        "root_path": "",
        "query_string": b"name=a.png",
        "headers": [(b"host", b"127.0.0.1")],
    }
    asyncio.run(server.app()(scope, receive, send))
    assert sent[0]["status"] == 400
    assert not list((server.project.folder / "photographs").iterdir())


def test_what_is_kept_for_a_window_goes_after_its_last_request(server, client):
    looked_at(server)
    order, gone = [], threading.Event()
    drive = server.panels.handler("head.drive")

    def slow(request):
        time.sleep(0.2)
        order.append("request")
        return drive(request)

    def closed(window):
        order.append("closed")
        gone.set()

    server.panels._handlers["head.drive"] = slow
    server.panels._closed.append(closed)
    with connect(server, client) as socket:
        for number in (1, 2):
            socket.send_text(
                json.dumps({"id": number, "kind": "head.drive", "photograph": "sample_collins"})
            )
        ask(socket, "studio.state", 3)
        socket.send_text(
            json.dumps({"id": 4, "kind": "head.drive", "photograph": "sample_collins"})
        )
    assert gone.wait(PATIENCE)
    assert order[-1] == "closed"
    assert len(order) >= 3


def test_a_request_that_comes_with_the_end_of_its_window_is_done_before_it(server):
    order, gone = [], threading.Event()
    messages = iter(
        [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": '{"id": 1, "kind": "studio.keep"}'},
            {"type": "websocket.disconnect", "code": 1001},
        ]
    )

    def closed(window):
        order.append("closed")
        gone.set()

    async def receive():
        return next(messages)

    async def send(message):
        pass

    server._handlers["studio.keep"] = lambda request: order.append("request") or {}
    server.panels._closed.append(closed)
    scope = {
        "type": "websocket",
        "path": f"/{server.path}/live",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }

    async def visit():
        await server.app()(scope, receive, send)
        await asyncio.to_thread(gone.wait, PATIENCE)

    asyncio.run(visit())
    assert order == ["request", "closed"]


def test_exports_with_names_that_no_file_can_have_are_not_there(server, client):
    for name in ("%00", "x" * 3000, "a/%00/b"):
        assert client.get(f"/{server.path}/exports/{name}").status_code == 404
