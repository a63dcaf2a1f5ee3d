"""`fuseboard circuits`: what each provider's circuit is, why, and what it was."""

import time
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.live import Live

from fuseboard_api.read_store import select_circuit_history
from fuseboard_cli import circuit_orders
from fuseboard_cli.circuit_rows import Database, select_circuits
from fuseboard_cli.circuit_settings import settings
from fuseboard_cli.circuit_table import list_circuit_lines, render_circuits, render_history
from fuseboard_cli.output import print_json, say, show, stdout
from fuseboard_cli.publication import make_unknown_provider_error
from fuseboard_cli.servers import use_database

WATCH_INTERVAL_SECONDS: Final = 1.0

app = typer.Typer(
    name="circuits",
    help="Each provider's circuit: its state and why; orders to it. Without a command: the table.",
    invoke_without_command=True,
)
app.command("force-open")(circuit_orders.force_open)
app.command("disable")(circuit_orders.disable)
app.command("clear")(circuit_orders.clear)
app.command("reset")(circuit_orders.reset)
app.command("reset-throttle")(circuit_orders.reset_throttle)
app.command()(settings)


@app.callback()
def circuits(
    context: typer.Context,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it live until Ctrl-C; in a pipe, one plain line each, once.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show each provider's circuit: state, why, since when, the next probe."""
    if context.invoked_subcommand is not None:
        if watch or as_json:
            raise typer.BadParameter("--watch and --json of the table go without a command")
        return
    if watch and as_json:
        raise typer.BadParameter("give either --watch or --json")
    with use_database() as connection:
        if watch:
            watch_circuits(connection)
            return
        found = select_circuits(connection)
    if as_json:
        print_json([circuit._asdict() for circuit in found])
    else:
        show(render_circuits(found))


def watch_circuits(connection: Database) -> None:
    """Show the table anew each second until Ctrl-C, which is how it is meant to end."""
    console = stdout()
    if not console.is_terminal:
        for line in list_circuit_lines(select_circuits(connection)):
            say(line)
        return
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(render_circuits(select_circuits(connection)), refresh=True)
                time.sleep(WATCH_INTERVAL_SECONDS)
    except KeyboardInterrupt:
        return


@app.command()
def history(
    provider: Annotated[str | None, typer.Argument(help="Only this provider.", show_default="all")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many of the last states.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the last states of circuits, newest first: why each began and how long it lasted."""
    with use_database() as connection:
        rows = select_circuit_history(connection, provider, limit)
        known = [circuit.provider for circuit in select_circuits(connection)]
    if provider is not None and not rows and provider not in known:
        raise make_unknown_provider_error(provider, known)
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        show(render_history(rows))
