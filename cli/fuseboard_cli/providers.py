"""`fuseboard providers`: the registry workers choose from."""

from typing import Annotated, Any, Final

import typer
from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_api.order_store import update_provider
from fuseboard_cli.output import clean_text, make_table, print_json, say, show
from fuseboard_cli.provider_names import app as alias_app
from fuseboard_cli.provider_names import list_aliases, merge, remove, resolve_provider
from fuseboard_cli.provider_offer import (
    CLEARABLE,
    Offer,
    check_capabilities,
    check_cleared,
    parse_models,
    parse_weight,
    update_provider_offer,
)
from fuseboard_cli.publication import make_unknown_provider_error, tell_workers, use_registry
from fuseboard_cli.servers import use_database
from fuseboard_cli.status import select_provider_status

app = typer.Typer(name="providers", help="Which providers workers may choose, in which order.", no_args_is_help=True)

app.add_typer(alias_app)
app.command("aliases")(list_aliases)
app.command()(merge)
app.command()(remove)

Name = Annotated[str, typer.Argument(help="The provider's name.", show_default=False)]
PRIORITY_MAX: Final = 2_147_483_647
CONTEXT_MAX_TOKENS: Final = 1_000_000_000


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
    """Keep workers from using a provider; what it still does is recorded as before. Its circuit is another thing."""
    _change(name, enabled=False)
    say(f"{clean_text(name)} is not in use: no worker chooses it")


@app.command()
def priority(
    name: Name,
    value: Annotated[int, typer.Argument(min=0, max=PRIORITY_MAX, help="Lower is tried first.", show_default=False)],
) -> None:
    """Set a provider's place in the order of choice."""
    _change(name, priority=value)
    say(f"{clean_text(name)} has priority {value}")


@app.command("set")
def set_offer(
    name: Name,
    *,
    weight: Annotated[
        float | None, typer.Option(parser=parse_weight, metavar="NUMBER", help="Share of calls within its priority.")
    ] = None,
    context_tokens: Annotated[
        int | None, typer.Option(min=1, max=CONTEXT_MAX_TOKENS, help="Prompt and answer have at most so many.")
    ] = None,
    capability: Annotated[
        list[str] | None, typer.Option(callback=check_capabilities, help="Such as tools; give all, they replace.")
    ] = None,
    models: Annotated[
        dict[str, Any] | None,
        typer.Option(parser=parse_models, metavar="JSON", help="Models one may ask it for; all, they replace."),
    ] = None,
    clear: Annotated[
        list[str] | None, typer.Option(callback=check_cleared, help=f"Make not known: {', '.join(CLEARABLE)}.")
    ] = None,
) -> None:
    """Set what a provider offers; what is not known excludes it from nothing."""
    offer = Offer(name, weight, context_tokens, capability, models, tuple(clear or ()))
    if offer == Offer(name):
        raise typer.BadParameter("give at least one option")
    with use_registry() as (settings, connection):
        name = resolve_provider(connection, name)
        _require(connection, name, is_known=update_provider_offer(connection, offer._replace(name=name)))
        tell_workers(settings, connection, [name])
    say(f"{clean_text(name)}: what it offers is changed")


def _change(name: str, *, enabled: bool | None = None, priority: int | None = None) -> None:
    with use_registry() as (settings, connection):
        name = resolve_provider(connection, name)
        is_known = update_provider(connection, name, enabled=enabled, priority=priority)
        _require(connection, name, is_known=is_known)
        tell_workers(settings, connection, [name])


def _require(connection: Connection[TupleRow], name: str, *, is_known: bool) -> None:
    if not is_known:
        raise make_unknown_provider_error(name, (provider.name for provider in select_provider_status(connection)))
