"""What a replay will do: which events, in which order, at which times."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.trace import Event, is_trace, read_events, read_trace
from fuseboard_cli.traffic import parse_mix, plan_attempts


class Source(NamedTuple):
    """A file and what is assigned to it; two readers of equal sources see equal events."""

    path: str
    mix: str
    seed: int
    # names this replay: no event of another replay carries it
    run: str


class Call(NamedTuple):
    """One request: nothing of it happens before `starts_at`."""

    starts_at: datetime
    attempts: list[Event]


class Extent(NamedTuple):
    """How much a source holds, and from when to when."""

    calls: int
    events: int
    first: datetime
    last: datetime


class Clock(NamedTuple):
    """Where the times of a source go. speed 0: all at once; 1: at the source's own pace; 10: ten times as fast."""

    first: datetime
    last: datetime
    started_at: datetime
    speed: float
    keep_time: bool

    def place(self, at: datetime) -> datetime:
        """Say when an event of the source occurs in the replay: so that the last is now, or at its pace from now on."""
        if self.keep_time:
            return at
        return self.due_at(at) if self.speed else at + (self.started_at - self.last)

    def due_at(self, at: datetime) -> datetime:
        """Say when an event of the source is to be recorded; only with a speed."""
        return self.started_at + (at - self.first) / self.speed

    @property
    def seconds(self) -> float:
        """How long a replay at a pace takes."""
        return (self.last - self.first) / timedelta(seconds=self.speed) if self.speed else 0.0


def read_calls(source: Source, part: int = 0, parts: int = 1) -> Iterator[Call]:
    """Read every `parts`-th call of a source from number `part` on; raises CommandError for a file that is none."""
    path = Path(source.path)
    if not is_trace(path):
        for event in islice(read_events(path), part, None, parts):
            yield Call(event["occurred_at"], [event])
        return
    mix = parse_mix(source.mix)
    for number, arrival in islice(enumerate(read_trace(path)), part, None, parts):
        # one generator per row, so that the same row gets the same however many workers share the file
        rng = Random(source.seed << 32 | number)  # noqa: S311 - traffic, not secrets
        yield Call(arrival.arrived_at, plan_attempts(arrival, f"replay-{source.run}-{number}", mix, rng))


def measure_source(source: Source) -> Extent:
    """Read a source once, checking every line; raises CommandError where it is empty or wrong."""
    extent: Extent | None = None
    for starts_at, attempts in read_calls(source):
        ends_at = max(event["occurred_at"] for event in attempts)
        extent = extent or Extent(0, 0, starts_at, ends_at)
        extent = Extent(
            extent.calls + 1, extent.events + len(attempts), min(extent.first, starts_at), max(extent.last, ends_at)
        )
    if extent is None:
        raise CommandError(f"{source.path}: there is nothing in it to replay")
    return extent


def order_events(calls: Iterator[Call]) -> Iterator[Event]:
    """Give events in order of their ends, as a live system would; calls come in order of their starts."""
    waiting: list[tuple[datetime, int, Event]] = []
    serial = 0
    for starts_at, attempts in calls:
        while waiting and waiting[0][0] <= starts_at:
            yield heappop(waiting)[2]
        for event in attempts:
            serial += 1
            heappush(waiting, (event["occurred_at"], serial, event))
    while waiting:
        yield heappop(waiting)[2]
