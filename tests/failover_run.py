"""One run of eight workers through every way in which a provider breaks, and what it left to be judged."""

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Final

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from commands import run_command
from consumers import is_drained, make_settings
from fake_provider import Behaviour, FakeProvider, Received
from fuseboard_schema.redis_client import connect_redis
from queries import Database
from router_workers import RouterWorker
from waiting import wait_until

RATE_PER_WORKER: Final = 8.0
MAX_PROBES: Final = 2
RAMP_SECONDS: Final = 4.0
RETRY_AFTER_SECONDS: Final = 2
# a call that hangs is given up after this
TIMEOUT_SECONDS: Final = 2.0
# how the provider breaks, how a probe ends then, and how often one must have failed like that
BREAKS: Final[tuple[tuple[Behaviour, str, int], ...]] = (
    ("error", "error", 2),
    ("overloaded", "error", 1),
    ("drop", "error", 1),
    ("slow", "success", 1),
    ("hang", "timeout", 1),
)
SETTINGS: Final = {
    "min_reporters": 2,
    "open_base_s": 1,
    "open_max_s": 2,
    "half_open_max_probes": MAX_PROBES,
    "success_threshold": 2,
    "probe_lease_ttl_s": 30,
    "ramp_s": RAMP_SECONDS,
    "slow_ms": 700,
    "min_timeout_for_failure_s": TIMEOUT_SECONDS / 2,
}

Row = dict[str, Any]
log = logging.getLogger(__name__)


@dataclass
class Evidence:
    """What one run left: rows, the workers' own ledgers, what the local provider received, and when what began.

    began_at: phase to seconds since 1970; the same in monotonic seconds in began_at_monotonic.
    """

    began_at: dict[str, float] = field(default_factory=dict)
    began_at_monotonic: dict[str, float] = field(default_factory=dict)
    attempts: list[Row] = field(default_factory=list)
    transitions: list[Row] = field(default_factory=list)
    requests: list[Row] = field(default_factory=list)
    probed: list[Received] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    calls_after_disabling: int = -1

    def begin(self, phase: str) -> None:
        self.began_at[phase], self.began_at_monotonic[phase] = time.time(), time.monotonic()

    def list_first_attempts(self, since: float, until: float) -> list[str]:
        """List the provider that each request of a span went to first."""
        return [row["provider"] for row in self.attempts if row["attempt"] == 1 and since <= row["began_at"] < until]


@dataclass
class Run:
    """What a run is made of."""

    database: Database
    workers: list[RouterWorker]
    ollama: FakeProvider
    claude: FakeProvider
    evidence: Evidence

    def fetch(self, query: str, *values: object) -> list[Row]:
        with self.database.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), values).fetchall()

    def count_transitions(self, reason: str, cause_status: str, phase: str) -> int:
        """Count the transitions for a reason that were caused by a call of this status, begun in a phase or later."""
        (row,) = self.fetch(
            "SELECT count(*) AS count FROM llm_circuit_transitions AS transitions"
            " JOIN llm_requests AS requests ON requests.event_id = transitions.cause_event_id"
            " WHERE transitions.provider = 'ollama' AND reason = %s AND status = %s"
            " AND extract(epoch FROM requests.occurred_at)::float8 - duration_seconds::float8 >= %s",
            reason, cause_status, self.evidence.began_at[phase],
        )  # fmt: skip
        return int(row["count"])


def prepare_providers(database: Database) -> None:
    database.execute("UPDATE llm_providers SET circuit_settings = %s WHERE name = 'ollama'", (Jsonb(SETTINGS),))
    database.execute("UPDATE llm_providers SET enabled = false WHERE name NOT IN ('ollama', 'claude')")


