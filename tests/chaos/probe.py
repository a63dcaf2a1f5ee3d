"""A producer that nothing is done to: what it records after a fault shows when all is well again."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from chaos.fleet import NAMESPACE
from chaos.journal import Journal
from chaos.recorder import Recorder
from fuseboard_producer import Producer


class Prober:
    """Records one event at a time, journalled like all others."""

    def __init__(self, producer: Producer, journal: Journal) -> None:
        self._producer = producer
        self._recorder = Recorder(producer, journal, random.Random(0))  # noqa: S311 - traffic
        self._journal = journal

    @classmethod
    @contextmanager
    def run(cls, redis_url: str, folder: Path) -> Iterator[Self]:
        """Make one that reaches Redis past all links."""
        with Producer(
            redis_url, namespace=NAMESPACE, spool_dir=folder / "prober.spool", worker_id="prober"
        ) as producer:
            yield cls(producer, Journal(folder / "prober.journal"))

    def record(self) -> str:
        """Record an event; returns its id."""
        return self._recorder.record_once().event_id

    def close(self) -> None:
        """Hand over everything."""
        self._producer.close(30)
        self._journal.note_drops(self._producer.counters.dropped)
