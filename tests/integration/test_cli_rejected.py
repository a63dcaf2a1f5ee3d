"""`fuseboard rejected`: what becomes of refused events, on a real database."""

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from typer.testing import CliRunner

from commands import run_command, run_json, store_events
from consumers import make_settings, shorten_waits
from events import make_event
from fuseboard_cli.application import app
from fuseboard_cli.command_error import CommandError
from fuseboard_consumer.decode import RAW_TEXT_MAX_BYTES
from fuseboard_schema.settings import Settings
from queries import Database, fetch_row, fetch_value


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(database_url, redis_url, namespace)


def list_rejected(settings: Settings, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run_json(settings, "rejected", "list", *options)
    return rows


def test_replaying_all_again_and_again_stores_what_is_good_and_adds_no_row(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    early = make_event(occurred_at=datetime.now(UTC) + timedelta(days=2))
    wrong = [make_event(status="exploded") for _ in range(4)]
    store_events(redis_client, settings, [early, *wrong, make_event()])
    store_events(redis_client, settings, '{"not": "a list"}')
    assert {row["reason"] for row in list_rejected(settings)} == {"absurd_time", "invalid_event", "not_json"}
    assert len(list_rejected(settings, "--reason", "absurd_time")) == 1
    # two days later
    connection.execute(
        b'UPDATE llm_rejected_events SET raw_text = regexp_replace(raw_text, \'"occurred_at":\\s*"[^"]*"\','
        b" '\"occurred_at\": \"2025-05-01T12:00:00Z\"') WHERE reason = 'absurd_time'"
    )

    runs = [run_json(settings, "rejected", "replay", "--all") for _ in range(5)]

    assert [(len(run["replayed"]), len(run["refused"])) for run in runs] == [(1, 5), *[(0, 5)] * 4]
    assert "status: Input should be" in runs[0]["refused"][0]["reason"]
    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 2
    assert fetch_value(connection, "SELECT count(*) FROM llm_rejected_events") == 6
    assert {row["refusals"] for row in list_rejected(settings)} == {6}
    assert (
        redis_client.keys(f"{settings.namespace}:events") == []
        or redis_client.xlen(f"{settings.namespace}:events") == 0
    )


def test_a_replayed_event_is_counted_like_any_other(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    store_events(redis_client, settings, [make_event(model=None)])
    [row] = list_rejected(settings)
    number = str(row["rejected_id"])
    said = run_command(settings, "rejected", "edit", number, "--set", "model=claude-sonnet-4-5").stdout
    assert f"fuseboard rejected replay {number}" in said

    assert run_json(settings, "rejected", "replay", number) == {"replayed": [row["rejected_id"]], "refused": []}

    stored = fetch_row(connection, "SELECT count(*) AS requests, sum(cost_usd) AS cost FROM llm_requests")
    assert stored == {"requests": 1, "cost": Decimal("0.0045")}
    health = fetch_value(connection, "SELECT total_requests FROM llm_provider_health WHERE provider = 'claude'")
    assert (health, fetch_value(connection, "SELECT sum(requests) FROM llm_usage_deltas")) == (1, 1)
    assert list_rejected(settings) == []
    [kept] = list_rejected(settings, "--all")
    assert (kept["is_open"], kept["raw_text"]) == (False, row["raw_text"])
    assert "was replayed at" in run_command(settings, "rejected", "replay", number, code=1).stderr
    with pytest.raises(CommandError, match="was replayed at"):
        run_command(settings, "rejected", "edit", number, "--set", "model=x")


def test_the_parts_of_a_whole_entry_become_requests_and_rows_of_their_own(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    store_events(redis_client, settings, "no json")
    [row] = list_rejected(settings)
    text = json.dumps([make_event(), {"nonsense": 1}, make_event()])
    command = ["rejected", "edit", str(row["rejected_id"]), "--file", "-"]
    environment = {"DATABASE_URL": settings.database_url}
    said = CliRunner().invoke(app, command, input=text, env=environment, catch_exceptions=False).stdout
    assert "it would still be refused: invalid_event" in said

    assert run_json(settings, "rejected", "replay", "--all")["replayed"] == [row["rejected_id"]]

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 2
    [part] = list_rejected(settings)
    assert (part["entry_id"], part["entry_index"], json.loads(part["raw_text"])) == (
        row["entry_id"],
        1,
        {"nonsense": 1},
    )


def test_a_rejected_event_whose_text_was_cut_is_not_tried(settings: Settings, redis_client: Redis) -> None:
    store_events(redis_client, settings, "x" * (RAW_TEXT_MAX_BYTES + 1))
    [rejected] = list_rejected(settings)

    document = run_json(settings, "rejected", "replay", str(rejected["rejected_id"]), code=1)

    assert document["replayed"] == []
    assert "only the first 65,536 of its 65,537 bytes were kept" in document["refused"][0]["reason"]
    assert list_rejected(settings)[0]["refusals"] == 1


def test_a_conflicting_duplicate_is_not_among_all_and_stays_one_row(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    event = make_event()
    store_events(redis_client, settings, [event])
    store_events(redis_client, settings, [event | {"prompt_tokens": 5}])
    [rejected] = list_rejected(settings)
    assert rejected["reason"] == "conflicting_duplicate"

    assert run_json(settings, "rejected", "replay", "--all") == {"replayed": [], "refused": []}
    left_out = run_command(settings, "rejected", "replay", "--all").stderr
    assert "1 left out: `fuseboard rejected dismiss --reason conflicting_duplicate`" in left_out
    [again] = run_json(settings, "rejected", "replay", "--reason", "conflicting_duplicate")["refused"]
    assert again["rejected_id"] == rejected["rejected_id"]
    assert [row["refusals"] for row in list_rejected(settings, "--all")] == [2]
    stored = fetch_row(connection, "SELECT count(*) AS requests, sum(cost_usd) AS cost FROM llm_requests")
    assert stored == {"requests": 1, "cost": Decimal("0.0045")}

    # with an id of its own it is another request
    run_command(
        settings, "rejected", "edit", str(again["rejected_id"]), "--set", f"event_id={make_event()['event_id']}"
    )
    assert run_json(settings, "rejected", "replay", "--all")["replayed"] == [rejected["rejected_id"]]
    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 2


def test_more_rejected_events_than_a_page_are_all_tried(
    settings: Settings, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fuseboard_cli.rejected_store.PAGE_EVENTS", 2)
    store_events(redis_client, settings, [{"nonsense": number} for number in range(5)])

    assert len(run_json(settings, "rejected", "replay", "--all")["refused"]) == 5


def test_dismissed_events_are_open_no_more(settings: Settings, redis_client: Redis, connection: Database) -> None:
    store_events(redis_client, settings, [{"nonsense": number} for number in range(3)])
    store_events(redis_client, settings, "no json")
    numbers = [row["rejected_id"] for row in reversed(list_rejected(settings))]

    assert run_json(settings, "rejected", "dismiss", str(numbers[0])) == {"dismissed": numbers[:1]}
    assert "was not open" in run_command(settings, "rejected", "dismiss", str(numbers[0])).stderr
    assert run_json(settings, "rejected", "dismiss", "--reason", "not_json") == {"dismissed": numbers[3:]}
    assert fetch_value(connection, "SELECT rejected_events FROM llm_pipeline_status") == 2
    assert run_json(settings, "rejected", "replay", "--all")["refused"][0]["rejected_id"] == numbers[1]
    # an edited one is open again
    run_command(settings, "rejected", "edit", str(numbers[0]), "--set", "provider=claude", "--unset", "nonsense")
    assert [row["rejected_id"] for row in list_rejected(settings)] == [numbers[2], numbers[1], numbers[0]]
    assert run_json(settings, "rejected", "dismiss", "--all") == {"dismissed": numbers[:3]}
    assert {row["is_open"] for row in list_rejected(settings, "--all")} == {False}
    assert "dismissed" in run_command(settings, "rejected", "list", "--all").stdout


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            ["prompt_tokens=12", "model=claude", 'worker_id="7"'],
            {"prompt_tokens": 12, "model": "claude", "worker_id": "7"},
        ),
        (["tags.team=a.b=c"], {"tags": {"team": "a.b=c"}}),
        (["tags={}"], {"tags": {}}),
    ],
)
def test_fields_are_set_as_json_or_text(
    changes: list[str], expected: dict[str, Any], settings: Settings, redis_client: Redis
) -> None:
    store_events(redis_client, settings, [{"nonsense": 1}])
    [row] = list_rejected(settings)

    options = [word for change in changes for word in ("--set", change)]
    run_command(settings, "rejected", "edit", str(row["rejected_id"]), *options)

    assert json.loads(list_rejected(settings)[0]["edited_text"]) == {"nonsense": 1, **expected}


def test_an_editor_gets_the_event_laid_out_and_what_it_leaves_is_kept(
    settings: Settings, redis_client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(redis_client, settings, [{"nonsense": 1, "provider": "claude"}])
    number = str(list_rejected(settings)[0]["rejected_id"])
    editor = tmp_path / "the editor"
    editor.write_text('#!/bin/sh\ntest "$(stat -c %a "$(dirname "$2")")" = 700 && sed -i "$1" "$2"\n')
    editor.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)

    monkeypatch.setenv("EDITOR", f"'{editor}' s/1,$/22,/")
    run_command(settings, "rejected", "edit", number)
    assert json.loads(list_rejected(settings)[0]["edited_text"]) == {"nonsense": 22, "provider": "claude"}
    assert "as it was" in run_command(settings, "rejected", "edit", number).stdout

    for command, message in (
        ("false", "ended with 1"),
        (os.fspath(tmp_path / "none"), "cannot be run"),
        ("", "no EDITOR"),
    ):
        monkeypatch.setenv("EDITOR", command)
        with pytest.raises(CommandError, match=message):
            run_command(settings, "rejected", "edit", number)


def test_what_cannot_be_edited_is_said(settings: Settings, redis_client: Redis, tmp_path: Path) -> None:
    store_events(redis_client, settings, "no json")
    number = str(list_rejected(settings)[0]["rejected_id"])
    for raw, message in ((b"\xff", "not UTF-8"), (b" \n", "empty"), (b"x" * 70_000, "more than 65,536")):
        (tmp_path / "text").write_bytes(raw)
        with pytest.raises(CommandError, match=message):
            run_command(settings, "rejected", "edit", number, "--file", str(tmp_path / "text"))
    with pytest.raises(CommandError, match="no JSON object"):
        run_command(settings, "rejected", "edit", number, "--set", "model=x")
    for command in ("edit", "replay", "dismiss"):
        with pytest.raises(CommandError, match="no rejected event 999999"):
            run_command(settings, "rejected", command, "999999")
