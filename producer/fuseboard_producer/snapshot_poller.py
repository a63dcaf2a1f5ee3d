"""The background half of a router: a thread that keeps the snapshot of the circuits young (C.9)."""

import asyncio
import logging
import random
import time
from _queue import Empty, SimpleQueue
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from redis import Redis

from fuseboard_producer.change_listener import ChangeListener
from fuseboard_producer.circuit_scripts import hint_throttle, release_lease
from fuseboard_producer.counters import LockFreeCounter
from fuseboard_producer.fork_gate import FORK_GATE
from fuseboard_producer.guard import LocalGuard
from fuseboard_producer.leases import Release
from fuseboard_producer.limited_log import LimitedLog
from fuseboard_producer.native import Latch, NativeThread, make_lock
from fuseboard_producer.options import Options
from fuseboard_producer.process_exit import tell_of_forks_and_exits
from fuseboard_producer.projection import NO_HINTS, decode_snapshot
from fuseboard_producer.router_options import RouterOptions
from fuseboard_producer.snapshot import Snapshot, assume_closed
from fuseboard_schema.circuit_keys import name_hints, name_snapshot
from fuseboard_schema.redis_client import connect_redis

log = logging.getLogger(__name__)
POLL_JITTER: Final = 0.2
EARLY_POLL_GAP_SECONDS: Final = 0.1
EARLY_POLL_JITTER_SECONDS: Final = 0.03
RETRY_MIN_SECONDS: Final = 0.1
# how long the thread listens for changes before it looks whether a hint or a release waits
NAP_SECONDS: Final = 0.1
REDIS_TIMEOUT_SECONDS: Final = 3.0
DUTIES_MAX: Final = 1000
# before the next poll has its turn
DUTIES_AT_ONCE: Final = 100


class Hint(NamedTuple):
    """A throttle that a provider told this worker of; None is for as long as is usual."""

    provider: str
    retry_after_seconds: float | None


Duty = Hint | Release


