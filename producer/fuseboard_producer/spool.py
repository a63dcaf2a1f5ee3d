"""What Redis did not take waits here (G2): a bounded directory of segments, shared by all producers of one place."""

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from fuseboard_producer.encoding import Entry
from fuseboard_producer.segment import (
    LINE_EXTRA_BYTES,
    Line,
    append_entry,
    find_time_range,
    lock_segment,
    mark_sent,
    read_content,
)
from fuseboard_schema.stream import FLUSH_MAX_BYTES, FLUSH_MAX_EVENTS

SUFFIX: Final = ".spool"
# so that making room for one entry costs a small part of what was saved
SEGMENTS: Final = 16
# so that reading one costs little memory
SEGMENT_MAX_BYTES: Final = 4_000_000


class Dropped(NamedTuple):
    """What the oldest segments held when they had to make room; the times as they stand in the events."""

    events: int
    earliest: str
    latest: str


class Drained(NamedTuple):
    """What one call of `drain` did; `is_done` when nothing is left that it could have sent."""

    events: int
    damaged_events: int
    is_done: bool


class Spool:
    """Append entries, bounded in bytes over all processes; drain them oldest first, whoever wrote them.

    No file stays open and no lock is held between calls, so a fork inherits nothing and a crash leaves nothing
    locked. The bound may be passed by one entry per process that writes at the same instant.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.directory = directory
        self._max_bytes = max_bytes
        self._segment_max_bytes = min(max_bytes // SEGMENTS, SEGMENT_MAX_BYTES)
        self._segment: Path | None = None
        self._last_milliseconds = 0

    def append(self, entry: Entry) -> Dropped:
        """Write one entry to the disk, dropping the oldest segments where it needs their room.

        Raises OSError when it could not be written.
        """
        dropped = self._make_room(len(entry.payload) + LINE_EXTRA_BYTES)
        if not (self._segment and self._append_to(self._segment, entry)):
            self._segment = self._create_segment(entry)
        return dropped

    def drain(self, send: Callable[[Entry], bool], max_entries: int) -> Drained:
        """Send what waits, in order, until `send` refuses or `max_entries` are sent; small entries are joined.

        A crash between sending and marking sends one entry again. Raises OSError when a segment cannot be read.
        """
        events = damaged_events = 0
        for path, _ in self._list_segments():
            with lock_segment(path) as descriptor:
                if descriptor is None:
                    continue
                content = read_content(descriptor)
                for lines in _group_lines(content.lines):
                    entry = _join_lines(lines)
                    if max_entries <= 0 or not send(entry):
                        return Drained(events, damaged_events, is_done=False)
                    mark_sent(descriptor, lines)
                    events += entry.events
                    max_entries -= 1
                path.unlink()
                damaged_events += content.damaged_events
        return Drained(events, damaged_events, is_done=True)

    def retract(self, entry: Entry) -> bool:
        """Mark an entry as sent that was appended lately; False where it cannot be found. Raises OSError."""
        for path, _ in reversed(self._list_segments()):
            with lock_segment(path) as descriptor:
                lines = [] if descriptor is None else read_content(descriptor).lines
                found = [line for line in lines if line.entry == entry]
                if found and descriptor is not None:
                    mark_sent(descriptor, found[-1:])
                    return True
        return False

    def measure(self) -> int:
        """Sum up the bytes of all segments. Raises OSError when the directory cannot be read."""
        return sum(size for _, size in self._list_segments())

    def _list_segments(self) -> list[tuple[Path, int]]:
        """List segments and their sizes, oldest first: the names begin with the time."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self.directory) as items:
            for item in items:
                # another process may have drained it meanwhile
                with suppress(FileNotFoundError):
                    if item.name.endswith(SUFFIX):
                        found.append((Path(item.path), item.stat().st_size))
        return sorted(found)

    def _make_room(self, needed_bytes: int) -> Dropped:
        if needed_bytes > self._max_bytes:
            raise OSError(errno.EFBIG, f"an entry of {needed_bytes} bytes exceeds spool_max_bytes ({self._max_bytes})")
        segments = self._list_segments()
        excess_bytes = sum(size for _, size in segments) + needed_bytes - self._max_bytes
        lines: list[Line] = []
        for path, size in segments:
            if excess_bytes <= 0:
                break
            with lock_segment(path) as descriptor:
                if descriptor is not None:
                    lines += read_content(descriptor).lines
                    path.unlink()
                    excess_bytes -= size
        return Dropped(sum(line.entry.events for line in lines), *find_time_range(lines))

    def _append_to(self, path: Path, entry: Entry, flags: int = os.O_RDWR) -> bool:
        with lock_segment(path, flags) as descriptor:
            if descriptor is None:
                return False
            size = os.fstat(descriptor).st_size
            if size and size + len(entry.payload) > self._segment_max_bytes:
                return False
            try:
                append_entry(descriptor, entry)
            except OSError:
                # its end may be torn: it is read, but not written to any more
                self._segment = None
                if not size:
                    path.unlink(missing_ok=True)
                raise
            return True

    def _create_segment(self, entry: Entry) -> Path:
        self._make_directory()
        while True:
            path = self.directory / f"{self._tell_milliseconds():013d}-{secrets.token_hex(4)}{SUFFIX}"
            # False when another process found it empty and removed it before it was locked
            if self._append_to(path, entry, os.O_RDWR | os.O_CREAT | os.O_EXCL):
                _sync_directory(self.directory)
                return path

    def _make_directory(self) -> None:
        # the chosen directory and the installation's part of it; what leads there is not ours
        self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.mkdir(mode=0o700, exist_ok=True)

    def _tell_milliseconds(self) -> int:
        """Tell the time, later than the last time even when the clock was set back: names are the order."""
        self._last_milliseconds = max(time.time_ns() // 1_000_000, self._last_milliseconds + 1)
        return self._last_milliseconds


def _group_lines(lines: list[Line]) -> Iterator[list[Line]]:
    """Group lines into what one stream entry may hold, in order."""
    group: list[Line] = []
    events = size = 0
    for line in lines:
        events += line.entry.events
        size += len(line.entry.payload)
        if group and (events > FLUSH_MAX_EVENTS or size > FLUSH_MAX_BYTES):
            yield group
            group, events, size = [], line.entry.events, len(line.entry.payload)
        group.append(line)
    if group:
        yield group


def _join_lines(lines: list[Line]) -> Entry:
    joined = b",".join(line.entry.payload[1:-1] for line in lines)
    return Entry(b"[%s]" % joined, sum(line.entry.events for line in lines))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
