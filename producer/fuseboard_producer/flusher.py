"""The background half of a producer: a thread that sees to it that Redis or the spool has every event (G2)."""

import logging
import os
import socket
import time
from contextlib import closing
from dataclasses import asdict
from typing import Final

from fuseboard_producer.buffer import Buffer, Fields, Mark
from fuseboard_producer.counters import Counters, LockFreeCounter
from fuseboard_producer.limited_log import LimitedLog
from fuseboard_producer.native import NativeThread, make_lock, pause
from fuseboard_producer.options import Options
from fuseboard_producer.outbox import Outbox
from fuseboard_producer.process_exit import guard_os_exit, guard_termination, tell_of_forks_and_exits
from fuseboard_producer.sender import Sender
from fuseboard_producer.spool import Spool
from fuseboard_producer.watchdog import Watchdog

log = logging.getLogger(__name__)
SPOOL_CHECK_SECONDS: Final = 10.0
REPORT_SECONDS: Final = 60.0
SETTLE_CHECK_SECONDS: Final = 0.01
RESCUE_WAIT_SECONDS: Final = 5.0
# flushes before the spool has its turn, however fast events come
CYCLE_MAX_FLUSHES: Final = 40


class Flusher:
    """One per producer and process. The thread starts with the first event and sleeps while there is nothing to do."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._is_closed = False
        self.reset()
        tell_of_forks_and_exits(self)

    def reset(self) -> None:
        """Start anew with nothing: a forked child's copy of the buffer is the parent's to send."""
        options = self._options
        self.buffer = Buffer(0 if self._is_closed else options.buffer_max_events)
        self.recorded, self.refused = LockFreeCounter(), LockFreeCounter()
        self.thread: NativeThread | None = None
        self.takes_entries = True
        self._starting, self._rescuing = make_lock(), make_lock()
        self._outbox = Outbox(
            Spool(options.spool_path, options.spool_max_bytes),
            options.worker_id or f"{socket.gethostname()}:{os.getpid()}",
        )
        self._warnings = LimitedLog(log)
        self._spool_due_at = 0.0
        self._report_due_at = time.monotonic() + REPORT_SECONDS
        self._has_news = False
        self._refused_reported = 0
        self._told_closed = False

    def start(self) -> bool:
        """Start the thread where it does not run; return False where it cannot (the interpreter is ending)."""
        # never waited for: whoever holds it is starting the thread
        if self._starting.acquire(blocking=False):
            try:
                if self.thread is None and not self._is_closed:
                    guard_os_exit()
                    guard_termination()
                    self.thread = NativeThread(self._run, "fuseboard-flusher")
                    self.thread.start()
            except RuntimeError as error:
                self.thread = None
                self._warnings.warn("start", "flusher_not_started error=%r", str(error))
                return False
            finally:
                self._starting.release()
        return True

    def refuse(self) -> None:
        """Count an event that found no room."""
        self.refused.increment()
        # a full buffer is told by the thread; after the end there is none
        if self._is_closed and not self._told_closed:
            self._told_closed = True
            log.warning("producer_closed events recorded from now on are dropped and counted")

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until what is in the buffer now has left it; False when that took too long or something was dropped."""
        if self.thread is not None and self.thread.is_current():
            return False
        if self.thread is None and not self.buffer:
            return True
        dropped = self._outbox.tally.dropped
        if not self.start():
            self._rescue()
        elif not self.buffer.add_mark().wait(timeout_seconds):
            return False
        return self._outbox.tally.dropped == dropped

    def settle(self, timeout_seconds: float) -> bool:
        """Flush, and put into the spool what Redis keeps waiting: this process is about to end."""
        dropped = self._outbox.tally.dropped
        deadline = time.monotonic() + timeout_seconds * 0.75
        if not self.flush(timeout_seconds * 0.75):
            self._rescue()
        # a Redis that was slow for a moment has left something in the spool, and nobody else may come by to send it
        while self._is_draining and self.thread is not None and time.monotonic() < deadline:
            pause(SETTLE_CHECK_SECONDS)
        return self._outbox.tally.dropped == dropped

    def close(self, timeout_seconds: float) -> bool:
        """Settle, refuse further events and end the thread."""
        deadline = time.monotonic() + timeout_seconds
        self.buffer.max_events = 0
        is_settled = self.settle(timeout_seconds)
        self.stop()
        thread = self.thread
        if thread is not None and not thread.is_current():
            thread.join(max(deadline - time.monotonic(), 0.0))
        if self.recorded.read():
            self._report()
        return is_settled

    def stop(self) -> None:
        """Let the thread end once the buffer is empty; returns at once."""
        self._is_closed = True
        self.buffer.max_events = 0
        self.buffer.hurry()

    def read_counters(self) -> Counters:
        """Read all counters; the spool's size is measured now."""
        tally = self._outbox.tally
        try:
            spool_bytes = self._outbox.spool.measure()
        except OSError:
            spool_bytes = 0
        return Counters(
            recorded=self.recorded.read(),
            sent=tally.sent,
            spooled=tally.spooled,
            spool_drained=tally.spool_drained,
            dropped=tally.dropped + self.refused.read(),
            bad=tally.bad,
            buffer_events=len(self.buffer),
            spool_bytes=spool_bytes,
        )

    def _run(self) -> None:
        # the Redis client lives in this frame only: its locks may be held when another thread forks,
        # and a forked child neither touches nor collects what belongs to a thread that it does not have
        try:
            # sleeps first: whoever records the first event must not wait for a client to be made
            self._wait(None)
            with closing(Sender(self._options)) as sender, Watchdog(self._rescue) as watchdog:
                self._run_cycle(sender, watchdog)
                while self.buffer or not self._is_closed or self._is_draining:
                    self._wait(self._tell_idle_seconds(sender))
                    self._run_cycle(sender, watchdog)
        except Exception:
            log.exception("flusher_failed")
        finally:
            # the next event starts another one
            self.thread = None

    def _wait(self, idle_seconds: float | None) -> None:
        self.buffer.wait(
            idle_seconds=idle_seconds,
            linger_seconds=self._options.linger_seconds,
            linger_max_events=self._options.flush_max_events,
        )

    def _run_cycle(self, sender: Sender, watchdog: Watchdog) -> None:
        for _ in range(CYCLE_MAX_FLUSHES):
            watchdog.begin()
            # nobody sets a mark while another thread has events in hand that were recorded before it
            with self._rescuing:
                events, mark = self._take_events()
            self._has_news = self._has_news or bool(events)
            self._outbox.settle(sender)
            if mark:
                mark.set()
            elif not events:
                break
        # after the events, which are safe in the spool while a silent Redis is asked
        self.takes_entries = sender.probe()
        watchdog.begin()
        self._drain_spool(sender)
        self._report_when_due()
        watchdog.rest()

    @property
    def _is_draining(self) -> bool:
        """Whether the spool is being sent, as Redis takes entries."""
        return self._outbox.has_backlog and self.takes_entries

    def _drain_spool(self, sender: Sender) -> None:
        is_due = self._outbox.has_backlog or time.monotonic() >= self._spool_due_at
        if self.takes_entries and is_due:
            self._outbox.drain(sender)
            self._spool_due_at = time.monotonic() + SPOOL_CHECK_SECONDS

    def _tell_idle_seconds(self, sender: Sender) -> float | None:
        """Tell how long the thread may sleep when no event comes: for ever, where nothing is left to do."""
        due = [self._report_due_at] if self._has_news else []
        if sender.resume_at is not None:
            due.append(sender.resume_at)
        elif self._outbox.has_backlog:
            return 0.0
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def _rescue(self) -> None:
        """Put all that waits into the spool; one thread at a time, so that it stays in order."""
        deadline = time.monotonic() + RESCUE_WAIT_SECONDS
        # not waited for within the lock: its holder may be another greenlet, or the code that a signal interrupted
        while not self._rescuing.acquire(blocking=False):
            if time.monotonic() >= deadline:
                return
            pause(0.01)
        try:
            self._put_into_spool()
        finally:
            self._rescuing.release()

    def _put_into_spool(self) -> None:
        while True:
            events, mark = self._take_events()
            self._outbox.rescue()
            if mark:
                mark.set()
            elif not events:
                return

    def _take_events(self) -> tuple[list[Fields], Mark | None]:
        """Move events from the buffer to the outbox."""
        events, mark = self.buffer.take(self._options.flush_max_events)
        self._outbox.accept(events, self._options.flush_max_events)
        return events, mark

    def _report_when_due(self) -> None:
        refused = self.refused.read()
        if refused > self._refused_reported:
            self._refused_reported = refused
            self._warnings.warn("refused", "buffer_full dropped_events_total=%d", refused)
        if time.monotonic() >= self._report_due_at and self._has_news:
            self._report()

    def _report(self) -> None:
        self._has_news = False
        self._report_due_at = time.monotonic() + REPORT_SECONDS
        counters = self.read_counters()
        log.info("producer_counters %s", " ".join(f"{name}={value}" for name, value in asdict(counters).items()))
