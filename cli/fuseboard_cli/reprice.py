"""`fuseboard prices reprice`: what raw requests cost by the prices as they are now."""

import sys
from datetime import datetime
from typing import Annotated, Any

import typer
from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_aggregator.reprice import RepriceBusyError, RepricedUsage, Repricing, reprice_requests
from fuseboard_api.price_advice import advise_price
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import clean_text, format_time, format_usd, make_table, print_json, say, show, stderr
from fuseboard_cli.provider_names import resolve_provider
from fuseboard_cli.servers import open_database, use_servers
from fuseboard_cli.times import parse_instant
from fuseboard_schema.event import EARLIEST_OCCURRED_AT


def reprice(
    *,
    provider: Annotated[str | None, typer.Option(help="Only requests of this provider.")] = None,
    model: Annotated[str | None, typer.Option(help="Only requests of this model.")] = None,
    first: Annotated[
        datetime | None,
        typer.Option("--from", parser=parse_instant, metavar="TIME", help="Only requests from then on."),
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", parser=parse_instant, metavar="TIME", help="Only requests before then.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also requests that have a cost, which --from and --to mean as well.")
    ] = False,
    apply: Annotated[
        bool | None,
        typer.Option("--apply/--dry-run", help="Do it without asking, or only show it.", show_default="ask"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; asks nothing.")] = False,
) -> None:
    """Compute again what requests cost and saved, first as a dry run; without a range only those without a cost."""
    scope: dict[str, Any] = {
        "only_unpriced": not (every or first or last),
        "provider": provider,
        "model": model,
        "first": first,
        "last": last,
    }
    with use_servers(needs_redis=False) as settings, open_database(settings) as connection:
        scope["provider"] = provider and resolve_provider(connection, provider)
        scope["baseline"] = (settings.baseline_provider, settings.baseline_model)
        planned = _run(connection, dry_run=True, **scope)
        if not as_json:
            _show(planned)
        if apply is None and not as_json and sys.stdin.isatty() and planned.changed:
            apply = typer.confirm("Apply?")
        done = planned if apply is False or not planned.changed else _run(connection, dry_run=False, **scope)
    if as_json:
        print_json(make_document(done))
    elif done.is_dry_run:
        say("nothing was changed")
    else:
        say(f"repriced: {done.changed:,}; daily rows follow with the next fold")


def make_document(done: Repricing) -> dict[str, Any]:
    """Make the JSON form."""
    return {
        "dry_run": done.is_dry_run,
        **_list_figures(done),
        "models": [
            {"provider": provider, "model": model, **_list_figures(usage)}
            for (provider, model), usage in sorted(done.models.items())
        ],
    }


def list_remarks(planned: Repricing) -> list[str]:
    """List why requests stay without a price, and what would give them one."""
    remarks = []
    for (provider, model), usage in sorted(planned.models.items()):
        for tier, first_at in sorted(usage.first_unpriced_at.items()):
            remarks.append(
                f"no price is in force for {clean_text(provider)} {clean_text(model)}, tier {clean_text(tier)}, from "
                f"{format_time(first_at)} UTC on: `{advise_price(provider, model, first_at, tier)}`, then reprice again"
            )
    if not planned.examined:
        remarks.append("none is without a cost; --all, --from or --to look at those that have one")
    return remarks


def _list_figures(usage: RepricedUsage) -> dict[str, Any]:
    return {
        "examined_requests": usage.examined,
        "changed_requests": usage.changed,
        "unpriced_requests_before": usage.unpriced_before,
        "unpriced_requests_after": usage.unpriced_after,
        "cost_usd_before": usage.cost_usd_before,
        "cost_usd_after": usage.cost_usd_after,
        "savings_usd_before": usage.savings_usd_before,
        "savings_usd_after": usage.savings_usd_after,
    }


def _run(connection: Connection[TupleRow], **scope: Any) -> Repricing:  # noqa: ANN401 - as reprice_requests takes it
    def show_part(done: int, total: int) -> None:
        if sys.stderr.isatty():
            stderr().print(f"day {done} of {total}", end="\r")

    try:
        return reprice_requests(connection, progress=show_part, **scope)
    except RepriceBusyError as error:
        raise CommandError(str(error)) from error


def _show(planned: Repricing) -> None:
    changing = [(names, usage) for names, usage in sorted(planned.models.items()) if usage.changed]
    if changing:
        show(
            make_table(
                "By the prices of now (dry run)",
                ("model", "requests #", "unpriced #", "cost USD #"),
                (
                    (
                        "/".join(names),
                        f"{usage.changed:,}",
                        f"{usage.unpriced_before:,} → {usage.unpriced_after:,}",
                        f"{format_usd(usage.cost_usd_before)} → {format_usd(usage.cost_usd_after)}",
                    )
                    for names, usage in changing
                ),
            )
        )
    say(f"{planned.changed:,} of {planned.examined:,} requests looked at change")
    for text in list_remarks(planned):
        say(text)
    if planned.raw_retained_from and planned.raw_retained_from > EARLIEST_OCCURRED_AT:
        say(f"requests before {format_time(planned.raw_retained_from)} UTC are not kept any more")
