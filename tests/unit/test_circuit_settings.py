import json
from typing import Any

import pytest
from pydantic import ValidationError

from fuseboard_schema.circuit_settings import CircuitSettings, CircuitSettingsError, parse_circuit_settings

# part C.4 of the specification
DEFAULTS = {
    "window_s": 60,
    "min_calls": 10,
    "failure_rate": 0.5,
    "slow_ms": None,
    "slow_rate": 1.0,
    "consecutive_failures": 5,
    "consecutive_max_age_s": 300,
    "fatal_threshold": 3,
    "fatal_open_s": 300,
    "min_reporters": 2,
    "open_base_s": 30,
    "open_mult": 2,
    "open_max_s": 600,
    "jitter_ratio": 0.2,
    "backoff_reset_after_s": 300,
    "half_open_max_probes": 3,
    "success_threshold": 2,
    "probe_lease_ttl_s": 90,
    "throttle_default_s": 5,
    "throttle_max_s": 300,
    "retry_after_cap_s": 3600,
    "allowed_lateness_s": 60,
    "max_future_skew_s": 5,
    "ramp_s": 20,
    "min_timeout_for_failure_s": 5,
}


def test_the_keys_and_defaults_are_the_specifications() -> None:
    assert parse_circuit_settings({}, "claude").model_dump() == DEFAULTS


def test_what_is_given_replaces_a_default_and_reads_back_as_written() -> None:
    stored = json.loads('{"min_calls": 3, "slow_ms": 4000, "failure_rate": 1}')

    read = parse_circuit_settings(stored, "claude")

    assert read.model_dump() == DEFAULTS | stored
    assert parse_circuit_settings(read.model_dump(mode="json"), "claude") == read


@pytest.mark.parametrize("key", [key for key in DEFAULTS if key != "slow_ms"])
@pytest.mark.parametrize("value", [-1, "5", None, True, float("nan"), float("inf"), 1e9])
def test_a_value_out_of_bounds_is_refused_by_its_key(key: str, value: Any) -> None:  # noqa: ANN401 - any wrong one
    with pytest.raises(CircuitSettingsError, match=f"^circuit_settings of claude: {key}: "):
        parse_circuit_settings({key: value}, "claude")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("failure_rate", 0),
        ("slow_rate", 1.01),
        ("min_calls", 2.5),
        ("min_calls", 0),
        ("consecutive_failures", 101),
        ("min_reporters", 101),
        ("window_s", 0.5),
        ("window_s", 3601),
        ("open_mult", 0.9),
        ("jitter_ratio", 1.1),
        ("slow_ms", -1),
        ("slow_ms", "fast"),
    ],
)
def test_a_value_just_out_of_its_bounds_is_refused(key: str, value: Any) -> None:  # noqa: ANN401 - any wrong one
    with pytest.raises(CircuitSettingsError, match=key):
        parse_circuit_settings({key: value}, "claude")


def test_every_wrong_key_is_named() -> None:
    with pytest.raises(CircuitSettingsError, match=r"open_base_s: .*min_call: "):
        parse_circuit_settings({"min_call": 3, "open_base_s": 0}, "claude")


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(CircuitSettings(), "min_calls", 3)  # noqa: B010 - a type checker refuses the plain form, as it should
