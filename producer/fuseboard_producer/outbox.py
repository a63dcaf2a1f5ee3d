"""Events on their way: encoded, handed to Redis, or else to the spool; every one of them is counted."""

import logging
import time
from collections import deque
from contextlib import suppress
from typing import Final

from fuseboard_producer.buffer import Fields
from fuseboard_producer.counters import Tally
from fuseboard_producer.encoding import Entry, encode_event, pack_entries
from fuseboard_producer.fork_gate import FORK_GATE
from fuseboard_producer.limited_log import LimitedLog
from fuseboard_producer.native import make_lock
from fuseboard_producer.sender import Sender
from fuseboard_producer.spool import Dropped, Spool

log = logging.getLogger(__name__)
# before live events have their turn again
DRAIN_MAX_ENTRIES: Final = 20
DRAIN_SECONDS: Final = 0.05


class Outbox:
    """Settle events: afterwards Redis has them, or the spool, or they are counted as dropped."""

    def __init__(self, spool: Spool, worker_id: str) -> None:
        self.tally = Tally()
        self.spool = spool
        self.has_backlog = False
        self._worker_id = worker_id
        self._unsettled: deque[Entry] = deque()
        self._claiming = make_lock()
        self._warnings = LimitedLog(log)

    def accept(self, events: list[Fields], max_events: int) -> None:
        """Encode events and queue them as entries."""
        encoded = [event for fields in events if (event := self._encode(fields)) is not None]
        self._unsettled.extend(pack_entries(encoded, max_events))

    def settle(self, sender: Sender) -> None:
        """Hand every queued entry to Redis, else to the spool."""
        while (entry := self._peek()) is not None:
            was_taken = sender.send(entry)
            with self._claiming:
                is_ours = self._take(entry)
            if is_ours:
                self._settle_as(entry, was_taken)
            elif was_taken:
                # `rescue` took it while Redis kept us waiting
                self._retract(entry)

    def rescue(self) -> None:
        """Put every queued entry into the spool without asking Redis; from any thread.

        An entry that hangs in a call to Redis may get there twice: the database keeps one event of an id.
        """
        while (entry := self._peek()) is not None:
            # until it is written: then whoever sent it after all can take it back
            with self._claiming:
                if self._take(entry):
                    self._settle_as(entry, was_taken=False)

    def drain(self, sender: Sender) -> None:
        """Send a bounded part of the spool; `has_backlog` says whether there is more."""
        spooled, ends_at = self.tally.spooled, time.monotonic() + DRAIN_SECONDS
        try:
            drained = self.spool.drain(
                lambda entry: time.monotonic() < ends_at and sender.send(entry), DRAIN_MAX_ENTRIES
            )
        except Exception as error:  # noqa: BLE001 - live events must go on
            self.has_backlog = False
            self._warnings.warn("drain", "spool_unreadable path=%s error=%r", self.spool.directory, str(error))
            return
        self.tally.add(spool_drained=drained.events, dropped=drained.damaged_events)
        if drained.events:
            log.info("spool_drained events=%d is_done=%s", drained.events, drained.is_done)
        if drained.damaged_events:
            log.warning("spool_damaged dropped_events=%d", drained.damaged_events)
        # also what was put there meanwhile
        self.has_backlog = not drained.is_done or self.tally.spooled != spooled

    def _encode(self, fields: Fields) -> bytes | None:
        try:
            with FORK_GATE.lock:
                encoded = encode_event(fields, self._worker_id)
        except Exception as error:  # noqa: BLE001 - one event must not take its neighbours with it
            self.tally.add(bad=1, dropped=1)
            self._warnings.warn("unencodable", "event_dropped error=%r", error)
            return None
        if encoded.refusal:
            self.tally.add(bad=1)
            self._warnings.warn(encoded.refusal.partition(":")[0], "event_bad refusal=%r", encoded.refusal)
        return encoded.json

    def _peek(self) -> Entry | None:
        with suppress(IndexError):
            return self._unsettled[0]
        return None

    def _take(self, entry: Entry) -> bool:
        if self._unsettled and self._unsettled[0] is entry:
            self._unsettled.popleft()
            return True
        return False

    def _retract(self, entry: Entry) -> None:
        """Take back from the spool what Redis has by now; left there it would be sent twice, which is harmless."""
        with suppress(OSError):
            if self.spool.retract(entry):
                self.tally.add(sent=entry.events, spooled=-entry.events)

    def _settle_as(self, entry: Entry, was_taken: bool) -> None:
        if was_taken:
            self.tally.add(sent=entry.events)
            return
        try:
            dropped = self.spool.append(entry)
        except Exception as error:  # noqa: BLE001 - counted and said, whatever it was
            self.tally.add(dropped=entry.events)
            self._warnings.warn(
                "append",
                "spool_unusable path=%s error=%r dropped_events_total=%d: set FUSEBOARD_SPOOL_DIR or free space",
                self.spool.directory,
                str(error),
                self.tally.dropped,
            )
        else:
            self.tally.add(spooled=entry.events)
            self.has_backlog = True
            self._report_dropped(dropped)

    def _report_dropped(self, dropped: Dropped) -> None:
        if dropped.events:
            self.tally.add(dropped=dropped.events)
            log.warning(
                "spool_full dropped_events=%d earliest=%s latest=%s",
                dropped.events,
                dropped.earliest,
                dropped.latest,
            )
