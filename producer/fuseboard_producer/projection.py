"""From the Redis hash of circuit states (C.8) to a snapshot in this worker's clock."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fuseboard_producer.snapshot import (
    DEFAULT_PRIORITY,
    DEFAULT_SETTINGS,
    CircuitState,
    Health,
    Offer,
    Override,
    ProviderType,
    ProviderView,
    Rates,
    Snapshot,
    sort_views,
)
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD
from fuseboard_schema.circuit_projection import check_hint, find_latest
from fuseboard_schema.circuit_settings import CircuitSettings, Span, Wait

Rate = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
NO_HINTS: Final[Mapping[bytes | str, bytes | str]] = MappingProxyType({})
# an empty array that went through a Lua script comes back as an empty object
Names = Annotated[frozenset[str], BeforeValidator(lambda names: names or [])]


class Part(BaseModel):
    """Later versions may add keys; known ones must be right."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class OfferPart(Part):
    """What is offered for one model, or for all: rates in USD per token."""

    model: str | None = None
    input_usd_per_token: Rate | None = None
    output_usd_per_token: Rate | None = None
    cache_read_usd_per_token: Rate | None = None
    context_tokens: int | None = Field(None, ge=1)
    capabilities: Names = frozenset()

    def make_offer(self) -> Offer:
        """Make the value that selection uses; half a price is no price."""
        rates = None
        if self.input_usd_per_token is not None and self.output_usd_per_token is not None:
            rates = Rates(self.input_usd_per_token, self.output_usd_per_token, self.cache_read_usd_per_token)
        return Offer(self.model, rates, self.context_tokens, self.capabilities)


class SettingsPart(OfferPart):
    """Key `c`: what operators configured, from llm_providers and llm_prices."""

    enabled: bool = True
    provider_type: ProviderType = "remote"
    priority: int = DEFAULT_PRIORITY
    weight: float | None = Field(None, ge=0)
    ramp_s: float = Field(20.0, ge=0)
    models: dict[str, OfferPart] = Field(default_factory=dict)
    probe_lease_ttl_s: Span = DEFAULT_SETTINGS.probe_lease_ttl_s
    throttle_default_s: Span = DEFAULT_SETTINGS.throttle_default_s
    retry_after_cap_s: Span = DEFAULT_SETTINGS.retry_after_cap_s
    min_timeout_for_failure_s: Wait = DEFAULT_SETTINGS.min_timeout_for_failure_s

    def make_settings(self) -> CircuitSettings:
        """Make the settings that a worker goes by when it judges a call."""
        return CircuitSettings(
            probe_lease_ttl_s=self.probe_lease_ttl_s,
            throttle_default_s=self.throttle_default_s,
            retry_after_cap_s=self.retry_after_cap_s,
            min_timeout_for_failure_s=self.min_timeout_for_failure_s,
        )


class HealthPart(Part):
    """Key `h`: ten minutes (n, ok, p50_ms, p95_ms) and a day (ok_24h, p50_24h_ms); latencies of successes."""

    n: int = Field(0, ge=0)
    ok: int = Field(0, ge=0)
    p50_ms: float | None = Field(None, ge=0)
    p95_ms: float | None = Field(None, ge=0)
    ok_24h: int = Field(0, ge=0)
    p50_24h_ms: float | None = Field(None, ge=0)
    mean_output_tokens: float | None = Field(None, ge=0)

    def make_health(self) -> Health:
        """Make the value that selection uses."""
        p50, p95, day_p50 = (
            None if milliseconds is None else milliseconds / 1000
            for milliseconds in (self.p50_ms, self.p95_ms, self.p50_24h_ms)
        )
        return Health(self.n, self.ok, p50, p95, self.ok_24h, day_p50, self.mean_output_tokens)


class EntryPart(Part):
    """One field's value. til and thr are milliseconds of Redis's clock; 0 or null is none."""

    r: int = 0
    v: int = 0
    st: CircuitState = "closed"
    ep: int | None = None
    til: float | None = None
    thr: float | None = None
    ov: Override | Literal[""] | None = None
    h: HealthPart = HealthPart()
    c: SettingsPart | None = None


