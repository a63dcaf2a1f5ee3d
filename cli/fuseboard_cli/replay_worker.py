"""One worker process of a replay: `python -m fuseboard_cli.replay_worker`, its task on standard input.

Imports what an LLM worker imports. Tells its producer's counters on standard output, one JSON line at a time; the last
line stands when all is sent. Ends when standard input does, which is when the replay ends, however that came about.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.logs import setup_logging
from fuseboard_cli.replay_plan import Clock, Source, order_events, read_calls
from fuseboard_cli.trace import Event
from fuseboard_producer import Producer
from fuseboard_schema.event import TAGS_MAX_ITEMS

REPLAY_TAG: Final = "replay"
TELL_EVERY_SECONDS: Final = 0.1
ROOM_EVERY_EVENTS: Final = 200
ROOM_TIMEOUT_SECONDS: Final = 60.0
CLOSE_SECONDS: Final = 30.0
# what is left when the replay is broken off
GRACE_SECONDS: Final = 5.0


class Task(NamedTuple):
    """What one worker does: its part of a source, at which times, to which Redis."""

    source: Source
    clock: Clock
    part: int
    parts: int
    redis_url: str
    namespace: str
    spool_dir: str | None
    redis_ca_certs: str | None

    def to_json(self) -> str:
        """Write the task in one line."""
        fields = self._asdict() | {"source": self.source._asdict(), "clock": self.clock._asdict()}
        return json.dumps(fields, default=datetime.isoformat)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(line)
        times = {name: datetime.fromisoformat(fields["clock"][name]) for name in ("first", "last", "started_at")}
        return cls(**fields | {"source": Source(**fields["source"]), "clock": Clock(**fields["clock"] | times)})


def run_task(task: Task, stopping: threading.Event) -> None:
    """Record the task's events until they are done or `stopping` is set; raises CommandError when Redis stays away."""
    producer = Producer(
        task.redis_url,
        namespace=task.namespace,
        spool_dir=Path(task.spool_dir) if task.spool_dir else None,
        redis_ca_certs=task.redis_ca_certs,
    )
    told_at = time.monotonic()
    for number, (event, occurred_at) in enumerate(_place_events(task)):
        if task.clock.speed:
            stopping.wait((task.clock.due_at(event["occurred_at"]) - datetime.now(UTC)).total_seconds())
        elif number % ROOM_EVERY_EVENTS == 0:
            _wait_for_room(producer, stopping)
        if stopping.is_set():
            break
        producer.record(**event | {"occurred_at": occurred_at})
        if time.monotonic() - told_at > TELL_EVERY_SECONDS:
            told_at = time.monotonic()
            _tell(producer)
    producer.close(GRACE_SECONDS if stopping.is_set() else CLOSE_SECONDS)
    _tell(producer)


def _place_events(task: Task) -> Iterator[tuple[Event, datetime]]:
    """Give each event, marked as replayed, and the time it gets; a moved event is another one, so its id is dropped."""
    for event in order_events(read_calls(task.source, task.part, task.parts)):
        tags = event.get("tags") or {}
        if isinstance(tags, dict) and len(tags) < TAGS_MAX_ITEMS:
            event["tags"] = {**tags, REPLAY_TAG: task.source.run}
        if not task.clock.keep_time:
            event.pop("event_id", None)
        yield event, task.clock.place(event["occurred_at"])


def _wait_for_room(producer: Producer, stopping: threading.Event) -> None:
    deadline = time.monotonic() + ROOM_TIMEOUT_SECONDS
    while not stopping.is_set() and not producer.wait_for_room(1.0):
        if time.monotonic() > deadline:
            raise CommandError(
                f"Redis has taken no events for {ROOM_TIMEOUT_SECONDS:.0f} s: is it up, and does a consumer run?"
            )


def _tell(producer: Producer) -> None:
    line = json.dumps(asdict(producer.counters)) + "\n"
    # the replay may have been killed; past Python's buffer, which would complain once more at exit
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), line.encode())


def _follow_input(stopping: threading.Event) -> None:
    sys.stdin.read()
    stopping.set()
    time.sleep(2 * GRACE_SECONDS)
    os._exit(1)


def main() -> int:
    """Do the task on standard input."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    setup_logging("WARNING")
    task = Task.from_json(sys.stdin.readline())
    threading.Thread(target=_follow_input, args=(stopping,), name="follow-input", daemon=True).start()
    try:
        run_task(task, stopping)
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
