"""The reads of views and functions: one function per statement."""

from typing import TypeVar

from psycopg import Connection
from psycopg.rows import TupleRow, class_row, scalar_row

from fuseboard_api.rows import (
    CircuitHistoryRow,
    CircuitRow,
    CostSummaryRow,
    DailyTrendRow,
    HalfOpenRow,
    HealthRow,
    HourlyTrendRow,
    MetricsRow,
    ProviderCostsRow,
    ProviderRow,
    TagCostsRow,
    TagKeyRow,
    UnpricedRow,
)
from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]
Row = TypeVar("Row")


def select_providers(connection: Database) -> list[ProviderRow]:
    """Read all providers, in order of choice."""
    return _select(connection, ProviderRow, "select_providers")


def select_metrics(connection: Database, provider: str | None, days: int) -> list[MetricsRow]:
    """Read the metrics of one provider or of each."""
    return _select(connection, MetricsRow, "select_metrics", provider=provider, last_days=days)


def select_cost_summary(connection: Database, days: int) -> CostSummaryRow:
    """Read the cost of all."""
    return _select_one(connection, CostSummaryRow, "select_cost_summary", last_days=days)


def select_provider_costs(connection: Database, days: int) -> list[ProviderCostsRow]:
    """Read the cost of each provider."""
    return _select(connection, ProviderCostsRow, "select_provider_costs", last_days=days)


def select_daily_trends(connection: Database, days: int) -> list[DailyTrendRow]:
    """Read the days."""
    return _select(connection, DailyTrendRow, "select_daily_trends", last_days=days)


def select_hourly_trends(connection: Database, hours: int) -> list[HourlyTrendRow]:
    """Read the hours."""
    return _select(connection, HourlyTrendRow, "select_hourly_trends", last_hours=hours)


def select_overall_health(connection: Database) -> HealthRow:
    """Read how all of it is."""
    return _select_one(connection, HealthRow, "select_overall_health")


def select_circuits(connection: Database) -> list[CircuitRow]:
    """Read all circuits, in order of choice."""
    return _select(connection, CircuitRow, "select_circuits")


def select_half_open_circuits(connection: Database) -> list[HalfOpenRow]:
    """Read what each half-open circuit waits for."""
    return _select(connection, HalfOpenRow, "select_half_open_circuits")


def select_circuit_history(connection: Database, provider: str | None, limit: int) -> list[CircuitHistoryRow]:
    """Read the last states of one circuit or of all, newest first."""
    return _select(connection, CircuitHistoryRow, "select_circuit_history", provider=provider, limit=limit)


def select_unpriced_models(connection: Database) -> list[UnpricedRow]:
    """Read the models that no price covers, the most used first."""
    return _select(connection, UnpricedRow, "select_unpriced_models")


def select_tag_keys(connection: Database) -> list[TagKeyRow]:
    """Read the tags whose cost is kept, by name."""
    return _select(connection, TagKeyRow, "select_tag_keys")


def select_tag_costs(connection: Database, tag_key: str, days: int | None, limit: int | None) -> list[TagCostsRow]:
    """Read what each value of a tag cost, the most expensive first; the tag's sums must be whole."""
    return _select(connection, TagCostsRow, "select_tag_costs", tag_key=tag_key, last_days=days, limit=limit)


def has_provider(connection: Database, name: str) -> bool:
    """Say whether a provider is registered."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(load_sql(__package__, "select_provider_known"), {"name": name}).fetchone())


def _select(connection: Database, kind: type[Row], statement: str, **parameters: object) -> list[Row]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(load_sql(__package__, statement), parameters).fetchall()


def _select_one(connection: Database, kind: type[Row], statement: str, **parameters: object) -> Row:
    (row,) = _select(connection, kind, statement, **parameters)
    return row
