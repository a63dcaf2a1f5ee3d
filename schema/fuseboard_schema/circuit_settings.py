"""Settings of a provider's circuit breaker: llm_providers.circuit_settings, decoded and bounded once."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fuseboard_schema.validation import describe_validation_error

DAY_SECONDS = 86_400


class CircuitSettingsError(ValueError):
    """A provider's circuit settings are wrong; the message names the provider and every wrong key."""


Count = Annotated[int, Field(ge=1, le=1_000_000)]
# the window keeps this many events or workers for a rule, so these bound the size of a health row
SmallCount = Annotated[int, Field(ge=1, le=100)]
Rate = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Span = Annotated[float, Field(gt=0, le=DAY_SECONDS, allow_inf_nan=False)]
Wait = Annotated[float, Field(ge=0, le=DAY_SECONDS, allow_inf_nan=False)]


class CircuitSettings(BaseModel):
    """One field per key of the specification's part C.4, with its default; _s are seconds, _ms milliseconds.

    Where a first duration exceeds its cap (open_base_s and open_max_s, throttle_default_s and throttle_max_s), the
    cap holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    window_s: Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)] = 60
    """Calls of this long before the newest one are judged by the rates."""
    min_calls: Count = 10
    """Fewer calls in the window say nothing about a rate."""
    failure_rate: Rate = 0.5
    """This share of failures opens the circuit."""
    slow_ms: Annotated[float, Field(ge=0, le=DAY_SECONDS * 1000, allow_inf_nan=False)] | None = None
    """A call is slow when its time to the first token, or else its duration, is above this; null: never."""
    slow_rate: Rate = 1.0
    """This share of slow calls opens the circuit."""
    consecutive_failures: SmallCount = 5
    """This many failures in a row open the circuit, however few calls there are."""
    consecutive_max_age_s: Span = 300
    """Failures older than this, before the newest call, are in no row."""
    fatal_threshold: SmallCount = 3
    """This many refusals of our credential in a row open the circuit."""
    fatal_open_s: Wait = 300
    """The least time that such a refusal keeps it open."""
    min_reporters: SmallCount = 2
    """So many workers must have failed, or all that called if they are fewer."""
    open_base_s: Span = 30
    """How long the circuit stays open the first time."""
    open_mult: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)] = 2
    """Each further time it stays open so many times longer."""
    open_max_s: Span = 600
    """But never longer than this."""
    jitter_ratio: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.2
    """Up to this share is added to the time, the same for the same provider and epoch."""
    backoff_reset_after_s: Wait = 300
    """After being closed for this long it starts at open_base_s again."""
    half_open_max_probes: SmallCount = 3
    """So many probes at a time, over all workers."""
    success_threshold: SmallCount = 2
    """So many good probes close the circuit."""
    probe_lease_ttl_s: Span = 90
    """A probe's lease ends after this: a request's timeout, of a minute, and half a minute for its event to arrive."""
    throttle_default_s: Span = 5
    """How long a rate limit without Retry-After holds the first time; it doubles from time to time."""
    throttle_max_s: Span = 300
    """But never longer than this."""
    retry_after_cap_s: Span = 3600
    """The most that a Retry-After is believed."""
    allowed_lateness_s: Wait = 60
    """Events that are older than the window and this touch the circuit no more."""
    max_future_skew_s: Wait = 5
    """Events from further ahead than this count as from then."""
    ramp_s: Wait = 20
    """For so long after closing, only a growing share of calls goes to the provider first."""
    min_timeout_for_failure_s: Wait = 5
    """A timeout counts as the provider's failure only if the provider had this long."""


def parse_circuit_settings(overrides: Mapping[str, Any], provider: str) -> CircuitSettings:
    """Parse llm_providers.circuit_settings of a provider; keys that are not given have their defaults.

    Raises CircuitSettingsError naming every key that is unknown or out of its bounds.
    """
    try:
        return CircuitSettings.model_validate(dict(overrides))
    except ValidationError as error:
        raise CircuitSettingsError(f"circuit_settings of {provider}: {describe_validation_error(error)}") from error
