"""Journals: what a producer was about to record, written down before it is, and read by nobody but the checker."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

# some dozens of lines
TAIL_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as its producer made it. `at` is in seconds since 1970; counts that are None are not known."""

    event_id: str
    at: float
    provider: str
    model: str
    status: str
    prompt_tokens: int | None
    completion_tokens: int | None
    reported_cost_usd: str | None
    team: str | None


class Journal:
    """An append-only file. What was written outlives the process, though not the machine."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note_event(self, entry: Entry) -> None:
        """Write down an event that is about to be recorded."""
        self._write(asdict(entry))

    def note_drops(self, dropped: int) -> None:
        """Write down how many events the producer of this process says it has lost so far."""
        self._write({"process": os.getpid(), "dropped": dropped})

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._descriptor, (json.dumps(line) + "\n").encode())


@dataclass(frozen=True, slots=True)
class JournalContent:
    """All entries of one journal by event id, and how many events its processes said they dropped."""

    entries: dict[str, Entry]
    dropped: int

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a journal; a last line that a killed process has not finished was never recorded."""
        entries: dict[str, Entry] = {}
        dropped: dict[int, int] = {}
        for text in path.read_text().split("\n")[:-1]:
            line = json.loads(text)
            if "dropped" in line:
                dropped[line["process"]] = line["dropped"]
            else:
                entry = Entry(**line)
                entries[entry.event_id] = entry
        return cls(entries, sum(dropped.values()))


def read_last_event(path: Path) -> str:
    """Read the id of the newest event of a journal that is being written, which must have one."""
    with path.open("rb") as journal:
        journal.seek(-min(TAIL_BYTES, path.stat().st_size), os.SEEK_END)
        lines = journal.read().split(b"\n")[1:-1]
    return next(str(line["event_id"]) for line in map(json.loads, reversed(lines)) if "event_id" in line)
