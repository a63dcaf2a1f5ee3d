"""`fuseboard tags`: cost by what workers say of a call, such as its team, and which of that is kept as sums."""

from dataclasses import asdict
from typing import Annotated, Final

import typer
from psycopg.errors import LockNotAvailable

from fuseboard_aggregator.tag_keys import add_tag_key, remove_tag_key
from fuseboard_api.read_store import select_tag_costs, select_tag_keys
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import clean_text, format_usd, make_table, print_json, remark, say, show
from fuseboard_cli.servers import use_database
from fuseboard_schema.event import TAG_KEY_MAX_LENGTH

BUSY: Final = "batches are being stored and did not end within two seconds: try again"

app = typer.Typer(name="tags", help="Cost by tag, and which tags are summed up.", no_args_is_help=True)
Key = Annotated[str, typer.Argument(metavar="TAG", help="The tag's key, such as team.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; money is exact decimal text.")]


@app.command("list")
def list_tags(as_json: AsJson = False) -> None:
    """List the tags whose cost is kept, and since which day."""
    with use_database() as connection:
        found = select_tag_keys(connection)
    if as_json:
        print_json([asdict(key) for key in found])
        return
    rows = ((key.tag_key, key.whole_from or "being summed up: add it again") for key in found)
    show(make_table("Tags whose cost is kept", ("tag", "whole from"), rows))


@app.command("costs")
def show_costs(
    tag: Key,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Only the last days, today among them.", show_default="all")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what each value of a tag cost, the most expensive first."""
    with use_database() as connection:
        require_whole(tag, {key.tag_key for key in select_tag_keys(connection) if key.whole_from})
        found = select_tag_costs(connection, tag, days, None)
    if as_json:
        print_json([asdict(row) for row in found])
        return
    show(
        make_table(
            f"Cost by {clean_text(tag)}, {'all days' if days is None else f'last {days} days'}",
            (clean_text(tag), "requests #", "tokens #", "cost USD #", "savings USD #", "in no cost #"),
            (
                (
                    "-" if row.tag_value is None else row.tag_value or '""',
                    f"{row.requests:,}",
                    f"{row.total_tokens:,f}",
                    format_usd(row.cost_usd),
                    format_usd(row.savings_usd),
                    f"{row.unpriced_requests + row.unmetered_requests:,}",
                )
                for row in found
            ),
        )
    )


@app.command("add")
def add(tag: Key) -> None:
    """Keep the cost of a tag from now on, and sum up the raw requests that are there."""
    if not 0 < len(tag) <= TAG_KEY_MAX_LENGTH or "\x00" in tag:
        raise typer.BadParameter(f"a tag's key has 1 to {TAG_KEY_MAX_LENGTH} characters")
    with use_database() as connection:
        try:
            add_tag_key(connection, tag, progress=lambda done, days: remark(f"summed up {done} of {days} days"))
        except LockNotAvailable as error:
            raise CommandError(BUSY) from error
        whole_from = {key.tag_key: key.whole_from for key in select_tag_keys(connection)}[tag]
    say(f"cost by {clean_text(tag)} is kept, whole from {whole_from} on")


@app.command("remove")
def remove(tag: Key) -> None:
    """Keep the cost of a tag no longer, and delete its sums; raw requests keep the tag."""
    with use_database() as connection:
        try:
            is_removed = remove_tag_key(connection, tag)
        except LockNotAvailable as error:
            raise CommandError(BUSY) from error
    say(f"cost by {clean_text(tag)} is {'no longer' if is_removed else 'not'} kept")


def require_whole(tag: str, whole: set[str]) -> None:
    """Raise CommandError where the cost of a tag is not kept."""
    if tag not in whole:
        known = ", ".join(clean_text(key) for key in sorted(whole)) or "none"
        raise CommandError(f"cost by {clean_text(tag)} is not kept, only by: {known}; run `fuseboard tags add`")
