"""May a provider be called now? The circuit, its deadlines and the age of what is known, in one place."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from fuseboard_producer.snapshot import Freshness, ProviderView, Snapshot, make_unknown_view

Refusal = Literal["not_enabled", "forced_open", "throttled", "open"]
# who grants the probe of a half-open circuit: Redis, for the whole fleet, or this process alone
Lease = Literal["shared", "local"]


class Verdict(NamedTuple):
    """Whether a provider may be called: `refusal` None is yes, with a lease first where one is named.

    until: monotonic seconds at which the refusal ends by itself, None where it does not.
    """

    refusal: Refusal | None
    lease: Lease | None = None
    until: float | None = None


class GuardReading(NamedTuple):
    """What this process has seen itself: providers to rank last, and the ends of throttles in monotonic seconds."""

    suspects: frozenset[str] = frozenset()
    throttles: Mapping[str, float] = MappingProxyType({})


ADMITTED: Final = Verdict(None)
QUIET: Final = GuardReading()
FORCED_OPEN: Final = Verdict("forced_open")
NOT_ENABLED: Final = Verdict("not_enabled")
NEEDS_SHARED_LEASE: Final = Verdict(None, "shared")
NEEDS_LOCAL_LEASE: Final = Verdict(None, "local")


def check_provider(name: str, snapshot: Snapshot, now: float, guard: GuardReading = QUIET) -> Verdict:
    """Say whether one provider may be called at `now` (monotonic seconds); takes no lease."""
    view = snapshot.by_name.get(name) or make_unknown_view(name)
    return admit_view(view, snapshot.tell_freshness(now), now, guard.throttles) if view.enabled else NOT_ENABLED


def admit_view(view: ProviderView, freshness: Freshness, now: float, throttles: Mapping[str, float]) -> Verdict:
    """Say whether the circuit of an enabled provider lets a call through."""
    if view.override == "forced_open":
        return FORCED_OPEN
    is_trusted = freshness in ("fresh", "aging")
    throttled_until = throttles.get(view.name) if throttles else None
    if is_trusted and view.throttle_until is not None:
        throttled_until = max(view.throttle_until, throttled_until or view.throttle_until)
    is_throttled = throttled_until is not None and now < throttled_until
    if not is_throttled and (view.state == "closed" or view.override == "disabled" or not is_trusted):
        return ADMITTED
    is_open = is_trusted and view.state == "open" and view.override is None
    open_until = view.open_until if is_open else None
    if throttled_until is not None and is_throttled:
        # both deadlines must pass before anything is admitted
        return Verdict("throttled", until=max(throttled_until, open_until or throttled_until))
    if open_until is not None and now < open_until:
        return Verdict("open", until=open_until)
    return NEEDS_SHARED_LEASE if freshness == "fresh" else NEEDS_LOCAL_LEASE