def live_through_outages(run: Run) -> None:
    """Break the local provider in one way after the other; each step waits for what it must bring about."""
    evidence, ollama = run.evidence, run.ollama
    for worker in run.workers:
        worker.wait_until_ready()
        worker.set_rate(RATE_PER_WORKER)
    wait_for_calls_of_all(ollama, run.workers, 5)
    for behaviour, status, times in BREAKS:
        evidence.begin(behaviour)
        ollama.behave(behaviour)
        wait_until(partial(has_failed_probes, run, behaviour, status, times))
    evidence.begin("rate_limited")
    ollama.retry_after_seconds = RETRY_AFTER_SECONDS
    ollama.behave("rate_limited")
    wait_until(lambda: count_throttle_episodes(run) >= 2)
    evidence.begin("ok")
    ollama.behave("ok")
    wait_until(lambda: run.count_transitions("probes_succeeded", "success", "ok") == 1)
    evidence.begin("closed")
    wait_until(lambda: time.time() > evidence.began_at["closed"] + RAMP_SECONDS + 2)
    evidence.begin("recovered")
    wait_for_calls_of_all(ollama, run.workers, 5)


def has_failed_probes(run: Run, behaviour: str, status: str, times: int) -> bool:
    return run.count_transitions("probe_failed", status, behaviour) >= times


def count_throttle_episodes(run: Run) -> int:
    """Count the times that the provider said 429 after the time that it had asked for before was over."""
    since = run.evidence.began_at_monotonic["rate_limited"]
    began = [call.began_at for call in run.ollama.list_calls(since=since, behaviour="rate_limited")]
    return sum(later - earlier > RETRY_AFTER_SECONDS / 2 for earlier, later in pairwise(began)) + 1


def disable_provider(run: Run, urls: tuple[str, str], namespace: str) -> None:
    """Disable the local provider by command, count what it gets once every worker has noticed, enable it by SQL."""
    evidence = run.evidence
    evidence.begin("disabled")
    run_command(make_settings(*urls, namespace), "providers", "disable", "ollama")
    wait_until(lambda: all(worker.look()["choice"] == "claude" for worker in run.workers))
    wait_for_calls_of_all(run.claude, run.workers, 2)
    # a worker makes one request after the other, so none is left that chose before
    left_alone_at = time.monotonic()
    wait_for_calls_of_all(run.claude, run.workers, 5)
    evidence.calls_after_disabling = len(run.ollama.list_calls(since=left_alone_at))
    disabled_at = evidence.began_at_monotonic["disabled"]
    last_call_at = max(call.began_at for call in run.ollama.calls if call.began_at < left_alone_at)
    run.database.execute("UPDATE llm_providers SET enabled = true WHERE name = 'ollama'")
    wait_for_calls_of_all(run.ollama, run.workers, 1)
    log.info("provider_disabled last_call_after_seconds=%.2f", last_call_at - disabled_at)


def wait_for_calls_of_all(provider: FakeProvider, workers: list[RouterWorker], count: int) -> None:
    """Wait until every worker has called a provider so many times from now on."""
    since = time.monotonic()
    wait_until(
        lambda: all(len(provider.list_calls(since=since, worker_id=worker.worker_id)) >= count for worker in workers)
    )


def collect(run: Run, redis_url: str, namespace: str) -> None:
    """Let the workers end, wait until all they recorded is stored, and read everything."""
    assert [worker.stop() for worker in run.workers] == [0] * len(run.workers)
    evidence = run.evidence
    evidence.requests = [
        {**line, "worker_id": worker.worker_id} for worker in run.workers for line in worker.read_ledger()
    ]
    with connect_redis(redis_url) as redis:
        wait_until(lambda: is_drained(redis, namespace))
    evidence.attempts = run.fetch(
        "SELECT request_id, attempt, worker_id, provider, status, is_fallback, original_provider, admission,"
        " circuit_epoch AS epoch, lease_id, retry_after_seconds::float8,"
        " extract(epoch FROM occurred_at)::float8 - duration_seconds::float8 AS began_at FROM llm_requests"
    )
    evidence.transitions = run.fetch(
        "SELECT reason, to_state, transitions.epoch, status AS cause_status,"
        " extract(epoch FROM transitions.occurred_at)::float8 AS at FROM llm_circuit_transitions AS transitions"
        " JOIN llm_requests AS requests ON requests.event_id = transitions.cause_event_id"
        " WHERE transitions.provider = 'ollama' ORDER BY version"
    )
    evidence.received = run.ollama.list_calls()
    evidence.probed = run.ollama.list_calls(admission="probe")
