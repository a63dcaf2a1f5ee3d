"""Sums of money of which nothing is known, and how those of different requests add up."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from api_tools import make_api_token, open_client
from consumers import make_settings
from fuseboard_aggregator.fold import fold_deltas
from queries import fetch_value
from stored_usage import Database, fetch_rows, make_events, store_events

NOW = datetime.now(UTC)
UNKNOWN_WHERE_UNPRICED = (
    "SELECT cost_usd, savings_usd FROM llm_costs_by_provider() WHERE name = 'newcomer'",
    "SELECT cost_usd, savings_usd FROM llm_provider_metrics('newcomer')",
    "SELECT cost_usd, savings_usd FROM llm_daily_trends() WHERE provider = 'newcomer'",
    "SELECT cost_usd, savings_usd FROM llm_hourly_trends() WHERE provider = 'newcomer'",
    "SELECT cost_usd, savings_usd FROM llm_costs_by_tag('team') WHERE tag_value = 'chat'",
    "SELECT cost_usd, savings_usd FROM llm_costs_current WHERE provider = 'newcomer'",
    "SELECT sum(cost_usd), sum(savings_usd) FROM llm_usage_since(llm_first_day(2)) WHERE provider = 'newcomer'",
    "SELECT cost_usd, savings_usd FROM llm_usage_hourly_current WHERE provider = 'newcomer'",
    "SELECT cost_usd, savings_usd FROM llm_tag_costs_current WHERE tag_value = 'chat'",
    "SELECT total_cost_usd, estimated_savings_usd FROM llm_cost_summary()",
    "SELECT cost_today_usd, savings_today_usd FROM llm_overall_health()",
)


def test_what_nothing_of_is_priced_has_no_sum_and_not_a_sum_of_0(database_url: str, connection: Database) -> None:
    store_events(database_url, make_events([NOW], provider="newcomer", tags={"team": "chat"}))
    for _ in range(2):
        for query in UNKNOWN_WHERE_UNPRICED:
            assert connection.execute(query.encode()).fetchall() == [(None, None)], query
        fold_deltas(connection)

    # unpriced and priced together are the sum of what is priced; what was not called at all cost 0
    store_events(database_url, make_events([NOW], provider="newcomer", tags={"team": "chat"}, cost_usd="0.25"))
    for query in UNKNOWN_WHERE_UNPRICED:
        ((cost, savings),) = connection.execute(query.encode()).fetchall()
        assert (float(cost), float(savings)) == (0.25, -0.2455), query
    assert fetch_value(connection, "SELECT cost_usd FROM llm_provider_metrics('openai')") == 0


def test_hypothetical_cost_is_cost_and_savings_and_what_was_not_compared(
    database_url: str, connection: Database
) -> None:
    store_events(database_url, make_events([NOW], provider="newcomer"))
    store_events(database_url, make_events([NOW], provider="openai"))
    # a cost that is known and a hypothetical one that is not, and the other way round
    store_events(database_url, make_events([NOW], prompt_tokens=None, completion_tokens=None, cost_usd="7"))

    for query in ("llm_cost_summary()", "llm_costs_by_provider()"):
        for row in fetch_rows(connection, f"SELECT * FROM {query}"):  # noqa: S608 - our own names
            cost, savings = row.get("total_cost_usd", row.get("cost_usd")), row.get("savings_usd")
            known = (cost or 0) + (row.get("estimated_savings_usd", savings) or 0) + row["uncompared_usd"]
            assert known == (row["hypothetical_claude_cost_usd"] or 0)
    by_name = {row["name"]: row for row in fetch_rows(connection, "SELECT * FROM llm_costs_by_provider()")}
    assert float(by_name["newcomer"]["uncompared_usd"]) == 0.0045
    assert by_name["openai"]["uncompared_usd"] == 0
    assert (by_name["claude"]["hypothetical_claude_cost_usd"], by_name["claude"]["uncompared_usd"]) == (None, -7)


def test_an_export_of_stored_sums_says_nothing_where_nothing_is_known(
    database_url: str, redis_url: str, namespace: str, connection: Database
) -> None:
    store_events(database_url, make_events([NOW], provider="newcomer", tags={"team": "chat"}))
    store_events(database_url, make_events([NOW], provider="ollama"))
    fold_deltas(connection)
    settings = make_settings(database_url, redis_url, namespace)

    with open_client(settings, make_api_token(connection, "read")) as api:
        told = {
            table: list(csv.DictReader(io.StringIO(api.get(f"/api/llm/export/{table}.csv").text)))
            for table in ("llm_costs_daily", "llm_usage_hourly", "llm_tag_costs_daily")
        }

    for table in ("llm_costs_daily", "llm_usage_hourly"):
        costs = {row["provider"]: (row["cost_usd"], row["requests"]) for row in told[table]}
        assert costs == {"newcomer": ("", "1"), "ollama": ("0", "1")}
    assert [(row["tag_value"], row["cost_usd"], row["savings_usd"]) for row in told["llm_tag_costs_daily"]] == [
        ("chat", "", "")
    ]


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_a_price_from_where_it_is_missing_is_of_all_requests_in_any_time_zone(
    database_url: str, connection: Database, zone: str
) -> None:
    connection.execute("UPDATE fuseboard_settings SET value = %s WHERE name = 'day_time_zone'", (zone,))
    times = [datetime(2026, 5, day, hour, tzinfo=UTC) for day, hour in ((2, 0), (2, 13), (3, 23))]
    store_events(database_url, make_events(times, provider="newcomer"))

    since = fetch_value(connection, "SELECT unpriced_since FROM llm_unpriced_models")

    assert times[0] - timedelta(days=1) < since <= times[0]
