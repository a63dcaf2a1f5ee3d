"""The functions and views that the API, Grafana and people at psql ask, against sums over the raw requests."""

import json
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import pytest

from events import make_event
from fuseboard_aggregator.fold import fold_deltas
from fuseboard_consumer.durations import estimate_percentile
from queries import RAW_SUMS, fetch_row, fetch_value
from stored_usage import Database, Row, fetch_rows, make_events, store_events

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def stored(database_url: str, connection: Database) -> Database:
    """Store requests of six days, those of the first batch folded and the others not."""
    durations = [0.01, 0.02, 0.5, 0.75, 1.5, 2, 3, 7, 31, 400]
    for batch in range(2):
        events = [
            make_event(
                occurred_at=NOW - day * DAY - timedelta(seconds=index),
                provider=("ollama", "claude", "openai", "newcomer")[(index + batch) % 4],
                status=("success", "success", "success", "error", "rate_limited", "cancelled")[index % 6],
                duration_seconds=duration,
                prompt_tokens=10 + index,
            )
            for day in (0, 1, 2, 5)
            for index, duration in enumerate(durations)
        ]
        store_events(database_url, events)
        if batch == 0:
            fold_deltas(connection)
    return connection


def set_health(connection: Database, **columns: object) -> None:
    names = ", ".join(f"{name} = %({name})s" for name in columns)
    connection.execute(f"UPDATE llm_provider_health SET {names} WHERE provider = 'claude'".encode(), columns)  # noqa: S608 - names of columns


def fetch_status(connection: Database, name: str = "claude") -> Row:
    return fetch_row(connection, f"SELECT * FROM llm_provider_status WHERE name = '{name}'")  # noqa: S608 - our own name


def test_daily_trends_are_the_sums_of_the_raw_requests(stored: Database) -> None:
    # both of one moment, which midnight cannot part
    with stored.transaction():
        expected = fetch_rows(
            stored,
            f"SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, provider, {RAW_SUMS} FROM llm_requests"  # noqa: S608 - our own text
            " WHERE (occurred_at AT TIME ZONE 'UTC')::date > (now() AT TIME ZONE 'UTC')::date - 3"
            " GROUP BY 1, 2 ORDER BY 1, 2",
        )
        trends = fetch_rows(stored, "SELECT * FROM llm_daily_trends(3)")

    assert len(expected) >= 8
    assert trends == expected


def test_metrics_are_the_sums_of_the_raw_requests(stored: Database) -> None:
    expected = {
        row.pop("provider"): row
        for row in fetch_rows(stored, f"SELECT provider, {RAW_SUMS} FROM llm_requests GROUP BY 1")  # noqa: S608 - our own text
    }

    metrics = fetch_rows(stored, "SELECT * FROM llm_provider_metrics(NULL, 30)")

    assert [row["provider"] for row in metrics] == ["ollama", "localai", "claude", "openai", "newcomer"]
    for row in metrics:
        if row["provider"] in expected:
            assert {name: row[name] for name in expected[row["provider"]]} == expected[row["provider"]]
    localai = metrics[1]
    assert (localai["requests"], localai["cost_usd"], localai["success_rate"]) == (0, 0, None)
    assert (localai["p50_response_time_ms"], localai["avg_response_time_ms"]) == (None, None)


def test_percentiles_are_within_a_bucket_of_the_true_ones(stored: Database) -> None:
    for row in fetch_rows(stored, "SELECT * FROM llm_provider_metrics()"):
        query = "SELECT duration_seconds FROM llm_requests WHERE provider = %s AND status = 'success' ORDER BY 1"
        durations = [float(duration) for (duration,) in stored.execute(query, (row["provider"],))]
        for name, fraction in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            found = row[f"{name}_response_time_ms"]
            if durations:
                assert found == pytest.approx(1000 * durations[ceil(fraction * len(durations)) - 1], rel=0.051)
            else:
                assert found is None


def test_metrics_of_one_provider_are_its_row_of_all(stored: Database) -> None:
    # both of one moment, which midnight cannot part
    with stored.transaction():
        everything = fetch_rows(stored, "SELECT * FROM llm_provider_metrics(NULL, 2)")
        one = fetch_rows(stored, "SELECT * FROM llm_provider_metrics('claude', 2)")

    assert one == [row for row in everything if row["provider"] == "claude"]
    assert fetch_rows(stored, "SELECT * FROM llm_provider_metrics('nobody', 2)") == []


