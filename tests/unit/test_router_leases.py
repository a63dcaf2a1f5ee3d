"""Half-open circuits, waiting, and the panic route: where a request goes when not all circuits are closed."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fuseboard_producer import Attempt, NoProviderAvailable, Request
from fuseboard_producer.circuit_scripts import Grant
from fuseboard_producer.leases import LeaseAnswer, LeaseQuestion, Release
from fuseboard_schema.circuit_settings import CircuitSettings
from router_tools import APIError, Mode, Rig, answer, fail_with, make_rig
from selection_tools import NOW, make_view, open_view
from waiting import wait_until

OLLAMA = open_view("ollama", NOW - 1, priority=1)
CLAUDE = make_view("claude", priority=2, epoch=6)
PROBE = Grant("probe", "half_open", 3, None)
BUSY = Grant(None, "probes_busy", 2, None)
BOTH = {"ollama": answer, "claude": answer}


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    return make_rig(monkeypatch, tmp_path, OLLAMA, CLAUDE)


def test_a_probe_goes_out_with_the_lease_and_the_epoch_that_redis_gave(mode: Mode, rig: Rig) -> None:
    rig.grants = [PROBE]

    assert rig.call(mode, BOTH) == "ollama"

    (event,) = rig.events
    assert (event["admission"], event["circuit_epoch"], event["is_fallback"]) == ("probe", 3, False)
    assert len(event["lease_id"]) == 32
    assert (rig.router.counters.probes_granted, rig.router.counters.probes_refused) == (1, 0)


def test_a_refused_probe_costs_no_attempt_and_is_a_fallback(mode: Mode, rig: Rig) -> None:
    rig.grants = [BUSY]

    assert rig.call(mode, BOTH, max_attempts=1) == "claude"

    (event,) = rig.events
    assert (event["attempt"], event["is_fallback"], event["original_provider"]) == (1, True, "ollama")
    assert (event["admission"], event["circuit_epoch"], event["lease_id"]) == ("normal", 6, None)
    assert (rig.router.counters.probes_refused, rig.router.counters.failovers) == (1, 0)
    assert rig.poller.hurries == 0


@pytest.mark.parametrize("reason", ["closed", "no_state", "pipeline_dead", "disabled"])
def test_what_redis_lets_through_without_a_lease_is_a_normal_call(mode: Mode, rig: Rig, reason: str) -> None:
    rig.grants = [Grant("normal", reason, 7, None)]  # type: ignore[arg-type]

    assert rig.call(mode, BOTH) == "ollama"

    (event,) = rig.events
    assert (event["admission"], event["circuit_epoch"], event["lease_id"]) == ("normal", 7, None)
    assert rig.router.counters.probes_granted == 0


@pytest.mark.parametrize(
    ("error", "released"),
    [(None, 0), (APIError(503), 0), (APIError(401), 0), (APIError(400), 1), (APIError(429), 1)],
    ids=["success", "failure", "fatal", "neutral", "throttle"],
)
def test_a_lease_is_given_back_only_when_its_probe_told_nothing(
    mode: Mode, rig: Rig, error: Exception | None, released: int
) -> None:
    rig.grants = [PROBE]
    functions = {"ollama": fail_with(error) if error else answer, "claude": answer}

    with suppress(APIError):
        rig.call(mode, functions)

    assert rig.releases == [Release("ollama", 3, rig.events[0]["lease_id"])] * released


@pytest.mark.parametrize("failure", [RedisTimeoutError("silent"), OSError("gone")])
def test_where_redis_does_not_answer_this_process_admits_one_probe_at_a_time(
    mode: Mode, rig: Rig, failure: Exception
) -> None:
    rig.grants = [failure]
    first = rig.router.choose()

    assert (first.provider, first.admission, first.lease, first.lease_id) == ("ollama", "probe", "local", None)
    assert rig.call(mode, BOTH) == "claude"
    # the second question did not wait for the silent server again
    assert rig.asked == ["ollama"]


def test_a_connection_that_went_stale_is_tried_once_more(rig: Rig) -> None:
    rig.grants = [RedisConnectionError("reset"), PROBE]

    assert rig.router.choose().lease == "shared"


def test_a_local_probe_is_free_again_after_its_call_whatever_came_of_it(mode: Mode, rig: Rig) -> None:
    rig.grants = [OSError("gone")]

    assert rig.call(mode, {"ollama": fail_with(APIError()), "claude": answer}) == "claude"
    assert rig.call(mode, BOTH) == "ollama"
    assert rig.releases == []


def test_redis_knowing_better_is_heeded_and_has_the_snapshot_renewed(mode: Mode, rig: Rig) -> None:
    rig.grants = [Grant(None, "throttled", 2, 5.0)]
    with pytest.raises(NoProviderAvailable) as caught:
        rig.call(mode, {"ollama": answer})
    assert (caught.value.reasons["ollama"], caught.value.retry_after_seconds) == ("throttled", 5.0)

    rig.now += 6
    rig.grants = [Grant(None, "forced_open", 2, None)]
    with pytest.raises(NoProviderAvailable) as caught:
        rig.call(mode, {"ollama": answer})
    assert (caught.value.reasons["ollama"], caught.value.retry_after_seconds) == ("forced_open", None)

    assert rig.events == []
    assert rig.poller.hurries == 2


def test_a_choice_carries_what_its_event_must_say(rig: Rig) -> None:
    rig.grants = [PROBE]
    chosen = rig.router.choose()

    assert chosen.event_fields == {"circuit_epoch": 3, "admission": "probe", "lease_id": chosen.lease_id}
    assert chosen.lease_id

    rig.grants = [BUSY]
    assert rig.router.choose().provider == "claude"
    assert rig.router.choose(Request(providers=frozenset({"claude"}))).event_fields == {
        "circuit_epoch": 6, "admission": "normal", "lease_id": None,
    }  # fmt: skip
    with pytest.raises(NoProviderAvailable):
        rig.router.choose(Request(providers=frozenset()))
    assert rig.router.plan().candidates[0].provider == "ollama"
    assert rig.asked == ["ollama", "ollama"]


def test_a_look_at_one_provider_takes_no_lease(rig: Rig) -> None:
    rig.show(OLLAMA, CLAUDE, open_view("open", NOW + 5), make_view("off", enabled=False))

    names = ("ollama", "claude", "open", "off", "never-heard-of")
    assert [rig.router.may_call(name) for name in names] == [True, True, False, False, True]
    assert rig.router.check("ollama").lease == "shared"
    assert (rig.router.check("open").refusal, rig.router.check("open").until) == ("open", NOW + 5)
    rig.router._state.guard.record_throttle("claude", 5, NOW)
    assert rig.router.check("claude").refusal == "throttled"
    assert rig.asked == []


async def test_a_lease_that_arrives_after_its_task_was_cancelled_is_given_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, proceed = threading.Event(), threading.Event()

    def acquire(*_: object) -> Grant:
        asked.set()
        assert proceed.wait(30)
        return PROBE

    monkeypatch.setattr("fuseboard_producer.leases.acquire_probe", acquire)

    async def ask(attempt: Attempt) -> str:
        return attempt.provider

    task = asyncio.create_task(rig.router.acall(None, {"ollama": ask}))
    assert await asyncio.to_thread(asked.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    proceed.set()
    await asyncio.to_thread(wait_until, lambda: rig.releases)

    assert [(duty.provider, duty.epoch) for duty in rig.releases if isinstance(duty, Release)] == [("ollama", 3)]
    assert rig.events == []


def test_a_lease_that_had_arrived_when_its_task_was_cancelled_is_given_back(rig: Rig) -> None:
    question = LeaseQuestion(rig.router.plan().candidates[0], CircuitSettings())
    rig.grants = [PROBE]
    answered = rig.router._state.leases.acquire(question)

    assert rig.releases == []
    rig.router._state.leases.abandon(question)

    assert answered == question.answer != LeaseAnswer(None)
    assert len(rig.releases) == 1


def test_a_retry_is_paid_for_once_however_many_probes_are_refused(
    mode: Mode, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.show(make_view("first"), open_view("b", NOW - 1, priority=1), open_view("c", NOW - 1, priority=2), CLAUDE)
    rig.grants = [BUSY, BUSY]
    paid: list[float] = []

    def pay(now: float) -> bool:
        paid.append(now)
        return True

    monkeypatch.setattr(rig.router._state.budget, "try_retry", pay)

    functions = {"first": fail_with(APIError()), "b": answer, "c": answer, "claude": answer}
    assert rig.call(mode, functions) == "claude"

    assert rig.asked == ["b", "c"]
    assert len(paid) == 1
