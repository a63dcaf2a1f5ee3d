"""SQL, the API, the command line, the dashboard, exports and metrics tell the same numbers: those of what was sent."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser
from redis import Redis

import shown_figures
from api_tools import ApiClient, make_api_token, open_client, read_exactly
from browser import Board, run_browser
from commands import run_command, run_json
from consumers import make_settings
from fuseboard_cli.demo import choose_trace
from fuseboard_cli.replay_worker import REPLAY_TAG
from fuseboard_schema.settings import Settings
from metric_tools import Metrics
from queries import RAW_SUMS, Database
from replayed_traffic import WRONG_STATUS, insert_odd_price, send, write_rarities
from sent_figures import Sent, fetch_rates, read_time
from told_figures import (
    NOTHING,
    Row,
    add_up,
    agree,
    agree_metrics,
    fetch_plain,
    get_day,
    get_hour,
    get_provider,
    index,
    make_plain,
    read_requests,
    read_table,
    repeat,
)

# the traffic ends now and lasts an hour: it lies in these, also when midnight passes
DAYS, HOURS = 30, 48
RAW = f"{RAW_SUMS} FROM llm_requests"
HEALTH = """SELECT health.*, (
        SELECT count(*) FROM llm_requests
        WHERE date_trunc('minute', occurred_at) > now() - interval '10 minutes'
            AND status NOT IN ('cancelled', 'rate_limited')
    ) AS recent_requests FROM llm_overall_health() AS health"""


class Place(NamedTuple):
    """One installation, wherever it can be asked, and what was sent to it."""

    settings: Settings
    connection: Database
    api: ApiClient
    browser: Browser
    token: str
    sent: Sent
    unfolded: int

    def ask(self, query: str, *parameters: object) -> list[Row]:
        """Ask PostgreSQL."""
        return fetch_plain(self.connection, query, *parameters)

    def get(self, path: str, **parameters: object) -> Any:  # noqa: ANN401 - any JSON document
        """Ask the API."""
        return read_exactly(self.api, f"/api/llm/{path}", **parameters)

    def run(self, *arguments: str) -> Any:  # noqa: ANN401 - any JSON document
        """Ask the command line."""
        return run_json(self.settings, *arguments)


@pytest.fixture
def settings(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("FUSEBOARD_SPOOL_DIR", str(tmp_path / "spool"))
    return make_settings(database_url, redis_url, namespace)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with run_browser() as running:
        yield running


def fold(settings: Settings) -> None:
    run_command(settings, "aggregator", "--once", "fold")


def test_everybody_tells_the_numbers_of_what_was_sent_before_and_after_the_fold(
    settings: Settings, connection: Database, redis_client: Redis, browser: Browser, tmp_path: Path
) -> None:
    insert_odd_price(connection)
    run_command(settings, "tags", "add", REPLAY_TAG)
    rarities = send(write_rarities(tmp_path), settings, redis_client, tmp_path)
    fold(settings)
    # from here on what is folded and what is not make one day
    traffic = send(choose_trace(None, tmp_path), settings, redis_client, tmp_path)
    refused = [event for event in rarities if event["status"] == WRONG_STATUS]
    stored = [event for event in rarities + traffic if event not in refused]
    sent = Sent(stored, refused, fetch_rates(connection))
    assert all((sent.refused, sent.list_flows(), sent.list_unpriced()))
    token = make_api_token(connection, "read")
    with open_client(settings, token) as api:
        place = Place(settings, connection, api, browser, token, sent, len(traffic))
        check_within_a_day(lambda today: check_everything(place, today))
        fold(settings)
        check_within_a_day(lambda today: check_everything(place._replace(unfolded=0), today))


def check_within_a_day(check: Callable[[date], None]) -> None:
    """Check what is told of today; once more where midnight passed meanwhile."""
    today = datetime.now(UTC).date()
    try:
        check(today)
    except AssertionError:
        later = datetime.now(UTC).date()
        if later == today:
            raise
        check(later)


def check_everything(place: Place, today: date) -> None:
    for days in (1, 2, DAYS):
        check_costs(place, days, today)
    check_trends(place)
    check_lists(place)
    check_state(place, today)
    check_raw_requests(place)
    check_metrics(place, today)
    check_board(place, today)


def check_costs(place: Place, days: int, today: date) -> None:
    sent = place.sent.select_last(days, today)
    first_day = today - timedelta(days=days - 1)
    costs = place.ask("SELECT * FROM llm_costs_by_provider(%s)", days)
    metrics = place.ask("SELECT * FROM llm_provider_metrics(NULL, %s)", days)
    raw = place.ask(f"SELECT provider, {RAW} WHERE occurred_at >= %s GROUP BY 1", first_day)
    (summary,) = place.ask("SELECT * FROM llm_cost_summary(%s)", days)
    by_run = place.ask("SELECT * FROM llm_costs_by_tag(%s, %s)", REPLAY_TAG, days)
    told, printed = place.get("costs", days=days), place.run("costs", "--days", str(days))

    for rows in (costs, metrics, raw):
        agree(index(rows, get_provider), sent.sum_providers())
    agree(index(by_run, lambda row: row["tag_value"]), sent.sum_tags(REPLAY_TAG))
    repeat(place.get(f"tags/{REPLAY_TAG}", days=days)["costs"], by_run)
    repeat([make_plain(row) for row in place.run("tags", "costs", REPLAY_TAG, "--days", str(days))], by_run)
    assert summary == sent.sum_all()
    for document in (told, make_plain(printed)):
        repeat([{name: document[name] for name in summary}], [summary])
        repeat(
            [make_plain(row) for row in document["providers"]],
            [{**row, "compared_usd": compare_costs(row)} for row in costs],
        )
    repeat(place.get("metrics", days=days)["providers"], metrics)


def compare_costs(row: Row) -> Decimal | None:
    cost, savings = row["cost_usd"], row["savings_usd"]
    return None if cost is None or savings is None else cost + savings


def check_trends(place: Place) -> None:
    days = place.ask("SELECT * FROM llm_daily_trends(%s)", DAYS)
    hours = place.ask("SELECT * FROM llm_hourly_trends(%s)", HOURS)
    raw_days = place.ask(f"SELECT occurred_at::date AS day, provider, {RAW} GROUP BY 1, 2")
    raw_hours = place.ask(f"SELECT date_trunc('hour', occurred_at) AS hour_start, provider, {RAW} GROUP BY 1, 2")

    for rows in (days, raw_days):
        agree(index(rows, get_day), place.sent.sum_days())
    for rows in (hours, raw_hours):
        agree(index(rows, get_hour), place.sent.sum_hours())
    agree(add_up(read_table(place.api, "llm_costs_current"), get_day), place.sent.sum_days())
    repeat(place.get("trends", days=DAYS)["trends"], days)
    repeat(place.get("trends/hourly", hours=HOURS)["trends"], hours)


def check_lists(place: Place) -> None:
    flows = place.ask("SELECT * FROM llm_fallback_flows(%s)", DAYS)
    unpriced = place.ask("SELECT * FROM llm_unpriced_models ORDER BY unpriced_requests DESC, provider, model")
    refused = place.ask("SELECT * FROM llm_rejected_events ORDER BY rejected_id DESC")

    assert [(row["original_provider"], row["provider"], row["requests"]) for row in flows] == place.sent.list_flows()
    assert [(row["provider"], row["model"], row["unpriced_requests"]) for row in unpriced] == place.sent.list_unpriced()
    assert [json.loads(row["raw_text"]) for row in refused] == place.sent.refused
    repeat(place.get("fallbacks", days=DAYS)["fallbacks"], flows)
    told = place.get("unpriced")["unpriced"]
    repeat([{name: value for name, value in row.items() if name != "set_price_command"} for row in told], unpriced)
    repeat(place.get("rejected")["rejected"], refused)
    repeat(place.run("rejected", "list"), refused)


def read_beside(place: Place, query: str, *reads: Callable[[], Any]) -> tuple[list[Row], list[Any]]:
    """Read what also the time changes, such as the last ten minutes, from SQL and elsewhere while it is the same."""
    for _ in range(10):
        before, told = place.ask(query), [read() for read in reads]
        if place.ask(query) == before:
            return before, told
    pytest.fail("it changes all the time")


def check_state(place: Place, today: date) -> None:
    counts = ("total_requests", "successful_requests", "failed_requests", "success_rate")
    sums = {
        name: tuple(figures[column] for column in ("requests", "successes", "failures", "success_rate"))
        for name, figures in place.sent.sum_providers().items()
    }
    statuses, (told, listed, status) = read_beside(
        place,
        "SELECT *, name AS id, circuit_state AS circuit FROM llm_provider_status ORDER BY priority, name",
        lambda: place.get("providers")["providers"],
        lambda: place.run("providers", "list"),
        lambda: place.run("status"),
    )
    assert {row["name"]: tuple(row[name] for name in counts) for row in statuses} == sums
    for rows in (told, map(make_plain, listed), map(make_plain, status["providers"])):
        repeat(list(rows), statuses)

    ((health,), (told_health,)) = read_beside(place, HEALTH, lambda: place.get("health"))
    of_today, unpriced = place.sent.select_last(1, today).sum_all(), place.sent.sum_all()["unpriced_requests"]
    assert told_health == {name: health[name] for name in told_health}
    assert (health["cost_today_usd"], health["savings_today_usd"], health["requests"], health["last_request_at"]) == (
        of_today["total_cost_usd"],
        of_today["estimated_savings_usd"],
        health["recent_requests"],
        max(map(read_time, place.sent.events)).isoformat(),
    )
    waiting = ("unfolded_requests", "rejected_events", "unpriced_requests")
    for row in (health, status["pipeline"]):
        assert tuple(row[name] for name in waiting) == (place.unfolded, len(place.sent.refused), unpriced)


def check_raw_requests(place: Place) -> None:
    for rows in (read_requests(place.api), read_table(place.api, "llm_requests")):
        agree(add_up(rows, get_provider), place.sent.sum_providers())


def check_metrics(place: Place, today: date) -> None:
    page = Metrics(place.api.get("/metrics").text)
    of_today = place.sent.select_last(1, today).sum_providers()
    for provider, figures in place.sent.sum_providers().items():
        agree_metrics(page, str(provider), figures, of_today.get(provider, NOTHING))
    assert sum(page.select("fuseboard_rejected_events").values()) == len(place.sent.refused)
    assert page.get("fuseboard_unfolded_requests") == place.unfolded


def check_board(place: Place, today: date) -> None:
    figures = place.sent.sum_providers()
    providers = place.ask("SELECT * FROM llm_provider_status ORDER BY priority, name")
    board = Board(place.browser, place.api.origin)
    try:
        board.log_in(place.token)
        shown_figures.check_money(board, place.sent, today)
        shown_figures.check_providers(board, providers, figures)
        shown_figures.check_trends(board, {row["name"]: row["display_name"] for row in providers}, figures)
        shown_figures.check_lists(board, place.sent)
        assert board.complaints == []
    finally:
        board.page.close()
