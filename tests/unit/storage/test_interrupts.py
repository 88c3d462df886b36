"""Ctrl-C that waits: noted inside, let through between items and at the end, handlers put back."""

import signal
import threading

import pytest

from facemorph.storage.interrupts import HeldInterrupts


def press():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def same_handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert after is before


def test_it_waits_for_the_end():
    reached = []

    def write():
        with HeldInterrupts() as held:
            press()
            press()  # impatience changes nothing
            reached.append(held.interrupted)

    with pytest.raises(KeyboardInterrupt):
        write()
    assert reached == [True]


def test_nothing_noted_is_nothing_raised():
    with HeldInterrupts() as held:
        assert list(held.items("abc")) == ["a", "b", "c"]
    assert (held.count, held.interrupted) == (3, False)


def test_it_comes_through_while_an_item_is_made():
    def letters():
        yield "a"
        yield "b"
        press()
        yield "c"

    with HeldInterrupts() as held:
        assert list(held.items(letters())) == ["a", "b"]
        assert held.interrupted
    assert isinstance(held.interrupt, KeyboardInterrupt)
    assert held.count == 2


def test_what_is_noted_at_an_item_ends_before_the_next():
    done = []

    def letters():
        try:
            yield from "abc"
        finally:
            done.append("closed")

    with HeldInterrupts() as held:
        for letter in held.items(letters()):
            if letter == "b":
                press()
            done.append(letter)
        done.append("written")
    assert done == ["a", "b", "closed", "written"]
    assert held.interrupt is not None


def test_after_the_interrupt_it_holds_again():
    def broken():
        yield "a"
        raise KeyboardInterrupt

    reached = []

    def write():
        with HeldInterrupts() as held:
            reached.extend(held.items(broken()))
            press()
            reached.append("end")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert reached == ["a", "end"]


def test_an_own_handler_gets_it_instead():
    """Batch jobs only note Ctrl-C: then the items do not end."""
    noted = []
    before = signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        with HeldInterrupts() as held:
            for letter in held.items("abc"):
                if letter == "b":
                    press()
                    assert noted == []
        assert (held.count, held.interrupt) == (3, None)
        assert noted == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_inside_goes_on_and_the_handler_is_back():
    with pytest.raises(ValueError, match="mine"), HeldInterrupts():
        raise ValueError("mine")


def test_other_threads_hold_nothing():
    found = []

    def work():
        with HeldInterrupts() as held:
            found.extend(held.items("ab"))
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["a", "b", signal.getsignal(signal.SIGINT)]
