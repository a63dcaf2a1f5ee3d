"""Migrations against a real database: applied once, whole, and in agreement with the program."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_schema import migrate as migrate_module
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import Migration, MigrationError, list_migrations, list_pending_migrations, migrate

FIRST = Migration("0001_first.sql", b"CREATE TABLE first (number integer); INSERT INTO first VALUES (1);", "a")
SECOND = Migration("0002_second.sql", b"CREATE TABLE second (number integer);", "b")
FAILING = Migration("0003_failing.sql", b"CREATE TABLE third (number integer); SELECT 1 / 0;", "c")


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Connection[TupleRow]]:
    with connect_database(empty_database_url, application_name="tests") as opened:
        yield opened


def ship(monkeypatch: pytest.MonkeyPatch, *migrations: Migration) -> None:
    """Be a version of the program with these migrations."""
    monkeypatch.setattr(migrate_module, "list_migrations", lambda: list(migrations))


def list_tables(connection: Connection[TupleRow]) -> list[str]:
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
    return [name for (name,) in rows]


def test_migrations_are_applied_once(empty: Connection[TupleRow]) -> None:
    names = [migration.name for migration in list_migrations()]

    assert migrate(empty) == names
    assert migrate(empty) == []
    assert empty.execute("SELECT name FROM fuseboard_migrations ORDER BY name").fetchall() == [(n,) for n in names]


def test_of_six_processes_that_migrate_at_once_exactly_one_applies(empty_database_url: str) -> None:
    def run(_: int) -> list[str]:
        with connect_database(empty_database_url, application_name="tests") as opened:
            return migrate(opened)

    with ThreadPoolExecutor(max_workers=6) as pool:
        applied = list(pool.map(run, range(6)))

    assert sorted(applied, key=len) == [[], [], [], [], [], [migration.name for migration in list_migrations()]]


def test_a_later_version_applies_only_what_is_new(empty: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch) -> None:
    ship(monkeypatch, FIRST)
    migrate(empty)
    ship(monkeypatch, FIRST, SECOND)

    assert list_pending_migrations(empty) == [SECOND.name]
    assert migrate(empty) == [SECOND.name]
    assert empty.execute("SELECT number FROM first").fetchall() == [(1,)]


def test_a_failing_migration_leaves_the_database_as_it_was(
    empty: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(monkeypatch, FIRST)
    migrate(empty)
    ship(monkeypatch, FIRST, SECOND, FAILING)

    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty)
    assert list_tables(empty) == ["first", "fuseboard_migrations"]
    assert list_pending_migrations(empty) == [SECOND.name, FAILING.name]


def test_a_first_migration_that_fails_leaves_an_empty_database(
    empty: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(monkeypatch, FIRST, FAILING)

    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty)
    assert list_tables(empty) == []


@pytest.mark.parametrize("function", [migrate, list_pending_migrations])
def test_a_migration_changed_after_it_was_applied_is_refused(
    empty: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch, function: Callable[[Connection[TupleRow]], list[str]]
) -> None:
    ship(monkeypatch, FIRST)
    migrate(empty)
    ship(monkeypatch, FIRST._replace(checksum="changed"), SECOND)

    with pytest.raises(MigrationError, match=r"0001_first\.sql was changed .* new migration"):
        function(empty)
    assert list_tables(empty) == ["first", "fuseboard_migrations"]


@pytest.mark.parametrize("function", [migrate, list_pending_migrations])
def test_a_database_newer_than_the_program_is_refused(
    empty: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch, function: Callable[[Connection[TupleRow]], list[str]]
) -> None:
    ship(monkeypatch, FIRST, SECOND)
    migrate(empty)
    ship(monkeypatch, FIRST)

    with pytest.raises(MigrationError, match=r"0002_second\.sql, which this version does not know"):
        function(empty)


def test_listing_what_is_pending_changes_nothing(empty: Connection[TupleRow]) -> None:
    assert list_pending_migrations(empty) == [migration.name for migration in list_migrations()]
    assert list_tables(empty) == []

    migrate(empty)
    assert list_pending_migrations(empty) == []
