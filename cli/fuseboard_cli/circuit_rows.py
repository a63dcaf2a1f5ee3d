"""Circuits as the command line shows them."""

from datetime import datetime
from typing import NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow, class_row, scalar_row

from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]


class CircuitRow(NamedTuple):
    """One row of llm_circuits, and when it was read, by the database's clock."""

    provider: str
    display_name: str
    enabled: bool
    state: str
    is_throttled: bool
    since: datetime | None
    reason: str | None
    actor: str | None
    note: str | None
    next_probe_at: datetime | None
    throttle_until: datetime | None
    override: str | None
    override_by: str | None
    override_reason: str | None
    override_until: datetime | None
    epoch: int | None
    version: int | None
    window_calls: int | None
    window_bad: int | None
    window_slow: int | None
    success_rate: float | None
    last_error_type: str | None
    last_failure_at: datetime | None
    last_success_at: datetime | None
    read_at: datetime


def select_circuits(connection: Database) -> list[CircuitRow]:
    """Read all circuits, in order of choice."""
    with connection.cursor(row_factory=class_row(CircuitRow)) as cursor:
        return cursor.execute(load_sql(__package__, "select_circuits")).fetchall()


def select_circuit_settings_for_update(connection: Database, name: str) -> dict[str, object] | None:
    """Lock a provider and read its circuit settings; None where there is no such provider."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(load_sql(__package__, "select_circuit_settings_for_update"), {"name": name}).fetchone()
