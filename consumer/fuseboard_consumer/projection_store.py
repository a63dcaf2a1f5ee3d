"""One typed function per statement of publishing and sweeping. None of them opens or ends a transaction."""

import json
import logging
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow, class_row, dict_row
from pydantic import ValidationError

from fuseboard_consumer.circuit_store import read_circuit_settings
from fuseboard_consumer.projection_rows import DayUsage, ModelPart, ProjectionRow
from fuseboard_schema.sql import load_sql
from fuseboard_schema.validation import describe_validation_error

log = logging.getLogger(__name__)

Database = Connection[TupleRow]


class Revision(NamedTuple):
    """Which revision a circuit is at, and for how long no batch has touched it."""

    provider: str
    revision: int
    idle_seconds: float


def select_projections(connection: Database, providers: Collection[str] | None) -> list[ProjectionRow]:
    """Read what is published of these providers, in order of name; of all of them with None."""
    parameters = {"providers": None if providers is None else list(providers)}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(load_sql(__package__, "select_projections"), parameters).fetchall()
    return [
        ProjectionRow(
            **{
                **row,
                "models": read_models(row["provider"], row["models"]),
                "circuit_settings": read_circuit_settings(row["provider"], row["circuit_settings"]),
            }
        )
        for row in rows
    ]


def select_day_usage(connection: Database) -> dict[str, DayUsage]:
    """Read the usage of yesterday and today, as far as it is folded, by provider."""
    with connection.cursor(row_factory=class_row(DayUsage)) as cursor:
        rows = cursor.execute(load_sql(__package__, "select_day_usage")).fetchall()
    return {row.provider: row for row in rows}


def select_revisions(connection: Database) -> list[Revision]:
    """Read the revision of each circuit."""
    with connection.cursor(row_factory=class_row(Revision)) as cursor:
        return cursor.execute(load_sql(__package__, "select_revisions")).fetchall()


def expire_circuit_overrides(connection: Database) -> list[str]:
    """End the overrides whose time has come; returns whose they were."""
    return [row[0] for row in connection.execute(load_sql(__package__, "expire_circuit_overrides"))]


def try_sweeper_lock(connection: Database) -> bool:
    """Become the one session that sweeps, until it ends; False when another one is.

    Needs a session of its own: a pooler that hands one session to many clients would keep the lock for ever.
    """
    return connection.execute(load_sql(__package__, "try_sweeper_lock")).fetchone() == (True,)


def listen_for_circuits(connection: Database) -> None:
    """Have notifications of changed circuits come in on this connection."""
    connection.execute(load_sql(__package__, "listen_for_circuits"))


@lru_cache(maxsize=1024)
def read_models(provider: str, text: str) -> Mapping[str, ModelPart]:
    """Read llm_providers.models as stored; a malformed entry is logged, once for each text, and only its name holds.

    It is not left out, because without any entry any model could be asked for.
    """
    parts = {}
    for name, details in json.loads(text).items():
        try:
            parts[name] = ModelPart.model_validate(details)
        except ValidationError as error:
            what = describe_validation_error(error)
            log.warning("provider_model_malformed provider=%s model=%r error=%r", provider, name, what)
            parts[name] = ModelPart()
    return parts
