"""`fuseboard circuits settings`: what a provider's circuit breaker goes by."""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

import typer
from psycopg.types.json import Jsonb
from rich.table import Table

from fuseboard_cli.circuit_rows import Database, select_circuit_settings_for_update, select_circuits
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import clean_text, format_exact, make_table, print_json, say, show
from fuseboard_cli.publication import make_unknown_provider_error, tell_workers, use_registry
from fuseboard_schema.circuit_settings import CircuitSettings, CircuitSettingsError, parse_circuit_settings
from fuseboard_schema.sql import load_sql


def settings(
    name: Annotated[str, typer.Argument(help="The provider's name.", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="`KEY=` goes back to the default.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a provider's circuit breaker goes by, or change it; consumers and workers take it up at once."""
    parsed = parse_changes(changes or [])
    with use_registry() as (environment, connection):
        overrides = change_circuit_settings(connection, name, parsed)
        if parsed:
            tell_workers(environment, connection, [name])
    effective = _parse(overrides, name)
    if as_json:
        print_json({"provider": name, "settings": effective.model_dump(), "overrides": overrides})
    elif parsed:
        # a key that was wrong can be removed, but is none
        values = [f"{key} is {_dump(getattr(effective, key, None))}" for key in parsed]
        say(clean_text(f"{name}: {', '.join(values)}"))
    else:
        show(_render(name, effective, overrides))


def parse_changes(texts: Iterable[str]) -> dict[str, Any]:
    """Parse KEY=VALUE; the value is JSON, and `...` stands for going back to the default."""
    changes: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{text!r}: write KEY=VALUE, or KEY= for the default")
        try:
            changes[key] = json.loads(value) if value else ...
        except ValueError as error:
            raise typer.BadParameter(f"{key}: {value!r} is neither a number nor null") from error
    return changes


def change_circuit_settings(connection: Database, name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Change a provider's overrides and return them; what is not valid as a whole is not written."""
    with connection.transaction():
        overrides = select_circuit_settings_for_update(connection, name)
        if overrides is None:
            raise make_unknown_provider_error(name, (circuit.provider for circuit in select_circuits(connection)))
        changed = {key: value for key, value in (overrides | changes).items() if value is not ...}
        _parse(changed, name)
        if changes:
            parameters = {"name": name, "circuit_settings": Jsonb(changed)}
            connection.execute(load_sql(__package__, "update_circuit_settings"), parameters)
    return changed


def _parse(overrides: dict[str, Any], name: str) -> CircuitSettings:
    try:
        return parse_circuit_settings(overrides, name)
    except CircuitSettingsError as error:
        raise CommandError(f"{clean_text(str(error))} (KEY= removes a key that is stored)") from error


def _render(name: str, effective: CircuitSettings, overrides: dict[str, Any]) -> Table:
    return make_table(
        f"What the circuit of {clean_text(name)} goes by",
        ("key", "value #", "default #"),
        (
            (key, _dump(value), _dump(field.default) if key in overrides else "")
            for (key, value), field in zip(effective, CircuitSettings.model_fields.values(), strict=True)
        ),
    )


def _dump(value: object) -> str:
    return format_exact(Decimal(str(value))) if isinstance(value, float) else json.dumps(value)
