"""Which servers a command works with: those the environment names, else the embedded ones."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.embedded import Embedded, is_running
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import list_pending_migrations
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.redis_url import parse_redis_url
from fuseboard_schema.settings import Settings, SettingsError, read_settings

APPLICATION_NAME: Final = "fuseboard cli"
# a sum over all raw requests of an installation takes its time
STATEMENT_TIMEOUT_SECONDS: Final = 600
SERVERS_END_SECONDS: Final = 5.0


@contextmanager
def use_servers(
    *, needs_redis: bool = True, needs_database: bool = True, may_create: bool = False
) -> Iterator[Settings]:
    """Give settings with the URLs of the servers to use, which run at least as long as the block.

    Without DATABASE_URL and REDIS_URL these are the embedded servers of FUSEBOARD_DATA_DIR, which must have been made
    before unless `may_create`; who may create them also sees them end, if nobody else uses them. Raises SettingsError
    when only the other URL is set, RedisUrlError, EmbeddedError, CommandError.
    """
    settings = read_settings()
    if needs_redis and settings.redis_url:
        # before anything is done that would have to be said as well
        parse_redis_url(settings.redis_url)
    if not settings.database_url and not settings.redis_url:
        if not may_create and not (settings.data_dir / "postgres").exists():
            raise CommandError(
                f"there is no data in {settings.data_dir}: start with `fuseboard up` (or `fuseboard demo`), "
                "or set DATABASE_URL and REDIS_URL to use servers of your own"
            )
        try:
            with Embedded(settings.data_dir) as embedded:
                urls = {"database_url": embedded.database_url, "redis_url": embedded.redis_url}
                yield settings.model_copy(update=urls)
        finally:
            if may_create:
                _wait_for_servers_to_end(settings.data_dir)
        return
    for is_needed, variable, url in (
        (needs_database, "DATABASE_URL", settings.database_url),
        (needs_redis, "REDIS_URL", settings.redis_url),
    ):
        if is_needed and not url:
            raise SettingsError(f"{variable} is not set: set both DATABASE_URL and REDIS_URL, or neither")
    yield settings


@contextmanager
def open_database(settings: Settings) -> Iterator[Connection[TupleRow]]:
    """Connect to the migrated database; raises CommandError where migrations are missing."""
    connection = connect_database(
        settings.session_database_url or "",
        application_name=APPLICATION_NAME,
        statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
    )
    with connection:
        if list_pending_migrations(connection):
            raise CommandError("the database is not migrated to this version: run `fuseboard migrate`")
        yield connection


@contextmanager
def use_database() -> Iterator[Connection[TupleRow]]:
    """Connect to the migrated database that the environment names or that is embedded."""
    with use_servers(needs_redis=False) as settings, open_database(settings) as connection:
        yield connection


@contextmanager
def open_redis(settings: Settings) -> Iterator[Redis]:
    """Make a client of the event stream's Redis."""
    with connect_redis(settings.redis_url or "", ca_certs=settings.redis_ca_certs) as client:
        yield client


def _wait_for_servers_to_end(data_dir: Path) -> None:
    """Return when the servers have ended, or after a while: another command may be using them."""
    deadline = time.monotonic() + SERVERS_END_SECONDS
    while time.monotonic() < deadline and is_running(data_dir):
        time.sleep(0.05)
