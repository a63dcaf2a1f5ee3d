"""`fuseboard providers aliases`, `alias`, `merge` and `remove`: which names mean which provider."""

from typing import Annotated

import typer
from psycopg import Connection, errors
from psycopg.rows import TupleRow, dict_row

from fuseboard_aggregator.provider_merge import add_provider_alias, merge_provider
from fuseboard_aggregator.reprice import RepriceBusyError
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import clean_text, format_time, make_table, print_json, remark, say, show
from fuseboard_cli.publication import make_unknown_provider_error, tell_workers, use_registry
from fuseboard_cli.servers import use_database
from fuseboard_cli.status import select_provider_status
from fuseboard_schema.sql import load_sql

# beyond the time after which consumers read names again: for a batch that is being stored just then
BATCH_SECONDS = 2.0

app = typer.Typer(name="alias", help="Other names of a provider.", no_args_is_help=True)
Alias = Annotated[str, typer.Argument(help="What workers say; case does not matter.", show_default=False)]
Provider = Annotated[str, typer.Argument(help="The provider that is meant.", show_default=False)]


def resolve_provider(connection: Connection[TupleRow], said: str) -> str:
    """Resolve a name as consumers do."""
    row = connection.execute(load_sql(__package__, "select_provider_name"), {"said": said}).fetchone()
    return said if row is None else str(row[0])


def list_aliases(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the other names of providers."""
    with use_database() as connection, connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(load_sql(__package__, "select_provider_aliases")).fetchall()
    if as_json:
        print_json([*found])
        return
    rows = ((row["alias"], row["provider"], format_time(row["created_at"])) for row in found)
    show(make_table("Other names of providers", ("alias", "provider", "since"), rows))


@app.command("add")
def add_alias(alias: Alias, provider: Provider) -> None:
    """Let a name mean a provider from now on."""
    with use_database() as connection:
        known = [each.name for each in select_provider_status(connection)]
        if provider not in known:
            raise make_unknown_provider_error(provider, known)
        if alias.strip().lower() in (name.lower() for name in known):
            merging = f"fuseboard providers merge {clean_text(alias)} {clean_text(provider)}"
            raise CommandError(f"{clean_text(alias)} is a provider: `{merging}` makes them one")
        if not alias.strip():
            raise typer.BadParameter("must not be empty", param_hint="ALIAS")
        add_provider_alias(connection, alias, provider)
    say(f"{clean_text(alias.strip().lower())} means {clean_text(provider)} now; consumers know it within seconds")


@app.command("remove")
def remove_alias(alias: Alias) -> None:
    """Let a name mean no other provider any more; what is stored stays."""
    with use_database() as connection:
        row = connection.execute(load_sql(__package__, "delete_provider_alias"), {"alias": alias}).fetchone()
    if row is None:
        raise CommandError(f"{clean_text(alias)} is no alias: see `fuseboard providers aliases`")
    say(f"{clean_text(alias)} does not mean {clean_text(row[0])} any more")


def merge(
    from_name: Annotated[str, typer.Argument(metavar="FROM", help="The provider that goes.", show_default=False)],
    into_name: Annotated[str, typer.Argument(metavar="INTO", help="The one that has it all.", show_default=False)],
) -> None:
    """Move everything of a provider to another, as after a typo; its name stays as an alias. Sums stay exact."""
    with use_registry() as (settings, connection):
        known = [each.name for each in select_provider_status(connection)]
        for name in (from_name, into_name):
            if name not in known:
                raise make_unknown_provider_error(name, known)
        if from_name == into_name:
            raise CommandError("a provider cannot be merged into itself")
        wait_seconds = settings.price_refresh_seconds + BATCH_SECONDS
        remark(f"waiting {wait_seconds:.0f} s, by when every consumer knows that {clean_text(from_name)} is an alias")
        try:
            merge_provider(connection, from_name, into_name, wait_seconds=wait_seconds)
        except RepriceBusyError as error:
            raise CommandError(str(error)) from error
        tell_workers(settings, connection, [into_name])
    say(f"{clean_text(from_name)} is {clean_text(into_name)} now; past states of its circuit stay under its own name")


def remove(name: Provider) -> None:
    """Remove a provider that has no requests, with its aliases."""
    with use_database() as connection:
        known = [each.name for each in select_provider_status(connection)]
        if name not in known:
            raise make_unknown_provider_error(name, known)
        try:
            with connection.transaction():
                connection.execute(load_sql(__package__, "remove_provider"), {"name": name})
        except errors.ObjectInUse as error:
            text = f"{clean_text(name)} has requests: merge it into another, or `fuseboard providers disable` it"
            raise CommandError(text) from error
    say(f"{clean_text(name)} is removed")
