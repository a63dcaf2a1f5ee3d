"""The profile `monitoring` of the compose file, and the files that it hands to Prometheus and Grafana."""

import json
from typing import Any

import pytest
import yaml

from compose import REPOSITORY, interpolate, read_compose

COMPOSE = read_compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MONITORING = ["prometheus", "grafana"]
DEPLOY = REPOSITORY / "deploy"


def read_deployed(name: str) -> Any:  # noqa: ANN401 - any document
    return yaml.safe_load((DEPLOY / name).read_text())


def list_mounts(name: str) -> dict[str, str]:
    """List what is mounted from the repository: place inside by place here."""
    mounts = (volume.split(":") for volume in SERVICES[name]["volumes"] if volume.startswith("./"))
    return {inside: here for here, inside, mode in mounts if mode == "ro"}


def test_nothing_of_it_starts_unasked() -> None:
    assert [name for name, service in SERVICES.items() if service.get("profiles")] == MONITORING
    assert all(SERVICES[name]["profiles"] == ["monitoring"] for name in MONITORING)


@pytest.mark.parametrize("name", MONITORING)
def test_what_is_mounted_is_in_the_repository(name: str) -> None:
    assert all((REPOSITORY / here).is_file() for here in list_mounts(name).values())


def test_no_image_may_become_another_one() -> None:
    versions = [SERVICES[name]["image"].rpartition(":")[2] for name in MONITORING]

    assert all(version.removeprefix("v").replace(".", "").isdigit() for version in versions)


def test_prometheus_finds_its_rules_and_its_token() -> None:
    config = read_deployed("prometheus.yml")
    (job,) = config["scrape_configs"]
    mounts = list_mounts("prometheus")

    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"]["command"]
    assert mounts["/etc/prometheus/prometheus.yml"] == "./deploy/prometheus.yml"
    assert [mounts[f"/etc/prometheus/{name}"] for name in config["rule_files"]] == ["./deploy/alerts.yml"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{SERVICES['prometheus']['secrets'][0]}"
    (target,) = job["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    assert SERVICES[host]["ports"][0].endswith(f":{port}")
    # the alerts name the job
    assert f'up{{job="{job["job_name"]}"}}' in (DEPLOY / "alerts.yml").read_text()


def test_grafana_finds_its_sources_and_its_dashboard() -> None:
    sources = {source["type"]: source for source in read_deployed("grafana/datasources.yml")["datasources"]}
    (provider,) = read_deployed("grafana/dashboards.yml")["providers"]
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())

    assert list_mounts("grafana")[f"{provider['options']['path']}/fuseboard.json"] == "./deploy/grafana-dashboard.json"
    assert {variable["query"] for variable in dashboard["templating"]["list"]} == set(sources)
    hosts = {sources[kind]["url"].removeprefix("http://").partition(":")[0] for kind in sources}
    assert hosts == {"prometheus", "postgres"}
    assert (
        sources["grafana-postgresql-datasource"]["jsonData"]["database"]
        == (SERVICES["postgres"]["environment"]["POSTGRES_DB"])
    )


def test_secrets_are_files_that_git_does_not_see() -> None:
    given = {secret for name in MONITORING for secret in SERVICES[name]["secrets"]}
    texts = [path.read_text() for path in DEPLOY.rglob("*.yml")]

    assert given == set(COMPOSE["secrets"])
    assert "secrets/" in (REPOSITORY / ".gitignore").read_text().splitlines()
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        used = [*texts, *SERVICES["grafana"]["environment"].values()]
        assert any(f"/run/secrets/{name}" in text for text in used)


def test_grafana_alone_is_reached_and_by_default_from_this_machine() -> None:
    assert "ports" not in SERVICES["prometheus"]
    assert SERVICES["prometheus"]["networks"] == ["inside"]
    assert interpolate(SERVICES["grafana"]["ports"][0], {}) == "127.0.0.1:3000:3000"
