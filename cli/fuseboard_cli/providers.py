"""`fuseboard providers`: the registry workers choose from."""

from typing import Annotated

import typer
from psycopg import Connection
from psycopg.rows import TupleRow, scalar_row

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import clean_text, make_table, print_json, say, show
from fuseboard_cli.servers import use_database
from fuseboard_cli.status import select_provider_status
from fuseboard_schema.sql import load_sql

app = typer.Typer(name="providers", help="Which providers workers may choose, in which order.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The provider's name.", show_default=False)]
PRIORITY_MAX = 2_147_483_647


@app.command("list")
def list_providers(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List all providers, in order of choice."""
    with use_database() as connection:
        found = select_provider_status(connection)
    if as_json:
        print_json([provider._asdict() for provider in found])
        return
    show(
        make_table(
            "Providers, in order of choice",
            ("name", "shown as", "type", "priority #", "in use", "registered by", "requests #"),
            (
                (
                    provider.name,
                    provider.display_name,
                    provider.provider_type,
                    provider.priority,
                    "yes" if provider.enabled else "no",
                    provider.registered_by,
                    f"{provider.total_requests:,}",
                )
                for provider in found
            ),
        )
    )


@app.command()
def enable(name: Name) -> None:
    """Let workers choose a provider."""
    _change(name, enabled=True)
    say(f"{clean_text(name)} is in use")


@app.command()
def disable(name: Name) -> None:
    """Keep workers from choosing a provider; what it still does is recorded as before."""
    _change(name, enabled=False)
    say(f"{clean_text(name)} is not in use")


@app.command()
def priority(
    name: Name,
    value: Annotated[int, typer.Argument(min=0, max=PRIORITY_MAX, help="Lower is tried first.", show_default=False)],
) -> None:
    """Set a provider's place in the order of choice."""
    _change(name, priority=value)
    say(f"{clean_text(name)} has priority {value}")


def _change(name: str, *, enabled: bool | None = None, priority: int | None = None) -> None:
    with use_database() as connection:
        if not update_provider(connection, name, enabled=enabled, priority=priority):
            known = ", ".join(clean_text(provider.name) for provider in select_provider_status(connection))
            raise CommandError(f"there is no provider {clean_text(name)}: known are {known}")


def update_provider(
    connection: Connection[TupleRow], name: str, *, enabled: bool | None = None, priority: int | None = None
) -> bool:
    """Change what is not None; False when there is no such provider."""
    parameters = {"name": name, "enabled": enabled, "priority": priority}
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(load_sql(__package__, "update_provider"), parameters).fetchone() is not None
