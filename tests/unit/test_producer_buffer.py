"""The buffer wakes its taker once per burst, never loses an event and never makes an adder wait."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fuseboard_producer.buffer import Buffer
from fuseboard_producer.counters import LockFreeCounter
from waiting import wait_until


@contextmanager
def taking(buffer: Buffer, *, linger_seconds: float = 0.0) -> Iterator[list[list[dict[str, Any]]]]:
    """Take in a thread, as the flusher does; gives the batches that were taken."""
    batches: list[list[dict[str, Any]]] = []
    ending = threading.Event()

    def take() -> None:
        while not ending.is_set():
            buffer.wait(idle_seconds=None, linger_seconds=linger_seconds, linger_max_events=500)
            events, mark = buffer.take(500)
            batches.append(events)
            if mark:
                mark.set()

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield batches
    finally:
        ending.set()
        buffer.hurry()
        thread.join()


def test_a_full_buffer_refuses_and_keeps_the_oldest() -> None:
    buffer = Buffer(2)

    assert [buffer.add({"n": number}) for number in range(3)] == [True, True, False]
    assert buffer.take(10) == ([{"n": 0}, {"n": 1}], None)


def test_taking_stops_at_a_mark() -> None:
    buffer = Buffer(10)
    buffer.add({"n": 0})
    mark = buffer.add_mark()
    buffer.add({"n": 1})

    assert buffer.take(10) == ([{"n": 0}], mark)
    assert buffer.take(10) == ([{"n": 1}], None)


def test_a_sleeping_taker_wakes_for_the_first_event() -> None:
    buffer = Buffer(10)

    with taking(buffer) as batches:
        time.sleep(0.05)
        assert batches == []
        buffer.add({"n": 0})
        wait_until(lambda: [{"n": 0}] in batches)


def test_lingering_gathers_a_burst_into_one_batch() -> None:
    buffer = Buffer(1000)

    with taking(buffer, linger_seconds=0.3) as batches:
        for number in range(100):
            buffer.add({"n": number})
        wait_until(lambda: batches)

    assert len(batches[0]) == 100


def test_lingering_ends_early_for_a_full_batch_and_for_a_mark() -> None:
    buffer = Buffer(1000)

    with taking(buffer, linger_seconds=60) as batches:
        buffer.add({})
        time.sleep(0.05)
        for _ in range(499):
            buffer.add({})
        wait_until(lambda: sum(map(len, batches)) == 500)
        buffer.add({})
        time.sleep(0.05)
        assert buffer.add_mark().wait(10)


def test_no_wake_up_is_lost_between_many_adders_and_one_taker() -> None:
    buffer = Buffer(1_000_000)
    each = 5000

    def add() -> None:
        for number in range(each):
            buffer.add({})
            if number % 50 == 0:
                time.sleep(0)

    with taking(buffer) as batches:
        threads = [threading.Thread(target=add) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: sum(map(len, batches)) == 8 * each)


def test_single_events_at_any_moment_always_wake_the_taker() -> None:
    buffer = Buffer(10)

    with taking(buffer) as batches:
        for number in range(3000):
            buffer.add({})
            deadline = time.monotonic() + 10
            while sum(map(len, batches[-number - 2 :])) == 0 or len(buffer):
                assert time.monotonic() < deadline
                time.sleep(0)


def test_a_signal_handler_may_add_in_the_middle_of_adding() -> None:
    buffer = Buffer(10_000_000)
    handled = []

    def add(_signal: int, _frame: object) -> None:
        buffer.add({})
        handled.append(1)

    before = signal.signal(signal.SIGALRM, add)
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    try:
        with taking(buffer) as batches:
            added = 0
            while len(handled) < 200:
                buffer.add({})
                added += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert buffer.add_mark().wait(30)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert sum(map(len, batches)) == added + len(handled)


def test_a_counter_loses_nothing_between_threads_and_readings() -> None:
    counter = LockFreeCounter()

    def count() -> None:
        for _ in range(20_000):
            counter.increment()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    readings = [counter.read() for _ in range(1000)]
    for thread in threads:
        thread.join()

    assert readings == sorted(readings)
    assert counter.read() == 80_000
    assert counter.read() == 80_000
