"""What operators change, over HTTP and from the command line: circuits, by functions of the database, and providers."""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow, class_row, scalar_row

from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]

# the functions of migration 0013, without their prefix
OrderName = Literal[
    "force_circuit_open", "disable_circuit", "clear_circuit_override", "reset_circuit", "reset_circuit_throttle"
]


class CircuitOrder(NamedTuple):
    """Who wants it, and why; an override ends at the aware time `until`, or after `lasting`, if one is given."""

    provider: str
    actor: str
    reason: str
    until: datetime | None = None
    lasting: timedelta | None = None


class Ordered(NamedTuple):
    """What an order did: the transition it wrote."""

    provider: str
    version: int
    from_state: str
    to_state: str
    epoch: int
    occurred_at: datetime


def give_order(connection: Database, name: OrderName, order: CircuitOrder) -> Ordered:
    """Give an order to a circuit; raises psycopg.errors.InvalidParameterValue that says what is wrong with it."""
    with connection.cursor(row_factory=class_row(Ordered)) as cursor:
        done = cursor.execute(load_sql(__package__, name), order._asdict()).fetchone()
    if done is None:
        raise RuntimeError(f"llm_{name} gave no row")
    return done


def update_provider(
    connection: Database, name: str, *, enabled: bool | None = None, priority: int | None = None
) -> bool:
    """Change what is not None; False when there is no such provider."""
    parameters = {"name": name, "enabled": enabled, "priority": priority}
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(load_sql(__package__, "update_provider"), parameters).fetchone() is not None
