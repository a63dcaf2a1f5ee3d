"""Every query of deploy/grafana-dashboard.json and deploy/alerts.yml, on a real Prometheus and a real PostgreSQL."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row
from redis import Redis

from commands import run_command, store_events
from consumers import consumers, make_settings, shorten_waits
from events import add_entry, make_event
from fuseboard_aggregator.jobs import JOBS, run_job
from fuseboard_schema.settings import Settings
from monitoring import DEPLOY, fetch_json, find_program, running_api, running_prometheus
from queries import Database, fetch_value
from waiting import wait_until

DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
TARGETS = [(panel, target) for panel in PANELS for target in panel.get("targets", [])]
SOURCES = {"prometheus": "expr", "grafana-postgresql-datasource": "rawSql"}
UNITS = {"h": "hours", "d": "days"}
# nothing of it happened in the test
EMPTY_SQL = {"Rejected, latest"}


def list_queries(source: str) -> list[Any]:
    return [
        pytest.param(target[SOURCES[source]], panel["title"], id=f"{panel['title']}-{target['refId']}")
        for panel, target in TARGETS
        if target["datasource"]["type"] == source
    ]


def find_range(title: str) -> timedelta:
    """Find how far back a panel looks: by its own setting, else by the dashboard's."""
    (panel,) = [panel for panel in PANELS if panel["title"] == title and panel.get("targets")]
    text = panel.get("timeFrom") or DASHBOARD["time"]["from"].removeprefix("now-")
    return timedelta(**{UNITS[text[-1]]: int(text[:-1])})


def expand_macros(query: str, title: str) -> str:
    """Put in what Grafana would: times of UTC, up to now."""
    to = datetime.now(UTC)
    since, until = (f"'{at:%Y-%m-%dT%H:%M:%S.%fZ}'" for at in (to - find_range(title), to))
    filtered = re.sub(r"\$__timeFilter\(([^()]*)\)", rf"\1 BETWEEN {since} AND {until}", query)
    return filtered.replace("$__rate_interval", "1m")


@pytest.fixture
def settings(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path / "spool"))


def make_traffic() -> list[dict[str, Any]]:
    return [
        make_event(cache_read_tokens=10, cache_write_tokens=10, cache_write_1h_tokens=10, reasoning_tokens=10),
        make_event(status="error", completion_tokens=None, error_type="ServerError", http_status=500),
        make_event(provider="ollama", model="llama3.1:8b", is_fallback=True, original_provider="claude"),
        make_event(provider="newcomer", model="m-1"),
    ]


@pytest.fixture
def installation(settings: Settings, redis_client: Redis, connection: Database) -> Settings:
    """Have everything happen once that a panel shows."""
    store_events(redis_client, settings, make_traffic())
    for name in JOBS:
        run_job(name, settings)
    connection.execute("SELECT llm_force_circuit_open('ollama', 'ada', 'new GPU')")
    return settings


def test_every_panel_asks_a_source_that_is_chosen_and_covers_no_other() -> None:
    assert {variable["name"]: variable["query"] for variable in DASHBOARD["templating"]["list"]} == {
        "prometheus": "prometheus", "postgresql": "grafana-postgresql-datasource",
    }  # fmt: skip
    for _, target in TARGETS:
        kind, uid = target["datasource"]["type"], target["datasource"]["uid"]
        assert uid == ("${prometheus}" if kind == "prometheus" else "${postgresql}")
        assert target[SOURCES[kind]]
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.fixture
def analyst(installation: Settings) -> Iterator[psycopg.Connection[DictRow]]:
    """Log in with the rights that the documents give Grafana."""
    name = f"grafana-{uuid4().hex[:8]}"
    password = run_command(installation, "analyst", "create", name).stdout.splitlines()[-1]
    url = installation.database_url or ""
    with psycopg.connect(url, user=name, password=password, row_factory=dict_row, autocommit=True) as opened:
        yield opened
    run_command(installation, "analyst", "drop", name)


