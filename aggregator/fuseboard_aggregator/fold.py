"""Folding: deltas into daily and hourly rows, exactly once (G1, G3, G6)."""

from typing import Final, NamedTuple

from fuseboard_aggregator.locks import FOLD_LOCK, try_transaction_lock
from fuseboard_aggregator.rollup_store import fold_fallback_deltas, fold_tag_deltas
from fuseboard_aggregator.store import Database, FoldedChunk, fold_chunk

# a delta holds up to 2,000 durations, so one statement works on some 10 MB however many wait
CHUNK_MAX_DELTAS: Final = 2000


class Folded(NamedTuple):
    """What a fold moved: deltas deleted, daily rows written."""

    deltas: int
    daily_rows: int


def fold_deltas(connection: Database) -> Folded | None:
    """Fold what is pending, one transaction per chunk; None when another session is changing daily rows.

    Safe to run twice, twice at once, and to be killed at any point: what is pending then is folded the next time.
    """
    deltas = daily_rows = 0
    while True:
        chunk = _fold_chunk_locked(connection)
        if chunk is None:
            return Folded(deltas, daily_rows) if deltas else None
        deltas, daily_rows = deltas + chunk.deltas, daily_rows + chunk.daily_rows
        if chunk.deltas < CHUNK_MAX_DELTAS:
            return Folded(deltas, daily_rows)


def _fold_chunk_locked(connection: Database) -> FoldedChunk | None:
    with connection.transaction():
        if not try_transaction_lock(connection, FOLD_LOCK):
            return None
        fold_fallback_deltas(connection)
        fold_tag_deltas(connection)
        return fold_chunk(connection, CHUNK_MAX_DELTAS)
