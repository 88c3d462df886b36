"""Long work beside the page: order, progress, failure and stopping."""

from __future__ import annotations

import logging
import threading

import pytest

from facemorph.apps.studio.work import Workshop, warnings_here
from facemorph.errors import DataError


@pytest.fixture
def told():
    return []


@pytest.fixture
def workshop(told):
    shop = Workshop("test", lambda work: told.append((work.id, work.state)))
    yield shop
    shop.close()


def finish(workshop):
    """Wait until everything that was begun is over."""
    over = threading.Event()
    workshop.begin("last", lambda work: over.set())
    assert over.wait(30)


def test_one_after_the_other_with_what_it_made(workshop, told):
    first = workshop.begin("first", lambda work: ["a.png"])
    second = workshop.begin("second", lambda work: None)
    finish(workshop)
    assert (first.state, first.result, first.share) == ("done", ["a.png"], 1.0)
    assert (second.state, second.result) == ("done", [])
    assert told.index((1, "done")) < told.index((2, "running"))


def test_a_failure_is_told_and_the_next_goes_on(workshop):
    def fail(work):
        raise DataError("no such thing", where="x.png")

    def crash(work):
        raise ValueError("a bug")

    failed, crashed = workshop.begin("a", fail), workshop.begin("b", crash)
    good = workshop.begin("c", lambda work: ["done"])
    finish(workshop)
    assert failed.state == crashed.state == "failed"
    assert "x.png: no such thing" in failed.text
    assert good.state == "done"


def test_stopping_what_runs_and_what_waits(workshop):
    running, never = threading.Event(), []

    def endless(work):
        running.set()
        while True:
            workshop.report(work, 0.5, "still")
            work.stop.wait(0.01)

    first = workshop.begin("endless", endless)
    second = workshop.begin("waits", lambda work: never.append(1))
    assert running.wait(30)
    workshop.cancel(second.id)
    assert second.state == "cancelled"
    workshop.cancel(first.id)
    finish(workshop)
    assert first.state == "cancelled"
    assert first.share == 0.5
    assert never == []
    workshop.cancel(first.id)  # over already
    workshop.cancel(12345)  # unknown


def test_warnings_of_this_thread_only():
    logger = logging.getLogger("facemorph.anything")
    with warnings_here() as texts:
        logger.warning("mine %d", 1)
        logger.info("quiet")
        other = threading.Thread(target=lambda: logger.warning("of another thread"))
        other.start()
        other.join()
    logger.warning("too late")
    assert texts == ["mine 1"]


def test_what_has_not_changed_is_not_told_again(workshop, told):
    def act(work):
        for share in (0.5, 0.5, 0.5, 0.9):
            workshop.report(work, share, "half")

    work = workshop.begin("a", act)
    finish(workshop)
    assert [state for number, state in told if number == work.id] == [
        "waiting",
        "running",  # begun, 0.5 and 0.9
        "running",
        "running",
        "done",
    ]
