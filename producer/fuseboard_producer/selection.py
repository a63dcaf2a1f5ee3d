"""Which providers to try for a request, in which order, and why not the others. Pure: no clock, no I/O."""

from collections.abc import Mapping
from decimal import Decimal
from random import Random
from typing import Final, Literal, NamedTuple, TypedDict

from fuseboard_producer.admission import QUIET, GuardReading, Lease, Refusal, admit_view
from fuseboard_producer.ordering import estimate_cost, order_views
from fuseboard_producer.request import Request, Strategy
from fuseboard_producer.snapshot import Offer, ProviderView, Snapshot, make_unknown_view, sort_views
from fuseboard_schema.event import Admission

PANIC_MAX_CANDIDATES: Final = 2
RAMP_PROBABILITY_MIN: Final = 0.1

Reason = (
    Refusal
    | Literal[
        "not_allowed", "denied", "no_model", "no_capability", "context_exceeded", "unpriced", "cost_exceeded",
        "probe_refused",
    ]
)  # fmt: skip
Views = list[ProviderView]


class CandidateFields(TypedDict):
    """The fields of an event by which the circuit knows its call."""

    circuit_epoch: int | None
    admission: Admission
    lease_id: str | None


class Candidate(NamedTuple):
    """One provider to try.

    lease: what to take before a call, None for none; when it is refused, go on with the next candidate. epoch: what
    the event has to say, None where the circuit's state is not known. model: the provider's own name for the requested
    one, None where the request named none. lease_id: of a probe that Redis granted.
    """

    provider: str
    admission: Admission = "normal"
    lease: Lease | None = None
    epoch: int | None = None
    model: str | None = None
    lease_id: str | None = None

    @property
    def event_fields(self) -> CandidateFields:
        """What the event of a call to this candidate has to say of its circuit: keywords of `Producer.request`."""
        return {"circuit_epoch": self.epoch, "admission": self.admission, "lease_id": self.lease_id}


class Plan(NamedTuple):
    """What to try, in order, each at most once.

    reasons: for every provider that is not used. retry_after_seconds: until the nearest deadline of a provider that
    only waits for it, None where none does. preferred: the provider that would be first if every circuit were closed:
    a call to another one is a fallback.
    """

    strategy: Strategy
    candidates: tuple[Candidate, ...]
    is_panic: bool
    reasons: Mapping[str, Reason]
    retry_after_seconds: float | None
    preferred: str | None = None


class Sorted(NamedTuple):
    """Providers by what may be done with them."""

    admitted: Views
    leases: dict[str, Lease]
    kept_out: Views
    waiting: Views
    reasons: dict[str, Reason]
    deadlines: list[float]


def select(
    request: Request,
    snapshot: Snapshot,
    now: float,
    rng: Random,
    *,
    guard: GuardReading = QUIET,
    refused: frozenset[str] = frozenset(),
) -> Plan:
    """Plan which providers to try for a request at `now` (monotonic seconds).

    refused: half-open providers that gave no lease; called again with them, the plan has what is left, which may be
    the panic route. The result depends on the arguments and on what `rng` gives, on nothing else.
    """
    found = _sort_out(request, snapshot, now, guard, refused)
    is_panic = not found.admitted and bool(found.waiting) and request.panic == "route"
    ordered = order_views(found.admitted, request, rng)
    first = ordered[0] if ordered else None
    if is_panic:
        candidates = _list_panic_candidates(found, request)
    else:
        if guard.suspects:
            ordered = _move_suspects(ordered, guard.suspects)
        ordered = _apply_ramp(ordered, guard.suspects, now, rng)
        has_state = snapshot.tell_freshness(now) in ("fresh", "aging")
        candidates = tuple([_make_candidate(view, request, found.leases, has_state) for view in ordered])
    nearest = min(found.deadlines) - now if found.deadlines else None
    preferred = _find_preferred(found, first, request, rng) if found.kept_out else first
    return Plan(request.strategy, candidates, is_panic, found.reasons, nearest, preferred.name if preferred else None)


def find_ineligibility(view: ProviderView, request: Request) -> Reason | None:
    """Find why a request must not go to a provider, whatever the state of its circuit; None when it may."""
    if not view.enabled:
        return "not_enabled"
    if request.providers is not None and view.name not in request.providers:
        return "not_allowed"
    if view.name in request.denied:
        return "denied"
    offer = view.find_offer(request.model)
    if offer is None:
        return "no_model"
    reason = _find_mismatch(offer, request)
    if reason is None and request.max_cost_usd is not None:
        reason = _compare_cost(estimate_cost(view, request), request.max_cost_usd)
    return reason


