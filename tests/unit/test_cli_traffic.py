from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from statistics import fmean, median

import pytest

from fuseboard_cli.sample import generate_sample
from fuseboard_cli.trace import Arrival, Event
from fuseboard_cli.traffic import DEFAULT_MIX, FAILED, TIMEOUT_SECONDS, Mix, parse_mix, plan_attempt, plan_attempts
from fuseboard_schema.event import RequestEvent, RequestStatus
from fuseboard_schema.identifiers import make_event_id

ARRIVAL = Arrival(datetime(2026, 5, 1, 12, tzinfo=UTC), 1200, 300)


def seed(number: int) -> Random:
    return Random(number)  # noqa: S311 - traffic, not secrets


def plan_many(mix: str, count: int = 3000) -> list[list[Event]]:
    return [plan_attempts(ARRIVAL, f"r-{number}", parse_mix(mix), seed(number)) for number in range(count)]


def test_a_mix_is_parsed_into_providers_and_weights() -> None:
    assert parse_mix("ollama:60, claude:30.5") == Mix(("ollama", "claude"), (60.0, 30.5))


@pytest.mark.parametrize(
    "text", ["", "ollama", "ollama:", ":5", "a:1,a:2", "a:0", "a:-1", "a:nan", "a:inf", "a:1,,b:2"]
)
def test_a_wrong_mix_is_refused_with_its_wrong_part(text: str) -> None:
    with pytest.raises(ValueError, match="write each provider once with its share"):
        parse_mix(text)


def test_providers_get_their_shares() -> None:
    first = Counter(attempts[0]["provider"] for attempts in plan_many("ollama:60,claude:30,openai:10"))

    assert first.keys() == {"ollama", "claude", "openai"}
    assert 0.55 < first["ollama"] / 3000 < 0.65
    assert 0.26 < first["claude"] / 3000 < 0.34


def test_the_same_seed_plans_the_same() -> None:
    assert plan_many(DEFAULT_MIX, 50) == plan_many(DEFAULT_MIX, 50)


def test_most_attempts_succeed_and_every_status_occurs() -> None:
    statuses = Counter(attempt["status"] for attempts in plan_many(DEFAULT_MIX) for attempt in attempts)

    assert statuses.keys() == {"success", "error", "timeout", "rate_limited", "cancelled"}
    assert 0.9 < statuses["success"] / statuses.total() < 0.995


def test_a_failed_attempt_falls_over_to_another_provider_under_the_same_request_id() -> None:
    retried = [attempts for attempts in plan_many(DEFAULT_MIX) if attempts[0]["status"] in FAILED]

    assert retried
    for first, second in retried:
        assert second["request_id"] == first["request_id"]
        assert second["attempt"] == 2
        assert second["is_fallback"]
        assert second["original_provider"] == first["provider"] != second["provider"]
        assert second["occurred_at"] > first["occurred_at"]


def test_with_one_provider_the_second_attempt_is_no_fallback() -> None:
    retried = [attempts for attempts in plan_many("claude:1") if len(attempts) == 2]

    assert retried
    assert all("is_fallback" not in second and second["provider"] == "claude" for _, second in retried)


@pytest.mark.parametrize("provider", ["ollama", "localai", "claude", "openai", "somebody"])
@pytest.mark.parametrize("status", ["success", "error", "timeout", "rate_limited", "cancelled"])
def test_every_planned_event_keeps_the_rules_of_an_event(provider: str, status: RequestStatus) -> None:
    event = plan_attempt(ARRIVAL, provider, status, seed(7))

    validated = RequestEvent.model_validate({**event, "event_id": make_event_id(event["occurred_at"])})

    assert (validated.provider, validated.status) == (provider, status)
    assert validated.occurred_at > ARRIVAL.arrived_at


def test_only_a_success_has_all_of_the_traces_tokens() -> None:
    def get_tokens(status: RequestStatus) -> tuple[int | None, int | None]:
        event = plan_attempt(ARRIVAL, "claude", status, seed(3))
        return event["prompt_tokens"], event.get("completion_tokens")

    assert get_tokens("success") == (1200, 300)
    assert get_tokens("timeout") == (1200, None)
    assert get_tokens("error") == (0, 0)
    assert get_tokens("rate_limited") == (0, 0)
    cancelled = get_tokens("cancelled")[1]
    assert cancelled is not None
    assert cancelled < 300


def test_more_tokens_take_longer() -> None:
    def take_seconds(prompt_tokens: int, completion_tokens: int) -> float:
        arrival = Arrival(ARRIVAL.arrived_at, prompt_tokens, completion_tokens)
        return float(plan_attempt(arrival, "ollama", "success", seed(5))["duration_seconds"])

    assert take_seconds(100, 10) < take_seconds(4000, 10) < take_seconds(4000, 900)


def test_a_timeout_lasts_as_long_as_the_clients_patience() -> None:
    event = plan_attempt(ARRIVAL, "ollama", "timeout", seed(5))

    assert event["occurred_at"] - ARRIVAL.arrived_at == timedelta(seconds=TIMEOUT_SECONDS)


def test_the_sample_has_the_shape_of_the_real_trace() -> None:
    sample = list(generate_sample())

    gaps = [(b.arrived_at - a.arrived_at).total_seconds() for a, b in pairwise(sample)]
    per_minute = Counter(int((arrival.arrived_at - sample[0].arrived_at).total_seconds() // 60) for arrival in sample)
    assert len(sample) == 4000
    assert all(gap >= 0 for gap in gaps)
    # the trace: mean gap 0.18 s, mean prompt 1155, median answer 129 tokens
    assert 0.12 < fmean(gaps) < 0.27
    assert 900 < fmean(arrival.prompt_tokens for arrival in sample) < 1400
    assert 110 < median(arrival.completion_tokens for arrival in sample) < 200
    # bursts: with independent arrivals at one rate the busiest minute is a fifth above the mean at most
    full_minutes = [count for minute, count in per_minute.items() if minute < max(per_minute)]
    assert max(full_minutes) > 1.2 * fmean(full_minutes)


def test_the_sample_is_the_same_each_time_and_another_with_another_seed() -> None:
    assert list(generate_sample(20)) == list(generate_sample(20))
    assert list(generate_sample(20)) != list(generate_sample(20, seed=2))