def test_reads_say_the_same_before_and_after_a_fold(stored: Database) -> None:
    queries = [
        "SELECT * FROM llm_provider_metrics(NULL, NULL)",
        "SELECT * FROM llm_daily_trends(NULL)",
        "SELECT * FROM llm_costs_by_provider(4)",
        "SELECT * FROM llm_cost_summary()",
    ]
    before = [fetch_rows(stored, query) for query in queries]

    fold_deltas(stored)

    assert [fetch_rows(stored, query) for query in queries] == before


def test_the_last_days_are_days_of_the_installation(database_url: str, connection: Database) -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Niue"):
        connection.execute("UPDATE fuseboard_settings SET value = %s WHERE name = 'day_time_zone'", (zone,))
        # now() stands still, so that no midnight comes in between
        with connection.transaction():
            midnight = fetch_value(
                connection,
                f"SELECT date_trunc('day', now() AT TIME ZONE '{zone}') AT TIME ZONE '{zone}'",
            )
            store_events(database_url, make_events([midnight, midnight - timedelta(seconds=1)], provider=zone))
            requests = [
                fetch_value(connection, f"SELECT requests FROM llm_provider_metrics('{zone}', {days})")  # noqa: S608 - our own name
                for days in (1, 2)
            ]

        assert requests == [1, 2]


def test_a_provider_without_traffic_has_no_data(connection: Database) -> None:
    row = fetch_status(connection)

    assert (row["status"], row["is_available"], row["circuit_state"]) == ("no_data", True, "closed")
    assert (row["p50_response_time_ms"], row["p95_response_time_ms"], row["is_throttled"]) == (None, None, False)


@pytest.mark.parametrize(
    ("columns", "status", "circuit_state", "is_available"),
    [
        ({}, "healthy", "closed", True),
        ({"rolling_success_rate": 89.99}, "degraded", "closed", True),
        ({"state": "open", "open_until": NOW + DAY}, "open", "open", False),
        ({"state": "open", "open_until": NOW - DAY}, "half_open", "half_open", True),
        ({"override": "forced_open", "override_by": "ada"}, "forced_open", "forced_open", False),
        ({"override": "disabled", "override_by": "ada", "state": "open"}, "healthy", "disabled", True),
        ({"throttle_until": NOW + DAY}, "throttled", "closed", False),
        ({"throttle_until": NOW - DAY}, "healthy", "closed", True),
        ({"throttle_until": NOW + DAY, "state": "open", "open_until": NOW + DAY}, "open", "open", False),
    ],
)
def test_a_provider_status_is_the_worst_that_holds(
    connection: Database, columns: dict[str, Any], status: str, circuit_state: str, is_available: bool
) -> None:
    set_health(connection, **{"rolling_success_rate": 90, "total_requests": 1, **columns})

    row = fetch_status(connection)

    assert (row["status"], row["circuit_state"], row["is_available"]) == (status, circuit_state, is_available)


def test_a_provider_that_is_not_enabled_is_disabled_whatever_its_circuit_is(connection: Database) -> None:
    connection.execute(b"UPDATE llm_providers SET enabled = false WHERE name = 'claude'")
    set_health(connection, state="open", open_until=NOW + DAY)

    row = fetch_status(connection)

    assert (row["status"], row["circuit_state"], row["is_available"]) == ("disabled", "open", False)


def test_rolling_percentiles_are_those_that_workers_are_told(stored: Database) -> None:
    durations = {"60": {"0": 3, "10": 90, "40": 5}, "120": {"10": 100, "143": 2}}
    set_health(stored, rolling_durations=json.dumps(durations))

    row = fetch_status(stored)

    for name, fraction in (("p50_response_time_ms", 0.5), ("p95_response_time_ms", 0.95)):
        estimated = estimate_percentile(durations, fraction)
        assert estimated is not None
        assert row[name] == round(1000 * estimated, 1)


def test_every_bucket_has_the_middle_that_workers_are_told(connection: Database) -> None:
    for bucket in range(fetch_value(connection, "SELECT array_length(duration_bucket_bounds(), 1) + 1")):
        estimated = estimate_percentile({"0": {str(bucket): 1}}, 0.5)
        assert estimated is not None
        assert fetch_value(connection, f"SELECT duration_bucket_ms({bucket})") == pytest.approx(1000 * estimated, 0.01)