def _find_mismatch(offer: Offer, request: Request) -> Reason | None:
    if request.needs and not request.needs <= offer.capabilities:
        return "no_capability"
    if offer.context_tokens is not None:
        needed_tokens = (request.input_tokens or 0) + request.output_tokens_max
        if needed_tokens > offer.context_tokens:
            return "context_exceeded"
    return None


def _compare_cost(cost_usd: Decimal | None, max_cost_usd: Decimal) -> Reason | None:
    if cost_usd is None:
        return "unpriced"
    return "cost_exceeded" if cost_usd > max_cost_usd else None


def _sort_out(request: Request, snapshot: Snapshot, now: float, guard: GuardReading, refused: frozenset[str]) -> Sorted:
    found = Sorted([], {}, [], [], {}, [])
    admitted, leases, kept_out, waiting, reasons, deadlines = found
    freshness = snapshot.tell_freshness(now)
    throttles = guard.throttles
    for view in _list_views(request, snapshot):
        reason = find_ineligibility(view, request)
        if reason is not None:
            reasons[view.name] = reason
            continue
        refusal, lease, until = admit_view(view, freshness, now, throttles)
        if refusal is None and (lease is None or view.name not in refused):
            admitted.append(view)
            if lease is not None:
                leases[view.name] = lease
            continue
        reasons[view.name] = refusal or "probe_refused"
        kept_out.append(view)
        if until is not None:
            deadlines.append(until)
        if refusal in ("open", None):
            waiting.append(view)
    return found


def _list_views(request: Request, snapshot: Snapshot) -> tuple[ProviderView, ...]:
    if request.providers is None or request.providers <= snapshot.by_name.keys():
        return snapshot.providers
    unknown = request.providers - snapshot.by_name.keys()
    return sort_views((*snapshot.providers, *map(make_unknown_view, unknown)))


def _make_candidate(view: ProviderView, request: Request, leases: Mapping[str, Lease], has_state: bool) -> Candidate:
    lease = leases.get(view.name)
    model = request.model
    if model is not None:
        offer = view.find_offer(model)
        model = (offer.model if offer else None) or model
    # an epoch that is no longer trusted would fence off the event; without one its start decides
    return Candidate(view.name, "probe" if lease else "normal", lease, view.epoch if has_state else None, model)


def _list_panic_candidates(found: Sorted, request: Request) -> tuple[Candidate, ...]:
    """List the open providers that are nearest to being tried again; they come sorted, and sorting is stable."""
    nearest = sorted(found.waiting, key=lambda view: view.open_until or 0.0)[:PANIC_MAX_CANDIDATES]
    for view in nearest:
        del found.reasons[view.name]
    return tuple(_make_candidate(view, request, {}, has_state=True)._replace(admission="panic") for view in nearest)


def _find_preferred(found: Sorted, first: ProviderView | None, request: Request, rng: Random) -> ProviderView:
    """Find who would be first if none of these circuits kept anybody out.

    Where chance decides, a draw among all that falls on an admitted one stands for the draw that was made.
    """
    winner = order_views(list(sort_views(found.admitted + found.kept_out)), request, rng)[0]
    return first if first is not None and winner not in found.kept_out else winner


def _move_suspects(views: Views, suspects: frozenset[str]) -> Views:
    trusted = [view for view in views if view.name not in suspects]
    return trusted + [view for view in views if view.name in suspects]


def _apply_ramp(views: Views, suspects: frozenset[str], now: float, rng: Random) -> Views:
    """Let a circuit that has just closed go first only now and then, so that its traffic returns step by step."""
    for place, view in enumerate(views):
        if view.name in suspects:
            break
        if _passes_ramp(view, now, rng):
            return [view, *views[:place], *views[place + 1 :]] if place else views
    return views


def _passes_ramp(view: ProviderView, now: float, rng: Random) -> bool:
    if view.closed_at is None or now - view.closed_at >= view.ramp_seconds:
        return True
    return rng.random() < max(RAMP_PROBABILITY_MIN, (now - view.closed_at) / view.ramp_seconds)
