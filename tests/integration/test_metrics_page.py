"""docs/metrics.md against what is given out, and what is given out against Prometheus's own rules."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from redis import Redis

from commands import store_events
from compose import REPOSITORY
from consumers import make_settings, shorten_waits
from events import make_event
from metric_tools import Family, Metrics, read_metrics
from monitoring import DEPLOY, find_program
from queries import Database

PAGE = (REPOSITORY / "docs" / "metrics.md").read_text()


@pytest.fixture
def metrics(
    database_url: str,
    redis_url: str,
    namespace: str,
    redis_client: Redis,
    connection: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Metrics:
    shorten_waits(monkeypatch.setattr)
    settings = make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))
    store_events(redis_client, settings, [make_event()])
    return read_metrics(connection, redis_client, settings)


def find_names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_the_page_of_metrics_is_what_is_given_out(metrics: Metrics) -> None:
    rows = re.findall(r"^\| (`fuseboard_[^|]*) \| (\w+) \| ([^|]*)\|", PAGE, re.MULTILINE)

    documented = {
        Family(name, kind, frozenset(find_names(labels))) for names, kind, labels in rows for name in find_names(names)
    }

    assert documented == metrics.list_families()


def test_the_page_names_every_alert_with_its_severity() -> None:
    rows = re.findall(r"^\| (`Fuseboard[^|]*) \| [^|]* \| (\w+) \|", PAGE, re.MULTILINE)
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]

    documented = {name: severity for names, severity in rows for name in find_names(names)}

    assert documented == {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"]}
    assert f"has {len(documented)} rules" in PAGE


def test_every_metric_that_an_alert_or_a_panel_names_is_given_out(metrics: Metrics) -> None:
    files = [DEPLOY / "alerts.yml", DEPLOY / "grafana-dashboard.json"]
    named = {name for path in files for name in re.findall(r"\bfuseboard_\w+", path.read_text())}
    given = {family.name for family in metrics.list_families()}

    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} - given == set()


def test_prometheus_finds_nothing_to_say_against_the_metrics(metrics: Metrics) -> None:
    done = subprocess.run(
        [find_program("promtool"), "check", "metrics"],
        input=metrics.page, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0
