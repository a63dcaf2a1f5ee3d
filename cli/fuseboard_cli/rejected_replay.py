"""Storing refused events after all: by the consumer's own decoding, pricing and transaction, without the stream.

So a replay knows at once what became of each event, and what is refused again stays the row that it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.rejected_store import (
    Database,
    Refusal,
    RejectedEvent,
    Scope,
    mark_refused_again,
    mark_replayed,
    select_known_rejected,
    select_last_rejected,
    select_rejected_to_replay,
)
from fuseboard_consumer.batch import Batch, BatchStore
from fuseboard_consumer.decode import WHOLE_ENTRY, Accepted, Decoded, Rejected, decode_entries
from fuseboard_consumer.entries import Entry
from fuseboard_consumer.prices import PriceSource
from fuseboard_consumer.provider_names import select_provider_names
from fuseboard_consumer.rows import build_rows
from fuseboard_consumer.store import insert_rejected_events
from fuseboard_schema.database import select_clock
from fuseboard_schema.settings import Settings

# an event_id is taken for good, and a day that was dropped is gone for good: a replay can only be refused again
HOPELESS: Final = ("conflicting_duplicate", "older_than_retention")


class Replayed(NamedTuple):
    """What became of refused events."""

    stored: list[int]
    refused: list[Refusal]


class Replayer:
    """Stores refused events by the page, in transactions of its own, as a consumer would."""

    def __init__(self, settings: Settings, connection: Database) -> None:
        self._connection = connection
        self._store = BatchStore(settings.database_url or "", self._keep_refused)
        self._prices = PriceSource(
            (settings.baseline_provider, settings.baseline_model), settings.price_refresh_seconds
        )
        self._refused: dict[tuple[str, int], Rejected] = {}

    def close(self) -> None:
        """Close the connection that stores."""
        self._store.close()

    def replay(self, events: Sequence[RejectedEvent]) -> Replayed:
        """Store a page of events and note what became of each. Safe to repeat: what is stored is counted once (G1)."""
        decoded = decode_again(events, self._connection)
        self._refused = {rejected[:2]: rejected for rejected in decoded.rejected}
        accepted = select_provider_names(self._connection).rename(decoded.accepted)
        rows = build_rows(accepted, self._prices.read_book(self._connection))
        self._store.store_batch(Batch(accepted, rows, decoded.rejected))
        done = Replayed([], [])
        for event in events:
            again = self._refused.get((event.entry_id, event.entry_index))
            if again is None:
                done.stored.append(event.rejected_id)
            else:
                done.refused.append(Refusal(event.rejected_id, again.reason, again.detail))
        with self._connection.transaction():
            if done.stored:
                mark_replayed(self._connection, done.stored)
            if done.refused:
                mark_refused_again(self._connection, done.refused)
        return done

    def _keep_refused(self, connection: Database, rejected: Sequence[Rejected]) -> None:
        """Keep the refused parts of an entry as rows of their own; an event that was refused before has its row."""
        insert_rejected_events(connection, rejected)
        self._refused |= {each[:2]: each for each in rejected}


def decode_again(events: Iterable[RejectedEvent], connection: Database) -> Decoded:
    """Decode refused events as if they came now, each at the place in the stream where it came first."""
    now = select_clock(connection)
    whole = Decoded(Accepted([], [], []), [])
    for event in events:
        is_entry = event.entry_index == WHOLE_ENTRY
        payload = event.text if is_entry else f"[{event.text}]"
        found = decode_entries([Entry(event.entry_id, payload.encode())], now)
        place = (event.entry_id, event.entry_index)
        accepted, epochs, origins = found.accepted
        whole.accepted.events.extend(accepted)
        whole.accepted.epochs.extend(epochs)
        whole.accepted.origins.extend(origins if is_entry else [place] * len(origins))
        whole.rejected.extend(
            each if is_entry else each._replace(entry_index=event.entry_index) for each in found.rejected
        )
    return whole


def find_rejected_events(connection: Database, scope: Scope) -> Iterator[list[RejectedEvent]]:
    """Find the events of a scope, a page in memory at a time, and none that is refused after the first was read.

    Raises CommandError for an id that is not there, before anything is given.
    """
    require_known(connection, scope.ids)
    last_id, bound = 0, select_last_rejected(connection)
    while page := select_rejected_to_replay(connection, scope, last_id, bound):
        yield page
        last_id = page[-1].rejected_id


def require_known(connection: Database, ids: Sequence[int]) -> None:
    """Raise CommandError for an id that is not there."""
    missing = set(ids) - set(select_known_rejected(connection, ids))
    if missing:
        raise CommandError(f"there is no rejected event {min(missing)}: see `fuseboard rejected list --all`")
