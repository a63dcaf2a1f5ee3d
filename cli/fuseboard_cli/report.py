"""What the demo shows in the end."""

from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_aggregator.reconcile import reconcile
from fuseboard_cli.costs import render_costs, select_costs
from fuseboard_cli.output import stdout
from fuseboard_cli.reconcile import format_equation


def print_report(connection: Connection[TupleRow], added_events: int) -> bool:
    """Print cost by provider, the totals, and raw = daily + pending; say whether that holds to the last digit."""
    found = select_costs(connection, days=None)
    checked = reconcile(connection)
    console = stdout()
    console.print(render_costs(found, "all days"))
    console.print(format_equation(checked), soft_wrap=True)
    total = found.summary.total_requests
    console.print(
        f"this run added {added_events:,} events"
        + (f"; the figures are of all {total:,} events stored here" if total != added_events else "")
    )
    return checked.is_clean
