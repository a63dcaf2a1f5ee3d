"""`fuseboard analyst`: roles of PostgreSQL for people and tools that read, and do nothing else."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote, urlencode

import typer

from fuseboard_cli.analyst_store import (
    Database,
    create_analyst,
    drop_analyst,
    grant_analyst,
    is_analyst,
    limit_analyst,
    list_analyst_relations,
    set_analyst_password,
)
from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import clean_text, offer, remark, say
from fuseboard_cli.servers import use_database

app = typer.Typer(name="analyst", help="Roles of the database that read, and do nothing else.", no_args_is_help=True)

# defaults of the role's sessions: what it may read does not depend on them
LIMITS: Final = {
    "default_transaction_read_only": "on",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}
TLS_PARAMETERS: Final = ("sslmode", "sslrootcert")
NAME_MAX_BYTES: Final = 63
PASSWORD_MIN_LENGTH: Final = 12
PASSWORD_BYTES: Final = 24

Name = Annotated[str, typer.Argument(help="The role's name.", show_default=False)]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="Its first line is the password; else one is made and printed.", show_default=False),
]


@app.command("create")
def create(
    name: Name,
    password_file: PasswordFile = None,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Make another for a role that is there.")
    ] = False,
) -> None:
    """Make a role that may read every table and view named llm_ and change nothing.

    A role that is there keeps its password and is given what is new: run it again after an upgrade.
    """
    _check_name(name)
    given = None if password_file is None else _read_password(password_file)
    with use_database() as connection, connection.transaction():
        is_new = _find_analyst(connection, name) is None
        if is_new:
            create_analyst(connection, name)
        made = secrets.token_urlsafe(PASSWORD_BYTES) if given is None and (is_new or new_password) else None
        if password := given or made:
            set_analyst_password(connection, name, password)
        for setting, value in LIMITS.items():
            limit_analyst(connection, name, setting, value)
        relations = list_analyst_relations(connection)
        grant_analyst(connection, name, relations)
        database = connection.info.dbname
        server, parameters = connection.info, connection.info.get_parameters()
        url = make_analyst_url(name, server.host, server.port, database, parameters)
    say(f"role {clean_text(name)} may read {len(relations)} tables and views of the database {clean_text(database)}")
    remark("to connect, with its password:")
    offer(url)
    if made:
        remark("its password is shown this once:")
        say(made)
    elif given is None:
        remark("its password is as it was; --new-password makes another")


def make_analyst_url(name: str, host: str, port: int, database: str, parameters: Mapping[str, str]) -> str:
    """Make the URL, without a password, that a role connects with: to the server as it is reached from here.

    Of libpq's other parameters those are taken over that say how the server is to be recognised.
    """
    kept = {key: parameters[key] for key in TLS_PARAMETERS if key in parameters}
    if host.startswith("/"):
        address, kept = "", {"host": host, "port": str(port), **kept}
    else:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # libpq takes + for itself, not for a blank
    query = f"?{urlencode(kept, quote_via=quote)}" if kept else ""
    return f"postgresql://{quote(name, safe='')}@{address}/{quote(database, safe='')}{query}"


@app.command("drop")
def drop(name: Name) -> None:
    """Drop a role that `create` made; sessions that it has open can read nothing more."""
    with use_database() as connection, connection.transaction():
        if _find_analyst(connection, name) is None:
            remark(f"there is no role {clean_text(name)}")
            return
        drop_analyst(connection, name, list_analyst_relations(connection))
    say(f"role {clean_text(name)} is gone")


def _find_analyst(connection: Database, name: str) -> bool | None:
    """Say whether the role is there (True) or not (None); one that was made elsewhere is left alone."""
    found = is_analyst(connection, name)
    if found is False:
        raise CommandError(
            f"role {clean_text(name)} was not made by `fuseboard analyst create`, so it is left as it is: "
            "choose another name"
        )
    return found


def _check_name(name: str) -> None:
    # PostgreSQL would cut a longer one, and roles that begin with pg_ are its own
    if not name.isprintable() or not 0 < len(name.encode()) <= NAME_MAX_BYTES or name.startswith("pg_"):
        raise typer.BadParameter(f"{name!r} is no name of a role: up to {NAME_MAX_BYTES} bytes, not beginning with pg_")


def _read_password(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or len(lines[0]) < PASSWORD_MIN_LENGTH:
        raise CommandError(
            f"the first line of {path} is the password and needs {PASSWORD_MIN_LENGTH} characters or more"
        )
    return lines[0]
