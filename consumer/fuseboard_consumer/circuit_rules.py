"""The rules that open a closed circuit, and the deadline that a rate limit sets. Pure."""

from fuseboard_consumer.circuit_counts import Counts
from fuseboard_consumer.circuit_state import MAX_DOUBLINGS, Circuit, CircuitEvent, RuleReason
from fuseboard_schema.circuit_settings import CircuitSettings


def find_broken_rule(counts: Counts, settings: CircuitSettings) -> RuleReason | None:
    """Find the first rule that the window breaks (R5).

    A rule needs failures of min_reporters workers, or of all that called, so that one bad worker opens nothing for the
    others; a refused credential is everybody's, so it needs no quorum.
    """
    if counts.calls >= settings.min_calls:
        is_failing = counts.bad / counts.calls >= settings.failure_rate
        if is_failing and counts.count_failed_callers() >= counts.count_callers():
            return "failure_rate"
        is_slow = settings.slow_ms is not None and counts.slow / counts.calls >= settings.slow_rate
        if is_slow and counts.count_slow_callers() >= counts.count_callers():
            return "slow_rate"
    in_a_row = counts.count_failures_in_a_row()
    if in_a_row >= settings.consecutive_failures and counts.count_callers_of_row() >= counts.count_callers():
        return "consecutive"
    if counts.count_fatals_in_a_row() >= settings.fatal_threshold:
        return "fatal"
    return None


def throttle_circuit(circuit: Circuit, event: CircuitEvent, at: float, settings: CircuitSettings) -> Circuit:
    """Move the throttle's deadline forward, never back (R1); `at` is when the event counts as finished."""
    known = float("-inf") if circuit.throttle_until is None else circuit.throttle_until
    hint = event.retry_after_seconds
    if event.outcome == "success":
        return circuit._replace(throttle_streak=0) if circuit.throttle_streak and at > known else circuit
    if event.outcome != "throttle" and (event.outcome != "failure" or hint is None):
        return circuit
    if hint is not None:
        seconds = min(max(hint, 0.0), settings.retry_after_cap_s)
        return circuit._replace(throttle_until=max(known, round(at + seconds, 6)))
    if at < known:
        return circuit
    streak = circuit.throttle_streak + 1
    seconds = min(settings.throttle_max_s, settings.throttle_default_s * 2.0 ** min(streak - 1, MAX_DOUBLINGS))
    return circuit._replace(throttle_until=max(known, round(at + seconds, 6)), throttle_streak=streak)
