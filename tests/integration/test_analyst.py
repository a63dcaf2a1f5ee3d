"""Roles of analysts: they read what people query, and can do nothing else."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from commands import run_command
from consumers import make_settings
from fuseboard_cli.analyst import make_analyst_url
from fuseboard_cli.analyst_store import drop_analyst, is_analyst, list_analyst_relations
from fuseboard_schema.settings import Settings
from queries import Database, fetch_value
from stored_usage import make_events_of_every_kind, store_events


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str) -> Settings:
    return make_settings(database_url, redis_url, namespace)


@pytest.fixture
def name(connection: Database) -> Iterator[str]:
    """Give a role's name of this test's own: roles are of the whole server."""
    made = f'Ana\'s "{secrets.token_hex(4)}"'
    yield made
    if is_analyst(connection, made) is not None:
        drop_analyst(connection, made, list_analyst_relations(connection))


@contextmanager
def logged_in(settings: Settings, name: str, password: str) -> Iterator[Database]:
    with psycopg.connect(settings.database_url or "", user=name, password=password, autocommit=True) as analyst:
        yield analyst


def create(settings: Settings, name: str, *options: str) -> str:
    """Make the role and give the password that was printed, if any."""
    lines = run_command(settings, "analyst", "create", name, *options).stdout.splitlines()
    return lines[1] if len(lines) > 1 else ""


def read_verifier(connection: Database, name: str) -> str:
    row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def test_an_analyst_reads_every_table_and_function(
    settings: Settings, connection: Database, database_url: str, name: str
) -> None:
    store_events(database_url, make_events_of_every_kind(datetime.now(UTC)))
    relations = connection.execute(
        b"SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname LIKE 'llm\\_%'"
        b" AND relkind IN ('r', 'v', 'p') AND NOT relispartition"
    ).fetchall()
    functions = [
        "llm_costs_by_provider(30)", "llm_cost_summary(30)", "llm_provider_metrics(NULL, 30)", "llm_daily_trends(30)",
        "llm_hourly_trends(24)", "llm_fallback_flows(30)", "llm_overall_health()",
        "llm_costs_by_tag('team', 30)",
    ]  # fmt: skip

    with logged_in(settings, name, create(settings, name)) as analyst:
        for (relation,) in relations:
            analyst.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(relation)))
        for function in functions:
            assert analyst.execute(f"SELECT * FROM {function}".encode()).fetchall() != []  # noqa: S608 - our own names
        assert fetch_value(analyst, "SELECT count(*) FROM llm_requests") == 12


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM llm_requests",
        "UPDATE llm_providers SET enabled = false",
        "INSERT INTO llm_prices (provider, model_pattern, source) VALUES ('a', '*', 'test')",
        "TRUNCATE llm_costs_daily",
        "CREATE TABLE mine (id integer)",
        "SELECT llm_force_circuit_open('claude', 'ana', 'for fun')",
        "SELECT llm_reset_circuit('claude', 'ana', 'for fun')",
        "SELECT drop_request_partition('2026-03-10')",
        "SELECT ensure_request_partition('2026-03-10')",
        "SELECT * FROM fuseboard_job_runs",
        "SELECT * FROM fuseboard_migrations",
        "SELECT rolpassword FROM pg_authid",
        "CREATE ROLE another",
        "ALTER ROLE CURRENT_USER SUPERUSER",
    ],
)
def test_an_analyst_can_change_nothing(settings: Settings, name: str, statement: str) -> None:
    with logged_in(settings, name, create(settings, name)) as analyst:
        # a default of the session, which whoever wants to change something would turn off first
        analyst.execute(b"SET default_transaction_read_only = off")
        with pytest.raises(errors.InsufficientPrivilege):
            analyst.execute(statement.encode())


def test_an_analyst_reads_nothing_of_the_installation_but_how_days_are_formed(
    settings: Settings, connection: Database, name: str
) -> None:
    create(settings, name)

    readable = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p')"
        " AND NOT starts_with(relname, 'llm_') AND has_table_privilege(%s, oid, 'SELECT')",
        (name,),
    ).fetchall()

    assert readable == [("fuseboard_settings",)]


def test_the_sessions_of_an_analyst_are_read_only_and_short_by_default(settings: Settings, name: str) -> None:
    with logged_in(settings, name, create(settings, name)) as analyst:
        assert fetch_value(analyst, "SHOW statement_timeout") == "30s"
        with pytest.raises(errors.ReadOnlySqlTransaction):
            analyst.execute(b"CREATE TEMPORARY TABLE mine AS SELECT 1")


def test_the_password_is_printed_once_and_sent_as_its_verifier(
    settings: Settings, connection: Database, name: str
) -> None:
    password = create(settings, name)
    verifier = read_verifier(connection, name)

    assert len(password) >= 32
    assert verifier.startswith("SCRAM-SHA-256$")
    assert create(settings, name) == ""
    assert read_verifier(connection, name) == verifier
    assert create(settings, name, "--new-password") not in ("", password)
    assert read_verifier(connection, name) != verifier


def test_the_url_that_is_printed_connects(settings: Settings, name: str) -> None:
    done = run_command(settings, "analyst", "create", name)
    (url,) = [line for line in done.stderr.splitlines() if line.startswith("postgresql://")]
    password = done.stdout.splitlines()[-1]

    assert password not in url
    with psycopg.connect(url, password=password) as analyst:
        assert fetch_value(analyst, "SELECT current_user") == name
        assert fetch_value(analyst, "SELECT count(*) FROM llm_requests") == 0


@pytest.mark.parametrize(
    ("host", "parameters", "url"),
    [
        ("db", {"user": "owner", "options": "-c x=1"}, "postgresql://an%20a@db:5433/the%2Fbase"),
        ("::1", {}, "postgresql://an%20a@[::1]:5433/the%2Fbase"),
        ("db", {"sslmode": "verify-full", "sslrootcert": "/a b"},
         "postgresql://an%20a@db:5433/the%2Fbase?sslmode=verify-full&sslrootcert=%2Fa%20b"),
        ("/run/a b", {}, "postgresql://an%20a@/the%2Fbase?host=%2Frun%2Fa%20b&port=5433"),
    ],
)  # fmt: skip
def test_the_url_of_an_analyst_is_understood_by_libpq(host: str, parameters: dict[str, str], url: str) -> None:
    made = make_analyst_url("an a", host, 5433, "the/base", parameters)

    assert made == url
    understood = conninfo_to_dict(made)
    assert (understood["user"], understood["host"], understood["port"], understood["dbname"]) == (
        "an a", host, "5433", "the/base",
    )  # fmt: skip


def test_a_password_from_a_file_is_not_printed(
    settings: Settings, connection: Database, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse battery\nand a remark\n")

    output = run_command(settings, "analyst", "create", name, "--password-file", str(file)).output

    assert "correct horse" not in output
    assert read_verifier(connection, name).startswith("SCRAM-SHA-256$")


def test_a_password_file_with_little_in_it_is_refused(settings: Settings, connection: Database, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("short\n")

    with pytest.raises(Exception, match="needs 12 characters"):
        run_command(settings, "analyst", "create", "anybody", "--password-file", str(file), code=1)

    assert is_analyst(connection, "anybody") is None


def test_a_table_that_came_later_is_granted_by_creating_again(
    settings: Settings, connection: Database, name: str
) -> None:
    password = create(settings, name)
    connection.execute(b"CREATE TABLE llm_new (id integer)")

    with logged_in(settings, name, password) as analyst:
        with pytest.raises(errors.InsufficientPrivilege):
            analyst.execute(b"SELECT * FROM llm_new")
        create(settings, name)
        analyst.execute(b"SELECT * FROM llm_new")


def test_dropping_an_analyst_twice_leaves_nothing_of_it(settings: Settings, connection: Database, name: str) -> None:
    create(settings, name)

    for _ in range(2):
        run_command(settings, "analyst", "drop", name)

    assert is_analyst(connection, name) is None


def test_an_owner_that_is_no_superuser_makes_and_drops_analysts(
    settings: Settings, connection: Database, empty_database_url: str
) -> None:
    owner, password = f"owner_{secrets.token_hex(4)}", secrets.token_hex(8)
    database = urlsplit(empty_database_url).path.removeprefix("/")
    names = {"owner": sql.Identifier(owner), "password": sql.Literal(password), "database": sql.Identifier(database)}
    connection.execute(sql.SQL("CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD {password}").format(**names))
    connection.execute(sql.SQL("ALTER DATABASE {database} OWNER TO {owner}").format(**names))
    url = make_conninfo(empty_database_url, user=owner, password=password)
    owned = settings.model_copy(update={"database_url": url})
    try:
        run_command(owned, "migrate")
        with logged_in(owned, "ana of an owner", create(owned, "ana of an owner")) as analyst:
            assert fetch_value(analyst, "SELECT status FROM llm_overall_health()") == "no_data"
        run_command(owned, "analyst", "drop", "ana of an owner")
        assert is_analyst(connection, "ana of an owner") is None
    finally:
        with psycopg.connect(empty_database_url, autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER DATABASE {database} OWNER TO CURRENT_USER").format(**names))
            admin.execute(sql.SQL("DROP OWNED BY {owner}").format(**names))
            admin.execute(sql.SQL("DROP ROLE {owner}").format(**names))


def test_a_role_that_was_made_elsewhere_is_left_alone(settings: Settings, connection: Database) -> None:
    owner = str(fetch_value(connection, "SELECT current_user"))

    for command in ("create", "drop"):
        with pytest.raises(Exception, match="was not made by `fuseboard analyst create`"):
            run_command(settings, "analyst", command, owner, code=1)

    assert is_analyst(connection, owner) is False


@pytest.mark.parametrize("wrong", ["", "pg_reader", "a" * 64, "line\nbreak"])
def test_a_name_that_cannot_be_a_role_is_refused(settings: Settings, wrong: str) -> None:
    run_command(settings, "analyst", "create", wrong, code=2)
