"""`fuseboard tokens`: who may use the HTTP API."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Final

import typer

from fuseboard_api.token_store import insert_token, revoke_token, select_tokens
from fuseboard_api.tokens import Scope, make_token
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import clean_text, format_time, make_table, print_json, remark, say, show
from fuseboard_cli.servers import use_database
from fuseboard_cli.times import parse_duration

NAME_MAX_LENGTH: Final = 128

app = typer.Typer(name="tokens", help="Who may use the HTTP API.", no_args_is_help=True)


@app.command()
def create(
    scope: Annotated[Scope, typer.Option(help="read; write: also record; admin: also enable and order.")],
    *,
    name: Annotated[str, typer.Option(help="Whose it is.")] = "unnamed",
    expires: Annotated[
        timedelta | None, typer.Option(parser=parse_duration, metavar="DURATION", help="End it then, such as 30d.")
    ] = None,
) -> None:
    """Make a token. It is shown this once: only its hash is kept."""
    if not 0 < len(name.strip()) <= NAME_MAX_LENGTH or "\x00" in name:
        raise typer.BadParameter(f"a name has 1 to {NAME_MAX_LENGTH} characters")
    made = make_token()
    with use_database() as connection:
        expires_at = insert_token(connection, made, name=name, scope=scope, lasting=expires)
    end = "does not expire" if expires_at is None else f"expires at {format_time(expires_at)} UTC"
    remark(f"token {made.token_id} of scope {scope}, {end}; keep it, it is not shown again:")
    say(made.token)


@app.command("list")
def list_tokens(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List all tokens, the newest first, with their last use; never the secrets."""
    with use_database() as connection:
        found = select_tokens(connection)
    if as_json:
        print_json([asdict(token) for token in found])
        return
    show(
        make_table(
            "Tokens (UTC)",
            ("id !", "name", "scope", "created", "expires", "last used"),
            (
                (
                    token.token_id,
                    token.name,
                    f"{token.scope}, {token.state}",
                    format_time(token.created_at),
                    "never" if token.expires_at is None else format_time(token.expires_at),
                    format_time(token.last_used_at),
                )
                for token in found
            ),
        )
    )


@app.command()
def revoke(token_id: Annotated[str, typer.Argument(metavar="ID", help="As `fuseboard tokens list` shows it.")]) -> None:
    """End a token for good, with every session that came of it."""
    with use_database() as connection:
        name = revoke_token(connection, token_id)
    if name is None:
        raise CommandError(f"there is no token {clean_text(token_id)}: see `fuseboard tokens list`")
    say(f"token {clean_text(token_id)} ({clean_text(name)}) is revoked")
