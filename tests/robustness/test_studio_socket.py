"""Thousands of damaged requests of the studio's page: every one gets an answer, none ends in an
exception that the server does not know.
"""

from __future__ import annotations

import io
import json
import logging
import random
import threading
from copy import deepcopy

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="needs the extra ui")

from facemorph.apps.studio.editor_wire import pack
from facemorph.apps.studio.project import Project
from facemorph.apps.studio.server import StudioServer
from facemorph.apps.studio.work import Work
from facemorph.errors import FacemorphError

NAME, OTHER = "sample_collins", "sample_hopper"
BOTH = [NAME, OTHER]
PERSON = {"model": "gif", "seed": 5, "spread": 0.8}
FACE = {"seed": 4, "spread": 0.7, "edits": {}, "expression": 1, "giver": 3, "share": 0.5}
REQUESTS = {
    "studio.state": {},
    "studio.keep": {"views": {"head": {"edits": {"exp jawOpen": 0.3}, "list": [1, 2]}}},
    "studio.open": {"path": "/nowhere/at/all"},
    "studio.remove": {"photograph": "nobody"},
    "studio.cancel": {"work": 1},
    "morph.open": {"photographs": BOTH},
    "morph.measure": {"photographs": BOTH},
    "morph.draw": {
        "photographs": BOTH,
        "mode": "morph",
        "detail": "draft",
        "time": 0.5,
        "shape": 0.4,
        "texture": 0.6,
        "blend": "linear",
        "mask": "face",
        "outside": "source",
        "weights": [1, 0.5],
        "color": 0.0,
        "detailed": 0.0,
    },
    "morph.export": {"photographs": BOTH, "mode": "morph", "format": ".png", "time": 0.5},
    "morph.command": {"photographs": BOTH, "mode": "average", "weights": [1, 2]},
    "morph.edit": {"photographs": BOTH},
    "morph.edited": {"path": "nothing"},
    "head.open": {"photograph": NAME},
    "head.mesh": {},
    "head.texture": {"photograph": NAME},
    "head.draw": {
        "photograph": NAME,
        "detail": "draft",
        "mesh": True,
        "edits": {"exp jawOpen": 0.2, "global_pose yaw": 9},
    },
    "head.drive": {"photograph": NAME, "first": True, "mesh": False, "detail": "draft"},
    "head.record": {"photograph": NAME, "begin": True},
    "head.follow": {"photograph": NAME, "driver": "nothing.mp4"},
    "head.export": {"photograph": NAME, "format": ".png", "edits": {"exp jawOpen": 0.2}},
    "head.command": {"photograph": NAME, "edits": {"exp jawOpen": 0.2}},
    "generate.open": PERSON,
    "generate.draw": {**PERSON, "edits": {"exp jawOpen": 0.2}, "lamp": "left"},
    "generate.variation": {**PERSON, "number": 1, "strength": 0.3, "draw": 2},
    "generate.take": {**PERSON, "number": 1, "strength": 0.3, "draw": 2},
    "generate.like": {"photograph": NAME, "part": "expression"},
    "generate.find": {"model": "gif", "photograph": NAME},
    "generate.texture": {**PERSON, "model": "varitex"},
    "generate.paint": {**PERSON, "model": "varitex", "strength": 1.0},
    "generate.regions": {**PERSON, "model": "varitex", "region": "lips", "other": 4},
    "generate.export": {**PERSON, "format": ".png", "edits": {}},
    "generate.command": {**PERSON, "edits": {"exp jawOpen": 0.2}},
    "implicit.open": {},
    "implicit.draw": FACE,
    "implicit.refine": {**FACE, "step": 0},
    "implicit.scans": {},
    "implicit.fit": {"scan": "nothing.ply", "unit": "cm"},
    "implicit.errors": {"folder": "exports/nothing"},
    "implicit.export": {**FACE, "format": ".ply"},
    "implicit.command": FACE,
}
SLOW = {"morph.draw": 40, "morph.edit": 40, "head.draw": 40, "head.texture": 60}
SLOW |= {kind: 12 for kind in REQUESTS if kind.startswith(("generate.", "implicit."))}
NUMBERS = [0, -1, 3, 10**12, 10**400, 1e308, -1e-320, float("nan"), float("inf")]
TEXTS = ["", " ", "../../etc/passwd", "\x00", "\ud800", "~nobody/x", "-o", "x" * 5000, NAME]
LISTS = [[], [[]], [1], [NAME, NAME], [NAME, None], ["x"] * 600, BOTH, [[1, 2], [3]]]
OBJECTS = [{}, {"a": 1}, {"": None}, {"exp jawOpen": "x"}, {"exp jawOpen 0.2 exp": 0.1}]
ODD_VALUES = [None, True, False, *NUMBERS, *TEXTS, *LISTS, *OBJECTS]


