"""When parts are down: one test for each row of the specification's table C.10, with real processes killed for real."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from circuit_fleet import NAMESPACE, Fleet, call_until_each_failed, running_fleet, wait_for_all
from fuseboard_schema.circuit_keys import name_snapshot
from private_servers import PrivateServers
from router_workers import Json, RouterWorker
from waiting import wait_until

HOUR_SECONDS = 3600.0


@pytest.fixture
def fleet(private_servers: PrivateServers, tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(private_servers, tmp_path) as running:
        yield running


def may_call(provider: str, answer: bool) -> Any:  # noqa: ANN401 - a condition on what a worker sees
    def is_so(look: Json) -> bool:
        return bool(look["may_call"][provider]) is answer

    return is_so


def list_attempts(line: Json) -> list[tuple[str, str]]:
    """List provider and admission of each attempt of a request."""
    return [(attempt["provider"], attempt["admission"]) for attempt in line["attempts"]]


def call_until_served_by(worker: RouterWorker, provider: str) -> list[Json]:
    """Make requests until one is served by a provider; returns them all."""
    lines = [worker.call()]

    def is_served() -> bool:
        if lines[-1]["served_by"] != provider:
            lines.append(worker.call())
        return bool(lines[-1]["served_by"] == provider)

    wait_until(is_served)
    return lines


@contextmanager
def redis_down(fleet: Fleet, how: str) -> Iterator[None]:
    """Keep Redis from answering until the block ends."""
    with fleet.redis() as redis:
        pid = int(redis.info("server")["process_id"])
    if how == "killed":
        fleet.servers.valkey.kill9()
    else:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if how == "killed":
            fleet.servers.valkey.start()
        else:
            os.kill(pid, signal.SIGCONT)


def read_circuit(fleet: Fleet, provider: str) -> tuple[Any, ...]:
    health = fleet.fetch_health(provider)
    return tuple(health[name] for name in ("state", "epoch", "version", "open_until", "throttle_until"))


@pytest.mark.parametrize("how", ["killed", "hanging"])
def test_redis_down_workers_go_on_and_their_events_arrive_later_with_their_times(fleet: Fleet, how: str) -> None:
    workers = fleet.start_workers(2)
    fleet.behave("error", "ollama")
    call_until_each_failed(workers, "ollama", 3)
    wait_for_all(workers, may_call("ollama", answer=False))
    fleet.wait_until_stored()
    circuit, stored = read_circuit(fleet, "ollama"), fleet.count_requests()
    down_at = time.time()
    with redis_down(fleet, how):
        # one that knows the circuits, one that was never told
        newcomer = fleet.start_worker()
        lines = [worker.call() for worker in (*workers, newcomer) for _ in range(3)]
        waiting = [worker.ask("flush") for worker in (*workers, newcomer)]
        up_at = time.time()
        assert read_circuit(fleet, "ollama") == circuit

    assert [line["error"] for line in lines] == [None] * 9
    assert [list_attempts(line) for line in lines[:6]] == [[("localai", "normal")]] * 6
    assert list_attempts(lines[6]) == [("ollama", "normal"), ("localai", "normal")]
    assert sum(counters["spooled"] for counters in waiting) == sum(len(line["attempts"]) for line in lines)

    with fleet.redis() as redis:
        # what it had kept on its disk is not what brings the circuits back
        redis.delete(name_snapshot(NAMESPACE))
    wait_until(lambda: fleet.count_requests() == stored + sum(len(line["attempts"]) for line in lines))
    times = fleet.fetch(
        "SELECT extract(epoch FROM occurred_at)::float8 AS at FROM llm_requests ORDER BY occurred_at DESC LIMIT %s",
        sum(len(line["attempts"]) for line in lines),
    )
    assert all(down_at <= row["at"] <= up_at for row in times)
    fleet.wait_until_published()
    wait_for_all([*workers, newcomer], may_call("ollama", answer=False))
    assert read_circuit(fleet, "ollama") == circuit


def test_redis_flushed_no_state_is_a_closed_circuit_until_it_is_published_again(fleet: Fleet) -> None:
    workers = fleet.start_workers(2)
    fleet.behave("error", "ollama")
    call_until_each_failed(workers, "ollama", 3)
    wait_for_all(workers, may_call("ollama", answer=False))
    fleet.wait_until_stored()
    circuit = read_circuit(fleet, "ollama")
    # nobody is there to restore it
    fleet.kill_consumer()
    with fleet.redis() as redis:
        redis.flushall()

    wait_for_all(workers, lambda look: look["circuits"]["ollama"]["epoch"] is None and look["may_call"]["ollama"])
    lines = [worker.call() for worker in workers]
    assert [list_attempts(line)[0] for line in lines] == [("ollama", "normal")] * 2
    assert [line["attempts"][0]["epoch"] for line in lines] == [None, None]

    fleet.start_consumer()
    fleet.wait_until_published()
    wait_for_all(workers, may_call("ollama", answer=False))
    fleet.wait_until_stored()
    # a call that knew of no circuit is no probe of an open one
    assert read_circuit(fleet, "ollama") == circuit

    # the same with a consumer at work, which finds out by itself
    with fleet.redis() as redis:
        redis.flushall()
    fleet.wait_until_published()
    newcomer = fleet.start_workers(1)
    wait_for_all([*workers, *newcomer], may_call("ollama", answer=False))
    assert read_circuit(fleet, "ollama") == circuit


def test_redis_flushed_events_without_an_epoch_are_judged_by_when_they_started(fleet: Fleet) -> None:
    fleet.kill_consumer()
    fleet.behave("error", "ollama")
    with fleet.redis() as redis:
        redis.flushall()
    early = [fleet.start_worker() for _ in range(2)]
    call_until_each_failed(early, "ollama", 3)
    # the calls before it belong to an epoch that is over
    fleet.fetch("SELECT llm_reset_circuit('ollama', 'tests', 'a new epoch')")
    fleet.start_consumer()
    fleet.wait_until_stored()
    assert fleet.list_reasons("ollama") == ["reset"]

    fleet.kill_consumer()
    with fleet.redis() as redis:
        redis.flushall()
    late = [fleet.start_worker() for _ in range(2)]
    call_until_each_failed(late, "ollama", 3)
    fleet.start_consumer()
    fleet.wait_until_stored()

    (cause,) = fleet.fetch(
        "SELECT requests.circuit_epoch, requests.worker_id FROM llm_circuit_transitions AS transitions"
        " JOIN llm_requests AS requests ON requests.event_id = transitions.cause_event_id"
    )
    assert fleet.list_reasons("ollama") == ["reset", "consecutive"]
    assert cause["circuit_epoch"] is None
    assert cause["worker_id"] in {worker.worker_id for worker in late}
    assert {row["circuit_epoch"] for row in fleet.fetch("SELECT circuit_epoch FROM llm_requests")} == {None}


@pytest.mark.parametrize("down", ["postgresql", "all consumers"])
def test_pipeline_down_half_open_strangles_no_more_and_open_is_still_obeyed(fleet: Fleet, down: str) -> None:
    fleet.configure("ollama", open_base_s=1, open_max_s=1)
    workers = fleet.start_workers(2)
    fleet.behave("error", "ollama", "localai")
    call_until_each_failed(workers, "localai", 3)
    wait_for_all(
        workers, lambda look: not look["may_call"]["localai"] and look["circuits"]["ollama"]["state"] == "open"
    )
    fleet.wait_until_stored()
    if down == "postgresql":
        fleet.servers.postgres.kill9()
    else:
        fleet.kill_consumer()
    fleet.behave("ok", "ollama", "localai")

    # nothing is noticed: the two probes are made, and nobody can judge them
    wait_for_all(workers, may_call("ollama", answer=True))
    lines = [worker.call() for worker in workers for _ in range(2)]
    assert sorted(list_attempts(line) for line in lines) == [[("claude", "normal")]] * 2 + [[("ollama", "probe")]] * 2

    later = call_until_served_by(workers[0], "ollama")
    assert {line["served_by"] for line in later[:-1]} == {"claude"}
    assert list_attempts(later[-1]) == [("ollama", "normal")]
    assert [worker.look()["may_call"]["localai"] for worker in workers] == [False, False]

    if down == "postgresql":
        fleet.servers.postgres.start()
    else:
        fleet.start_consumer()
    # the verdicts of the two probes come late, and count
    wait_until(lambda: fleet.fetch_health("ollama")["state"] == "closed")
    fleet.wait_until_stored()
    assert fleet.list_reasons("ollama")[-1] == "probes_succeeded"


def test_backlog_old_failures_are_counted_and_open_nothing(fleet: Fleet) -> None:
    workers = fleet.start_workers(2)
    fleet.configure("ollama", window_s=1, allowed_lateness_s=0)
    fleet.kill_consumer()
    fleet.behave("error", "ollama")
    call_until_each_failed(workers, "ollama", 3)
    last_failure_at = time.time()
    wait_until(lambda: time.time() > last_failure_at + 1.5)
    fleet.start_consumer()
    fleet.wait_until_stored()

    health = fleet.fetch_health("ollama")
    assert (health["failed_requests"], health["state"], fleet.list_reasons("ollama")) == (6, "closed", [])

    # the same failures, in time
    fleet.configure("ollama")
    fresh = fleet.start_workers(2)
    call_until_each_failed(fresh, "ollama", 3)
    wait_for_all(fresh, may_call("ollama", answer=False))
    assert fleet.list_reasons("ollama") == ["consecutive"]


def test_one_workers_network_moves_its_own_traffic_and_nobody_elses(fleet: Fleet) -> None:
    fleet.configure("ollama", consecutive_failures=3)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        unreachable = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    good = fleet.start_workers(2)
    (cut_off,) = fleet.start_workers(1, urls={"ollama": unreachable})
    for worker in good:
        worker.call()
    fleet.wait_until_stored()

    lines = [cut_off.call() for _ in range(5)]
    fleet.wait_until_stored()

    assert [line["served_by"] for line in lines] == ["localai"] * 5
    assert [len(line["attempts"]) for line in lines] == [2, 2, 2, 1, 1]
    health = fleet.fetch_health("ollama")
    assert (health["failed_requests"], health["state"], fleet.list_reasons("ollama")) == (3, "closed", [])
    assert cut_off.look()["choice"] == "localai"
    assert [worker.look()["choice"] for worker in good] == ["ollama", "ollama"]
    assert [worker.call()["served_by"] for worker in good] == ["ollama", "ollama"]

    # two workers that fail are a quorum
    fleet.behave("error", "ollama")
    call_until_each_failed([*good, good[0]], "ollama", 1)
    wait_for_all([*good, cut_off], may_call("ollama", answer=False))
    assert fleet.list_reasons("ollama") == ["consecutive"]


def test_a_workers_clock_ahead_cannot_hold_a_provider_for_longer_than_the_skew_allowed(fleet: Fleet) -> None:
    (ahead,) = fleet.start_workers(1, clock_ahead_seconds=HOUR_SECONDS)
    fleet.providers["ollama"].retry_after_seconds = 2
    fleet.behave("rate_limited", "ollama")

    assert list_attempts(ahead.call()) == [("ollama", "normal"), ("localai", "normal")]
    fleet.wait_until_stored()

    (times,) = fleet.fetch(
        "SELECT extract(epoch FROM requests.occurred_at - now())::float8 AS ahead,"
        " extract(epoch FROM health.throttle_until - now())::float8 AS throttled"
        " FROM llm_requests AS requests JOIN llm_provider_health AS health USING (provider)"
        " WHERE requests.status = 'rate_limited'"
    )
    assert times["ahead"] > HOUR_SECONDS - 60
    # max_future_skew_s and the Retry-After
    assert times["throttled"] <= 5 + 2


def test_a_workers_clock_behind_makes_its_failures_decide_nothing(fleet: Fleet) -> None:
    behind = fleet.start_workers(2, clock_ahead_seconds=-HOUR_SECONDS)
    fleet.behave("error", "ollama")
    call_until_each_failed(behind, "ollama", 3)
    fleet.wait_until_stored()

    health = fleet.fetch_health("ollama")
    assert (health["failed_requests"], health["state"], fleet.list_reasons("ollama")) == (6, "closed", [])

    right = fleet.start_workers(2)
    call_until_each_failed(right, "ollama", 3)
    wait_for_all(right, may_call("ollama", answer=False))
    assert fleet.list_reasons("ollama") == ["consecutive"]
