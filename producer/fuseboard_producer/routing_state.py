"""What the requests of one process share while they are routed."""

import logging
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from fuseboard_producer.attempt import Attempt
from fuseboard_producer.counters import LockFreeCounter
from fuseboard_producer.guard import LocalGuard, PanicThrottle, RetryBudget
from fuseboard_producer.leases import Leases
from fuseboard_producer.options import Options
from fuseboard_producer.process_exit import tell_of_forks_and_exits
from fuseboard_producer.request import Request
from fuseboard_producer.router_options import RouterOptions
from fuseboard_producer.selection import Plan, select
from fuseboard_producer.snapshot import DEFAULT_SETTINGS, Snapshot
from fuseboard_producer.snapshot_poller import Hint, SnapshotPoller
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.outcome import Verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RouterCounters:
    """One reading, of this process.

    polls, poll_errors: of the circuits in Redis. snapshot_age_seconds: None before the first. probes_granted,
    probes_refused: of half-open circuits. panics: requests that tried open providers, since all were out. failovers:
    attempts after a request's first. retries_denied: those that the retry budget did not allow.
    """

    polls: int
    poll_errors: int
    snapshot_age_seconds: float | None
    probes_granted: int
    probes_refused: int
    panics: int
    failovers: int
    retries_denied: int


class RoutingState:
    """The snapshot, the guards and the counters; safe with threads, started anew in forked children."""

    def __init__(self, options: Options, settings: RouterOptions) -> None:
        self.guard = LocalGuard()
        self.poller = SnapshotPoller(options, settings, self.guard)
        self.leases = Leases(options, self.poller.send)
        self.reset()
        tell_of_forks_and_exits(self)

    def reset(self) -> None:
        """Start anew: a forked child counts from zero and must not repeat its parent's random numbers."""
        self._unknown: set[str] = set()
        self.budget, self.panic_throttle = RetryBudget(), PanicThrottle()
        # not the module's own: a worker may have seeded that and count on its sequence
        self.rng = random.Random()  # noqa: S311 - spreads load, keeps no secret
        self.probes_granted, self.probes_refused = LockFreeCounter(), LockFreeCounter()
        self.panics, self.failovers, self.retries_denied = LockFreeCounter(), LockFreeCounter(), LockFreeCounter()

    def settle(self, timeout_seconds: float) -> bool:  # noqa: ARG002 - as all that is told of exits
        """Leave it all as it is: it is this process's own."""
        return True

    def now(self) -> float:
        """Read the clock of all deadlines: monotonic seconds."""
        return time.monotonic()

    def get_snapshot(self) -> Snapshot:
        """Get what is known now, and see to it that it will be renewed."""
        poller = self.poller
        if poller.thread is None:
            poller.start()
        if poller.awaits_first_poll:
            poller.wait_for_first_poll()
        return poller.snapshot

    async def prepare_async(self) -> None:
        """Wait for the first snapshot as `get_snapshot` does, without blocking the event loop."""
        poller = self.poller
        if poller.thread is None:
            poller.start()
        if poller.awaits_first_poll:
            await poller.wait_for_first_poll_async()

    def note_names(self, names: Iterable[str]) -> None:
        """Say once of each name that is no provider's here which one it may have been meant to be."""
        known = self.get_snapshot().by_name
        for name in names:
            if known and name not in known and name not in self._unknown:
                self._unknown.add(name)
                near = get_close_matches(name, known, n=1)
                log.warning(
                    "provider_unknown provider=%r nearest=%r action=%s",
                    name,
                    near[0] if near else None,
                    "name it as `fuseboard providers list` does; a new one is known once its first event is stored",
                )

    def plan(self, request: Request, snapshot: Snapshot, refused: frozenset[str] = frozenset()) -> Plan:
        """Plan which providers to try now; no I/O."""
        now = self.now()
        return select(request, snapshot, now, self.rng, guard=self.guard.read(now), refused=refused)

    def get_settings(self, provider: str) -> CircuitSettings:
        """Get the published settings by which a provider's calls are judged."""
        view = self.poller.snapshot.by_name.get(provider)
        return DEFAULT_SETTINGS if view is None else view.settings

    def learn(self, attempt: Attempt) -> Verdict:
        """Learn from a call that has ended, for the requests to come."""
        candidate, now = attempt.candidate, self.now()
        provider, settings = candidate.provider, self.get_settings(candidate.provider)
        verdict = attempt.classify(settings)
        outcome, retry_after_seconds = verdict
        if outcome == "success":
            self.guard.record_success(provider)
            if candidate.admission == "panic":
                self.panic_throttle.record_success(now)
        elif outcome in ("failure", "fatal"):
            self.guard.record_failure(provider, now)
        if outcome == "throttle" or (outcome == "failure" and retry_after_seconds is not None):
            self.guard.record_throttle(provider, retry_after_seconds, now, settings)
            self.poller.send(Hint(provider, retry_after_seconds))
        self.leases.settle_probe(candidate, told_nothing=outcome in ("neutral", "throttle"))
        return verdict

    def read_counters(self) -> RouterCounters:
        """Read all counters."""
        taken_at = self.poller.snapshot.taken_at
        return RouterCounters(
            polls=self.poller.polls.read(),
            poll_errors=self.poller.poll_errors.read(),
            snapshot_age_seconds=None if taken_at is None else self.now() - taken_at,
            probes_granted=self.probes_granted.read(),
            probes_refused=self.probes_refused.read(),
            panics=self.panics.read(),
            failovers=self.failovers.read(),
            retries_denied=self.retries_denied.read(),
        )
