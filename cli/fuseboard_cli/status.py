"""`fuseboard status`: the providers' health and how far events have come."""

from datetime import datetime
from typing import Annotated, Any, NamedTuple

import typer
from psycopg import Connection
from psycopg.rows import TupleRow, class_row
from rich.console import Group, RenderableType
from rich.text import Text

from fuseboard_cli.circuit_table import SYMBOLS, name_state
from fuseboard_cli.output import format_percent, format_time, make_table, print_json, show
from fuseboard_cli.servers import open_database, open_redis, use_servers
from fuseboard_cli.stream_state import StreamState, read_stream_state
from fuseboard_schema.sql import load_sql


class ProviderStatus(NamedTuple):
    """One provider with its health, as llm_provider_status gives it."""

    name: str
    display_name: str
    provider_type: str
    enabled: bool
    priority: int
    registered_by: str
    total_requests: int
    successful_requests: int
    failed_requests: int
    failure_count: int
    success_rate: float | None
    rolling_success_rate: float | None
    avg_response_time_ms: float | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error_type: str | None
    circuit: str
    is_throttled: bool
    # within the last ten minutes
    is_called_though_disabled: bool


class PipelineStatus(NamedTuple):
    """What is on its way inside the database, as llm_pipeline_status gives it."""

    unfolded_requests: int
    last_fold_at: datetime | None
    rejected_events: int
    unpriced_requests: int
    day_time_zone: str
    raw_retained_from: datetime


def select_provider_status(connection: Connection[TupleRow]) -> list[ProviderStatus]:
    """Read all providers, in order of choice."""
    with connection.cursor(row_factory=class_row(ProviderStatus)) as cursor:
        return cursor.execute(load_sql(__package__, "select_provider_status")).fetchall()


def select_pipeline_status(connection: Connection[TupleRow]) -> PipelineStatus:
    """Read what is on its way."""
    with connection.cursor(row_factory=class_row(PipelineStatus)) as cursor:
        found = cursor.execute(load_sql(__package__, "select_pipeline_status")).fetchone()
    if found is None:
        raise RuntimeError("llm_pipeline_status gave no row")
    return found


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show each provider's health, and what is still on its way from the stream to the daily rows."""
    with use_servers() as settings, open_database(settings) as connection, open_redis(settings) as redis:
        providers = select_provider_status(connection)
        pipeline = select_pipeline_status(connection)
        stream = read_stream_state(redis, settings.namespace)
    if as_json:
        print_json(make_document(providers, pipeline, stream))
    else:
        show(render_status(providers, pipeline, stream))


def make_document(providers: list[ProviderStatus], pipeline: PipelineStatus, stream: StreamState) -> dict[str, Any]:
    """Make the JSON form."""
    return {
        "providers": [provider._asdict() for provider in providers],
        "pipeline": pipeline._asdict(),
        "stream": stream._asdict() | {"oldest_entry_seconds": stream.oldest_entry_seconds},
    }


def render_status(providers: list[ProviderStatus], pipeline: PipelineStatus, stream: StreamState) -> RenderableType:
    """Render the table of providers and the lines below it."""
    table = make_table(
        "Providers, in order of choice",
        ("provider", "circuit", "requests #", "success #", "10 min #", "avg ms #", "fails #"),
        (
            (
                provider.display_name,
                describe_use(provider),
                f"{provider.total_requests:,}",
                format_percent(provider.success_rate),
                format_percent(provider.rolling_success_rate),
                "-" if provider.avg_response_time_ms is None else f"{provider.avg_response_time_ms:,.0f}",
                f"{provider.failure_count:,}",
            )
            for provider in providers
        ),
    )
    return Group(table, Text("\n".join(list_pipeline_lines(pipeline, stream))))


def describe_use(provider: ProviderStatus) -> str:
    """Say whether workers use a provider, and if so what its circuit is."""
    if provider.is_called_though_disabled:
        return "! called, though not in use"
    if not provider.enabled:
        return "  not in use"
    if provider.circuit == "closed" and provider.is_throttled:
        return f"{SYMBOLS['half_open']} throttled"
    return f"{SYMBOLS[provider.circuit]} {name_state(provider.circuit)}"


def list_pipeline_lines(pipeline: PipelineStatus, stream: StreamState) -> list[str]:
    """List how far events have come, from the stream to the daily rows."""
    oldest = f", the oldest for {stream.oldest_entry_seconds:.0f} s" if stream.entries else ""
    held = f"{stream.unacknowledged_entries:,} of them in the hands of consumers"
    folded_at = format_time(pipeline.last_fold_at)
    return [
        f"stream            {stream.entries:,} entries wait{oldest}, {held}",
        f"consumers         {stream.live_consumers} running",
        f"to be folded      {pipeline.unfolded_requests:,} requests, last fold {folded_at} UTC",
        f"rejected events   {pipeline.rejected_events:,}",
        f"unpriced requests {pipeline.unpriced_requests:,}",
        f"days are of       {pipeline.day_time_zone}",
    ]
