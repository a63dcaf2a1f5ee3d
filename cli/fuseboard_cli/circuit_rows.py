"""Circuits as the command line reads and changes them."""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from psycopg import Connection, errors
from psycopg.rows import TupleRow, class_row, scalar_row

from fuseboard_cli.command_error import CommandError
from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]

# the functions of migration 0013, without their prefix
OrderName = Literal[
    "force_circuit_open", "disable_circuit", "clear_circuit_override", "reset_circuit", "reset_circuit_throttle"
]


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


class HistoryRow(NamedTuple):
    """One row of llm_circuit_history; lasted_seconds is None while the state lasts."""

    provider: str
    occurred_at: datetime
    from_state: str
    to_state: str
    reason: str
    epoch: int
    version: int
    actor: str | None
    note: str | None
    calls: int | None
    bad: int | None
    slow: int | None
    cause_event_id: UUID | None
    lasted_seconds: float | None


class Ordered(NamedTuple):
    """What an order did: the transition it wrote."""

    provider: str
    version: int
    from_state: str
    to_state: str
    epoch: int
    occurred_at: datetime


class CircuitOrder(NamedTuple):
    """Who wants it, and why; an override ends at the aware time `until`, or after `lasting`, if one is given."""

    provider: str
    actor: str
    reason: str
    until: datetime | None = None
    lasting: timedelta | None = None


def select_circuits(connection: Database) -> list[CircuitRow]:
    """Read all circuits, in order of choice."""
    with connection.cursor(row_factory=class_row(CircuitRow)) as cursor:
        return cursor.execute(load_sql(__package__, "select_circuits")).fetchall()


def select_circuit_history(connection: Database, provider: str | None, limit: int) -> list[HistoryRow]:
    """Read the last states of one circuit or of all, newest first."""
    parameters = {"provider": provider, "limit": limit}
    with connection.cursor(row_factory=class_row(HistoryRow)) as cursor:
        return cursor.execute(load_sql(__package__, "select_circuit_history"), parameters).fetchall()


def give_order(connection: Database, name: OrderName, order: CircuitOrder) -> Ordered:
    """Give an order; raises CommandError where the database says what is wrong with it."""
    try:
        with connection.cursor(row_factory=class_row(Ordered)) as cursor:
            done = cursor.execute(load_sql(__package__, name), order._asdict()).fetchone()
    except errors.InvalidParameterValue as error:
        raise CommandError(error.diag.message_primary or str(error)) from error
    if done is None:
        raise RuntimeError(f"llm_{name} gave no row")
    return done


def select_circuit_settings_for_update(connection: Database, name: str) -> dict[str, object] | None:
    """Lock a provider and read its circuit settings; None where there is no such provider."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(load_sql(__package__, "select_circuit_settings_for_update"), {"name": name}).fetchone()
