import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
from redis import Redis

from commands import store_events
from consumers import make_settings, shorten_waits
from events import make_event
from fuseboard_aggregator.jobs import run_job
from fuseboard_api import metrics_store
from fuseboard_consumer.decode import RejectionReason
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.settings import Settings
from fuseboard_schema.sql import load_sql
from metric_tools import Metrics, read_metrics
from queries import Database, fetch_row, fetch_value
from waiting import wait_out_midnight

SUMS = """
    SELECT
        count(*) FILTER (WHERE status = 'success') AS success,
        count(*) FILTER (WHERE status IN ('error', 'timeout')) AS failed,
        count(*) FILTER (WHERE status = 'rate_limited') AS rate_limited,
        count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE is_fallback) AS fallbacks,
        count(*) FILTER (WHERE cost_usd IS NULL AND price_id IS NULL) AS unpriced,
        coalesce(sum(prompt_tokens), 0) AS prompt, coalesce(sum(completion_tokens), 0) AS completion,
        coalesce(sum(cache_read_tokens), 0) AS read, coalesce(sum(cache_write_tokens), 0) AS write,
        coalesce(sum(cache_write_1h_tokens), 0) AS write_1h, coalesce(sum(reasoning_tokens), 0) AS reasoning,
        coalesce(sum(cost_usd), 0) AS cost, coalesce(sum(baseline_cost_usd), 0) AS baseline,
        coalesce(sum(savings_usd), 0) AS savings,
        count(duration_seconds) FILTER (WHERE status = 'success') AS timed,
        coalesce(sum(duration_seconds) FILTER (WHERE status = 'success'), 0) AS seconds
    FROM llm_requests WHERE provider = """


def make_events() -> list[dict[str, Any]]:
    return [
        make_event(
            provider="claude", prompt_tokens=2000, cache_read_tokens=900, cache_write_tokens=50, reasoning_tokens=7
        ),
        make_event(provider="claude", prompt_tokens=3000, cache_write_1h_tokens=70, duration_seconds=4.0),
        make_event(provider="claude", status="timeout", completion_tokens=None, error_type="TimeoutError"),
        make_event(provider="claude", status="error", completion_tokens=None, error_type="ServerError"),
        make_event(
            provider="claude", status="rate_limited", prompt_tokens=None, completion_tokens=None, http_status=429
        ),
        make_event(provider="ollama", model="llama3.1:8b", is_fallback=True, original_provider="claude"),
        make_event(provider="ollama", model="llama3.1:8b", status="cancelled", completion_tokens=None),
        make_event(provider="newcomer", model="m-1"),
    ]


@pytest.fixture
def settings(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path / "spool"))


def read_provider(metrics: Metrics, provider: str) -> dict[str, float]:
    requests, tokens, cache = "fuseboard_requests_total", "fuseboard_tokens_total", "fuseboard_cache_tokens_total"
    statuses = ("success", "failed", "rate_limited", "cancelled")
    return {
        **{status: metrics.get(requests, provider=provider, status=status) for status in statuses},
        **{kind: metrics.get(tokens, provider=provider, type=kind) for kind in ("prompt", "completion")},
        **{kind: metrics.get(cache, provider=provider, operation=kind) for kind in ("read", "write", "write_1h")},
        "reasoning": metrics.get("fuseboard_reasoning_tokens_total", provider=provider),
        "fallbacks": metrics.get("fuseboard_fallbacks_total", provider=provider),
        "unpriced": metrics.get("fuseboard_unpriced_requests", provider=provider),
        "cost": metrics.get("fuseboard_cost_usd", provider=provider),
        "baseline": metrics.get("fuseboard_baseline_cost_usd", provider=provider),
        "savings": metrics.get("fuseboard_savings_usd", provider=provider),
        "timed": metrics.get("fuseboard_request_duration_seconds_count", provider=provider),
        "seconds": metrics.get("fuseboard_request_duration_seconds_sum", provider=provider),
    }


