"""Orders to circuits, by the functions of the database."""

from datetime import datetime
from typing import Any, Literal

from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

from fuseboard_schema.sql import load_sql

OrderName = Literal[
    "force_circuit_open", "disable_circuit", "clear_circuit_override", "reset_circuit", "reset_circuit_throttle"
]


def give_order(
    connection: Connection[TupleRow],
    name: OrderName,
    *,
    provider: str,
    actor: str,
    reason: str,
    until: datetime | None = None,
) -> dict[str, Any]:
    """Give an order and return the transition it wrote; raises InvalidParameterValue that says what is wrong."""
    parameters = {"provider": provider, "actor": actor, "reason": reason, "until": until}
    with connection.cursor(row_factory=dict_row) as cursor:
        done = cursor.execute(load_sql(__package__, name), parameters).fetchone()
    if done is None:
        raise RuntimeError(f"llm_{name} gave no row")
    return done
