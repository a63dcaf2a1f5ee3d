"""What operators set for providers and their circuits, and what status and the doctor say of them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from commands import run_command, run_json
from consumers import make_settings
from fuseboard_cli.command_error import CommandError
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from fuseboard_schema.settings import Settings
from queries import Database, fetch_row, fetch_value

WHY = ("--reason", "new GPU", "--actor", "ada")


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


def test_settings_are_changed_shown_published_and_removed(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    query = "SELECT circuit_settings FROM llm_providers WHERE name = 'ollama'"
    text = run_command(settings, "circuits", "settings", "ollama", "half_open_max_probes=7", "slow_ms=2500").stdout
    assert text == "ollama: half_open_max_probes is 7, slow_ms is 2500\n"
    assert read_published(redis_client, settings)["c"]["half_open_max_probes"] == 7
    seeded = {"min_timeout_for_failure_s": 30, "min_reporters": 1}
    assert fetch_value(connection, query) == seeded | {"half_open_max_probes": 7, "slow_ms": 2500}

    shown = run_json(settings, "circuits", "settings", "ollama", "slow_ms=")
    assert (shown["settings"]["slow_ms"], shown["settings"]["half_open_max_probes"]) == (None, 7)
    assert shown["overrides"] == seeded | {"half_open_max_probes": 7}
    assert "half_open_max_probes" in run_command(settings, "circuits", "settings", "ollama").stdout


def test_settings_that_were_written_wrong_by_hand_are_named_and_can_be_removed(
    settings: Settings, connection: Database
) -> None:
    connection.execute(b"UPDATE llm_providers SET circuit_settings = '{\"min_cals\": 3}' WHERE name = 'ollama'")

    with pytest.raises(CommandError, match="min_cals"):
        run_command(settings, "circuits", "settings", "ollama", "min_calls=3")
    run_command(settings, "circuits", "settings", "ollama", "min_cals=", "min_calls=3")
    assert run_json(settings, "circuits", "settings", "ollama")["overrides"] == {"min_calls": 3}


def test_a_change_of_a_provider_is_published_at_once(settings: Settings, redis_client: Redis) -> None:
    run_command(settings, "providers", "disable", "ollama")
    assert read_published(redis_client, settings)["c"]["enabled"] is False
    run_command(settings, "providers", "enable", "ollama")
    run_command(settings, "providers", "priority", "ollama", "77")
    published = read_published(redis_client, settings)["c"]
    assert (published["enabled"], published["priority"]) == (True, 77)


def test_what_a_provider_offers_is_set_published_and_cleared(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    query = "SELECT weight, context_tokens, capabilities, models FROM llm_providers WHERE name = 'ollama'"
    models = {"small": {"model": "qwen2.5:7b", "context_tokens": 32_768}}
    run_command(settings, "providers", "set", "ollama", "--weight", "2.5", "--context-tokens", "8192")
    run_command(settings, "providers", "set", "ollama", "--capability", "tools", "--capability", "vision",
                "--models", json.dumps(models))  # fmt: skip

    assert fetch_row(connection, query) == {
        "weight": 2.5, "context_tokens": 8192, "capabilities": ["tools", "vision"], "models": models
    }  # fmt: skip
    published = read_published(redis_client, settings)["c"]
    assert (published["weight"], published["context_tokens"]) == (2.5, 8192)
    assert (published["capabilities"], published["models"]["small"]["model"]) == (["tools", "vision"], "qwen2.5:7b")
    cleared = [word for name in ("weight", "context-tokens", "capabilities", "models") for word in ("--clear", name)]
    run_command(settings, "providers", "set", "ollama", *cleared)
    assert fetch_row(connection, query) == {"weight": None, "context_tokens": None, "capabilities": [], "models": {}}


@pytest.mark.parametrize(
    "options",
    [(), ("--weight", "-1"), ("--context-tokens", "0"), ("--models", "[]"), ("--models", '{"a": {"modl": "b"}}'),
     ("--capability", " "), ("--clear", "priority")],
)  # fmt: skip
def test_an_offer_that_is_wrong_changes_nothing(
    settings: Settings, connection: Database, options: tuple[str, ...]
) -> None:
    run_command(settings, "providers", "set", "ollama", *options, code=2)

    assert fetch_value(connection, "SELECT max(revision) FROM llm_provider_health") == 0


def test_status_has_the_state_of_each_circuit(settings: Settings, connection: Database) -> None:
    run_command(settings, "circuits", "force-open", "claude", *WHY)
    run_command(settings, "providers", "disable", "openai")
    connection.execute(
        b"UPDATE llm_provider_health SET throttle_until = now() + interval '1 h' WHERE provider = 'ollama'"
    )

    rows = {row["name"]: row for row in run_json(settings, "status")["providers"]}

    assert (rows["claude"]["circuit"], rows["claude"]["is_throttled"]) == ("forced_open", False)
    assert (rows["ollama"]["circuit"], rows["ollama"]["is_throttled"]) == ("closed", True)
    text = run_command(settings, "status").stdout
    assert "│ Claude   │ ■ forced open │" in text
    assert "│ OpenAI   │   not in use  │" in text
    assert "│ Ollama   │ ◐ throttled   │" in text


def find_check(settings: Settings, name: str, code: int) -> dict[str, Any]:
    [found] = [check for check in run_json(settings, "doctor", code=code) if check["name"] == name]
    return cast("dict[str, Any]", found)


def test_doctor_looks_at_the_sweeper_the_settings_and_the_circuits(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    assert "has published nothing" in find_check(settings, "sweeper", 0)["text"]
    redis_client.hset(name_snapshot(settings.namespace), HEARTBEAT_FIELD, str(now_ms))
    assert find_check(settings, "sweeper", 0)["level"] == "ok"
    redis_client.hset(name_snapshot(settings.namespace), HEARTBEAT_FIELD, str(now_ms - 100_000))
    assert "no progress for 10" in find_check(settings, "sweeper", 0)["text"]

    run_command(settings, "circuits", "disable", "claude", *WHY)
    assert find_check(settings, "circuits", 0)["text"] == "claude is disabled by ada"
    connection.execute(
        b"UPDATE llm_providers SET models = '{\"a\": 1}', circuit_settings = '{\"b\": 1}' WHERE name = 'ollama'"
    )
    text = find_check(settings, "provider settings", 1)["text"]
    assert "circuit_settings of ollama: b: " in text
    assert "models of ollama: a: " in text
