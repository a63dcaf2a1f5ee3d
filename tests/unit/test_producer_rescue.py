"""Events that another thread than the flusher brings to the spool: they are nobody's loss on the way."""

import threading
from pathlib import Path

import pytest

from fuseboard_producer import Producer
from fuseboard_producer.buffer import Fields
from fuseboard_producer.outbox import Outbox
from producer_tools import read_spool

NO_REDIS = "unix:///nonexistent/redis.sock"


def test_nothing_is_called_flushed_while_another_thread_has_it_in_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_events, going_on = threading.Event(), threading.Event()
    accept = Outbox.accept

    def accept_slowly(outbox: Outbox, events: list[Fields], max_events: int) -> None:
        if threading.current_thread() is rescuer and events:
            has_events.set()
            going_on.wait(60)
        accept(outbox, events, max_events)

    monkeypatch.setattr(Outbox, "accept", accept_slowly)
    with Producer(NO_REDIS, spool_dir=tmp_path, linger_seconds=30) as producer:
        producer.record("claude", "m")
        rescuer = threading.Thread(target=producer._flusher._rescue)
        rescuer.start()
        assert has_events.wait(30)
        assert not producer.flush(0.5)
        going_on.set()
        rescuer.join()
        assert producer.flush(30)
    assert len(read_spool(tmp_path / "fuseboard")) == 1
