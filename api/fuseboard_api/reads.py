"""What people ask: providers, metrics, costs, trends, health, circuits."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query

from fuseboard_api import answers
from fuseboard_api.authentication import require
from fuseboard_api.exact_json import ExactJson
from fuseboard_api.parameters import DAYS_DEFAULT, HOURS_DEFAULT, Days, Hours, ProviderPath, ProviderQuery
from fuseboard_api.price_advice import advise_unpriced
from fuseboard_api.problems import Problem, declare_problems
from fuseboard_api.read_store import (
    has_provider,
    select_circuit_history,
    select_circuits,
    select_cost_summary,
    select_daily_trends,
    select_half_open_circuits,
    select_hourly_trends,
    select_metrics,
    select_overall_health,
    select_provider_costs,
    select_providers,
    select_unpriced_models,
)
from fuseboard_api.resources import Database, Resources, get_resources
from fuseboard_api.rows import CostSummaryRow, HealthRow
from fuseboard_schema.database import begin_snapshot

Held = Annotated[Resources, Depends(get_resources)]
HISTORY_MAX: Final = 1000

router = APIRouter(prefix="/api/llm", tags=["reads"], dependencies=[Depends(require("read"))])


@router.get("/providers", response_model=answers.Providers)
def list_providers(held: Held) -> ExactJson:
    """List all providers with their health and circuit, in order of choice."""
    with held.pool.connection() as connection:
        return ExactJson(answers.Providers(select_providers(connection)))


@router.get("/metrics", response_model=answers.Metrics, responses=declare_problems(404))
def show_metrics(held: Held, provider: ProviderQuery = None, days: Days = DAYS_DEFAULT) -> ExactJson:
    """Show requests, durations, tokens and cost per provider."""
    with held.pool.connection() as connection:
        found = select_metrics(connection, provider, days)
    if provider is not None and not found:
        raise Problem(404, "there is no such provider")
    return ExactJson(answers.Metrics(days, found))


@router.get("/costs", response_model=answers.Costs)
def show_costs(held: Held, days: Days = DAYS_DEFAULT) -> ExactJson:
    """Show what was spent and saved, together and by provider."""
    # one snapshot, so that the parts are the parts of the sum
    with held.pool.connection() as connection, connection.transaction():
        begin_snapshot(connection)
        summary = select_cost_summary(connection, days)
        providers = select_provider_costs(connection, days)
    totals = {field.name: getattr(summary, field.name) for field in fields(CostSummaryRow)}
    return ExactJson(answers.Costs(**totals, days=days, providers=providers))


@router.get("/trends", response_model=answers.Trends)
def show_trends(held: Held, days: Days = DAYS_DEFAULT) -> ExactJson:
    """Show each day of each provider, in the installation's time zone."""
    with held.pool.connection() as connection:
        return ExactJson(answers.Trends(days, select_daily_trends(connection, days)))


@router.get("/trends/hourly", response_model=answers.HourlyTrends)
def show_hourly_trends(held: Held, hours: Hours = HOURS_DEFAULT) -> ExactJson:
    """Show each hour of each provider, as far back as raw requests are kept."""
    with held.pool.connection() as connection:
        return ExactJson(answers.HourlyTrends(hours, select_hourly_trends(connection, hours)))


@router.get("/health", response_model=HealthRow)
def show_health(held: Held) -> ExactJson:
    """Show how all of it is."""
    with held.pool.connection() as connection:
        return ExactJson(select_overall_health(connection))


@router.get("/circuits", response_model=answers.Circuits)
def list_circuits(held: Held) -> ExactJson:
    """List all circuits: state, why, since when, the next probe, the probes that are out."""
    with held.pool.connection() as connection:
        circuits, half_open = select_circuits(connection), select_half_open_circuits(connection)
    return ExactJson(answers.Circuits(datetime.now(UTC), held.probes.fill_in(circuits, half_open)))


@router.get("/circuits/{provider:path}/history", response_model=answers.CircuitHistory, responses=declare_problems(404))
def show_history(
    held: Held,
    provider: ProviderPath,
    limit: Annotated[int, Query(ge=1, le=HISTORY_MAX, description="At most so many.")] = 100,
) -> ExactJson:
    """List the last states of a circuit, newest first: why each began and how long it lasted."""
    with held.pool.connection() as connection:
        require_provider(connection, provider)
        return ExactJson(answers.CircuitHistory(select_circuit_history(connection, provider, limit)))


@router.get("/unpriced", response_model=answers.UnpricedModels)
def list_unpriced(held: Held) -> ExactJson:
    """List models with requests that no price covers: they are in no cost figure."""
    with held.pool.connection() as connection:
        found = select_unpriced_models(connection)
    return ExactJson(answers.UnpricedModels([advise_unpriced(row) for row in found]))


def require_provider(connection: Database, name: str) -> None:
    """Raise Problem 404 where there is no such provider."""
    if not has_provider(connection, name):
        raise Problem(404, "there is no such provider")
