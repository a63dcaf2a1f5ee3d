import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from commands import run_command, run_json
from consumers import drain_all, make_settings, shorten_waits
from events import make_event
from fuseboard_cli import replay_workers
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.sample import write_sample
from fuseboard_schema.settings import Settings
from marked import MARK_VARIABLE, count_marked
from producer_tools import read_events
from queries import Database, fetch_row, fetch_value
from waiting import wait_until


@pytest.fixture
def settings(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    shorten_waits(monkeypatch.setattr)
    monkeypatch.setenv("FUSEBOARD_SPOOL_DIR", str(tmp_path / "spool"))
    return make_settings(database_url, redis_url, namespace)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    write_sample(tmp_path / "trace.csv", rows=400)
    return tmp_path / "trace.csv"


def write_events(path: Path, events: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


def test_every_event_of_a_replayed_trace_is_stored_once(
    settings: Settings, redis_client: Redis, connection: Database, trace: Path
) -> None:
    document = run_json(settings, "replay", str(trace), "--workers", "3", "--mix", "ollama:1,claude:1")
    drain_all(redis_client, settings)

    assert document["requests"] == 400
    assert document["events"] == document["sent"] == fetch_value(connection, "SELECT count(*) FROM llm_requests")
    assert fetch_value(connection, "SELECT count(DISTINCT request_id) FROM llm_requests") == 400
    assert fetch_value(connection, "SELECT count(DISTINCT worker_id) FROM llm_requests") == 3
    assert fetch_value(connection, "SELECT count(*) FROM llm_rejected_events") == 0
    assert document["assigned"]["mix"] == "ollama:1,claude:1"
    providers = fetch_value(connection, "SELECT array_agg(DISTINCT provider ORDER BY provider) FROM llm_requests")
    assert providers == ["claude", "ollama"]


def test_a_failed_attempt_and_its_fallback_are_two_rows_of_one_request(
    settings: Settings, redis_client: Redis, connection: Database, trace: Path
) -> None:
    run_command(settings, "replay", str(trace))
    drain_all(redis_client, settings)

    pairs = """SELECT count(*) FROM llm_requests AS later JOIN llm_requests AS earlier USING (request_id)
        WHERE later.attempt = 2 AND earlier.attempt = 1 AND later.is_fallback
        AND later.original_provider = earlier.provider AND earlier.status <> 'success'"""
    assert fetch_value(connection, pairs) == fetch_value(
        connection, "SELECT count(*) FROM llm_requests WHERE attempt = 2"
    )
    assert fetch_value(connection, pairs) > 0


def test_a_trace_is_moved_so_that_its_last_event_is_now(settings: Settings, redis_client: Redis, trace: Path) -> None:
    before = datetime.now(UTC)

    run_command(settings, "replay", str(trace))

    times = [datetime.fromisoformat(event["occurred_at"]) for event in read_events(redis_client, settings.namespace)]
    assert before <= max(times) <= datetime.now(UTC)
    assert max(times) - min(times) > timedelta(seconds=20)


def test_two_replays_with_one_seed_assign_the_same_and_are_told_apart_by_their_tag(
    settings: Settings, redis_client: Redis, connection: Database, trace: Path
) -> None:
    for _ in range(2):
        run_command(settings, "replay", str(trace), "--seed", "5", "--keep-time")
    drain_all(redis_client, settings)

    per_replay = """SELECT count(DISTINCT tags ->> 'replay') AS replays, count(DISTINCT figures) AS different FROM (
        SELECT tags ->> 'replay' AS replay, (count(*), sum(cost_usd), sum(duration_seconds))::text AS figures, tags
        FROM llm_requests GROUP BY tags) AS each"""
    assert fetch_row(connection, per_replay) == {"replays": 2, "different": 1}


def test_events_keep_their_time_and_id_when_asked_so_that_a_second_replay_adds_nothing(
    settings: Settings, redis_client: Redis, connection: Database, tmp_path: Path
) -> None:
    occurred_at = datetime(2025, 5, 1, 12, tzinfo=UTC)
    event = make_event(occurred_at=occurred_at, request_id="mine", worker_id="w-7", tags={"team": "a"})
    file = write_events(tmp_path / "events.jsonl", [event])

    for _ in range(2):
        document = run_json(settings, "replay", file, "--keep-time")
        assert (document["events"], document["assigned"]["fields"]) == (1, [])
    drain_all(redis_client, settings)

    row = fetch_row(
        connection, "SELECT event_id::text, occurred_at, worker_id, tags ->> 'team' AS team FROM llm_requests"
    )
    assert row == {"event_id": event["event_id"], "occurred_at": occurred_at, "worker_id": "w-7", "team": "a"}


def test_moved_events_are_other_events(settings: Settings, redis_client: Redis, tmp_path: Path) -> None:
    event = make_event(occurred_at=datetime(2025, 5, 1, 12, tzinfo=UTC))
    file = write_events(tmp_path / "events.jsonl", [event])

    for _ in range(2):
        run_command(settings, "replay", file)

    ids = {sent["event_id"] for sent in read_events(redis_client, settings.namespace)}
    assert len(ids | {event["event_id"]}) == 3


def test_an_event_that_is_full_of_tags_is_replayed_without_ours(
    settings: Settings, redis_client: Redis, tmp_path: Path
) -> None:
    tags = {f"tag{number}": "x" for number in range(16)}
    run_command(settings, "replay", write_events(tmp_path / "events.jsonl", [make_event(tags=tags)]))

    assert [event["tags"] for event in read_events(redis_client, settings.namespace)] == [tags]


def test_bad_events_are_sent_and_counted(settings: Settings, tmp_path: Path) -> None:
    file = write_events(tmp_path / "events.jsonl", [make_event(), make_event(status="exploded")])

    result = run_command(settings, "replay", file)

    assert "events that break the event's rules: 1" in result.stderr


def test_at_a_pace_events_come_one_after_the_other(settings: Settings, redis_client: Redis, tmp_path: Path) -> None:
    start = datetime(2025, 5, 1, 12, tzinfo=UTC)
    events = [make_event(occurred_at=start + timedelta(seconds=seconds)) for seconds in (0, 10, 20)]
    started = time.monotonic()

    run_command(settings, "replay", write_events(tmp_path / "e.jsonl", events), "--speed", "20", "--workers", "1")

    assert time.monotonic() - started >= 1.0
    sent = [datetime.fromisoformat(event["occurred_at"]) for event in read_events(redis_client, settings.namespace)]
    assert [(at - sent[0]).total_seconds() for at in sent] == [0.0, 0.5, 1.0]


def test_what_the_trace_does_not_hold_is_said_to_be_assigned(settings: Settings, trace: Path, tmp_path: Path) -> None:
    said = "Provider, model, duration and status are assigned by this replay"

    assert said in run_command(settings, "replay", str(trace)).stderr
    events = write_events(tmp_path / "events.jsonl", [make_event()])
    assert said not in run_command(settings, "replay", events).stderr


def test_a_worker_that_fails_fails_the_replay(settings: Settings, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_workers, "COMMAND", [sys.executable, "-c", "raise SystemExit(3)"])

    with pytest.raises(CommandError, match="a worker of the replay failed"):
        run_command(settings, "replay", str(trace))


@contextmanager
def slow_replay(settings: Settings, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a replay that would take hours in a process of its own; gives it with the mark of its whole family."""
    start = datetime(2025, 5, 1, 12, tzinfo=UTC)
    events = [make_event(occurred_at=start + timedelta(minutes=minute)) for minute in range(100)]
    file = write_events(folder / "e.jsonl", events)
    mark = settings.namespace
    environment = {
        **os.environ,
        MARK_VARIABLE: mark,
        "REDIS_URL": settings.redis_url or "",
        "FUSEBOARD_NAMESPACE": settings.namespace,
    }
    command = [sys.executable, "-m", "fuseboard_cli", "replay", file, "--speed", "1", "--workers", "2"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process, mark
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_no_worker_outlives_its_replay(
    settings: Settings, redis_client: Redis, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with slow_replay(settings, tmp_path) as (process, mark):
        wait_until(lambda: read_events(redis_client, settings.namespace))
        assert count_marked(mark) == 3
        process.send_signal(number)

        assert process.wait(30) == code
        wait_until(lambda: count_marked(mark) == 0)
