"""Runs the selection_vectors of a file of breaker vectors through the real selection."""

from decimal import Decimal
from random import Random
from typing import Any, Final, cast

from fuseboard_producer.admission import GuardReading
from fuseboard_producer.request import Request
from fuseboard_producer.selection import select
from fuseboard_producer.snapshot import Health, Offer, ProviderView, Rates, Snapshot, sort_views

Json = dict[str, Any]
NEVER: Final = float("inf")
PER_MILLION: Final = Decimal(1_000_000)
# what a case may call what; whatever else it says is refused rather than overlooked
REQUEST_NAMES: Final = {
    "strategy": "strategy",
    "model": "model",
    "in_tokens": "input_tokens",
    "cached_tokens": "cached_input_tokens",
    "cached_in_tokens": "cached_input_tokens",
    "est_out_tokens": "output_tokens",
    "max_tokens": "max_output_tokens",
    "max_out_tokens": "max_output_tokens",
    "max_cost_usd": "max_cost_usd",
    "sticky_key": "sticky_key",
    "explore": "explore",
    "spread": "spread",
    "panic": "panic",
    "needs": "needs",
    "capabilities": "needs",
    "require": "needs",
    "requires": "needs",
    "allow": "providers",
    "deny": "denied",
}
SETS: Final = frozenset({"needs", "providers", "denied"})
CONTEXT_NAMES: Final = ("context", "context_tokens", "max_context", "max_context_tokens", "context_window")
SUSPECT_NAMES: Final = ("guard", "suspect", "guard_suspect")
PROVIDER_NAMES: Final = frozenset(
    {
        *("id", "state", "override", "open_until", "throttle_until", "priority", "weight", "enabled", "capabilities"),
        *("price_in_per_mtok", "price_out_per_mtok", "price_cached_per_mtok"),
        *("samples", "successes", "p50_ms", "mean_out_tokens"),
        *CONTEXT_NAMES,
        *SUSPECT_NAMES,
    }
)


def run_selection_case(case: Json) -> list[tuple[str, object, object]]:
    """Run a case; return the figures that are not as expected: name, expected, got."""
    now = float(case["request"]["now"])
    views = [make_view(provider, now) for provider in case["providers"]]
    suspects = frozenset(
        provider["id"] for provider in case["providers"] if any(provider.get(name) for name in SUSPECT_NAMES)
    )
    plan = select(
        make_request(case["request"]),
        Snapshot(sort_views(views), now),
        now,
        Random(case["request"].get("seed", 0)),  # noqa: S311 - for the order of providers, not for secrets
        guard=GuardReading(suspects=suspects),
    )
    figures = {
        "order": [candidate.provider + ("?" if candidate.lease else "") for candidate in plan.candidates],
        "panic": plan.is_panic,
        "retry_after_s": None if plan.retry_after_seconds is None else round(plan.retry_after_seconds, 6),
        "reasons": dict(plan.reasons),
    }
    return [
        (name, expected, figures.get(name, "a figure this runner does not know"))
        for name, expected in case["expect"].items()
        if name not in figures or figures[name] != expected
    ]


def make_request(told: Json) -> Request:
    """Make the request of a case, without the exploration that would make its result a matter of luck."""
    _refuse_unknown(told, REQUEST_NAMES.keys() | {"now", "seed"})
    fields: Json = {"explore": 0.0}
    for name, value in told.items():
        field = REQUEST_NAMES.get(name)
        if field in SETS:
            fields[field] = frozenset(value)
        elif field == "max_cost_usd" and value is not None:
            fields[field] = Decimal(str(value))
        elif field is not None:
            fields[field] = value
    return Request(**fields)


def make_view(told: Json, now: float) -> ProviderView:
    """Make one provider of a case; half open is open with its time over."""
    _refuse_unknown(told, PROVIDER_NAMES)
    state = told.get("state", "closed")
    open_until = told.get("open_until")
    if state == "open" and open_until is None:
        open_until = NEVER
    override = state if state in {"forced_open", "disabled"} else told.get("override")
    return ProviderView(
        name=told["id"],
        enabled=told.get("enabled", True),
        priority=told.get("priority", 0),
        weight=told.get("weight"),
        state="open" if state in {"open", "half_open"} else "closed",
        epoch=1,
        open_until=now if state == "half_open" else open_until,
        throttle_until=told.get("throttle_until"),
        override=override,
        offer=Offer(
            None,
            _make_rates(told),
            next((told[name] for name in CONTEXT_NAMES if name in told), None),
            frozenset(told.get("capabilities") or ()),
        ),
        health=Health(
            told.get("samples") or 0,
            told.get("successes") or 0,
            None if told.get("p50_ms") is None else told["p50_ms"] / 1000,
            mean_output_tokens=told.get("mean_out_tokens"),
        ),
    )


def _make_rates(told: Json) -> Rates | None:
    prices = [told.get(f"price_{name}_per_mtok") for name in ("in", "out", "cached")]
    rates = [None if price is None else Decimal(str(price)) / PER_MILLION for price in prices]
    return None if None in rates[:2] else Rates(*cast("list[Decimal]", rates))


def _refuse_unknown(told: Json, known: frozenset[str] | set[str]) -> None:
    unknown = told.keys() - known
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
