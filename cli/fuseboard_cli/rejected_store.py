"""One typed function per statement on refused events. None of them opens or ends a transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple, get_args

from psycopg import Connection
from psycopg.rows import TupleRow, class_row, scalar_row

from fuseboard_cli.output import format_time
from fuseboard_consumer.decode import RAW_TEXT_MAX_BYTES, RejectionReason
from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]
REASONS: Final = get_args(RejectionReason)
# a raw text is up to 64 kB
PAGE_EVENTS: Final = 100


class RejectedEvent(NamedTuple):
    """One row of llm_rejected_events."""

    rejected_id: int
    entry_id: str
    entry_index: int
    reason: str
    detail: str
    raw_text: str
    raw_bytes: int
    received_at: datetime
    refusals: int
    last_refused_at: datetime
    edited_text: str | None
    replayed_at: datetime | None
    dismissed_at: datetime | None
    is_open: bool

    @property
    def text(self) -> str:
        """What a replay takes."""
        return self.raw_text if self.edited_text is None else self.edited_text

    @property
    def state(self) -> str:
        """What became of it."""
        return "open" if self.is_open else "replayed" if self.replayed_at else "dismissed"

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be replayed; None when it can."""
        if self.replayed_at is not None:
            return f"was replayed at {format_time(self.replayed_at)} UTC already"
        if self.edited_text is None and self.raw_bytes > RAW_TEXT_MAX_BYTES:
            return f"only the first {RAW_TEXT_MAX_BYTES:,} of its {self.raw_bytes:,} bytes were kept"
        return None


class Refusal(NamedTuple):
    """Why a replay was in vain."""

    rejected_id: int
    reason: str
    detail: str


class Scope(NamedTuple):
    """Which refused events: those with these ids, or without ids the open ones, of a reason or but for some."""

    ids: Sequence[int] = ()
    reason: str | None = None
    unwanted_reasons: Sequence[str] = ()


def select_rejected_events(
    connection: Database, *, reason: str | None, limit: int, show_all: bool
) -> list[RejectedEvent]:
    """Read refused events, the newest first."""
    parameters = {"reason": reason, "limit": limit, "show_all": show_all}
    with connection.cursor(row_factory=class_row(RejectedEvent)) as cursor:
        return cursor.execute(load_sql(__package__, "select_rejected_events"), parameters).fetchall()


def select_known_rejected(connection: Database, ids: Sequence[int]) -> list[int]:
    """Read which of these ids there are."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(load_sql(__package__, "select_known_rejected"), {"ids": list(ids)}).fetchall()


def select_last_rejected(connection: Database) -> int:
    """Read the highest id there is; 0 for none."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(load_sql(__package__, "select_last_rejected")).fetchone() or 0)


def select_rejected_to_replay(
    connection: Database, scope: Scope, after_id: int = 0, last_id: int | None = None
) -> list[RejectedEvent]:
    """Read the next page of a scope, between two ids, the oldest first."""
    parameters = {
        "ids": list(scope.ids) or None,
        "reason": scope.reason,
        "unwanted_reasons": list(scope.unwanted_reasons),
        "after_id": after_id,
        "last_id": last_id,
        "limit": PAGE_EVENTS,
    }
    with connection.cursor(row_factory=class_row(RejectedEvent)) as cursor:
        return cursor.execute(load_sql(__package__, "select_rejected_to_replay"), parameters).fetchall()


def mark_replayed(connection: Database, ids: Sequence[int]) -> None:
    """Note that a replay stored these events."""
    connection.execute(load_sql(__package__, "mark_replayed"), {"ids": list(ids)})


def mark_refused_again(connection: Database, refusals: Sequence[Refusal]) -> None:
    """Note why these events were refused once more."""
    ids, reasons, details = map(list, zip(*refusals, strict=True))
    parameters = {"ids": ids, "reasons": reasons, "details": details}
    connection.execute(load_sql(__package__, "mark_refused_again"), parameters)


def set_edited_text(connection: Database, rejected_id: int, text: str) -> None:
    """Keep what a refused event was edited to; it is open again."""
    connection.execute(load_sql(__package__, "set_edited_text"), {"rejected_id": rejected_id, "text": text})


def dismiss_rejected(connection: Database, scope: Scope) -> list[int]:
    """Dismiss those of a scope that are open; give their ids."""
    parameters = {"ids": list(scope.ids) or None, "reason": scope.reason}
    with connection.cursor(row_factory=scalar_row) as cursor:
        return sorted(cursor.execute(load_sql(__package__, "dismiss_rejected"), parameters).fetchall())
