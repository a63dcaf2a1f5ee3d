"""Numbered SQL migrations, applied under an advisory lock and recorded with a checksum."""

import hashlib
import re
from importlib.resources import files
from typing import NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow

FILE_NAME = re.compile(r"^\d{4}_[a-z0-9_]+\.sql$")
LEDGER = """
CREATE TABLE IF NOT EXISTS fuseboard_migrations (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class MigrationError(Exception):
    """The database's migrations and this program's do not agree."""


class Migration(NamedTuple):
    """One file: its name, its statements, the sha256 of its content."""

    name: str
    statements: bytes
    checksum: str


def check_encoding(connection: Connection[TupleRow]) -> None:
    """Raise MigrationError for a database that cannot hold every text."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise MigrationError(
            f"the database is in {encoding}, which cannot hold every text: make one with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and set DATABASE_URL to it"
        )


def list_migrations() -> list[Migration]:
    """List the migrations this version ships, in order."""
    folder = files(__package__) / "migrations"
    found = sorted(item.name for item in folder.iterdir() if FILE_NAME.match(item.name))
    contents = [(name, (folder / name).read_bytes()) for name in found]
    return [Migration(name, content, hashlib.sha256(content).hexdigest()) for name, content in contents]


def list_pending_migrations(connection: Connection[TupleRow]) -> list[str]:
    """List the names not yet applied, without changing anything; raise MigrationError where the two disagree."""
    ledger_exists = connection.execute("SELECT to_regclass('fuseboard_migrations') IS NOT NULL").fetchone() == (True,)
    applied = _read_ledger(connection) if ledger_exists else {}
    return [migration.name for migration in _select_pending(list_migrations(), applied)]


def migrate(connection: Connection[TupleRow]) -> list[str]:
    """Apply what is missing in one transaction and return the names applied.

    Safe to repeat and to run from many processes at once: the others wait for the lock and find nothing to do.
    Raises MigrationError when an applied file has been changed, when the database is newer than this program or not in
    UTF8, and psycopg.errors.LockNotAvailable when somebody keeps a table for long: others queue behind one who waits.
    """
    check_encoding(connection)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('fuseboard.migrate'))")
        connection.execute("SET LOCAL lock_timeout TO '30s'")
        connection.execute(LEDGER)
        pending = _select_pending(list_migrations(), _read_ledger(connection))
        for migration in pending:
            connection.execute(migration.statements)
            connection.execute(
                "INSERT INTO fuseboard_migrations (name, checksum) VALUES (%s, %s)",
                (migration.name, migration.checksum),
            )
    return [migration.name for migration in pending]


def _read_ledger(connection: Connection[TupleRow]) -> dict[str, str]:
    return dict(connection.execute("SELECT name, checksum FROM fuseboard_migrations").fetchall())


def _select_pending(known: list[Migration], applied: dict[str, str]) -> list[Migration]:
    unknown = applied.keys() - {migration.name for migration in known}
    if unknown:
        raise MigrationError(
            f"the database has migration {min(unknown)}, which this version does not know: "
            "it was migrated by a newer fuseboard; install that version or a newer one"
        )
    for migration in known:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"migration {migration.name} was changed after it had been applied: "
                "restore the file and put the change into a new migration"
            )
    return [migration for migration in known if migration.name not in applied]
