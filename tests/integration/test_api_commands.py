"""`fuseboard tokens`, and the login link of `fuseboard up`."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow
from typer.testing import CliRunner

from api_tools import bear, expect_problem, open_client
from commands import run_command, run_json
from consumers import make_settings
from fuseboard_cli.application import app
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.listener import open_listener
from fuseboard_cli.up import make_login_link
from fuseboard_schema.settings import Settings
from queries import fetch_row


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, tmp_path: Path) -> Settings:
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_token_is_made_listed_used_and_revoked(settings: Settings) -> None:
    token = run_command(settings, "tokens", "create", "--scope", "read", "--name", "grafana").stdout.strip()
    with open_client(settings) as api:
        assert api.get("/api/llm/health", headers=bear(token)).status_code == 200
        (listed,) = run_json(settings, "tokens", "list")
        assert (listed["name"], listed["scope"], listed["state"]) == ("grafana", "read", "valid")
        assert listed["last_used_at"] is not None
        assert token.split("_", 2)[2] not in str(listed)

        said = run_command(settings, "tokens", "revoke", listed["token_id"]).stdout

        assert "grafana" in said
        expect_problem(api.get("/api/llm/health", headers=bear(token)), 401)
    assert run_json(settings, "tokens", "list")[0]["state"] == "revoked"
    assert "grafana" in run_command(settings, "tokens", "list").stdout


def test_the_id_of_a_token_is_whole_on_a_narrow_screen(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run_command(
        settings, "tokens", "create", "--scope", "admin", "--name", "the dashboard of everybody", "--expires", "30d"
    )
    (listed,) = run_json(settings, "tokens", "list")

    assert listed["token_id"] in run_command(settings, "tokens", "list").stdout


def test_a_token_expires_when_it_is_told_to(settings: Settings, connection: Connection[TupleRow]) -> None:
    run_command(settings, "tokens", "create", "--scope", "admin", "--expires", "30d")

    row = fetch_row(
        connection, "SELECT scope, expires_at - created_at = interval '30 days' AS is_so FROM fuseboard_tokens"
    )
    assert row == {"scope": "admin", "is_so": True}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["create"], 2),
        (["create", "--scope", "root"], 2),
        (["create", "--scope", "read", "--name", " "], 2),
        (["create", "--scope", "read", "--expires", "soon"], 2),
        (["revoke", "nobody"], 1),
    ],
)
def test_a_wrong_command_about_tokens_makes_none(arguments: list[str], code: int, settings: Settings) -> None:
    run_command_and_expect(settings, arguments, code)

    assert run_json(settings, "tokens", "list") == []


def run_command_and_expect(settings: Settings, arguments: list[str], code: int) -> None:
    if code == 1:
        with pytest.raises(Exception, match="there is no token"):
            run_command(settings, "tokens", *arguments, code=code)
    else:
        run_command(settings, "tokens", *arguments, code=code)


def test_the_login_link_of_up_opens_the_dashboard_once(settings: Settings) -> None:
    link = make_login_link(settings, 8420)
    assert link.startswith("http://127.0.0.1:8420/login?code=")
    with open_client(settings) as api:
        path = link.removeprefix("http://127.0.0.1:8420")

        assert api.get(path).status_code == 303

        assert api.get("/session").json()["scope"] == "admin"
        expect_problem(api.get(path), 401)


def test_up_takes_a_free_port_where_its_own_is_taken_and_none_was_named(
    busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fuseboard_cli.listener.PORT", busy_port)
    with open_listener(None) as listener:
        assert listener.getsockname()[1] not in (0, busy_port)


def test_up_takes_no_other_port_than_the_one_that_was_named(busy_port: int, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=f"--port {busy_port} cannot be had"):
        CliRunner().invoke(
            app,
            ["up", "--port", str(busy_port)],
            env={"FUSEBOARD_DATA_DIR": str(tmp_path / "data")},
            catch_exceptions=False,
        )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", ["closed", "file", "deaf"])
def test_the_api_serves_at_no_descriptor_but_a_listening_socket(kind: str, settings: Settings, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file, socket.socket() as deaf:
        descriptor = {"closed": 999, "file": file.fileno(), "deaf": deaf.fileno()}[kind]
        with pytest.raises(CommandError, match=f"--fd {descriptor} is"):
            run_command(settings, "api", "--fd", str(descriptor))
