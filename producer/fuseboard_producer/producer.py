"""What a worker calls: `record()` puts an event into the buffer and returns (G4)."""

import asyncio
import os
import time
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, Unpack, overload

from fuseboard_producer.call import Call
from fuseboard_producer.counters import Counters
from fuseboard_producer.flusher import Flusher
from fuseboard_producer.freezing import freeze_fields
from fuseboard_producer.options import Options
from fuseboard_schema.event import RequestFields, RequestStatus
from fuseboard_schema.stream import FLUSH_MAX_EVENTS, STREAM_MAX_ENTRIES
from fuseboard_schema.variables import warn_of_unknown_variables

POSITIONAL: Final = ("provider", "model", "status")
ROOM_POLL_SECONDS: Final = 0.02


class Producer:
    """Record LLM calls without ever slowing or breaking them. Safe with threads, fork and asyncio; one is enough.

    redis_url: `redis://`, `rediss://` (TLS) or `unix://`; default REDIS_URL. namespace: of the installation's keys in
    Redis; default FUSEBOARD_NAMESPACE, else fuseboard. redis_ca_certs: a file of authorities for `rediss://`; default
    FUSEBOARD_REDIS_CA_CERTS, else the system's. spool_dir: where events wait that Redis does not take; default
    FUSEBOARD_SPOOL_DIR, else a directory of this user. worker_id: default host:pid.
    Nothing connects here. Raises ValueError naming the argument or the variable that is wrong or missing.
    """

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        namespace: str | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        worker_id: str | None = None,
        linger_seconds: float = 0.05,
        flush_max_events: int = FLUSH_MAX_EVENTS,
        buffer_max_events: int = 20_000,
        spool_max_bytes: int = 50_000_000,
        stream_max_entries: int = STREAM_MAX_ENTRIES,
        redis_ca_certs: str | os.PathLike[str] | None = None,
    ) -> None:
        options = Options.model_validate(
            {
                "redis_url": redis_url,
                "namespace": namespace,
                "spool_dir": spool_dir,
                "worker_id": worker_id,
                "linger_seconds": linger_seconds,
                "flush_max_events": flush_max_events,
                "buffer_max_events": buffer_max_events,
                "spool_max_bytes": spool_max_bytes,
                "stream_max_entries": stream_max_entries,
                "redis_ca_certs": redis_ca_certs,
            }
        )
        warn_of_unknown_variables()
        self._options = options
        self._flusher = Flusher(options)
        # forgotten without close: the thread sends what is there and ends
        weakref.finalize(self, self._flusher.stop).atexit = False

    @overload
    def record(
        self, provider: str, model: str, status: RequestStatus = "success", **fields: Unpack[RequestFields]
    ) -> None: ...

    @overload
    def record(
        self, *, provider_name: str, model: str, status: RequestStatus = "success", **fields: Unpack[RequestFields]
    ) -> None: ...

    def record(self, *arguments: Any, **fields: Any) -> None:
        """Record one attempt at one provider, ended now unless `occurred_at` says otherwise.

        Takes microseconds, does no I/O, never waits and never raises: what is wrong is counted, logged in the
        background and kept for inspection with its reason.
        """
        flusher = self._flusher
        try:
            flusher.recorded.increment()
            if arguments:
                _name_arguments(arguments, fields)
            if "status" not in fields:
                fields["status"] = "success"
            if "occurred_at" not in fields and "timestamp" not in fields:
                fields["occurred_at"] = datetime.now(UTC)
            if not flusher.buffer.add(freeze_fields(fields)):
                flusher.refuse()
            elif flusher.thread is None:
                flusher.start()
        except Exception:  # noqa: BLE001 - an LLM call must not fail because of its bookkeeping
            flusher.refused.increment()

    @overload
    def request(self, provider: str, model: str, **fields: Unpack[RequestFields]) -> Call: ...

    @overload
    def request(self, *, provider_name: str, model: str, **fields: Unpack[RequestFields]) -> Call: ...

    def request(self, *arguments: Any, **fields: Any) -> Call:
        """Time a call and record it: `with producer.request("claude", model) as call:`, or `async with`.

        One event per exit of the block, its status by the exception that left it, which goes on unchanged.
        """
        _name_arguments(arguments, fields)
        return Call(self.record, fields)

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until everything recorded before is in Redis or in the spool.

        Returns False when that took longer or when events had to be dropped meanwhile.
        """
        return self._flusher.flush(timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> bool:
        """Flush, put into the spool what Redis keeps waiting, and end the thread; later events are dropped, counted.

        Returns False when events had to be dropped.
        """
        return self._flusher.close(timeout_seconds)

    async def aflush(self, timeout_seconds: float = 5.0) -> bool:
        """Do as `flush` without blocking the event loop."""
        return await asyncio.to_thread(self.flush, timeout_seconds)

    async def aclose(self, timeout_seconds: float = 5.0) -> bool:
        """Do as `close` without blocking the event loop."""
        return await asyncio.to_thread(self.close, timeout_seconds)

    @property
    def options(self) -> Options:
        """The arguments, checked and completed."""
        return self._options

    @property
    def has_room(self) -> bool:
        """Whether the buffer is at most half full and Redis takes events: what a bulk sender waits for."""
        flusher = self._flusher
        return flusher.takes_entries and len(flusher.buffer) <= flusher.buffer.max_events // 2

    def wait_for_room(self, timeout_seconds: float) -> bool:
        """Wait until `has_room`, for those who would rather wait than spool or drop; False when that took longer.

        Only a bulk sender such as a replay needs this, once per few hundred events.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self.has_room:
            if time.monotonic() >= deadline:
                return False
            time.sleep(ROOM_POLL_SECONDS)
        return True

    @property
    def counters(self) -> Counters:
        """What became of the events so far, in this process."""
        return self._flusher.read_counters()

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], "Producer"], tuple[dict[str, Any]]]:
        """Let a copy, or what is unpickled in another process, be a producer of its own with the same arguments."""
        arguments = self._options.model_dump()
        # what the environment says stays there: a pickle is no place for a password
        if arguments["redis_url"] == os.environ.get("REDIS_URL"):
            arguments["redis_url"] = None
        return _make_producer, (arguments,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _make_producer(arguments: dict[str, Any]) -> Producer:
    return Producer(**arguments)


def _name_arguments(arguments: tuple[Any, ...], fields: dict[str, Any]) -> None:
    """Put positional arguments among the fields; a call that Python would refuse becomes an event that is refused."""
    for name, value in zip(POSITIONAL, arguments, strict=False):
        if name in fields:
            fields["unexpected_arguments"] = arguments
        fields[name] = value
    if len(arguments) > len(POSITIONAL):
        fields["unexpected_arguments"] = arguments
