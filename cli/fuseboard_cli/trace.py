"""Traffic as it stands in files: a CSV of arrivals and token counts, or JSON lines of events."""

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.times import parse_time

CSV_COLUMNS: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
# the names an event's time may have
TIME_FIELDS: Final = ("occurred_at", "timestamp")

Event = dict[str, Any]


class Arrival(NamedTuple):
    """One request of a trace: an aware time and its tokens."""

    arrived_at: datetime
    prompt_tokens: int
    completion_tokens: int


def is_trace(path: Path) -> bool:
    """Say whether a file is a trace (CSV) and not events (JSON lines); raises CommandError for another suffix."""
    suffix = path.suffix.lower()
    if suffix not in {".csv", ".jsonl", ".ndjson"}:
        raise CommandError(f"{path}: a trace ends in .csv, events end in .jsonl or .ndjson")
    return suffix == ".csv"


def read_trace(path: Path) -> Iterator[Arrival]:
    """Read a trace in order; a time without a zone is UTC. Raises CommandError naming line and column."""
    with path.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        missing = [name for name in CSV_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise CommandError(f"{path}: the header has no column {missing[0]}: needed are {', '.join(CSV_COLUMNS)}")
        for row in reader:
            time_column, prompt_column, completion_column = CSV_COLUMNS
            place = f"{path}:{reader.line_num}"
            yield Arrival(
                parse_time(row[time_column], f"{place}: {time_column}"),
                _parse_count(row[prompt_column], f"{place}: {prompt_column}"),
                _parse_count(row[completion_column], f"{place}: {completion_column}"),
            )


def read_events(path: Path) -> Iterator[Event]:
    """Read events in order, `occurred_at` as an aware time; other fields are the pipeline's to judge.

    Raises CommandError naming the line that is no JSON object or has no time.
    """
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _parse_event(line, f"{path}:{number}")


def _parse_count(text: str | None, place: str) -> int:
    if not text or not text.strip().isascii() or not text.strip().isdigit():
        raise CommandError(f"{place}: {text!r} is not a count of tokens")
    return int(text)


def _parse_event(line: str, place: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError as error:
        raise CommandError(f"{place}: not JSON: {error}") from error
    if not isinstance(event, dict):
        raise CommandError(f"{place}: an event is a JSON object, not {type(event).__name__}")
    name = next((name for name in TIME_FIELDS if name in event), None)
    if name is None:
        raise CommandError(f"{place}: occurred_at is missing")
    occurred_at = parse_time(event.pop(name), f"{place}: {name}")
    return {**event, "occurred_at": occurred_at}
