"""Changes of circuits and health, read once for however many look on."""

import asyncio
import logging
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_api.exact_json import encode_json
from fuseboard_api.probes import Probes
from fuseboard_api.read_store import select_circuits, select_half_open_circuits, select_overall_health
from fuseboard_schema.database import connect_database, is_stale

log = logging.getLogger(__name__)
APPLICATION_NAME: Final = "fuseboard api events"
CHANNEL: Final = "LISTEN fuseboard_circuits"
TICK_SECONDS: Final = 2.0
RECONNECT_SECONDS: Final = 2.0
VIEWERS_MAX: Final = 64
QUEUE_MAX_EVENTS: Final = 32


class FeedEvent(NamedTuple):
    """One server-sent event: its name and its JSON."""

    name: str
    data: str


class Viewer:
    """One who looks on, in an event loop. Who is too slow misses events, and is told the newest state all the same."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[FeedEvent] = asyncio.Queue(QUEUE_MAX_EVENTS)

    def tell(self, event: FeedEvent) -> None:
        """Hand an event over, from any thread."""
        # the loop may have ended
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._put, event)

    async def wait(self, timeout_seconds: float) -> FeedEvent | None:
        """Wait for the next event; None when none came."""
        try:
            return await asyncio.wait_for(self._queue.get(), timeout_seconds)
        except TimeoutError:
            return None

    def _put(self, event: FeedEvent) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(event)


class EventFeed:
    """A thread that reads while anybody looks on: at each notice of the database, and every TICK_SECONDS."""

    def __init__(self, database_url: str, probes: Probes) -> None:
        self._database_url = database_url
        self._probes = probes
        self._lock = threading.Lock()
        self._viewers: set[Viewer] = set()
        self._wake = threading.Event()
        self._is_stopping = False
        self._last: dict[str, FeedEvent] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_stopping = True
        self._wake.set()
        if self._thread:
            self._thread.join(timeout=2 * TICK_SECONDS)

    def join(self, viewer: Viewer) -> bool:
        """Let a viewer look on and tell the present state; False when there are too many."""
        with self._lock:
            if len(self._viewers) >= VIEWERS_MAX:
                return False
            self._viewers.add(viewer)
            for event in self._last.values():
                viewer.tell(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fuseboard-events", daemon=True)
                self._thread.start()
        self._wake.set()
        return True

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        with self._lock:
            self._viewers.discard(viewer)

    def _run(self) -> None:
        while not self._is_stopping:
            self._wake.clear()
            if not self._has_viewers():
                self._wake.wait()
                continue
            try:
                self._follow()
            except psycopg.Error as error:
                log.warning("event_feed_interrupted error=%r", " ".join(str(error).split()))
                self._wake.wait(RECONNECT_SECONDS)

    def _follow(self) -> None:
        """Read until nobody looks on any more."""
        with connect_database(
            self._database_url, application_name=APPLICATION_NAME, statement_timeout_seconds=5
        ) as connection:
            connection.execute(CHANNEL)
            while self._has_viewers() and not self._is_stopping:
                self._read(connection)
                if is_stale(connection):
                    return
                # until the next look is due, or the database tells of a change
                list(connection.notifies(timeout=TICK_SECONDS, stop_after=1))
        with self._lock:
            # what the next viewer is told first must be fresh
            self._last = {}

    def _read(self, connection: Connection[TupleRow]) -> None:
        circuits, half_open = select_circuits(connection), select_half_open_circuits(connection)
        found: dict[str, Any] = {
            "circuits": {"circuits": self._probes.fill_in(circuits, half_open)},
            "health": select_overall_health(connection),
        }
        events = [FeedEvent(name, encode_json(content)) for name, content in found.items()]
        with self._lock:
            for event in events:
                if self._last.get(event.name) != event:
                    self._last[event.name] = event
                    for viewer in self._viewers:
                        viewer.tell(event)

    def _has_viewers(self) -> bool:
        with self._lock:
            return bool(self._viewers)