def decode_snapshot(
    mapping: Mapping[bytes | str, bytes | str],
    redis_now_ms: float,
    monotonic_now: float,
    previous: Snapshot | None = None,
    hints: Mapping[bytes | str, bytes | str] = NO_HINTS,
) -> Snapshot:
    """Decode the whole hash, read together with Redis's TIME at `monotonic_now` seconds.

    A field that cannot be read leaves its provider without circuit state, so it fails open. `previous` is the snapshot
    this one replaces: it tells when a circuit closed, and holds what operators configured while a flushed
    Redis does not (the heartbeat, written after a full publication, tells that it is complete).
    hints: throttle deadlines that workers were told by a 429, in Redis's milliseconds; the later deadline holds.
    """
    offset_seconds = monotonic_now - redis_now_ms / 1000
    texts = {_read_text(name): _read_text(value) for name, value in mapping.items()}
    heartbeat = texts.pop(HEARTBEAT_FIELD, None)
    known = previous.by_name if previous else {}
    views, bad_fields = {}, {}
    for name, text in texts.items():
        try:
            entry = EntryPart.model_validate_json(text)
        except ValidationError as error:
            bad_fields[name] = _describe_first(error)
            views[name] = _forget_circuit(known.get(name) or ProviderView(name=name))
        else:
            views[name] = _make_view(name, entry, offset_seconds, monotonic_now, known.get(name))
    if heartbeat is None:
        views = {name: _forget_circuit(view) for name, view in known.items()} | views
    for hinted, deadline in hints.items():
        view = views.get(_read_text(hinted))
        if view is not None:
            until = _read_deadline(_read_text(deadline), offset_seconds)
            views[view.name] = _merge_hint(view, until, monotonic_now)
    return Snapshot(sort_views(views.values()), monotonic_now, _read_deadline(heartbeat, offset_seconds), bad_fields)


def _make_view(
    name: str, entry: EntryPart, offset_seconds: float, now: float, previous: ProviderView | None
) -> ProviderView:
    view = previous or ProviderView(name=name)
    if entry.c is not None:
        view = _apply_settings(view, entry.c)
    view = replace(
        view,
        state=entry.st,
        # 0 says that the writer knew none
        epoch=entry.ep or None,
        version=entry.v,
        revision=entry.r,
        open_until=_read_deadline(entry.til, offset_seconds) if entry.st == "open" else None,
        throttle_until=_read_deadline(entry.thr, offset_seconds),
        override=entry.ov or None,
        health=entry.h.make_health(),
    )
    return replace(view, closed_at=_find_closed_at(view, previous, now))


def _merge_hint(view: ProviderView, hinted_until: float | None, now: float) -> ProviderView:
    hint = check_hint(hinted_until, now, view.settings.retry_after_cap_s)
    return view if hint is None else replace(view, throttle_until=find_latest(hint, view.throttle_until))


def _apply_settings(view: ProviderView, part: SettingsPart) -> ProviderView:
    return replace(
        view,
        enabled=part.enabled,
        provider_type=part.provider_type,
        priority=part.priority,
        weight=part.weight,
        ramp_seconds=part.ramp_s,
        offer=part.make_offer(),
        offers={model: offer.make_offer() for model, offer in part.models.items()},
        settings=part.make_settings(),
    )


def _find_closed_at(view: ProviderView, previous: ProviderView | None, now: float) -> float | None:
    if previous is None or not lets_through(view):
        return None
    return previous.closed_at if lets_through(previous) else now


def lets_through(view: ProviderView) -> bool:
    """Say whether the circuit, as it stands, admits everything."""
    return view.override == "disabled" or (view.state == "closed" and view.override is None)


def _forget_circuit(view: ProviderView) -> ProviderView:
    return replace(
        view, state="closed", epoch=None, open_until=None, throttle_until=None, override=None, closed_at=None
    )


def _read_deadline(milliseconds: float | str | None, offset_seconds: float) -> float | None:
    try:
        value = float(milliseconds or 0)
    except ValueError:
        return None
    return value / 1000 + offset_seconds if value > 0 else None


def _read_text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _describe_first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place[:80]}: {first['msg'][:200]}"
