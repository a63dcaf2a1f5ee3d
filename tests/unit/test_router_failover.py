"""The loop over the providers, in both colours: who is tried, when it ends, and what is recorded."""

from pathlib import Path

import pytest

from fuseboard_producer import Attempt, NoProviderAvailable, Request
from fuseboard_producer.snapshot import Offer, Snapshot
from fuseboard_schema.circuit_settings import CircuitSettings
from router_tools import APIError, Mode, OverloadedError, RateLimitError, Rig, answer, fail_with, make_rig
from selection_tools import make_view

OLLAMA = make_view("ollama", priority=1, epoch=4)
LOCALAI = make_view("localai", priority=2, epoch=5)
CLAUDE = make_view("claude", priority=3, epoch=6)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    return make_rig(monkeypatch, tmp_path, OLLAMA, LOCALAI, CLAUDE)


def test_the_first_choice_answers_and_is_recorded_once(mode: Mode, rig: Rig) -> None:
    def ask(attempt: Attempt) -> str:
        attempt.set_usage(prompt_tokens=7)
        return f"{attempt.provider} {attempt.model} {attempt.attempt} {attempt.admission} {attempt.epoch}"

    got = rig.call(mode, {"claude": ask, "ollama": ask}, Request(model="m"), fields={"tags": {"team": "search"}})

    assert got == "ollama m 1 normal 4"
    (event,) = rig.events
    assert event.pop("duration_seconds") >= 0
    assert event.pop("request_id")
    assert event == {
        "provider": "ollama", "model": "m", "attempt": 1, "prompt_tokens": 7,
        "is_fallback": False, "original_provider": None, "circuit_epoch": 4, "admission": "normal", "lease_id": None,
        "tags": {"team": "search"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [APIError(503), APIError(401), RateLimitError(429), OverloadedError(529), ConnectionError(), APIError(None)],
    ids=lambda error: f"{type(error).__name__} {getattr(error, 'status_code', '')}",
)
def test_what_another_provider_may_do_goes_to_the_next_one(mode: Mode, rig: Rig, error: Exception) -> None:
    assert rig.call(mode, {"ollama": fail_with(error), "localai": answer, "claude": answer}) == "localai"

    first, second = rig.events
    assert first["request_id"] == second["request_id"]
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert (first["is_fallback"], second["is_fallback"]) == (False, True)
    assert (first["original_provider"], second["original_provider"]) == (None, "ollama")
    assert first["error_type"] == type(error).__name__
    assert rig.router.counters.failovers == 1


@pytest.mark.parametrize("error", [APIError(400), APIError(422), ValueError("mine"), TimeoutError(), KeyError("usage")])
def test_a_neutral_error_goes_to_the_caller_at_once(mode: Mode, rig: Rig, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        rig.call(mode, {"ollama": fail_with(error), "claude": answer})

    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert rig.providers == ["ollama"]


def test_a_timeout_counts_when_the_provider_had_the_time_that_operators_give_it(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hasty = make_view("ollama", settings=CircuitSettings(min_timeout_for_failure_s=0))
    rig = make_rig(monkeypatch, tmp_path, hasty, CLAUDE)

    assert rig.call(mode, {"ollama": fail_with(TimeoutError()), "claude": answer}) == "claude"


def test_when_nobody_is_left_the_last_providers_error_is_raised_with_a_note_of_all(mode: Mode, rig: Rig) -> None:
    last = RateLimitError(429)

    with pytest.raises(RateLimitError) as caught:
        rig.call(mode, {"ollama": fail_with(APIError()), "claude": fail_with(last)})

    assert caught.value is last
    (note,) = last.__notes__
    assert note.startswith("fuseboard: tried ollama (APIError, failure), claude (RateLimitError, throttle); ")
    assert rig.providers == ["ollama", "claude"]


def test_a_neutral_error_after_others_tells_of_them(mode: Mode, rig: Rig) -> None:
    with pytest.raises(ValueError, match="mine") as caught:
        rig.call(mode, {"ollama": fail_with(APIError()), "localai": fail_with(ValueError("mine")), "claude": answer})

    assert "tried ollama (APIError, failure), localai (ValueError, neutral)" in caught.value.__notes__[0]


def test_no_provider_is_tried_twice_and_no_more_than_allowed(mode: Mode, rig: Rig) -> None:
    failing = dict.fromkeys(("ollama", "localai", "claude"), fail_with(APIError()))

    with pytest.raises(APIError) as caught:
        rig.call(mode, failing, max_attempts=2)
    assert "max_attempts is 2" in caught.value.__notes__[-1]
    with pytest.raises(APIError):
        rig.call(mode, failing, max_attempts=9)

    assert rig.providers == ["ollama", "localai", "ollama", "localai", "claude"]


def test_no_attempt_starts_after_the_deadline(mode: Mode, rig: Rig) -> None:
    def hang(_: Attempt) -> str:
        rig.now += 10
        raise APIError

    with pytest.raises(APIError) as caught:
        rig.call(mode, {"ollama": hang, "claude": answer}, deadline_seconds=10)

    assert "the deadline has passed" in caught.value.__notes__[-1]
    assert rig.providers == ["ollama"]


def test_the_retry_budget_ends_failing_over(mode: Mode, rig: Rig) -> None:
    functions = {"ollama": fail_with(APIError()), "localai": answer}
    # three retries a second over ten seconds, and a tenth of these requests
    allowed = 30 + 3
    for _ in range(allowed):
        assert rig.call(mode, functions) == "localai"
        rig.show(OLLAMA, LOCALAI, CLAUDE)
        rig.router._state.guard.record_success("ollama")

    with pytest.raises(APIError) as caught:
        rig.call(mode, functions)

    assert "retry budget" in caught.value.__notes__[-1]
    assert (rig.router.counters.failovers, rig.router.counters.retries_denied) == (allowed, 1)


def test_a_prompt_that_is_too_long_goes_only_where_there_may_be_more_room(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rig = make_rig(
        monkeypatch,
        tmp_path,
        make_view("a", priority=1, offer=Offer(context_tokens=8000)),
        make_view("as-small", priority=2, offer=Offer(context_tokens=8000)),
        make_view("large", priority=3, offer=Offer(context_tokens=200_000)),
    )
    too_long = APIError(400, "prompt is too long: 9000 tokens > 8000 maximum")

    assert rig.call(mode, {"a": fail_with(too_long), "as-small": answer, "large": answer}) == "large"
    with pytest.raises(APIError) as caught:
        rig.call(mode, {"a": fail_with(too_long), "as-small": answer})

    assert caught.value is too_long
    assert rig.providers == ["a", "large", "a"]


def test_a_model_that_a_provider_lacks_is_asked_of_one_that_has_it(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    claims = make_view("claims", priority=1, offers={"m": Offer("m:latest")})
    rig = make_rig(monkeypatch, tmp_path, claims, make_view("without", offers={"x": Offer()}, priority=2), CLAUDE)
    missing = APIError(404, 'model "m:latest" not found, try pulling it first')
    functions = {"claims": fail_with(missing), "without": answer, "claude": answer}

    assert rig.call(mode, functions, Request(model="m")) == "claude"

    first, second = rig.events
    assert (first["model"], first["requested_model"]) == ("m:latest", "m")
    assert (second["model"], second.get("requested_model")) == ("m", None)


def test_while_nothing_is_known_the_callers_order_holds(mode: Mode, rig: Rig) -> None:
    rig.poller.snapshot = Snapshot((), None)

    assert rig.call(mode, {"zeta": fail_with(APIError()), "alpha": answer}) == "alpha"

    assert rig.providers == ["zeta", "alpha"]
    assert [event["circuit_epoch"] for event in rig.events] == [None, None]


def test_a_request_goes_only_to_what_it_allows_of_what_can_be_called(mode: Mode, rig: Rig) -> None:
    everything = {"ollama": answer, "localai": answer, "claude": answer}

    assert rig.call(mode, everything, Request(providers=frozenset({"claude", "openai"}))) == "claude"
    assert rig.call(mode, {"claude": answer}) == "claude"
    with pytest.raises(NoProviderAvailable) as caught:
        rig.call(mode, {"ollama": answer}, Request(providers=frozenset({"claude"})))

    assert caught.value.reasons == {"ollama": "not_allowed", "localai": "not_allowed", "claude": "not_allowed"}
    assert rig.providers == ["claude", "claude"]


def test_a_model_that_is_missing_says_nothing_about_room(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    large = make_view("large", priority=1, offer=Offer(context_tokens=200_000))
    rig = make_rig(monkeypatch, tmp_path, large, make_view("small", priority=2, offer=Offer(context_tokens=8000)))

    missing = APIError(404, "The model `m` does not exist")
    assert rig.call(mode, {"large": fail_with(missing), "small": answer}, Request(model="m")) == "small"
