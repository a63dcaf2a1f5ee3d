"""What one process does by itself in the seconds the pipeline needs, and against its own excess (C.9, E2).

None of this takes a lock: entries are replaced whole. Where two threads meet, a count may be lost, which shifts a limit
by one; a lock that a fork caught would stop the child for good.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from types import MappingProxyType
from typing import Final

from fuseboard_producer.admission import QUIET, GuardReading
from fuseboard_producer.snapshot import DEFAULT_SETTINGS
from fuseboard_schema.circuit_settings import CircuitSettings

SUSPECT_FAILURES: Final = 3
SUSPECT_WINDOW_SECONDS: Final = 30.0
SUSPECT_BASE_SECONDS: Final = 10.0
SUSPECT_MAX_SECONDS: Final = 60.0
RETRY_WINDOW_SECONDS: Final = 10
RETRY_RATIO: Final = 0.1
RETRIES_PER_SECOND: Final = 3
PANIC_WINDOW_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Watch:
    """What this process has seen of one provider since its last success or new epoch; monotonic seconds."""

    failures: tuple[float, ...] = ()
    suspected_until: float = 0.0
    suspect_seconds: float = 0.0
    throttled_until: float = 0.0

    def add_failure(self, now: float) -> "Watch":
        """Add a failure; the last of three within half a minute makes the provider suspect, each time for longer."""
        failures = (*self.failures, now)[-SUSPECT_FAILURES:]
        is_run = len(failures) == SUSPECT_FAILURES and now - failures[0] <= SUSPECT_WINDOW_SECONDS
        if not is_run or now < self.suspected_until:
            return replace(self, failures=failures)
        seconds = min(max(SUSPECT_BASE_SECONDS, 2 * self.suspect_seconds), SUSPECT_MAX_SECONDS)
        return replace(self, failures=failures, suspected_until=now + seconds, suspect_seconds=seconds)


NOTHING_SEEN: Final = Watch()


class LocalGuard:
    """Rank a provider last that keeps failing here, and obey its 429 at once; times are monotonic seconds.

    It only re-orders and it is not shared: a node that fails by itself moves its own traffic and nobody else's.
    """

    def __init__(self) -> None:
        self._watches: Mapping[str, Watch] = MappingProxyType({})
        self._epochs: Mapping[str, int | None] = MappingProxyType({})

    def record_success(self, provider: str) -> None:
        """Clear the suspicion; a deadline that the provider set stays."""
        watch = self._watches.get(provider)
        if watch is not None:
            self._replace(provider, Watch(throttled_until=watch.throttled_until))

    def record_failure(self, provider: str, now: float) -> None:
        """Note a failure that counts against the provider: not a 429, not a caller's mistake."""
        self._replace(provider, self._watches.get(provider, NOTHING_SEEN).add_failure(now))

    def record_throttle(
        self,
        provider: str,
        retry_after_seconds: float | None,
        now: float,
        settings: CircuitSettings = DEFAULT_SETTINGS,
    ) -> None:
        """Note a 429, or a failure with Retry-After; deadlines only move forward."""
        asked = settings.throttle_default_s if retry_after_seconds is None else retry_after_seconds
        until = now + min(max(asked, 0.0), settings.retry_after_cap_s)
        watch = self._watches.get(provider, NOTHING_SEEN)
        self._replace(provider, replace(watch, throttled_until=max(watch.throttled_until, until)))

    def observe_epochs(self, epochs: Mapping[str, int | None]) -> None:
        """Forget what was seen of providers whose circuit has a later epoch than in the snapshot before.

        That includes their throttles, which the snapshot holds by then, so that an operator's reset reaches here.
        """
        old = self._epochs
        self._epochs = {**old, **{name: epoch for name, epoch in epochs.items() if epoch is not None}}
        renewed = {name for name, epoch in epochs.items() if epoch is not None and (old.get(name) or epoch) < epoch}
        if renewed:
            self._watches = {name: watch for name, watch in self._watches.items() if name not in renewed}

    def read(self, now: float) -> GuardReading:
        """Read what selection must know at `now`."""
        watches = self._watches
        if not watches:
            return QUIET
        return GuardReading(
            frozenset(name for name, watch in watches.items() if now < watch.suspected_until),
            {name: watch.throttled_until for name, watch in watches.items() if now < watch.throttled_until},
        )

    def _replace(self, provider: str, watch: Watch) -> None:
        watches = {**self._watches, provider: watch}
        if watch == NOTHING_SEEN:
            del watches[provider]
        self._watches = watches


class LocalProbes:
    """Admit one probe at a time and provider in this process, for when the snapshot is too old to ask the fleet."""

    def __init__(self) -> None:
        self._expiries: dict[str, float] = {}

    def acquire(self, provider: str, now: float, lease_seconds: float) -> bool:
        """Take the probe for so long at most; False while another one is out and has not expired."""
        held_until = self._expiries.get(provider)
        if held_until is not None and held_until <= now:
            # whoever held it died or hangs
            self._expiries.pop(provider, None)
        mine = now + lease_seconds
        return self._expiries.setdefault(provider, mine) is mine

    def release(self, provider: str) -> None:
        """Give the probe back after its call."""
        self._expiries.pop(provider, None)


@dataclass(slots=True)
class RollingCount:
    """Count per second over a fixed number of seconds."""

    window_seconds: int
    _counts: list[int] = field(init=False)
    _seconds: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._counts = [0] * self.window_seconds
        self._seconds = [-1] * self.window_seconds

    def add(self, now: float) -> None:
        """Count one."""
        second = int(now)
        slot = second % self.window_seconds
        if self._seconds[slot] != second:
            self._seconds[slot], self._counts[slot] = second, 0
        self._counts[slot] += 1

    def sum(self, now: float) -> int:
        """Sum what was counted in the window that ends with this second."""
        oldest = int(now) - self.window_seconds + 1
        return sum(count for second, count in zip(self._seconds, self._counts, strict=True) if second >= oldest)


class RetryBudget:
    """Let retries be at most a tenth of the requests plus three per second, over ten seconds."""

    def __init__(self) -> None:
        self._requests = RollingCount(RETRY_WINDOW_SECONDS)
        self._retries = RollingCount(RETRY_WINDOW_SECONDS)

    def record_request(self, now: float) -> None:
        """Count a logical request, once however often it is tried."""
        self._requests.add(now)

    def try_retry(self, now: float) -> bool:
        """Count and allow one retry, or return False when the budget is spent."""
        allowed = RETRY_RATIO * self._requests.sum(now) + RETRIES_PER_SECOND * RETRY_WINDOW_SECONDS
        if self._retries.sum(now) + 1 > allowed:
            return False
        self._retries.add(now)
        return True


class PanicThrottle:
    """Refuse the more panic calls, the fewer of them have succeeded in the last two minutes."""

    def __init__(self) -> None:
        self._requests = RollingCount(PANIC_WINDOW_SECONDS)
        self._successes = RollingCount(PANIC_WINDOW_SECONDS)

    def compute_refusal_probability(self, now: float) -> float:
        """Compute max(0, (requests - 2 * successes) / (requests + 1)); requests include those refused here."""
        requests = self._requests.sum(now)
        return max(0.0, (requests - 2 * self._successes.sum(now)) / (requests + 1))

    def try_panic(self, now: float, rng: Random) -> bool:
        """Count one request that only the panic route could serve, and say whether it may be sent."""
        is_allowed = rng.random() >= self.compute_refusal_probability(now)
        self._requests.add(now)
        return is_allowed

    def record_success(self, now: float) -> None:
        """Count a panic call that succeeded."""
        self._successes.add(now)