@pytest.fixture(scope="module")
def server(tmp_path_factory, samples):
    """A studio with both samples looked at, whose exports are not run."""
    with Project(tmp_path_factory.mktemp("studio") / "project").opened() as project:
        for path in samples:
            project.add(path)
        server, done = StudioServer(project), threading.Event()
        tell = server._photograph_changed

        def told(photograph):
            tell(photograph)
            if all(one.state != "waiting" for one in server.library.photographs.values()):
                done.set()

        server.library._tell = told
        server.exports.run = lambda words, output, label=None: Work(1, "not run")
        server.library.remove = server.library.photograph  # both stay for the other tests
        server.library.begin()
        assert done.wait(300)
        yield server
        server.panels.close()
        server.library.close()
        server.workshop.close()


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def mutated(generator, content):
    """A request with a few things changed."""
    content = json.loads(json.dumps(content))
    for _ in range(generator.choice((0, 1, 1, 2, 3))):
        holder, keys = content, list(content)
        if not keys:
            break
        key = generator.choice(keys)
        if isinstance(holder[key], dict) and holder[key] and generator.random() < 0.6:
            holder = holder[key]
            key = generator.choice(list(holder))
        what = generator.random()
        if what < 0.15:
            del holder[key]
        elif what < 0.25:
            holder[generator.choice(("", "x", "views", "edits", "kind"))] = deepcopy(holder[key])
        else:
            holder[key] = deepcopy(generator.choice(ODD_VALUES))
    return content


def broken(generator, text):
    """The bytes of a request, some of them changed."""
    content = bytearray(text.encode("utf-8", "replace"))
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(content) + 1)
        if generator.random() < 0.5:
            content[place : place + generator.randint(0, 9)] = generator.randbytes(3)
        else:
            del content[place:]
    return bytes(content)


def check_reply(reply, server):
    """An answer is one of a request, or an error of facemorph."""
    text = reply
    if isinstance(reply, bytes):
        text = reply[4 : 4 + int.from_bytes(reply[:4], "little")].decode()
    header = json.loads(text)
    if header["kind"] == "error":
        known = {one.__name__ for one in FacemorphError.__subclasses__()}
        known |= {"NoFaceFound", "ImageError", "ConfigMismatch", "ChecksumError"}
        assert header["error"] in known, header
        assert header["message"]
    else:
        assert header["kind"] in kinds_of(server)


def kinds_of(server):
    return {*server._handlers, *server.panels.kinds()}


def test_every_kind_of_request_is_tried(server):
    assert kinds_of(server) == set(REQUESTS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", REQUESTS)
def test_damaged_requests_are_answered(server, kind, caplog):
    generator = random.Random(kind)
    with caplog.at_level(logging.ERROR):
        for number in range(SLOW.get(kind, 150)):
            content = mutated(generator, {**REQUESTS[kind], "id": number, "kind": kind})
            text = json.dumps(content)
            check_reply(server.answer(text), server)
            check_reply(server.answer(broken(generator, text).decode("utf-8", "replace")), server)
    assert not caplog.records, caplog.text[-2000:]
    assert len(server.library.photographs) == 2
    check_reply(server.answer('{"kind": "studio.state", "id": 1}'), server)
    assert json.loads(server.answer('{"kind": "studio.state", "id": 1}'))["photographs"]


@pytest.mark.slow
def test_damaged_frames_and_binary_messages_are_answered(server, caplog, samples):
    generator, buffer = random.Random(5), io.BytesIO()
    Image.open(samples[0]).convert("RGB").resize((160, 160)).save(buffer, "JPEG")
    frame = buffer.getvalue()
    header = {"id": 1, "kind": "head.drive", "photograph": NAME}
    with caplog.at_level(logging.ERROR):
        for _ in range(60):
            damaged = bytearray(frame)
            for _ in range(generator.randint(1, 30)):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            if generator.random() < 0.3:
                del damaged[generator.randrange(len(damaged)) :]
            check_reply(server.answer(pack(header, bytes(damaged))), server)
        for _ in range(600):
            check_reply(server.answer(generator.randbytes(generator.randint(0, 40))), server)
            check_reply(server.answer(broken(generator, json.dumps(header))), server)
    assert not caplog.records, caplog.text[-2000:]


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "studio.keep", "id": 1, "views": {"head": NaN}}',
        '{"kind": "studio.keep", "id": 1, "views": {"head": 1e999}}',
        json.dumps({"kind": "studio.keep", "id": 1, "views": {"head": nested(400)}}),
        '{"kind": "studio.keep", "id": 1, "views": {"head": ' + "[" * 100_000 + "}}",
        json.dumps({"kind": "studio.keep", "id": 1, "views": {"head": ["x" * 90] * 2700}}),
        json.dumps({"kind": "studio.open", "id": 1, "path": "~nobody_at_all/pictures"}),
        json.dumps({"kind": "studio.open", "id": 1, "path": "/" + "x" * 4000}),
        json.dumps({"kind": "studio.open", "id": 1, "path": "/\x00"}),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_the_state_readable(server, caplog, text):
    for _ in range(6):
        check_reply(server.answer(text), server)
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR], caplog.text[-2000:]
    state = json.loads(server.answer('{"kind": "studio.state", "id": 2}'))
    assert state["kind"] == "studio.state"
    server.project.save()
    json.loads(server.project.state_file.read_text(), parse_constant=pytest.fail)
