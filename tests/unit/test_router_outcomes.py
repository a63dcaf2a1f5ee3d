"""What the router learns from a call, for itself and for the fleet, and what its event says."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fuseboard_producer import Attempt, Request
from fuseboard_producer.circuit_scripts import Grant
from fuseboard_producer.leases import Release
from fuseboard_producer.snapshot_poller import Hint
from router_tools import APIError, Mode, RateLimitError, Rig, answer, fail_with, make_rig
from selection_tools import NOW, make_view, open_view

OLLAMA = make_view("ollama", priority=1, epoch=4)
LOCALAI = make_view("localai", priority=2, epoch=5)
CLAUDE = make_view("claude", priority=3, epoch=6)
HALF_OPEN = open_view("ollama", NOW - 1, priority=1)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    return make_rig(monkeypatch, tmp_path, OLLAMA, LOCALAI, CLAUDE)


def test_requests_do_not_share_their_id_unless_told_to(mode: Mode, rig: Rig) -> None:
    for fields in ({}, {}, {"request_id": "mine"}):
        rig.call(mode, {"ollama": answer}, fields=fields)

    ids = [event["request_id"] for event in rig.events]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"


def test_a_function_that_returns_has_answered_whatever_status_it_sets(mode: Mode, rig: Rig) -> None:
    def ask(attempt: Attempt) -> str:
        attempt.set_fields(status="error", http_status=503, error_type="overloaded_error")
        return "half an answer"

    for _ in range(3):
        assert rig.call(mode, {"ollama": ask, "claude": answer}) == "half an answer"

    # but it counts against the provider
    assert rig.call(mode, {"ollama": ask, "claude": answer}) == "claude"
    assert rig.events[3]["original_provider"] == "ollama"


@pytest.mark.parametrize("nonsense", [{"retry_after_seconds": "soon"}, {"http_status": [1]}, {"error_type": 5}])
def test_nonsense_about_a_call_disturbs_nothing(mode: Mode, rig: Rig, nonsense: dict[str, Any]) -> None:
    def ask(attempt: Attempt) -> str:
        attempt.set_fields(status="rate_limited", duration_seconds=float("nan"), **nonsense)
        return "answer"

    assert rig.call(mode, {"ollama": ask}) == "answer"
    assert len(rig.events) == 1


def test_the_model_of_an_event_is_what_answered_or_unknown(mode: Mode, rig: Rig) -> None:
    def ask(attempt: Attempt) -> str:
        attempt.set_response_model("llama3:8b")
        return "answer"

    rig.call(mode, {"ollama": answer})
    rig.call(mode, {"ollama": ask})
    rig.call(mode, {"ollama": ask}, Request(model="llama3"))

    named = [(event["model"], event.get("requested_model")) for event in rig.events]
    assert named == [("unknown", None), ("llama3:8b", None), ("llama3:8b", "llama3")]


def test_a_429_keeps_the_provider_out_at_once_and_tells_the_fleet(mode: Mode, rig: Rig) -> None:
    functions = {"ollama": fail_with(RateLimitError(429, retry_after="30")), "claude": answer}

    rig.call(mode, functions)
    rig.call(mode, functions)
    rig.now += 31
    rig.call(mode, functions)

    assert rig.providers == ["ollama", "claude", "claude", "ollama", "claude"]
    assert rig.hints == [Hint("ollama", 30.0), Hint("ollama", 30.0)]
    assert rig.events[2]["original_provider"] == "ollama"


def test_a_503_with_retry_after_is_a_throttle_as_well_and_one_without_is_not(mode: Mode, rig: Rig) -> None:
    rig.call(mode, {"ollama": fail_with(APIError(503)), "claude": answer})
    assert rig.hints == []

    rig.call(mode, {"ollama": fail_with(APIError(503, retry_after="7")), "claude": answer})
    assert rig.hints == [Hint("ollama", 7.0)]


def test_a_provider_that_keeps_failing_here_is_tried_last(mode: Mode, rig: Rig) -> None:
    for _ in range(3):
        rig.call(mode, {"ollama": fail_with(APIError()), "claude": answer})

    assert rig.call(mode, {"ollama": answer, "claude": answer}) == "claude"
    assert (rig.events[-1]["is_fallback"], rig.events[-1]["original_provider"]) == (True, "ollama")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError()])
def test_whoever_gives_up_is_recorded_as_cancelled_and_gets_out_at_once(rig: Rig, error: BaseException) -> None:
    rig.show(HALF_OPEN, CLAUDE)
    rig.grants = [Grant("probe", "half_open", 2, None)]

    with pytest.raises(type(error)):
        rig.call("sync", {"ollama": fail_with(error), "claude": answer})

    (event,) = rig.events
    assert (event["provider"], event["status"]) == ("ollama", "cancelled")
    assert rig.releases == [Release("ollama", 2, event["lease_id"])]
    assert not rig.router._state.guard.read(NOW).suspects


async def test_a_cancelled_task_records_its_attempt_and_gives_its_lease_back(rig: Rig) -> None:
    rig.show(HALF_OPEN, CLAUDE)
    rig.grants = [Grant("probe", "half_open", 2, None)]
    asking = asyncio.Event()

    async def hang(_: Attempt) -> str:
        asking.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(rig.router.acall(None, {"ollama": hang}))
    await asking.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [(event["provider"], event["status"]) for event in rig.events] == [("ollama", "cancelled")]
    assert len(rig.releases) == 1


@pytest.mark.parametrize("status_code", [503, 401])
def test_only_failures_in_a_row_make_a_provider_suspect(mode: Mode, rig: Rig, status_code: int) -> None:
    failing = {"ollama": fail_with(APIError(status_code)), "claude": answer}
    healthy = {"ollama": answer, "claude": answer}

    for functions in (failing, failing, healthy, failing, failing):
        rig.call(mode, functions)
    assert rig.call(mode, healthy) == "ollama"

    for _ in range(3):
        rig.call(mode, failing)
    assert rig.call(mode, healthy) == "claude"


def test_a_name_that_is_no_providers_is_said_once_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = make_rig(monkeypatch, tmp_path, make_view("claude", priority=1), make_view("ollama", priority=2))

    for _ in range(3):
        rig.call("sync", {"calude": answer, "claude": answer})

    (record,) = [record for record in caplog.records if "provider_unknown" in record.message]
    assert "provider='calude' nearest='claude'" in record.message
