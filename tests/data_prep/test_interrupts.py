"""When work is saved, and what a signal does to it."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from data_prep.common.interrupts import Pace, held_back


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def test_it_is_due_each_so_often_and_never_for_more_than_two_per_cent(clock: Clock) -> None:
    pace = Pace(every=30)
    assert pace.is_due(every=0) and not pace.is_due()
    clock.now += 29.5
    assert not pace.is_due()
    clock.now += 0.5
    assert pace.is_due()
    with pace.timed():
        clock.now += 0.5
    clock.now += 24.5
    assert not pace.is_due(every=0)
    clock.now += 0.5
    assert pace.is_due(every=0) and not pace.is_due()
    clock.now += 5
    assert pace.is_due()
    with pace.timed():
        clock.now += 2
    clock.now += 99
    assert not pace.is_due()
    clock.now += 1
    assert pace.is_due()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_one_signal_is_noted_and_a_second_one_ends_it(name: str) -> None:
    number = signal.Signals[name]
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), held_back() as asked:
        assert not asked.is_set()
        os.kill(os.getpid(), number)
        assert asked.is_set()
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with held_back() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_nothing_is_held_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    inside: list[object] = []

    def work() -> None:
        with held_back():
            inside.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]
