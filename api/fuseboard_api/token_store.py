"""Tokens, sessions and login links as they are stored: one function per statement."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from psycopg import Connection
from psycopg.rows import TupleRow, class_row, scalar_row

from fuseboard_api.tokens import NewToken, Scope
from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]
TokenState = Literal["valid", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as a request needs it; is_use_news: its last use is not noted yet."""

    token_id: str
    token_sha256: bytes
    name: str
    scope: Scope
    state: TokenState
    expires_at: datetime | None
    is_use_news: bool


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as people look at it."""

    token_id: str
    name: str
    scope: Scope
    state: TokenState
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


def insert_token(
    connection: Database, made: NewToken, *, name: str, scope: Scope, lasting: timedelta | None
) -> datetime | None:
    """Store a token that is to last so long, None for ever; return when it expires."""
    parameters = {
        "token_id": made.token_id, "token_sha256": made.token_sha256, "name": name, "scope": scope, "lasting": lasting
    }  # fmt: skip
    with connection.cursor(row_factory=scalar_row) as cursor:
        expires_at: datetime | None = cursor.execute(load_sql(__package__, "insert_token"), parameters).fetchone()
    return expires_at


def select_tokens(connection: Database) -> list[TokenRow]:
    """Read all tokens, the newest first."""
    with connection.cursor(row_factory=class_row(TokenRow)) as cursor:
        return cursor.execute(load_sql(__package__, "select_tokens")).fetchall()


def select_token(connection: Database, token_id: str) -> StoredToken | None:
    """Read one token by its public part."""
    with connection.cursor(row_factory=class_row(StoredToken)) as cursor:
        return cursor.execute(load_sql(__package__, "select_token"), {"token_id": token_id}).fetchone()


def select_session_token(connection: Database, session_sha256: bytes) -> StoredToken | None:
    """Read the token of a session; None where the session has ended."""
    with connection.cursor(row_factory=class_row(StoredToken)) as cursor:
        parameters = {"session_sha256": session_sha256}
        return cursor.execute(load_sql(__package__, "select_session_token"), parameters).fetchone()


def update_token_use(connection: Database, token_id: str) -> None:
    """Note that a token was used."""
    connection.execute(load_sql(__package__, "update_token_use"), {"token_id": token_id})


def revoke_token(connection: Database, token_id: str) -> str | None:
    """End a token and return its name; None where there is no such token."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        name: str | None = cursor.execute(load_sql(__package__, "revoke_token"), {"token_id": token_id}).fetchone()
    return name


def insert_session(connection: Database, session_sha256: bytes, token_id: str, lasting: timedelta) -> None:
    """Store a session, and forget those that are over."""
    connection.execute(load_sql(__package__, "delete_expired_sessions"))
    parameters = {"session_sha256": session_sha256, "token_id": token_id, "lasting": lasting}
    connection.execute(load_sql(__package__, "insert_session"), parameters)


def delete_session(connection: Database, session_sha256: bytes) -> None:
    """End a session."""
    connection.execute(load_sql(__package__, "delete_session"), {"session_sha256": session_sha256})


def insert_login_code(connection: Database, code_sha256: bytes, token_id: str, lasting: timedelta) -> None:
    """Store a login link."""
    parameters = {"code_sha256": code_sha256, "token_id": token_id, "lasting": lasting}
    connection.execute(load_sql(__package__, "insert_login_code"), parameters)


def take_login_code(connection: Database, code_sha256: bytes) -> str | None:
    """Take a login link and return its token's id; None where it is not known, over, or was taken."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        parameters = {"code_sha256": code_sha256}
        token_id: str | None = cursor.execute(load_sql(__package__, "take_login_code"), parameters).fetchone()
    return token_id
