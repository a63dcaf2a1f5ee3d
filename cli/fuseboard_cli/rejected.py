"""`fuseboard rejected`: events that were refused, and sending them again."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Final, NamedTuple, get_args

import typer
from psycopg import Connection
from psycopg.rows import TupleRow, class_row, scalar_row
from redis import Redis

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import format_time, make_table, print_json, remark, say, show
from fuseboard_cli.servers import open_database, open_redis, use_database, use_servers
from fuseboard_consumer.decode import RAW_TEXT_MAX_BYTES, WHOLE_ENTRY, RejectionReason
from fuseboard_schema.sql import load_sql
from fuseboard_schema.stream import ENTRY_FIELD, STREAM_MAX_ENTRIES, name_event_stream

app = typer.Typer(name="rejected", help="Events that were refused, raw and with the reason.", no_args_is_help=True)

Database = Connection[TupleRow]
REASONS: Final = get_args(RejectionReason)
# its event_id is taken for good, so sending it again can only be refused again
CONFLICT: Final = "conflicting_duplicate"
SHOWN_CHARACTERS: Final = 120
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
    replayed_at: datetime | None

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be sent again; None when it can."""
        if self.replayed_at is not None:
            return f"was sent again at {format_time(self.replayed_at)} UTC already"
        if self.raw_bytes > RAW_TEXT_MAX_BYTES:
            return f"only the first {RAW_TEXT_MAX_BYTES:,} of its {self.raw_bytes:,} bytes were kept"
        return None


def check_reason(reason: str | None) -> str | None:
    """Check the option's value."""
    if reason is not None and reason not in REASONS:
        raise typer.BadParameter(f"{reason!r} is none of {', '.join(REASONS)}")
    return reason


Reason = Annotated[
    str | None, typer.Option(callback=check_reason, help=f"Only those refused as one of: {', '.join(REASONS)}.")
]


@app.command("list")
def list_rejected(
    *,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    show_all: Annotated[bool, typer.Option("--all", help="Also those that were sent again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the raw text.")] = False,
) -> None:
    """List refused events, the newest first."""
    with use_database() as connection:
        found = select_rejected_events(connection, reason=reason, limit=limit, show_all=show_all)
    if as_json:
        print_json([event._asdict() for event in found])
        return
    show(
        make_table(
            "Rejected events",
            ("id #", "received (UTC)", "reason", "detail", "raw"),
            (
                (
                    event.rejected_id,
                    format_time(event.received_at),
                    event.reason,
                    event.detail[:SHOWN_CHARACTERS],
                    event.raw_text[:SHOWN_CHARACTERS],
                )
                for event in found
            ),
        )
    )


@app.command()
def replay(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids, as `rejected list` shows them.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that were not sent again, but no duplicates.")] = False,
    reason: Reason = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send refused events again, raw as they came, such as after an upgrade that understands them."""
    if sum((bool(ids), every, reason is not None)) != 1:
        raise typer.BadParameter("give either ids, or --all, or --reason")
    sent: list[int] = []
    refused: dict[int, str] = {}
    with use_servers() as settings, open_database(settings) as connection, open_redis(settings) as redis:
        for event in find_rejected_events(connection, ids or [], reason):
            if event.obstacle:
                refused[event.rejected_id] = event.obstacle
            else:
                send_again(connection, redis, settings.namespace, event)
                sent.append(event.rejected_id)
    if as_json:
        reasons = [{"rejected_id": rejected_id, "reason": obstacle} for rejected_id, obstacle in refused.items()]
        print_json({"replayed": sent, "refused": reasons})
    else:
        say(f"{len(sent):,} sent again; what is refused again appears as a new row")
        for rejected_id, obstacle in refused.items():
            remark(f"{rejected_id} not sent: {obstacle}")
    if refused and ids:
        raise typer.Exit(1)


def send_again(connection: Database, redis: Redis, namespace: str, event: RejectedEvent) -> None:
    """Send a raw event through the stream and mark it; raises CommandError while the stream is full.

    Sent before it is marked: should this process die in between, it is sent once more, and counted once (G1).
    """
    stream = name_event_stream(namespace)
    if redis.xlen(stream) >= STREAM_MAX_ENTRIES:
        raise CommandError(f"the stream has {STREAM_MAX_ENTRIES:,} entries: wait until consumers have caught up")
    is_entry = event.entry_index == WHOLE_ENTRY
    redis.xadd(stream, {ENTRY_FIELD: event.raw_text if is_entry else f"[{event.raw_text}]"})
    mark_replayed(connection, event.rejected_id)


def find_rejected_events(connection: Database, ids: Sequence[int], reason: str | None) -> Iterator[RejectedEvent]:
    """Find the events with these ids, or without ids all open ones (of a reason), a page in memory at a time.

    Raises CommandError for an id that is not there, before anything is given.
    """
    missing = set(ids) - set(select_known_rejected(connection, ids))
    if missing:
        raise CommandError(f"there is no rejected event {min(missing)}: see `fuseboard rejected list --all`")
    last_id = 0
    while page := select_rejected_to_replay(connection, ids, reason, last_id):
        yield from page
        last_id = page[-1].rejected_id


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


def select_rejected_to_replay(
    connection: Database, ids: Sequence[int], reason: str | None, after_id: int
) -> list[RejectedEvent]:
    """Read the next events with these ids, or without ids those not sent again yet, the oldest first."""
    parameters = {
        "ids": list(ids) or None,
        "reason": reason,
        "unwanted_reason": CONFLICT,
        "after_id": after_id,
        "limit": PAGE_EVENTS,
    }
    with connection.cursor(row_factory=class_row(RejectedEvent)) as cursor:
        return cursor.execute(load_sql(__package__, "select_rejected_to_replay"), parameters).fetchall()


def mark_replayed(connection: Database, rejected_id: int) -> None:
    """Note that a refused event was sent again."""
    connection.execute(load_sql(__package__, "mark_replayed"), {"rejected_id": rejected_id})
