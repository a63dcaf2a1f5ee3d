"""Health rows with their circuits, locked, read and written. Nothing here opens or ends a transaction."""

import json
import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow, dict_row
from psycopg.types.json import Jsonb

from fuseboard_consumer.circuit_fold import FoldedHealth, LockedHealth
from fuseboard_consumer.circuit_state import Circuit, Transition
from fuseboard_consumer.circuit_window import EMPTY_WINDOW, Window, dump_window, load_window
from fuseboard_consumer.health import Health
from fuseboard_schema.circuit_settings import CircuitSettings, CircuitSettingsError, parse_circuit_settings
from fuseboard_schema.sql import load_sql

log = logging.getLogger(__name__)

Database = Connection[TupleRow]
Row = dict[str, Any]


def select_health_for_update(connection: Database, providers: Sequence[str]) -> tuple[list[LockedHealth], float]:
    """Lock and read the health rows of providers, in order of name, and then the database's clock.

    All times of a circuit, and the clock, are seconds since 1970; without rows the clock is 0.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(load_sql(__package__, "select_health_for_update"), {"providers": providers}).fetchall()
    # each row's clock was read after its own lock
    return [_read_row(row) for row in rows], max((row["clock"] for row in rows), default=0.0)


def update_health(connection: Database, rows: Iterable[FoldedHealth]) -> None:
    """Write folded health rows, in one round trip."""
    with connection.cursor() as cursor:
        cursor.executemany(load_sql(__package__, "update_health"), [_lay_out(row) for row in rows])


def insert_transitions(connection: Database, transitions: Iterable[Transition]) -> None:
    """Keep what circuits did, in one round trip; a version that is there already raises UniqueViolation."""
    with connection.cursor() as cursor:
        cursor.executemany(
            load_sql(__package__, "insert_transitions"), [transition._asdict() for transition in transitions]
        )


@lru_cache(maxsize=1024)
def read_circuit_settings(provider: str, text: str) -> CircuitSettings:
    """Read settings as stored; wrong ones are logged, once for each text, and the defaults hold."""
    try:
        return parse_circuit_settings(json.loads(text), provider)
    except CircuitSettingsError as error:
        log.warning("circuit_settings_malformed provider=%s error=%r", provider, str(error))
        return CircuitSettings()


def _read_row(row: Row) -> LockedHealth:
    provider = row["provider"]
    return LockedHealth(
        Health(**{name: row[name] for name in Health._fields}),
        Circuit(provider, **{name: row[name] for name in Circuit._fields[1:]}),
        _read_window(provider, row["circuit_window"]),
        read_circuit_settings(provider, row["circuit_settings"]),
        row["revision"],
    )


def _read_window(provider: str, stored: Row) -> Window:
    try:
        return load_window(stored)
    except TypeError as error:
        # another version wrote it: a circuit that forgets its last minute is better than requests that cannot be stored
        log.warning("circuit_window_malformed provider=%s error=%r", provider, str(error))
        return EMPTY_WINDOW


def _lay_out(row: FoldedHealth) -> Row:
    return {
        **row.circuit._asdict(),
        **row.health._asdict(),
        "rolling_minutes": Jsonb(row.health.rolling_minutes),
        "rolling_durations": Jsonb(row.health.rolling_durations),
        "circuit_window": Jsonb(dump_window(row.window)),
    }
