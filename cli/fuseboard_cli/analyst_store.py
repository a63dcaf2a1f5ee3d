"""One typed function per statement on the roles of analysts. None of them opens or ends a transaction."""

from collections.abc import Sequence

from psycopg import Connection, sql
from psycopg.rows import TupleRow, scalar_row

from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]


def is_analyst(connection: Database, name: str) -> bool | None:
    """Say whether a role is one that was made here; None where there is no role of this name."""
    row = connection.execute(load_sql(__package__, "select_analyst"), {"name": name}).fetchone()
    return None if row is None else bool(row[0])


def create_analyst(connection: Database, name: str) -> None:
    """Make the role and mark it."""
    _run(connection, "create_analyst", role=sql.Identifier(name))
    _run(connection, "mark_analyst", role=sql.Identifier(name))


def set_analyst_password(connection: Database, name: str, password: str) -> None:
    """Set the password, of which the server is sent no more than the verifier."""
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    _run(connection, "set_analyst_password", role=sql.Identifier(name), verifier=sql.Literal(verifier))


def limit_analyst(connection: Database, name: str, setting: str, value: str) -> None:
    """Set what a setting of the server is in the role's sessions."""
    parts = {"setting": sql.Identifier(setting), "value": sql.Literal(value)}
    _run(connection, "limit_analyst", role=sql.Identifier(name), **parts)


def list_analyst_relations(connection: Database) -> list[str]:
    """List the tables and views that an analyst may read."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(load_sql(__package__, "list_analyst_relations")).fetchall()


def grant_analyst(connection: Database, name: str, relations: Sequence[str]) -> None:
    """Let the role connect, and read these tables and views."""
    _run(connection, "grant_analyst_connect", **_name_rights(connection, name))
    _run(connection, "grant_analyst_relations", relations=_join(relations), role=sql.Identifier(name))


def drop_analyst(connection: Database, name: str, relations: Sequence[str]) -> None:
    """Drop the role with what it was granted here; whatever else it has makes PostgreSQL refuse."""
    _run(connection, "revoke_analyst_connect", **_name_rights(connection, name))
    _run(connection, "revoke_analyst_relations", relations=_join(relations), role=sql.Identifier(name))
    _run(connection, "drop_analyst", role=sql.Identifier(name))


def _name_rights(connection: Database, name: str) -> dict[str, sql.Composable]:
    return {"role": sql.Identifier(name), "database": sql.Identifier(connection.info.dbname)}


def _join(relations: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, relations))


def _run(connection: Database, name: str, **parts: sql.Composable) -> None:
    """Run a statement that takes no parameters, with its names and texts quoted into it."""
    connection.execute(sql.SQL(load_sql(__package__, name).decode()).format(**parts))
