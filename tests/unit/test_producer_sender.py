"""A sender that is refused asks less and less often, for however long."""

from pathlib import Path

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from redis.exceptions import ResponseError

from fuseboard_producer import sender as sender_module
from fuseboard_producer.encoding import Entry
from fuseboard_producer.options import Options
from fuseboard_producer.sender import PAUSE_MAX_SECONDS, PAUSE_MIN_SECONDS, Sender

ENTRY = Entry(b"[{}]", 1)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr("fuseboard_producer.sender.time.monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def sender(tmp_path: Path, now: list[float], monkeypatch: pytest.MonkeyPatch) -> Sender:
    assert now
    monkeypatch.setattr(sender_module, "connect_redis", lambda *_, **__: FakeStrictRedis(server=FakeServer()))
    return Sender(Options.model_validate({"redis_url": "redis://fake", "spool_dir": tmp_path, "stream_max_entries": 2}))


def test_pauses_grow_up_to_a_bound_while_redis_answers_but_does_not_add(
    sender: Sender, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_entry: Entry) -> list[object]:
        return [ResponseError("READONLY You can't write against a read only replica."), 0]

    monkeypatch.setattr(sender, "_add", refuse)
    pauses = []
    for _ in range(2000):
        assert not sender.send(ENTRY)
        assert not sender.probe()
        assert sender.resume_at is not None
        pauses.append(sender.resume_at - now[0])
        now[0] = sender.resume_at
        assert sender.probe()

    assert PAUSE_MIN_SECONDS <= pauses[0] <= 2 * PAUSE_MIN_SECONDS
    assert all(PAUSE_MAX_SECONDS / 2 <= pause <= PAUSE_MAX_SECONDS for pause in pauses[10:])


def test_a_refusal_after_success_starts_from_the_shortest_pause(
    sender: Sender, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        with monkeypatch.context() as patched:
            patched.setattr(sender, "_add", lambda _entry: [OSError("gone"), 0])
            assert not sender.send(ENTRY)
        assert sender.resume_at is not None
        assert sender.resume_at - now[0] <= 2 * PAUSE_MIN_SECONDS
        now[0] = sender.resume_at
        assert sender.probe()
        sender._redis.flushall()
        assert sender.send(ENTRY)


def test_the_entry_that_fills_the_stream_is_sent_and_the_next_one_is_not(sender: Sender, now: list[float]) -> None:
    assert [sender.send(ENTRY) for _ in range(3)] == [True, True, False]
    now[0] += 60
    assert not sender.probe()
    sender._redis.flushall()
    now[0] += 60
    assert sender.probe()
    assert sender.send(ENTRY)
