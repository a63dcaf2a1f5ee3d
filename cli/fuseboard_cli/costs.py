"""`fuseboard costs`: what was spent, by provider, and what was saved."""

from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple

import typer
from psycopg import Connection
from psycopg.rows import TupleRow, class_row
from rich.console import Group, RenderableType
from rich.text import Text

from fuseboard_cli.output import format_percent, format_usd, make_table, print_json, show
from fuseboard_cli.servers import use_database
from fuseboard_schema.database import begin_snapshot
from fuseboard_schema.sql import load_sql

# where prices per million tokens are whole dollars these are all digits, so that the reader can add up
TOTAL_DECIMALS: Final = 6


class ProviderCosts(NamedTuple):
    """Usage and cost of one provider, as llm_costs_by_provider gives them."""

    name: str
    display_name: str
    provider_type: str
    requests: int
    successes: int
    failures: int
    rate_limited: int
    cancelled: int
    fallbacks: int
    success_rate: float
    avg_response_time_ms: float | None
    prompt_tokens: Decimal
    completion_tokens: Decimal
    cache_read_tokens: Decimal
    cache_write_tokens: Decimal
    cache_write_1h_tokens: Decimal
    reasoning_tokens: Decimal
    total_tokens: Decimal
    cost_usd: Decimal | None
    hypothetical_claude_cost_usd: Decimal | None
    savings_usd: Decimal | None
    unpriced_requests: int
    unmetered_requests: int
    baseline_unknown_requests: int
    uncompared_usd: Decimal


class CostSummary(NamedTuple):
    """The same over all providers, as llm_cost_summary gives it."""

    total_cost_usd: Decimal | None
    total_requests: int
    local_requests: int
    remote_requests: int
    estimated_savings_usd: Decimal | None
    hypothetical_claude_cost_usd: Decimal | None
    savings_percentage: float | None
    unpriced_requests: int
    unmetered_requests: int
    baseline_unknown_requests: int
    uncompared_usd: Decimal


class Costs(NamedTuple):
    """Both, of one moment."""

    summary: CostSummary
    providers: list[ProviderCosts]


def select_costs(connection: Connection[TupleRow], days: int | None) -> Costs:
    """Read the costs of the last days, today among them; None is all days."""
    parameters = {"last_days": days}
    # one snapshot, so that the parts are the parts of the sum
    with connection.transaction():
        begin_snapshot(connection)
        with connection.cursor(row_factory=class_row(CostSummary)) as cursor:
            summary = cursor.execute(load_sql(__package__, "select_cost_summary"), parameters).fetchone()
        with connection.cursor(row_factory=class_row(ProviderCosts)) as cursor:
            providers = cursor.execute(load_sql(__package__, "select_costs_by_provider"), parameters).fetchall()
    if summary is None:
        raise RuntimeError("llm_cost_summary gave no row")
    return Costs(summary, providers)


def costs(
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Only the last days, today among them.", show_default="all")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; money is exact decimal text.")] = False,
) -> None:
    """Show cost by provider, the hypothetical cost at the baseline (Claude), and the savings."""
    with use_database() as connection:
        found = select_costs(connection, days)
    if as_json:
        print_json(make_document(found))
    else:
        show(render_costs(found, "all days" if days is None else f"last {days} days"))


def make_document(found: Costs) -> dict[str, Any]:
    """Make the JSON form."""
    return found.summary._asdict() | {"providers": [provider._asdict() for provider in found.providers]}


def render_costs(found: Costs, period: str) -> RenderableType:
    """Render the table of providers and the lines below it."""
    table = make_table(
        f"Cost by provider, {period}",
        ("provider", "type", "requests #", "success #", "tokens in #", "tokens out #", "cost USD #"),
        (
            (
                provider.display_name,
                provider.provider_type,
                f"{provider.requests:,}",
                format_percent(provider.success_rate),
                f"{provider.prompt_tokens:,f}",
                f"{provider.completion_tokens:,f}",
                # a zero would say that it is free
                "unpriced" if provider.unpriced_requests == provider.requests else format_usd(provider.cost_usd),
            )
            for provider in found.providers
        ),
    )
    return Group(table, Text("\n".join(list_summary_lines(found.summary))))


def list_summary_lines(summary: CostSummary) -> list[str]:
    """List what the totals say, and what they leave out."""
    figures = [
        ("total cost", summary.total_cost_usd, ""),
        ("hypothetical Claude cost", summary.hypothetical_claude_cost_usd, ""),
        ("savings", summary.estimated_savings_usd, f"  ({format_percent(summary.savings_percentage)})"),
    ]
    if summary.uncompared_usd:
        # with it the three add up
        figures.append(("hypothetical, cost unknown", summary.uncompared_usd, ""))
    texts = [format_usd(amount, TOTAL_DECIMALS) for _, amount, _ in figures]
    width = max(map(len, texts))
    lines = [f"{name:<26}  {text:>{width}} USD{rest}" for (name, _, rest), text in zip(figures, texts, strict=True)]
    for count, what in (
        (summary.unpriced_requests, "no known price (in no cost above, see `fuseboard doctor`)"),
        (summary.unmetered_requests, "unknown usage, as after a timeout (in no cost above)"),
        (summary.baseline_unknown_requests, "no known baseline (in no savings above)"),
    ):
        if count:
            lines.append(f"requests with {what}: {count:,}")
    return lines
