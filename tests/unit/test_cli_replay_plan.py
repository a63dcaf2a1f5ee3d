import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.replay_plan import Call, Clock, Source, measure_source, order_events, read_calls
from fuseboard_cli.replay_worker import Task
from fuseboard_cli.sample import write_sample
from fuseboard_cli.trace import Event

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def write(path: Path, text: str) -> Source:
    path.write_text(text)
    return Source(str(path), "claude:1", 0, "run")


def read_all(source: Source) -> list[Event]:
    return [event for call in read_calls(source) for event in call.attempts]


def test_a_trace_is_read_with_its_seven_digit_fractions_as_utc(tmp_path: Path) -> None:
    source = write(tmp_path / "t.csv", HEADER + "2023-11-16 18:15:46.6805900,374,44\n")

    [call] = read_calls(source)

    assert call.starts_at == datetime(2023, 11, 16, 18, 15, 46, 680590, tzinfo=UTC)
    assert call.attempts[0]["request_id"] == "replay-run-0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TIMESTAMP,ContextTokens\n", "no column GeneratedTokens"),
        (HEADER + "yesterday,1,2\n", "t.csv:2: TIMESTAMP: 'yesterday' is not a time"),
        (HEADER + "2026-05-01 12:00:00,1,2\n2026-05-01 12:00:00,-1,2\n", "t.csv:3: ContextTokens: '-1' is not a count"),
        (HEADER + "2026-05-01 12:00:00,1\n", "t.csv:2: GeneratedTokens: None is not a count"),
        (HEADER + "2026-05-01 12:00:00,1,²\n", "t.csv:2: GeneratedTokens: '²' is not a count"),
        (HEADER, "nothing in it to replay"),
    ],
)
def test_a_wrong_trace_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CommandError) as refused:
        measure_source(write(tmp_path / "t.csv", text))

    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "t.jsonl:1: not JSON"),
        ("[]", "t.jsonl:1: an event is a JSON object, not list"),
        ('{"provider": "claude"}', "t.jsonl:1: occurred_at is missing"),
        ('{"occurred_at": 5}', "t.jsonl:1: occurred_at: 5 is not a time"),
        ('{"occurred_at": "0001-01-01T00:00:00+23:59"}', "is not a time"),
    ],
)
def test_wrong_events_are_refused_with_their_place(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(CommandError) as refused:
        measure_source(write(tmp_path / "t.jsonl", line))

    assert message in str(refused.value)


def test_events_of_a_file_stay_as_they_are(tmp_path: Path) -> None:
    event = {"timestamp": "2026-05-01T14:00:00+02:00", "provider_name": "claude", "model": "m", "unheard_of": 1}
    source = write(tmp_path / "t.jsonl", f"{json.dumps(event)}\n\n")

    assert read_all(source) == [{"provider_name": "claude", "model": "m", "unheard_of": 1, "occurred_at": NOON}]


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="a trace ends in"):
        measure_source(write(tmp_path / "t.txt", HEADER))


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_workers_share_a_trace_without_gap_or_overlap(tmp_path: Path, parts: int) -> None:
    write_sample(tmp_path / "t.csv", rows=100)
    source = Source(str(tmp_path / "t.csv"), "ollama:1,claude:1", 4, "run")

    shared = [call for part in range(parts) for call in read_calls(source, part, parts)]

    assert sorted(shared, key=repr) == sorted(read_calls(source), key=repr)


def test_a_source_is_measured_to_its_last_event(tmp_path: Path) -> None:
    write_sample(tmp_path / "t.csv", rows=300)
    source = Source(str(tmp_path / "t.csv"), "ollama:1,claude:1", 4, "run")
    calls = list(read_calls(source))

    extent = measure_source(source)

    assert (extent.calls, extent.events) == (300, sum(len(call.attempts) for call in calls))
    assert extent.first == min(call.starts_at for call in calls)
    assert extent.last == max(event["occurred_at"] for event in read_all(source))


def test_events_come_in_order_of_their_ends() -> None:
    def end_after(*seconds: float) -> list[Event]:
        return [{"occurred_at": NOON + timedelta(seconds=each)} for each in seconds]

    calls = [Call(NOON, end_after(9, 12)), Call(NOON + timedelta(seconds=1), end_after(2)), Call(NOON, end_after(9))]
    ends = [(event["occurred_at"] - NOON).total_seconds() for event in order_events(iter(calls))]

    assert ends == [2, 9, 9, 12]


def make_clock(**fields: Any) -> Clock:  # noqa: ANN401 - any field
    started_at = datetime(2026, 9, 1, tzinfo=UTC)
    clock = Clock(NOON, NOON + timedelta(hours=1), started_at, speed=0.0, keep_time=False)
    return clock._replace(**fields)


def test_without_a_speed_the_last_event_is_now() -> None:
    clock = make_clock()

    assert clock.place(clock.last) == clock.started_at
    assert clock.place(clock.first) == clock.started_at - timedelta(hours=1)


def test_with_a_speed_the_first_event_is_now_and_the_others_follow_at_that_pace() -> None:
    clock = make_clock(speed=10.0)

    assert clock.place(clock.first) == clock.started_at
    assert clock.place(clock.last) == clock.due_at(clock.last) == clock.started_at + timedelta(minutes=6)


@pytest.mark.parametrize("speed", [0.0, 10.0])
def test_times_are_kept_when_asked(speed: float) -> None:
    clock = make_clock(keep_time=True, speed=speed)

    assert clock.place(NOON) == NOON


def test_a_task_survives_its_way_to_the_worker() -> None:
    source = Source("trace.csv", "claude:1", 3, "run")
    task = Task(source, make_clock(), 1, 2, "redis://localhost", "fuseboard", None, None)

    assert Task.from_json(task.to_json()) == task