def test_health_without_any_event_is_no_data(connection: Database) -> None:
    row = fetch_row(connection, "SELECT * FROM llm_overall_health()")

    assert (row["status"], row["providers"], row["available_providers"]) == ("no_data", 4, 4)
    assert (row["requests"], row["success_rate"], row["last_request_at"]) == (0, None, None)
    assert (row["cost_today_usd"], row["unfolded_requests"], row["unpriced_requests"]) == (0, 0, 0)


def test_health_sums_up_what_is_recent_and_what_is_open(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([datetime.now(UTC) - DAY], cost_usd="7"))
    fold_deltas(connection)
    connection.execute(
        b"INSERT INTO llm_rejected_events"
        b" (entry_id, entry_index, reason, detail, raw_text, raw_bytes, replayed_at, dismissed_at) VALUES"
        b" ('1-1', 0, 'not_json', '', '', 0, NULL, NULL),"
        b" ('1-1', 1, 'not_json', '', '', 0, now(), NULL),"
        b" ('1-1', 2, 'not_json', '', '', 0, NULL, now())"
    )
    # now() stands still, so that no midnight comes in between
    with connection.transaction():
        moment = fetch_value(connection, "SELECT greatest(now() - interval '1 minute', date_trunc('day', now()))")
        store_events(database_url, make_events([moment] * 10, cost_usd="0.1"))
        store_events(database_url, make_events([moment], provider="newcomer"))
        row = fetch_row(connection, "SELECT * FROM llm_overall_health()")

    assert (row["status"], row["requests"], row["successes"], row["success_rate"]) == ("ok", 11, 11, 100.0)
    assert (str(row["cost_today_usd"]), row["last_request_at"]) == ("1.0", moment)
    assert (row["unfolded_requests"], row["rejected_events"], row["unpriced_requests"]) == (11, 1, 1)
    assert fetch_value(connection, "SELECT rejected_events FROM llm_pipeline_status") == 1
    # newcomer is registered, but not enabled before an operator says so
    assert (row["providers"], row["available_providers"], row["open_circuits"]) == (4, 4, 0)


def test_health_is_degraded_by_one_provider_and_down_without_any(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOW]))
    connection.execute(b"SELECT llm_force_circuit_open('claude', 'ada', 'because')")
    degraded = fetch_row(connection, "SELECT * FROM llm_overall_health()")
    connection.execute(b"SELECT llm_force_circuit_open(name, 'ada', 'because') FROM llm_providers")
    down = fetch_row(connection, "SELECT * FROM llm_overall_health()")

    assert (degraded["status"], degraded["available_providers"], degraded["open_circuits"]) == ("degraded", 3, 1)
    assert (down["status"], down["available_providers"], down["open_circuits"]) == ("down", 0, 4)


def test_health_is_degraded_by_many_failures(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOW] * 8))
    store_events(database_url, make_events([NOW], status="error"))

    assert fetch_value(connection, "SELECT status FROM llm_overall_health()") == "degraded"


def test_what_is_unpriced_is_no_more_once_it_has_been_corrected(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOW], provider="newcomer"))
    fold_deltas(connection)
    connection.execute(b"UPDATE llm_costs_daily SET unpriced_requests = 0")

    assert fetch_value(connection, "SELECT unpriced_requests FROM llm_overall_health()") == 0


def test_costs_by_tag_are_the_sums_of_the_raw_requests(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOW] * 2, tags={"team": "search", "tenant": "a"}, cost_usd="0.5"))
    store_events(database_url, make_events([NOW], tags={"tenant": "a"}, cost_usd="2", status="error"))
    store_events(database_url, make_events([NOW], tags={"team": "chat"}, provider="newcomer"))
    store_events(database_url, make_events([NOW - 8 * DAY], tags={"team": "search"}))

    rows = fetch_rows(connection, "SELECT * FROM llm_costs_by_tag('team', 7)")

    assert [(row["tag_value"], row["requests"], row["cost_usd"]) for row in rows] == [
        (None, 1, 2), ("search", 2, 1), ("chat", 1, None),
    ]  # fmt: skip
    assert [row["success_rate"] for row in rows] == [0.0, 100.0, 100.0]
    assert [row["unpriced_requests"] for row in rows] == [0, 0, 1]
    assert rows[1]["total_tokens"] == 2200
    assert fetch_value(connection, "SELECT sum(requests) FROM llm_costs_by_tag('team', NULL)") == 5
