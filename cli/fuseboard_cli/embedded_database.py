"""The embedded PostgreSQL: its data directory, its settings, and the user it runs as."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import quote

from fuseboard_cli.embedded_binaries import find_postgres
from fuseboard_cli.embedded_error import EmbeddedError
from fuseboard_cli.embedded_files import POSTGRES_PORT
from fuseboard_cli.embedded_identity import choose_prefix
from fuseboard_cli.embedded_server import ServerPlan

BUILTIN_LOCALE_SINCE: Final = 17
# the start-up packet of protocol 3.0 for user postgres; R opens the answer "authenticated"
STARTUP: Final = b"\0\3\0\0user\0postgres\0\0"
# trust, because whoever can enter the folder of the socket is this user
INIT_OPTIONS: Final = ("--username=postgres", "--auth=trust", "--encoding=UTF8")
SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(POSTGRES_PORT),
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


def plan_postgres(root: Path, sockets: Path) -> ServerPlan:
    """Make the data directory where it is missing and say how to run PostgreSQL on it.

    Raises EmbeddedError when no fitting PostgreSQL is here or it cannot run as this user.
    """
    data, folder = root / "postgres", sockets / "postgres"
    folder.mkdir(mode=0o700, exist_ok=True)
    data_major = read_data_major(data)
    programs, major = find_postgres(data_major)
    if data_major is None:
        _init_data(programs, data, major, folder)
    prefix = choose_prefix(programs / "postgres", signal.SIGINT, owned=(data, folder))
    # quoted, because the value is a list in which commas and blanks at the ends count
    settings = SETTINGS | {"unix_socket_directories": f'"{folder}"'}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return ServerPlan(
        name="postgres",
        command=[*prefix, str(programs / "postgres"), "-D", str(data), *options],
        socket=folder / f".s.PGSQL.{POSTGRES_PORT}",
        greeting=(len(STARTUP) + 4).to_bytes(4, "big") + STARTUP,
        answer=b"R",
        # fast shutdown: open transactions are rolled back
        stop_signal=signal.SIGINT,
    )


def make_database_url(plan: ServerPlan) -> str:
    """Make the URL of the `postgres` database, which names the port because PGPORT would otherwise decide."""
    return f"postgresql://postgres@/postgres?host={quote(str(plan.socket.parent), safe='')}&port={POSTGRES_PORT}"


def read_data_major(data: Path) -> int | None:
    """Read which major version made a data directory; None where there is none yet."""
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii"))
    except FileNotFoundError:
        return None


def _init_data(programs: Path, data: Path, major: int, folder: Path) -> None:
    unfinished = data.with_name("postgres.new")
    if unfinished.exists():
        # an initdb that was killed: it never became `data`, so nobody's rows are in it
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    prefix = choose_prefix(programs / "postgres", signal.SIGINT, owned=(unfinished, folder))
    result = subprocess.run(  # noqa: S603 - the command is this package's own
        [*prefix, str(programs / "initdb"), "-D", str(unfinished), *INIT_OPTIONS, *_list_locale_options(major)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        env=os.environ | {"LC_ALL": "C"},
        timeout=120,
        check=False,
    )
    if result.returncode != 0:
        raise EmbeddedError(f"initdb failed: {result.stderr.strip()[-400:]}")
    unfinished.rename(data)


def _list_locale_options(major: int) -> list[str]:
    # the same order of text on every machine
    if major < BUILTIN_LOCALE_SINCE:
        return ["--locale=C.UTF-8"]
    return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
