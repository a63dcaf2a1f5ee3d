"""The operators' commands, on real servers: what they show, change, and tell workers."""

import getpass
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from commands import run_command, run_json
from consumers import make_settings
from fuseboard_cli.command_error import CommandError
from fuseboard_schema.circuit_keys import name_snapshot
from fuseboard_schema.settings import Settings
from queries import Database, fetch_row
from waiting import wait_until

WHY = ("--reason", "new GPU", "--actor", "ada")
HEALTH = "SELECT * FROM llm_provider_health WHERE provider = 'ollama'"


@pytest.fixture
def settings(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("FUSEBOARD_SPOOL_DIR", str(tmp_path / "spool"))
    return make_settings(database_url, redis_url, namespace)


def read_published(redis: Redis, settings: Settings, provider: str = "ollama") -> dict[str, Any]:
    text = cast("bytes | None", redis.hget(name_snapshot(settings.namespace), provider))
    assert text is not None
    published: dict[str, Any] = json.loads(text)
    return published


def find_circuit(settings: Settings, provider: str = "ollama") -> dict[str, Any]:
    [found] = [row for row in run_json(settings, "circuits") if row["provider"] == provider]
    return cast("dict[str, Any]", found)


def test_the_circuits_are_shown_in_order_of_choice(settings: Settings) -> None:
    assert [row["provider"] for row in run_json(settings, "circuits")] == ["ollama", "localai", "claude", "openai"]
    assert "● closed" in run_command(settings, "circuits").stdout


@pytest.mark.parametrize(
    ("command", "state", "published", "text"),
    [
        (
            ["force-open"],
            "forced_open",
            "forced_open",
            "is forced open: no worker calls it until `fuseboard circuits cl",
        ),
        (["force-open", "--for", "90m"], "forced_open", "forced_open", "no worker calls it for 90 min"),
        (["disable"], "disabled", "disabled", "every call is admitted and it never trips until"),
        (["disable", "--until", "2999-01-01"], "disabled", "disabled", "never trips until 2999-01-01 00:00:00 UTC"),
    ],
)
def test_an_override_is_shown_and_published_at_once(
    settings: Settings, redis_client: Redis, command: list[str], state: str, published: str, text: str
) -> None:
    name, *options = command
    before = datetime.now(UTC)

    result = run_command(settings, "circuits", name, "ollama", *WHY, *options)

    assert text in result.stdout
    circuit = find_circuit(settings)
    assert (circuit["state"], circuit["override_by"], circuit["override_reason"]) == (state, "ada", "new GPU")
    if "--for" in options:
        lasting = datetime.fromisoformat(circuit["override_until"]) - before
        assert timedelta(minutes=90) <= lasting < timedelta(minutes=95)
    else:
        assert circuit["override_until"] == ("2999-01-01T00:00:00+00:00" if options else None)
    assert read_published(redis_client, settings)["ov"] == published


def test_disabling_a_circuit_is_told_apart_from_disabling_a_provider(settings: Settings) -> None:
    result = run_command(settings, "circuits", "disable", "ollama", *WHY)

    assert "every call is admitted" in result.stdout
    assert "it would be `fuseboard providers disable ollama`" in result.stderr
    assert "admits all" in run_command(settings, "circuits").stdout
    assert "no worker chooses it" in run_command(settings, "providers", "disable", "ollama").stdout


def test_what_was_ordered_is_cleared_and_reset(settings: Settings, redis_client: Redis, connection: Database) -> None:
    connection.execute(
        b"UPDATE llm_provider_health SET state = 'open', open_until = now() + interval '1 h', open_streak = 3,"
        b" throttle_until = now() + interval '1 h' WHERE provider = 'ollama'"
    )
    run_command(settings, "circuits", "force-open", "ollama", *WHY)

    cleared = run_command(settings, "circuits", "clear", "ollama", *WHY)
    assert "ollama was forced open and is open" in cleared.stdout
    assert cleared.stderr == ""
    assert "neither forced open nor disabled" in run_command(settings, "circuits", "clear", "ollama", *WHY).stderr
    assert read_published(redis_client, settings)["thr"] > 0
    run_command(settings, "circuits", "reset-throttle", "ollama", *WHY)
    assert (find_circuit(settings)["is_throttled"], find_circuit(settings)["state"]) == (False, "open")
    assert read_published(redis_client, settings)["thr"] == 0
    assert "is closed: as if new" in run_command(settings, "circuits", "reset", "ollama", *WHY).stdout
    assert fetch_row(connection, HEALTH)["open_streak"] == 0
    assert read_published(redis_client, settings)["st"] == "closed"


def test_who_orders_is_who_runs_the_command(settings: Settings) -> None:
    run_command(settings, "circuits", "reset", "ollama", "--reason", "why")

    [row] = run_json(settings, "circuits", "history", "ollama")
    assert row["actor"] == f"{getpass.getuser()}@{socket.gethostname()}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("force-open", "nobody", *WHY), "there is no provider nobody: known are ollama, localai, claude, openai"),
        (("reset", "ollama", "--reason", " "), "reason: is empty; say who changes the circuit, and why"),
        (("disable", "ollama", *WHY, "--until", "2020-01-01"), "until: lies in the past"),
        (("history", "nobody"), "there is no provider nobody: known are ollama"),
        (("settings", "nobody", "min_calls=2"), "there is no provider nobody: known are ollama"),
        (("settings", "ollama", "min_calls=0"), "circuit_settings of ollama: min_calls: "),
        (("settings", "ollama", "min_cals=3"), "circuit_settings of ollama: min_cals: "),
    ],
)
def test_a_wrong_order_is_refused_in_one_line(settings: Settings, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError) as told:
        run_command(settings, "circuits", *arguments)

    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("force-open", "ollama"),
        ("force-open", "ollama", *WHY, "--for", "1h", "--until", "2999-01-01"),
        ("force-open", "ollama", *WHY, "--for", "soon"),
        ("settings", "ollama", "min_calls"),
        ("--watch", "--json"),
        ("--json", "history"),
    ],
)
def test_a_command_that_is_not_clear_is_wrong_usage(settings: Settings, arguments: tuple[str, ...]) -> None:
    run_command(settings, "circuits", *arguments, code=2)


