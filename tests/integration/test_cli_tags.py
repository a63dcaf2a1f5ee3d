"""The command line on cost by tag."""

from datetime import UTC, datetime

import pytest

from commands import run_command, run_json
from consumers import make_settings
from fuseboard_aggregator.fold import fold_deltas
from fuseboard_cli.command_error import CommandError
from fuseboard_schema.settings import Settings
from stored_usage import Database, make_events, store_events

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str) -> Settings:
    return make_settings(database_url, redis_url, namespace)


def test_tags_are_added_listed_and_removed(database_url: str, settings: Settings) -> None:
    store_events(database_url, make_events([NOON], tags={"user": "anna"}))
    with pytest.raises(CommandError, match="only by: feature, team, tenant"):
        run_command(settings, "tags", "costs", "user")

    assert "whole from 2020-01-01 on" in run_command(settings, "tags", "add", "user").stdout

    assert "anna" in run_command(settings, "tags", "costs", "user").stdout
    assert [row["tag_key"] for row in run_json(settings, "tags", "list")] == ["feature", "team", "tenant", "user"]
    assert "no longer kept" in run_command(settings, "tags", "remove", "user").stdout
    assert "user" not in run_command(settings, "tags", "list").stdout


def test_reconcile_tells_which_sums_beside_daily_usage_differ(
    database_url: str, settings: Settings, connection: Database
) -> None:
    store_events(database_url, make_events([NOON], tags={"team": "search"}))
    fold_deltas(connection)
    connection.execute("UPDATE llm_tag_costs_daily SET cost_usd = 0")

    found = run_command(settings, "reconcile", code=1).stdout

    assert "raw = daily + pending" in found
    assert "llm_tag_costs_daily of 2026-03-10 is not the sum of the raw requests" in found
    assert run_json(settings, "reconcile", "--repair")["differing_rollups"] == [
        {"rollup": "llm_tag_costs_daily", "day": "2026-03-10"}
    ]
