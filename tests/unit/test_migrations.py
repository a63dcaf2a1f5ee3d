"""The SQL files as such: their numbers, their names, their first sentence."""

import re
from pathlib import Path

import pytest

from fuseboard_schema.migrate import list_migrations

REPOSITORY = Path(__file__).parents[2]
MIGRATIONS = REPOSITORY / "schema" / "fuseboard_schema" / "migrations"
SQL_FILES = sorted([*REPOSITORY.glob("*/fuseboard_*/sql/*.sql"), *MIGRATIONS.iterdir()])
ENDING = re.compile(rb"^\s*(COMMIT|ROLLBACK|BEGIN|START TRANSACTION)\s*;|CONCURRENTLY", re.IGNORECASE | re.MULTILINE)
OPENING_SENTENCE = re.compile(r"-- [A-Z].*(?:\n-- .*)*[.:](?:\n|$)")


def test_migrations_are_numbered_once_each() -> None:
    names = [migration.name for migration in list_migrations()]

    assert len({name[:4] for name in names}) == len(names)


def test_every_file_among_the_migrations_is_one() -> None:
    assert sorted(path.name for path in MIGRATIONS.iterdir()) == [migration.name for migration in list_migrations()]


def test_no_migration_ends_the_transaction_it_runs_in() -> None:
    assert [migration.name for migration in list_migrations() if ENDING.search(migration.statements)] == []


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: path.name)
def test_an_sql_file_opens_with_a_sentence(path: Path) -> None:
    assert OPENING_SENTENCE.match(path.read_text())


@pytest.mark.parametrize("path", [path for path in SQL_FILES if path.parent != MIGRATIONS], ids=lambda path: path.name)
def test_an_sql_file_holds_one_statement(path: Path) -> None:
    lines = [line.split("--")[0].rstrip() for line in path.read_text().splitlines()]
    code = "\n".join(line for line in lines if line)

    assert code
    assert ";" not in code.removesuffix(";")
