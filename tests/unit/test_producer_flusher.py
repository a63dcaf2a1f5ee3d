"""The background half of a producer where there is no Redis: bounds, counts, logs, ends."""

import gc
import logging
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fuseboard_producer import Producer, flusher, limited_log, watchdog
from fuseboard_producer.buffer import Buffer
from fuseboard_producer.encoding import Entry
from fuseboard_producer.flusher import Flusher
from fuseboard_producer.sender import Sender
from producer_tools import read_spool
from waiting import wait_until

NO_REDIS = "unix:///nonexistent/redis.sock"


@contextmanager
def hanging_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let every call to Redis hang until the block ends; gives what is set once the first one hangs."""
    hangs, going_on = threading.Event(), threading.Event()

    def hang(_sender: Sender, _entry: Entry) -> bool:
        hangs.set()
        going_on.wait(60)
        return False

    with monkeypatch.context() as patched:
        patched.setattr(Sender, "send", hang)
        try:
            yield hangs
        finally:
            going_on.set()


def count_flushers() -> int:
    return sum(thread.name == "fuseboard-flusher" for thread in threading.enumerate())


def test_a_full_buffer_drops_and_counts_and_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # nothing leaves the buffer meanwhile, however slow the machine
    monkeypatch.setattr(watchdog, "HELD_UP_SECONDS", 60)
    producer = Producer(NO_REDIS, spool_dir=tmp_path, linger_seconds=0, flush_max_events=1, buffer_max_events=100)
    with hanging_redis(monkeypatch) as hangs:
        producer.record("claude", "m")
        assert hangs.wait(10)
        began = time.monotonic()
        for _ in range(1000):
            producer.record("claude", "m")
        assert time.monotonic() - began < 5
        counters = producer.counters
        assert (counters.recorded, counters.dropped, counters.buffer_events) == (1001, 900, 100)
    assert producer.close()
    assert len(read_spool(tmp_path / "fuseboard")) == 101


def test_memory_stays_bounded_whatever_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # nothing leaves the buffer meanwhile, however slow the machine
    monkeypatch.setattr(watchdog, "HELD_UP_SECONDS", 60)
    producer = Producer(NO_REDIS, spool_dir=tmp_path, linger_seconds=0, flush_max_events=1, buffer_max_events=100)
    with hanging_redis(monkeypatch) as hangs:
        producer.record("claude", "m")
        assert hangs.wait(10)
        tracemalloc.start()
        for number in range(300):
            producer.record("claude", "m", metadata={"prompt": str(number) * 500_000}, tags=[str(number) * 500_000])  # type: ignore[call-overload]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    producer.close()

    # two million characters at a time are the caller's; the buffer's hundred events are some kilobytes each
    assert peak < 10_000_000


def test_events_after_close_are_dropped_counted_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    producer = Producer(NO_REDIS, spool_dir=tmp_path)
    producer.record("claude", "m")
    assert producer.close()
    assert producer.close()

    producer.record("claude", "m")
    with producer.request("claude", "m"):
        pass

    assert (producer.counters.recorded, producer.counters.dropped) == (3, 2)
    assert caplog.text.count("producer_closed") == 1
    assert producer.flush()
    assert count_flushers() == 0


def test_closing_what_never_recorded_is_quick_and_leaves_nothing(tmp_path: Path) -> None:
    producer = Producer(NO_REDIS, spool_dir=tmp_path / "spool")

    assert producer.flush()
    assert producer.close()
    assert not (tmp_path / "spool").exists()


def test_an_unusable_spool_drops_and_counts_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    with Producer(NO_REDIS, spool_dir=tmp_path / "file") as producer:
        producer.record("claude", "m")
        assert not producer.flush()
        assert (producer.counters.dropped, producer.counters.spool_bytes) == (1, 0)

    assert "spool_unusable" in caplog.text
    assert "FUSEBOARD_SPOOL_DIR" in caplog.text


def test_a_full_spool_keeps_the_newest_and_says_what_it_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Producer(NO_REDIS, spool_dir=tmp_path, spool_max_bytes=50_000, flush_max_events=10) as producer:
        for number in range(1000):
            producer.record("claude", "m", request_id=str(number))
        producer.flush()
        counters = producer.counters
        kept = [int(event["request_id"]) for event in read_spool(tmp_path / "fuseboard")]

    assert counters.spooled == 1000
    assert 0 < counters.dropped < 1000
    assert kept == list(range(counters.dropped, 1000))
    assert counters.spool_bytes <= 50_000
    assert "spool_full dropped_events=" in caplog.text


def test_a_silent_redis_does_not_keep_a_process_from_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(NO_REDIS, spool_dir=tmp_path, linger_seconds=0, flush_max_events=2)
    with hanging_redis(monkeypatch) as hangs:
        for number in range(7):
            producer.record("claude", "m", request_id=str(number))
        assert hangs.wait(10)
        assert not producer.flush(0.05)
        assert producer.close(0.2)
        saved = [event["request_id"] for event in read_spool(tmp_path / "fuseboard")]
    wait_until(lambda: count_flushers() == 0)

    assert saved == [str(number) for number in range(7)]
    # the flusher found that its entry had been taken care of
    assert len(read_spool(tmp_path / "fuseboard")) == 7
    assert (producer.counters.spooled, producer.counters.dropped) == (7, 0)


def test_where_no_thread_can_be_started_events_are_saved_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    producer = Producer(NO_REDIS, spool_dir=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        producer.record("claude", "m")
        assert producer.flush()

    assert len(read_spool(tmp_path / "fuseboard")) == 1


def test_a_forgotten_producer_sends_what_it_has_and_ends(tmp_path: Path) -> None:
    producer = Producer(NO_REDIS, spool_dir=tmp_path, linger_seconds=60)
    producer.record("claude", "m")
    wait_until(lambda: count_flushers() == 1)

    del producer
    gc.collect()

    wait_until(lambda: count_flushers() == 0)
    assert len(read_spool(tmp_path / "fuseboard")) == 1


def test_what_was_refused_for_a_moment_only_is_sent_without_another_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([True, False])
    monkeypatch.setattr(Sender, "send", lambda _sender, _entry: next(answers, True))
    with Producer(NO_REDIS, spool_dir=tmp_path) as producer:
        producer.record("claude", "m")
        assert producer.flush()
        producer.record("claude", "m")
        assert producer.flush()

        wait_until(lambda: producer.counters.spool_drained == 1)
        assert producer.counters.spool_bytes == 0


def test_the_thread_does_not_poll_while_there_is_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    real_wait = Buffer.wait

    def wait(buffer: Buffer, *, idle_seconds: float | None, linger_seconds: float, linger_max_events: int) -> None:
        waits.append(idle_seconds)
        real_wait(buffer, idle_seconds=idle_seconds, linger_seconds=linger_seconds, linger_max_events=linger_max_events)

    monkeypatch.setattr(Buffer, "wait", wait)
    monkeypatch.setattr(Sender, "send", lambda _sender, _entry: True)
    monkeypatch.setattr(flusher, "REPORT_SECONDS", 0.2)
    with Producer(NO_REDIS, spool_dir=tmp_path) as producer:
        producer.record("claude", "m")
        wait_until(lambda: waits[-1:] == [None] and len(waits) > 1)
        before = len(waits)
        time.sleep(0.5)
        assert len(waits) == before


def test_counters_are_logged_when_they_changed_and_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_reports() -> list[str]:
        return [record.getMessage() for record in caplog.records if "producer_counters" in record.getMessage()]

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(flusher, "REPORT_SECONDS", 0.1)
    with Producer(NO_REDIS, spool_dir=tmp_path) as producer:
        producer.record("claude", "m")
        wait_until(list_reports)
        time.sleep(0.5)
        assert len(list_reports()) == 1

    assert len(list_reports()) == 2
    assert "recorded=1 sent=0 spooled=1" in list_reports()[1]


def test_a_bad_event_is_logged_once_a_minute_with_its_field(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Producer(NO_REDIS, spool_dir=tmp_path) as producer:
        for number in range(50):
            producer.record("claude", "m", prompt_tokens=-number - 1)
        producer.flush()

    lines = [record.getMessage() for record in caplog.records if "event_bad" in record.getMessage()]
    assert len(lines) == 1
    assert "prompt_tokens" in lines[0]


def test_held_back_warnings_are_counted_and_subjects_are_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("fuseboard_producer.limited_log.time.monotonic", lambda: now[0])
    warnings = limited_log.LimitedLog(logging.getLogger("test"))
    for _ in range(4):
        warnings.warn("a", "happened value=%d", 5)
    now[0] = 61
    warnings.warn("a", "happened value=%d", 6)
    for number in range(1000):
        warnings.warn(str(number), "other")

    assert [record.getMessage() for record in caplog.records][:2] == [
        "happened value=5 held_back=0",
        "happened value=6 held_back=3",
    ]
    assert len(warnings._subjects) <= limited_log.SUBJECTS_MAX


def test_a_bulk_sender_can_wait_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Producer(NO_REDIS, spool_dir=tmp_path, linger_seconds=0, flush_max_events=1, buffer_max_events=10)
    assert producer.wait_for_room(0)
    with hanging_redis(monkeypatch):
        for _ in range(10):
            producer.record("claude", "m")
        assert not producer.wait_for_room(0.05)
    # now the events are in the spool, and a bulk sender waits for Redis rather than fill it
    assert producer.flush()
    wait_until(lambda: not producer.has_room)
    assert not producer.wait_for_room(0.05)
    producer.close()


def test_a_failure_inside_the_flusher_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_report = Flusher._report_when_due
    failures = iter([RuntimeError("once")])

    def fail_once(failing: Flusher) -> None:
        for failure in failures:
            raise failure
        real_report(failing)

    monkeypatch.setattr(Flusher, "_report_when_due", fail_once)
    with Producer(NO_REDIS, spool_dir=tmp_path) as producer:
        producer.record("claude", "m")
        assert producer.flush()
        wait_until(lambda: count_flushers() == 0)
        producer.record("claude", "m")
        assert producer.flush()

    assert len(read_spool(tmp_path / "fuseboard")) == 2