def test_the_metrics_are_the_sums_of_the_raw_requests_before_and_after_the_fold(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    store_events(redis_client, settings, make_events())
    pages = [read_metrics(connection, redis_client, settings)]
    run_job("fold", settings)
    pages.append(read_metrics(connection, redis_client, settings))

    for metrics in pages:
        for provider in ("claude", "ollama", "openai", "newcomer"):
            raw = fetch_row(connection, f"{SUMS}'{provider}'")
            assert read_provider(metrics, provider) == {name: float(value) for name, value in raw.items()}
    assert pages[0].get("fuseboard_unfolded_requests") == len(make_events())
    assert pages[1].get("fuseboard_unfolded_requests") == 0


def test_the_cost_of_today_leaves_other_days_out(settings: Settings, redis_client: Redis, connection: Database) -> None:
    wait_out_midnight()
    store_events(redis_client, settings, make_events())
    run_job("fold", settings)
    connection.execute("UPDATE llm_costs_daily SET day = day - 1 WHERE provider = 'claude'")
    store_events(redis_client, settings, [make_event(provider="claude", cost_usd="0.5")])

    metrics = read_metrics(connection, redis_client, settings)

    assert metrics.get("fuseboard_cost_today_usd", provider="claude") == 0.5
    assert metrics.get("fuseboard_cost_usd", provider="claude") > 0.5
    savings = float(fetch_value(connection, "SELECT sum(savings_usd) FROM llm_requests WHERE provider = 'ollama'"))
    assert metrics.get("fuseboard_savings_today_usd", provider="ollama") == savings


def test_an_installation_without_an_event_has_a_zero_for_each_provider(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    metrics = read_metrics(connection, redis_client, settings)

    assert len(metrics.select("fuseboard_requests_total")) == 4 * 4
    assert set(metrics.select("fuseboard_requests_total").values()) == {0.0}
    assert metrics.get("fuseboard_stream_entries") == metrics.get("fuseboard_consumers") == 0
    # nobody makes progress yet, which is longer ago than any bound
    assert metrics.get("fuseboard_heartbeat_age_seconds") == math.inf


def test_quantiles_are_of_the_last_durations(settings: Settings, redis_client: Redis, connection: Database) -> None:
    durations = [1.0] * 90 + [20.0] * 10
    store_events(redis_client, settings, [make_event(duration_seconds=seconds) for seconds in durations])

    metrics = read_metrics(connection, redis_client, settings)

    quantiles = {
        q: metrics.get("fuseboard_request_duration_seconds", provider="claude", quantile=q) for q in ("0.5", "0.95")
    }
    assert quantiles == {"0.5": pytest.approx(1.0, rel=0.05), "0.95": pytest.approx(20.0, rel=0.05)}
    assert not metrics.has("fuseboard_request_duration_seconds", provider="ollama", quantile="0.5")


@pytest.mark.parametrize(
    ("change", "state", "is_available"),
    [
        ("SELECT llm_force_circuit_open('ollama', 'ada', 'new GPU')", "forced_open", 0),
        ("SELECT llm_disable_circuit('ollama', 'ada', 'test')", "disabled", 1),
        ("UPDATE llm_provider_health SET state = 'open', open_until = now() + interval '1 hour'", "open", 0),
        ("UPDATE llm_provider_health SET state = 'open', open_until = now() - interval '1 hour'", "half_open", 1),
        ("UPDATE llm_provider_health SET throttle_until = now() + interval '1 hour'", "closed", 0),
        ("UPDATE llm_providers SET enabled = false", "closed", 0),
    ],
)
def test_a_circuit_is_in_exactly_one_state_and_available_as_workers_see_it(
    change: str, state: str, is_available: int, settings: Settings, redis_client: Redis, connection: Database
) -> None:
    connection.execute(change.encode())

    metrics = read_metrics(connection, redis_client, settings)

    states = {
        name: metrics.get("fuseboard_circuit_state", provider="ollama", state=name)
        for name in ("closed", "open", "half_open", "forced_open", "disabled")
    }
    assert states == {name: float(name == state) for name in states}
    assert metrics.get("fuseboard_provider_available", provider="ollama") == is_available
    assert metrics.get("fuseboard_provider_throttled", provider="ollama") == ("throttle" in change)
    assert metrics.get("fuseboard_provider_enabled", provider="ollama") == ("enabled" not in change)


def test_transitions_are_counted_by_provider(settings: Settings, redis_client: Redis, connection: Database) -> None:
    connection.execute("SELECT llm_force_circuit_open('ollama', 'ada', 'new GPU')")
    connection.execute("SELECT llm_clear_circuit_override('ollama', 'ada', 'it is in')")

    metrics = read_metrics(connection, redis_client, settings)

    assert metrics.get("fuseboard_circuit_transitions_total", provider="ollama") == 2
    assert metrics.get("fuseboard_circuit_transitions_total", provider="claude") == 0


def test_providers_beyond_the_bound_share_one_series_also_with_one_that_is_called_so(
    settings: Settings, redis_client: Redis, connection: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["_other", *(f"made-up-{number}" for number in range(20))]
    connection.execute(
        "INSERT INTO llm_providers (name, display_name, provider_type, created_at)"
        " VALUES ('_other', 'Other', 'remote', now() - interval '1 day')"
    )
    store_events(redis_client, settings, [make_event(provider=name) for name in names])
    monkeypatch.setattr(metrics_store, "PROVIDERS_MAX", 5)

    metrics = read_metrics(connection, redis_client, settings)

    assert metrics.get("fuseboard_requests_total", provider="_other", status="success") == len(names)
    assert len(metrics.select("fuseboard_circuit_transitions_total")) == 5
    assert "made-up" not in metrics.page


def test_any_name_of_a_provider_is_a_label(settings: Settings, redis_client: Redis, connection: Database) -> None:
    # in lower case, as every name is
    name = 'quo"te\\new\nline{} ω'
    store_events(redis_client, settings, [make_event(provider=name)])

    metrics = read_metrics(connection, redis_client, settings)

    assert metrics.get("fuseboard_requests_total", provider=name, status="success") == 1


def test_rejected_events_are_counted_by_reason_until_they_are_replayed_or_dismissed(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    store_events(redis_client, settings, json.dumps([{"provider": "claude"}, {"provider": "claude"}]))
    store_events(redis_client, settings, "no json")

    before = read_metrics(connection, redis_client, settings)
    connection.execute(
        "UPDATE llm_rejected_events SET replayed_at = CASE entry_index WHEN 0 THEN now() END,"
        " dismissed_at = CASE entry_index WHEN 1 THEN now() END WHERE reason = 'invalid_event'"
    )
    after = read_metrics(connection, redis_client, settings)

    assert before.get("fuseboard_rejected_events", reason="invalid_event") == 2
    assert after.get("fuseboard_rejected_events", reason="invalid_event") == 0
    assert after.get("fuseboard_rejected_events", reason="not_json") == 1
    # a series that began with its first event would hide that event from delta()
    assert len(after.select("fuseboard_rejected_events")) == len(get_args(RejectionReason))


def test_each_job_says_when_it_last_ran_to_its_end_and_whether_it_failed(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    run_job("fold", settings)
    connection.execute(
        "INSERT INTO fuseboard_job_runs (job, last_started_at, last_error) VALUES ('reconcile', now(), 'x')"
    )

    metrics = read_metrics(connection, redis_client, settings)

    ran_at = fetch_value(
        connection, "SELECT extract(epoch FROM last_success_at) FROM fuseboard_job_runs WHERE job = 'fold'"
    )
    name = "fuseboard_job_last_success_timestamp_seconds"
    assert {job: metrics.get(name, scheduled_job=job) for job in ("fold", "partitions", "reconcile")} == {
        "fold": float(ran_at), "partitions": 0, "reconcile": 0,
    }  # fmt: skip
    failed = {
        job: metrics.get("fuseboard_job_failed", scheduled_job=job) for job in ("fold", "partitions", "reconcile")
    }
    assert failed == {"fold": 0, "partitions": 0, "reconcile": 1}


def test_the_fold_lags_only_while_something_waits_for_it(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    lags = []
    for step in ("nothing", "never folded", "folded", "late"):
        if step in {"never folded", "late"}:
            store_events(redis_client, settings, [make_event()])
        if step == "folded":
            run_job("fold", settings)
            connection.execute("UPDATE fuseboard_job_runs SET last_success_at = now() - interval '1 hour'")
        lags.append(read_metrics(connection, redis_client, settings).get("fuseboard_fold_lag_seconds"))

    assert lags[:3] == [0, math.inf, 0]
    assert lags[3] >= 3600


def test_without_redis_the_rest_is_still_told(settings: Settings, connection: Database, tmp_path: Path) -> None:
    with connect_redis(f"unix://{tmp_path}/nobody.sock", retries=0) as nobody:
        metrics = read_metrics(connection, nobody, settings)

    assert metrics.get("fuseboard_redis_up") == 0
    assert not metrics.has("fuseboard_stream_entries")
    assert metrics.get("fuseboard_circuit_state", provider="claude", state="closed") == 1


def test_what_waits_on_the_disk_is_measured(
    settings: Settings, redis_client: Redis, connection: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "spool" / settings.namespace
    folder.mkdir(parents=True)
    (folder / "1-a.spool").write_bytes(b"x" * 70)
    (folder / "other").write_bytes(b"x")

    assert read_metrics(connection, redis_client, settings).get("fuseboard_spool_bytes") == 70


@pytest.mark.parametrize("name", ["usage", "circuits", "rejected", "jobs", "folding"])
def test_no_metric_reads_the_raw_requests(name: str, connection: Database) -> None:
    query = b"EXPLAIN (FORMAT JSON) " + load_sql("fuseboard_api", f"select_metric_{name}")

    (plan,) = connection.execute(query, {"providers_max": 100}).fetchone() or ()

    assert "Relation Name" in str(plan)
    assert "llm_requests" not in str(plan)