def test_an_order_stands_while_redis_is_down(settings: Settings) -> None:
    no_redis = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})

    result = run_command(no_redis, "circuits", "force-open", "ollama", *WHY)

    assert "is forced open" in result.stdout
    assert "the change stands, and a consumer tells workers as soon as it can" in result.stderr
    assert find_circuit(settings)["state"] == "forced_open"


def test_the_history_is_newest_first_and_limited(settings: Settings) -> None:
    run_command(settings, "circuits", "force-open", "ollama", *WHY)
    run_command(settings, "circuits", "clear", "ollama", *WHY)
    run_command(settings, "circuits", "disable", "claude", *WHY)

    rows = run_json(settings, "circuits", "history")
    assert [(row["provider"], row["to_state"]) for row in rows] == [
        ("claude", "disabled"), ("ollama", "closed"), ("ollama", "forced_open")
    ]  # fmt: skip
    assert (rows[1]["lasted_seconds"], rows[1]["from_state"], rows[1]["note"]) == (None, "forced_open", "new GPU")
    assert rows[2]["lasted_seconds"] > 0
    assert len(run_json(settings, "circuits", "history", "--limit", "1")) == 1
    assert len(run_json(settings, "circuits", "history", "ollama")) == 2
    assert run_json(settings, "circuits", "history", "openai") == []
    assert "○ disabled" in run_command(settings, "circuits", "history").stdout


def test_in_a_pipe_watching_prints_one_line_per_circuit_once(settings: Settings) -> None:
    lines = run_command(settings, "circuits", "--watch").stdout.splitlines()

    assert [line.split()[2:4] for line in lines] == [
        [name, "closed;"] for name in ("ollama", "localai", "claude", "openai")
    ]


def test_on_a_terminal_watching_shows_changes_until_ctrl_c(settings: Settings, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {
        "PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "120", "DATABASE_URL": settings.database_url or "",
        "REDIS_URL": settings.redis_url or "", "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "fuseboard_cli", "circuits", "--watch"],
        cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = bytearray()

    def has_shown(text: str) -> bool:
        while select.select([ours], [], [], 0)[0]:
            seen.extend(os.read(ours, 65_536))
        return text.encode() in seen

    try:
        wait_until(lambda: has_shown("● closed"))
        run_command(settings, "circuits", "force-open", "claude", *WHY)
        wait_until(lambda: has_shown("■ forced open"))
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    finally:
        process.kill()
        process.wait()
        os.close(ours)

    assert process.returncode == 0
    assert b"Traceback" not in seen