def test_every_panel_of_postgresql_shows_an_analyst_something(
    analyst: psycopg.Connection[DictRow], connection: Database
) -> None:
    shown = {}
    for parameter in list_queries("grafana-postgresql-datasource"):
        query, title = parameter.values
        shown[title] = analyst.execute(expand_macros(str(query), title).encode()).fetchall()

    assert {title for title, rows in shown.items() if not rows} == EMPTY_SQL
    (summary,) = shown["30 days"]
    assert summary["total_cost_usd"] == fetch_value(connection, "SELECT sum(cost_usd) FROM llm_requests")
    (flow,) = shown["Who fell back to whom, 30 days"]
    assert (flow["original_provider"], flow["provider"], flow["requests"]) == ("claude", "ollama", 1)


def test_a_panel_of_days_looks_back_over_days() -> None:
    # a day is at its midnight: over the dashboard's own hours there would seldom be one
    by_day = [panel["title"] for panel, target in TARGETS if "$__timeFilter(day" in target.get("rawSql", "")]

    assert by_day == ["Cost by day", "Savings by day"]
    assert {title: find_range(title).days for title in by_day} == dict.fromkeys(by_day, 30)


class ScrapedInstallation:
    """A real Prometheus that scrapes a real API, both over a test's installation."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask for a vector now; raises for what Prometheus refuses."""
        answer = fetch_json(f"{self._url}/api/v1/query", query=expression)
        assert (answer["status"], answer["data"]["resultType"]) == ("success", "vector")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def list_rules(self) -> list[dict[str, Any]]:
        groups = fetch_json(f"{self._url}/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@pytest.fixture
def scraped(installation: Settings, tmp_path: Path) -> Iterator[ScrapedInstallation]:
    find_program("prometheus")
    token = run_command(installation, "tokens", "create", "--scope", "read").stdout.strip()
    with (
        running_api(installation, tmp_path) as port,
        consumers(1, tmp_path, installation.database_url or "", installation.redis_url or "", installation.namespace),
        running_prometheus(tmp_path, f"127.0.0.1:{port}", token) as url,
    ):
        yield ScrapedInstallation(url)


def test_every_query_of_prometheus_is_taken_and_shows_something(
    scraped: ScrapedInstallation, redis_client: Redis, namespace: str
) -> None:
    # a rate needs a change between two scrapes
    wait_until(lambda: scraped.query("fuseboard_batch_events_count"))

    def has_all() -> bool:
        add_entry(redis_client, namespace, make_traffic())
        return not find_empty(scraped)

    wait_until(has_all)

    circuits = {row["metric"]["provider"]: row["value"][1] for row in scraped.query(get_query("Circuits"))}
    assert (circuits["ollama"], circuits["openai"]) == ("3", "0")


def find_empty(scraped: ScrapedInstallation) -> list[str]:
    """Find the panels that show nothing, not even a number that is none."""
    queries = [parameter.values for parameter in list_queries("prometheus")]
    return [
        f"{title}: {query}"
        for query, title in queries
        if not any(row["value"][1] != "NaN" for row in scraped.query(expand_macros(str(query), title)))
    ]


def get_query(title: str) -> str:
    (query,) = [target["expr"] for panel, target in TARGETS if panel["title"] == title]
    return str(query)


def test_prometheus_evaluates_every_alert_and_sees_what_is_wrong(
    scraped: ScrapedInstallation, connection: Database
) -> None:
    connection.execute("UPDATE llm_providers SET enabled = false")
    connection.execute("INSERT INTO fuseboard_job_runs VALUES ('other', now(), NULL, 'it failed')")

    def list_alerts() -> set[str]:
        return {rule["name"] for rule in scraped.list_rules() if rule["alerts"]}

    expected = {"FuseboardNoProviderAvailable", "FuseboardCircuitOverridden", "FuseboardJobFailed"}
    # pending until the consumer has started, and the first page has come
    quiet = {"FuseboardMetricsMissing", "FuseboardRedisDown", "FuseboardConsumersStalled"}
    wait_until(lambda: expected <= list_alerts() and not list_alerts() & quiet)

    rules = scraped.list_rules()
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
    (failed,) = [alert for rule in rules if rule["name"] == "FuseboardJobFailed" for alert in rule["alerts"]]
    assert failed["annotations"]["summary"] == "The job other failed, or found something to see to"
