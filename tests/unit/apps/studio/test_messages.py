"""What comes in from the studio's page: read, or refused with the reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from facemorph.apps.studio.editor_wire import pack
from facemorph.apps.studio.messages import MAX_DATA, MAX_TEXT, Request, id_of, read_request
from facemorph.errors import DataError


def text(**content):
    return json.dumps({"id": 3, "kind": "head.draw", **content})


def test_a_request_with_and_without_data():
    plain = read_request(text(size=4), window=7)
    assert (plain.id, plain.kind, plain.data, plain.window) == (3, "head.draw", b"", 7)
    assert plain.whole("size", 0, 9) == 4
    packed = read_request(pack({"id": 5, "kind": "head.drive"}, b"\xff\xd8picture"))
    assert (packed.id, packed.kind, packed.data) == (5, "head.drive", b"\xff\xd8picture")


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "[" * 100_000,
        " " * (MAX_TEXT + 1),
        "{}",
        '{"id": 1}',
        '{"id": true, "kind": "a"}',
        '{"id": -1, "kind": "a"}',
        '{"id": 1e3, "kind": "a"}',
        '{"id": 1, "kind": 5}',
        '{"id": 1, "kind": "' + "a" * 600 + '"}',
        b"",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff{}",
        b"\x02\x00\x00\x00{}",
        bytes(MAX_DATA + 1),
        pack({"id": "x", "kind": "head.drive"}, b""),
    ],
    ids=range(20),
)
def test_what_is_no_request(message):
    with pytest.raises(DataError):
        read_request(message)
    assert id_of(message) is None or isinstance(message, bytes)


def test_no_bytes_are_an_exception_of_another_kind():
    generator = np.random.default_rng(0)
    good = pack({"id": 5, "kind": "head.drive", "photograph": "a"}, bytes(40))
    for _ in range(2000):
        changed = bytearray(good)
        for place in generator.integers(0, len(good), generator.integers(1, 9)):
            changed[place] = generator.integers(0, 256)
        changed = changed[: generator.integers(0, len(changed) + 1)]
        try:
            read_request(bytes(changed))
        except DataError:
            continue


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda one: one.number("x", 0, 1), 2),
        (lambda one: one.number("x", 0, 1), True),
        (lambda one: one.number("x", 0, 1), "1"),
        (lambda one: one.number("x", 0, 1), None),
        (lambda one: one.number("x", 0, 1), float("nan")),
        (lambda one: one.whole("x", 0, 5), 1.5),
        (lambda one: one.whole("x", 0, 5), 6),
        (lambda one: one.text("x"), 3),
        (lambda one: one.text("x", longest=2), "abc"),
        (lambda one: one.choice("x", ("a", "b")), "c"),
        (lambda one: one.choice("x", ("a", "b")), ["a"]),
        (lambda one: one.texts("x"), "a"),
        (lambda one: one.texts("x"), ["a", 3]),
        (lambda one: one.texts("x", most=1), ["a", "b"]),
        (lambda one: one.numbers("x"), [1, "a"]),
        (lambda one: one.numbers("x", 3), [1, 2]),
        (lambda one: one.numbers("x"), [[1]]),
        (lambda one: one.values("x"), [1]),
        (lambda one: one.values("x"), {"a": "1"}),
        (lambda one: one.values("x"), {"a": 1e12}),
    ],
)
def test_values_that_are_none(read, value):
    with pytest.raises(DataError) as told:
        read(Request(1, "a.b", {"x": value}))
    assert "x" in str(told.value.where)


def test_values():
    one = Request(1, "a.b", {"n": 2, "t": "abc", "f": True, "l": ["a"], "v": {"b": 1}, "m": [1, 2]})
    assert one.number("n", 0, 3) == 2.0
    assert one.number("absent", 0, 3, 1.5) == 1.5
    assert one.text("t") == "abc"
    assert one.choice("t", ("abc",)) == "abc"
    assert one.choice("absent", ("a", "b"), "b") == "b"
    assert one.flag("f")
    assert not one.flag("n")
    assert one.texts("l") == ["a"]
    assert one.texts("absent") == []
    assert one.values("v") == {"b": 1.0}
    assert one.numbers("m", 2) == [1.0, 2.0]
