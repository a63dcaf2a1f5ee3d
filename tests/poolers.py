"""PgBouncer, as Debian has it, in front of the tests' PostgreSQL."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from fuseboard_cli.embedded_identity import choose_prefix
from monitoring import find_free_port, running

CONFIG = """
[databases]
* = host={host} port={port} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 20
"""


def find_pgbouncer() -> Path:
    """Find PgBouncer; without it the test is skipped, and fails in CI."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found:
        return Path(found)
    reason = "pgbouncer is missing: on Debian and Ubuntu run  apt-get install --no-install-recommends pgbouncer"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running_pgbouncer(folder: Path, database_url: str, mode: str) -> Iterator[str]:
    """Run a PgBouncer that knows nothing of Fuseboard; gives the URL of the database behind it."""
    program, listen_port = find_pgbouncer(), find_free_port()
    parts = conninfo_to_dict(database_url)
    config = folder / "pgbouncer.ini"
    host, port = parts.get("host", "127.0.0.1"), parts.get("port", 5432)
    config.write_text(CONFIG.format(host=host, port=port, listen_port=listen_port, mode=mode))
    url = f"postgresql://postgres@127.0.0.1:{listen_port}/{parts['dbname']}"

    def is_ready() -> bool:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    command = [*choose_prefix(program, signal.SIGTERM, owned=()), str(program), str(config)]
    with running(command, folder / "pgbouncer.log", is_ready):
        yield url
