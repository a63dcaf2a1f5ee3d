"""`fuseboard reconcile` and `fuseboard rebuild`: are the daily rows the sum of the raw requests, of which days?"""

from typing import Annotated, Any

import typer

from fuseboard_aggregator.rebuild import rebuild_daily
from fuseboard_aggregator.reconcile import Difference, Reconciliation
from fuseboard_aggregator.reconcile import reconcile as compare_usage
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import format_exact, make_table, print_json, say, show
from fuseboard_cli.servers import use_database


def reconcile(
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Sum the days that differ again from raw requests.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; money is exact decimal text.")] = False,
) -> None:
    """Compare all daily usage with the raw requests, to the last digit; exit code 1 when a difference stays."""
    with use_database() as connection:
        found = compare_usage(connection, repair=repair)
    if as_json:
        print_json(make_document(found))
    else:
        say(format_equation(found))
        if not found.is_clean:
            if found.days:
                show(_render_differences(found.days))
            for rollup, day in found.rollups:
                say(f"{rollup} of {day} is not the sum of the raw requests")
            say("these days were repaired" if found.is_repaired else "run `fuseboard reconcile --repair`")
    if not found.is_clean and not found.is_repaired:
        raise typer.Exit(1)


def rebuild(
    time_zone: Annotated[str, typer.Option(help="IANA name, such as Europe/Berlin.", show_default=False)],
) -> None:
    """Make the daily rows days of another time zone, from the raw requests."""
    with use_database() as connection:
        try:
            done = rebuild_daily(connection, time_zone)
        except ValueError as error:
            raise CommandError(str(error)) from error
    say(
        f"days are of {done.time_zone} (before: {done.time_zone_before}): {done.after.daily_rows:,} daily rows, "
        f"{done.after.requests:,} requests, {format_exact(done.after.cost_usd)} USD"
    )


def format_equation(found: Reconciliation) -> str:
    """Write raw = daily + pending with all digits, as requests and as USD."""
    sign = "≠" if found.days else "="
    return (
        f"reconciliation: raw {sign} daily + pending\n"
        f"  {found.raw_requests:,} {sign} {found.daily_requests:,} + {found.pending_requests:,} requests\n"
        f"  {format_exact(found.raw_cost_usd)} {sign} {format_exact(found.daily_cost_usd)}"
        f" + {format_exact(found.pending_cost_usd)} USD"
    )


def make_document(found: Reconciliation) -> dict[str, Any]:
    """Make the JSON form."""
    return {
        "difference_usd": found.difference_usd,
        "difference_requests": found.difference_requests,
        "raw_requests": found.raw_requests,
        "daily_requests": found.daily_requests,
        "pending_requests": found.pending_requests,
        "raw_cost_usd": found.raw_cost_usd,
        "daily_cost_usd": found.daily_cost_usd,
        "pending_cost_usd": found.pending_cost_usd,
        "first_day": found.first_day,
        "repaired": found.is_repaired,
        "differing_rollups": [difference._asdict() for difference in found.rollups],
        "differences": [{**difference.key._asdict(), "measures": difference.measures} for difference in found.days],
    }


def _render_differences(differences: list[Difference]) -> Any:  # noqa: ANN401 - what rich prints
    return make_table(
        "Differences",
        ("day", "provider", "model", "measures"),
        (
            (difference.key.day, difference.key.provider, difference.key.model, ", ".join(difference.measures))
            for difference in differences
        ),
    )
