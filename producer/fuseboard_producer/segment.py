"""One file of the spool: a line per entry, appended, marked when sent, locked only while it is touched."""

import fcntl
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from fuseboard_producer.encoding import Entry

WAITING: Final = b"+"
SENT: Final = b"-"
LINE = re.compile(rb"\+ (?P<checksum>[0-9a-f]{8}) (?P<events>[0-9]{1,9}) (?P<payload>\[.*\])\n", re.DOTALL)
# what a line adds to its entry at most
LINE_EXTRA_BYTES: Final = 22
EVENT_ID: Final = b'"event_id":'
OCCURRED_AT = re.compile(rb'"(?:occurred_at|timestamp)":"([^"]{1,40})"')


class Line(NamedTuple):
    """A line that waits to be sent, and where it stands."""

    offset: int
    entry: Entry


class Content(NamedTuple):
    """What waits in a segment; `damaged_events` counts the events in lines that were torn."""

    lines: list[Line]
    damaged_events: int


@contextmanager
def lock_segment(path: Path, flags: int = os.O_RDWR) -> Iterator[int | None]:
    """Open and lock a segment, giving its descriptor; None where it is gone or somebody else holds it.

    Never waits. The lock goes with the process that holds it, kill -9 included. Raises OSError when a segment that is
    to be created cannot be.
    """
    descriptor = _open_segment(path, flags)
    if descriptor is None:
        yield None
        return
    try:
        yield descriptor if _try_lock(descriptor) else None
    finally:
        # said explicitly because a process forked meanwhile holds a copy of the descriptor
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def append_entry(descriptor: int, entry: Entry) -> None:
    """Append one entry and bring it to the disk; after an error (disk full) the segment is as it was before.

    Raises OSError.
    """
    start = end = os.fstat(descriptor).st_size
    line = format_line(entry)
    try:
        while end < start + len(line):
            end += os.pwrite(descriptor, line[end - start :], end)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, start)
        raise


def format_line(entry: Entry) -> bytes:
    """Format the line of an entry: state, checksum, number of events, JSON."""
    return b"%s %08x %d %s\n" % (WAITING, zlib.crc32(entry.payload), entry.events, entry.payload)


def read_content(descriptor: int) -> Content:
    """Read what waits in a locked segment, skipping what was sent and what is damaged."""
    lines, damaged_events, offset = [], 0, 0
    for text in _read_all(descriptor).splitlines(keepends=True):
        if not text.startswith(SENT):
            entry = parse_line(text)
            if entry:
                lines.append(Line(offset, entry))
            else:
                damaged_events += text.count(EVENT_ID)
        offset += len(text)
    return Content(lines, damaged_events)


def parse_line(text: bytes) -> Entry | None:
    """Parse a line; None when it was torn by a crash or a full disk."""
    match = LINE.fullmatch(text)
    if not match or int(match["checksum"], 16) != zlib.crc32(match["payload"]):
        return None
    return Entry(match["payload"], int(match["events"]))


def mark_sent(descriptor: int, lines: list[Line]) -> None:
    """Mark lines as sent, so that nobody sends them again should the rest of the segment have to wait."""
    for line in lines:
        os.pwrite(descriptor, SENT, line.offset)


def find_time_range(lines: list[Line]) -> tuple[str, str]:
    """Find the earliest and the latest time of the events, as they are written; empty where there are none."""
    times = [time for line in lines for time in OCCURRED_AT.findall(line.entry.payload)]
    return (min(times).decode(), max(times).decode()) if times else ("", "")


def _open_segment(path: Path, flags: int) -> int | None:
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, PermissionError):
        if flags & os.O_CREAT:
            raise
        # drained meanwhile, or another user's: neither may hold up the rest
        return None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # somebody may have removed it between our opening and our locking
    return os.fstat(descriptor).st_nlink > 0


def _read_all(descriptor: int) -> bytes:
    chunks = []
    offset = 0
    while chunk := os.pread(descriptor, 1 << 20, offset):
        chunks.append(chunk)
        offset += len(chunk)
    return b"".join(chunks)
