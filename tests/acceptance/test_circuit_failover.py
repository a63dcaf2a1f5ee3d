"""Eight workers, a local provider that breaks in every way, a remote one that does not: one run, many assertions."""

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final
from uuid import uuid4

import pytest

from conftest import ServerUrls, create_database
from consumers import consumers
from failover_run import (
    MAX_PROBES,
    RAMP_SECONDS,
    RETRY_AFTER_SECONDS,
    TIMEOUT_SECONDS,
    Evidence,
    Run,
    collect,
    disable_provider,
    live_through_outages,
    prepare_providers,
)
from fake_provider import running_provider
from fuseboard_schema.database import connect_database
from router_workers import router_workers

WORKERS: Final = 8
CONSUMERS: Final = 2
log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def evidence(
    servers: ServerUrls, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Evidence]:
    folder = tmp_path_factory.mktemp("failover")
    namespace = f"test{uuid4().hex[:12]}"
    with ExitStack() as stack:
        database_url = stack.enter_context(create_database(servers.database_url, template_database))
        database = stack.enter_context(connect_database(database_url, application_name="tests"))
        prepare_providers(database)
        urls = database_url, servers.redis_url
        stack.enter_context(consumers(CONSUMERS, folder, *urls, namespace))
        ollama, claude = (stack.enter_context(running_provider(name)) for name in ("ollama", "claude"))
        addresses = {provider.name: provider.url for provider in (ollama, claude)}
        workers = stack.enter_context(
            router_workers(WORKERS, folder, urls[1], namespace, addresses, timeout_seconds=TIMEOUT_SECONDS)
        )
        run = Run(database, workers, ollama, claude, Evidence())
        live_through_outages(run)
        disable_provider(run, urls, namespace)
        collect(run, servers.redis_url, namespace)
        yield run.evidence


def test_traffic_moves_to_the_remote_provider_while_the_local_one_is_out(evidence: Evidence) -> None:
    opened_at = next(row["at"] for row in evidence.transitions if row["to_state"] == "open")
    closed_at = next(row["at"] for row in evidence.transitions if row["reason"] == "probes_succeeded")
    open_epochs = {row["epoch"] for row in evidence.transitions if row["to_state"] == "open"}

    assert set(evidence.list_first_attempts(0, evidence.began_at["error"])) == {"ollama"}
    during = Counter(evidence.list_first_attempts(opened_at, closed_at))
    assert during["claude"] > 0.7 * during.total()
    # whoever knew that it was open probed it, and nothing else
    admissions = {
        row["admission"]
        for row in evidence.attempts
        if (row["provider"], row["epoch"] in open_epochs) == ("ollama", True)
    }
    assert admissions == {"probe"}


def test_no_request_fails_for_its_caller(evidence: Evidence) -> None:
    assert [request for request in evidence.requests if request["error"]] == []
    assert Counter(request["served_by"] for request in evidence.requests)["claude"] > 0


def test_no_more_calls_probe_at_a_time_than_are_allowed(evidence: Evidence) -> None:
    # of a call that hangs the provider knows no end: its caller hung up by then
    moments = sorted(
        moment
        for call in evidence.probed
        for end in (call.began_at + TIMEOUT_SECONDS if call.behaviour == "hang" else call.ended_at,)
        for moment in ((call.began_at, 1), (end or math.inf, -1))
    )
    out = most = 0
    for _, change in moments:
        out += change
        most = max(most, out)

    assert 1 <= most <= MAX_PROBES


def test_no_more_calls_probe_an_epoch_than_are_allowed_unless_they_told_nothing(evidence: Evidence) -> None:
    # a lease comes back from a 429 alone: all others are spent until a verdict, or a lease's end, begins anew
    by_epoch: dict[int | None, set[str]] = defaultdict(set)
    spent = [row for row in evidence.attempts if row["admission"] == "probe" and row["status"] != "rate_limited"]
    for row in spent:
        by_epoch[row["epoch"]].add(row["lease_id"])

    assert {epoch: leases for epoch, leases in by_epoch.items() if len(leases) > MAX_PROBES} == {}
    assert len(by_epoch) >= 4
    assert len({row["lease_id"] for row in spent}) == len(spent)
    # counted once more, where nothing of Fuseboard was in between
    seen = Counter(call.epoch for call in evidence.probed if call.behaviour != "rate_limited")
    assert max(seen.values()) <= MAX_PROBES


def test_a_rate_limit_is_obeyed_by_all_workers_and_opens_nothing(evidence: Evidence) -> None:
    limited = [call for call in evidence.received if call.behaviour == "rate_limited"]
    seconds = evidence.began_at_monotonic["ok"] - limited[0].began_at
    episodes = math.floor(seconds / RETRY_AFTER_SECONDS) + 1

    # those that were on their way when the first one was refused, each time that it may be asked again
    assert len(limited) <= episodes * MAX_PROBES
    told = {row["retry_after_seconds"] for row in evidence.attempts if row["status"] == "rate_limited"}
    assert told == {RETRY_AFTER_SECONDS}
    causes = {row["cause_status"] for row in evidence.transitions}
    assert causes == {"error", "timeout", "success"}


def test_traffic_returns_step_by_step(evidence: Evidence) -> None:
    closed_at = next(row["at"] for row in evidence.transitions if row["reason"] == "probes_succeeded")
    quarter = RAMP_SECONDS / 4
    shares = []
    for number in (0, 3):
        went = evidence.list_first_attempts(closed_at + number * quarter, closed_at + (number + 1) * quarter)
        shares.append(went.count("ollama") / len(went))
    log.info("ramp share_in_first_quarter=%.2f share_in_last_quarter=%.2f", *shares)
    after = evidence.list_first_attempts(evidence.began_at["recovered"], evidence.began_at["disabled"])

    assert shares[0] < min(0.6, shares[1])
    assert after.count("ollama") > 0.9 * len(after)


def test_every_attempt_is_one_event(evidence: Evidence) -> None:
    fields = ("worker_id", "provider", "admission", "epoch", "lease_id")
    made = Counter(
        tuple({**attempt, "worker_id": request["worker_id"]}[name] for name in fields)
        for request in evidence.requests
        for attempt in request["attempts"]
    )
    stored = Counter(tuple(row[name] for name in fields) for row in evidence.attempts)

    assert stored == made
    attempts_of_a_request = Counter(row["request_id"] for row in evidence.attempts)
    assert len(attempts_of_a_request) == len(evidence.requests)
    assert max(attempts_of_a_request.values()) == 2


def test_a_call_that_the_remote_provider_took_over_says_for_whom(evidence: Evidence) -> None:
    since, until = evidence.began_at["error"], evidence.began_at["ok"]
    taken_over = [row for row in evidence.attempts if row["provider"] == "claude" and since < row["began_at"] < until]

    assert {(row["is_fallback"], row["original_provider"]) for row in taken_over} == {(True, "ollama")}
    # both kinds: after a failed attempt, and because the circuit was open
    assert {row["attempt"] for row in taken_over} == {1, 2}
    local = [row for row in evidence.attempts if row["provider"] == "ollama"]
    assert {(row["is_fallback"], row["original_provider"]) for row in local} == {(False, None)}


def test_a_disabled_provider_is_called_by_nobody_once_all_have_noticed(evidence: Evidence) -> None:
    assert evidence.calls_after_disabling == 0