class SnapshotPoller:
    """One per router and process. The thread starts with the router, and in a forked child with its first use."""

    def __init__(self, options: Options, settings: RouterOptions, guard: LocalGuard) -> None:
        self._options = options
        self._settings = settings
        self._guard = guard
        self._is_closed = False
        self.snapshot: Snapshot = assume_closed(settings.providers)
        self.reset()
        tell_of_forks_and_exits(self)

    def reset(self) -> None:
        """Start anew: a forked child has no thread; what its parent knew is as good as before."""
        self.polls, self.poll_errors = LockFreeCounter(), LockFreeCounter()
        self.thread: NativeThread | None = None
        self._starting = make_lock()
        self._arrived, self._tried = Latch(), Latch()
        # until the first poll has ended, well or not, or somebody has waited for it long enough
        self.awaits_first_poll = self._settings.first_snapshot_wait_seconds > 0
        self._duties: SimpleQueue[Duty | None] = SimpleQueue()
        self._is_hurried = False
        self._failures = 0
        # not the module's own: a worker may have seeded that and count on its sequence
        self._random = random.Random()  # noqa: S311 - spreads polls, keeps no secret
        self._warnings = LimitedLog(log)

    def settle(self, timeout_seconds: float) -> bool:  # noqa: ARG002 - as all that is told of exits
        """Leave it all as it is: hints and releases are hints, nothing is lost with them."""
        return True

    def start(self) -> None:
        """Start the thread where it does not run and can be started."""
        # never waited for: whoever holds it is starting the thread
        if self._starting.acquire(blocking=False):
            try:
                if self.thread is None and not self._is_closed:
                    self.thread = NativeThread(self._run, "fuseboard-router")
                    self.thread.start()
            except RuntimeError as error:
                # the interpreter is ending
                self.thread = None
                self._warnings.warn("start", "poller_not_started error=%r", str(error))
            finally:
                self._starting.release()

    def send(self, duty: Duty) -> None:
        """Have Redis told something, soon and if it can be reached; takes no time."""
        if self._duties.qsize() < DUTIES_MAX and not self._is_closed:
            self._duties.put(duty)

    def hurry(self) -> None:
        """Have the snapshot renewed early: something in it is known to be outdated."""
        if not self._is_hurried:
            self._is_hurried = True
            self._duties.put(None)

    def wait_until_ready(self, timeout_seconds: float) -> bool:
        """Wait until a snapshot is there; False when that took longer."""
        if self.snapshot.taken_at is not None:
            return True
        self.start()
        return self._arrived.wait(timeout_seconds)

    def wait_for_first_poll(self) -> None:
        """Let the first choice of a process know what the fleet knows, unless that takes too long."""
        if self._is_worth_waiting():
            self._tried.wait(self._settings.first_snapshot_wait_seconds)
        self.awaits_first_poll = False

    async def wait_for_first_poll_async(self) -> None:
        """Do as `wait_for_first_poll` without blocking the event loop."""
        await asyncio.to_thread(self.wait_for_first_poll)

    def _is_worth_waiting(self) -> bool:
        """Tell whether nothing is known yet: what a forked child's parent read a moment ago will do."""
        return self.thread is not None and self.snapshot.tell_freshness(time.monotonic()) != "fresh"

    def stop(self) -> None:
        """Let the thread end; returns at once."""
        self._is_closed = True
        self._duties.put(None)

    def close(self, timeout_seconds: float) -> None:
        """End the thread, after what it was to tell Redis."""
        self.stop()
        thread = self.thread
        if thread is not None and not thread.is_current():
            thread.join(timeout_seconds)

    def _run(self) -> None:
        # the Redis client lives in this frame only: its locks may be held when another thread forks,
        # and a forked child neither touches nor collects what belongs to a thread that it does not have
        try:
            with ExitStack() as stack:
                redis = stack.enter_context(self._connect())
                changes = None
                if self._settings.use_pubsub:
                    changes = stack.enter_context(ChangeListener(redis, self._options.namespace))
                self._keep_polling(redis, changes)
        except Exception:
            log.exception("poller_failed")
        finally:
            # the next use starts another one
            self.thread = None

    def _keep_polling(self, redis: Redis, changes: ChangeListener | None) -> None:
        due_at = 0.0
        while not self._is_closed:
            if time.monotonic() >= due_at:
                self._is_hurried = False
                due_at = self._poll(redis)
                polled_at = time.monotonic()
            self._wait(redis, changes, due_at)
            if self._is_hurried or (changes is not None and changes.has_changed()):
                self._is_hurried = False
                soon = time.monotonic() + self._random.uniform(0, EARLY_POLL_JITTER_SECONDS)
                due_at = min(due_at, max(polled_at + EARLY_POLL_GAP_SECONDS, soon))
        self._do_duties(redis, wait_seconds=0.0)

    def _wait(self, redis: Redis, changes: ChangeListener | None, due_at: float) -> None:
        """Wait for the next poll, a change or a duty."""
        wait_seconds = max(due_at - time.monotonic(), 0.0)
        if changes is not None and self._failures == 0 and changes.listen(min(wait_seconds, NAP_SECONDS)):
            wait_seconds = 0.0
        self._do_duties(redis, wait_seconds)

    def _poll(self, redis: Redis) -> float:
        """Renew the snapshot; returns when to do so next."""
        try:
            self._take_snapshot(redis)
        except Exception as error:  # noqa: BLE001 - the snapshot ages, and the circuits fail open
            self.poll_errors.increment()
            self._warnings.warn("poll", "circuits_not_read error=%r", str(error)[:300])
            steps = 1 << min(self._failures, 10)
            delay_seconds = min(RETRY_MIN_SECONDS * steps, self._settings.poll_seconds)
            self._failures += 1
        else:
            self.polls.increment()
            if self._failures:
                self._warnings.warn("polled", "circuits_read_again failures=%d", self._failures)
            self._failures = 0
            delay_seconds = self._settings.poll_seconds
        self._tried.set()
        self.awaits_first_poll = False
        return time.monotonic() + delay_seconds * self._random.uniform(1 - POLL_JITTER, 1 + POLL_JITTER)

    def _take_snapshot(self, redis: Redis) -> None:
        namespace = self._options.namespace
        with redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.hgetall(name_snapshot(namespace))
            pipeline.hgetall(name_hints(namespace))
            clock, fields, hints = pipeline.execute(raise_on_error=False)
        # after the answer, so that a deadline never seems to pass before it has
        now = time.monotonic()
        for answer in (clock, fields):
            if isinstance(answer, Exception):
                raise answer
        if isinstance(hints, Exception):
            self._warnings.warn("hints", "throttle_hints_not_read error=%r", str(hints)[:300])
            hints = NO_HINTS
        self._replace_snapshot(fields, hints, clock[0] * 1000 + clock[1] / 1000, now)

    def _replace_snapshot(
        self, fields: Mapping[Any, Any], hints: Mapping[Any, Any], redis_now_ms: float, now: float
    ) -> None:
        with FORK_GATE.lock:
            snapshot = decode_snapshot(fields, redis_now_ms, now, self.snapshot, hints)
        for name, reason in snapshot.bad_fields.items():
            self._warnings.warn(f"field {name}", "circuit_unreadable provider=%s reason=%r", name, reason)
        # before the guard forgets what is in the snapshot by now
        self.snapshot = snapshot
        self._guard.observe_epochs({view.name: view.epoch for view in snapshot.providers})
        self._arrived.set()

    def _do_duties(self, redis: Redis, wait_seconds: float) -> None:
        try:
            duty = self._duties.get(timeout=wait_seconds) if wait_seconds else self._duties.get_nowait()
            for _ in range(DUTIES_AT_ONCE):
                if duty is not None:
                    self._do(redis, duty)
                duty = self._duties.get_nowait()
        except Empty:
            return

    def _do(self, redis: Redis, duty: Duty) -> None:
        if self._failures:
            return
        try:
            if isinstance(duty, Hint):
                hint_throttle(redis, self._options.namespace, duty.provider, duty.retry_after_seconds)
            else:
                release_lease(redis, self._options.namespace, duty.provider, duty.epoch, duty.lease_id)
        except Exception as error:  # noqa: BLE001 - a hint; the consumers come to the same
            self._warnings.warn("duty", "redis_not_told %s error=%r", type(duty).__name__.lower(), str(error)[:300])

    def _connect(self) -> Redis:
        ca_certs = self._options.redis_ca_certs
        return connect_redis(
            self._options.redis_url,
            retries=1,
            socket_timeout_seconds=REDIS_TIMEOUT_SECONDS,
            ca_certs=str(ca_certs) if ca_certs else None,
        )
