"""PostgreSQL sessions as every part of the server side opens them."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Any, Final, Self, TypeVar, cast

import psycopg
from psycopg import Connection, Cursor, errors
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow, scalar_row

from fuseboard_schema.database_pooling import Pooling, find_pooling, read_session_pid
from fuseboard_schema.database_settings import list_settings, write_settings
from fuseboard_schema.database_url import parse_database_url
from fuseboard_schema.sql import load_sql

# away, refusing, read-only, ending sessions: somebody else's matter, and the next session may find it well
DATABASE_DOWN: Final = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
# what the data itself is at fault for, so that trying again cannot help
DATA_FAULTS: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    errors.ProgramLimitExceeded,
    errors.StatementTooComplex,
    # a trigger of the owner's refuses it
    errors.RaiseException,
)
CONNECT_TIMEOUT_SECONDS: Final = 5
# who holds a lock of the session for others to wait for says something as often, or is frozen or gone
IDLE_LIMIT: Final = "5s"
# beyond its statement timeout a server that lives has answered
REPLY_GRACE_SECONDS: Final = 3.0
# a session that finds its server read-only is kept for this long: another one may find the server that is not
READ_ONLY_SECONDS: Final = 5.0

Value = TypeVar("Value")


class ReplyTimeoutError(psycopg.OperationalError):
    """PostgreSQL did not answer in time; the connection is closed."""


class PoolingError(psycopg.OperationalError):
    """A pooler gives each transaction another session, and this is not for such a one."""


class Session(Connection[TupleRow]):
    """A connection that is dropped when the server does not answer, and that a pooler may stand behind."""

    reply_timeout_seconds: float | None = None
    opened_at: float = 0.0
    # what every transaction begins with, where no setting of the session would last
    transaction_settings: bytes | None = None

    def wait(self, gen: PQGen[Value], interval: float = 0.1, timeout: float | None = None) -> Value:
        """Wait for a reply, but not for one that does not come; raises ReplyTimeoutError."""
        if timeout is not None or self.reply_timeout_seconds is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.reply_timeout_seconds)
        except errors._WaitTimeout:  # noqa: SLF001 - psycopg names no other
            self.pgconn.finish()
            text = f"no reply within {self.reply_timeout_seconds:.0f} seconds"
            raise ReplyTimeoutError(text) from None

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """Run a transaction, as psycopg does, with the session's settings where a pooler stands between."""
        is_first = self.info.transaction_status is TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if is_first and self.transaction_settings:
                Cursor(self).execute(self.transaction_settings)
            yield transaction

    def ensure_transaction(self) -> AbstractContextManager[object]:
        """Make sure that a transaction is under way, by beginning one or not."""
        return self.transaction() if self.info.transaction_status is TransactionStatus.IDLE else nullcontext()

    def limit_statements(self, seconds: float) -> None:
        """Let each statement take this long from now on."""
        if self.transaction_settings is None:
            self.execute(load_sql(__package__, "limit_statements"), {"timeout": f"{round(seconds * 1000)}ms"})
        self.reply_timeout_seconds = seconds + REPLY_GRACE_SECONDS


class PooledCursor(Cursor[Any]):
    """A cursor whose every statement is in a transaction, which has the session's settings."""

    def execute(self, *arguments: Any, **options: Any) -> Self:  # noqa: ANN401 - psycopg's own arguments
        """Execute as psycopg does."""
        with self.connection.ensure_transaction():  # type: ignore[attr-defined] # the connection is a Session
            return super().execute(*arguments, **options)

    def executemany(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - psycopg's own arguments
        """Execute as psycopg does."""
        with self.connection.ensure_transaction():  # type: ignore[attr-defined] # the connection is a Session
            super().executemany(*arguments, **options)


def connect_database(
    database_url: str,
    *,
    application_name: str,
    statement_timeout_seconds: float = 30,
    may_be_pooled: bool = False,
) -> Session:
    """Open a session in autocommit mode (transactions are explicit), READ COMMITTED, in UTC; whole or not at all.

    With `may_be_pooled` it is used without locks and notifications of the session, so it may lead to a pooler that
    gives each transaction another one. Raises psycopg.OperationalError when the server cannot be reached within
    5 seconds, DatabaseUrlError for a URL that cannot be used.
    """
    arguments = make_connection_arguments(database_url, application_name=application_name)
    connection = Session.connect(**arguments)
    # before a setting is left behind in a session that others are given
    if not may_be_pooled and find_database_pooling(connection, database_url) == "transaction":
        connection.close()
        raise PoolingError(
            "a pooler gives each transaction another session, and locks and notifications need one of their own: "
            "set FUSEBOARD_DIRECT_DATABASE_URL to PostgreSQL itself, or to a pooler of sessions"
        )
    set_up_session(connection, statement_timeout_seconds=statement_timeout_seconds, may_be_pooled=may_be_pooled)
    return connection


def find_database_pooling(connection: Session, database_url: str) -> Pooling:
    """Find out what stands between a connection of this URL and PostgreSQL; closes it where that fails."""
    connection.reply_timeout_seconds = connection.reply_timeout_seconds or CONNECT_TIMEOUT_SECONDS
    arguments = make_connection_arguments(database_url, application_name="fuseboard pooling")
    try:
        return find_pooling(connection, lambda: Session.connect(**arguments))
    except BaseException:
        connection.close()
        raise


def set_up_session(connection: Session, *, statement_timeout_seconds: float, may_be_pooled: bool = False) -> None:
    """Set a session up, or close it and raise what PostgreSQL raised."""
    connection.opened_at = time.monotonic()
    connection.reply_timeout_seconds = CONNECT_TIMEOUT_SECONDS
    settings = list_settings(statement_timeout_seconds)
    try:
        if may_be_pooled and read_session_pid(connection) != connection.info.backend_pid:
            connection.transaction_settings = write_settings(settings, is_local=True)
            connection.cursor_factory = PooledCursor
            # the next transaction's session would not know the statement
            connection.prepare_threshold = None
        else:
            connection.execute(write_settings(settings, is_local=False))
    except BaseException:
        connection.close()
        raise
    connection.reply_timeout_seconds = statement_timeout_seconds + REPLY_GRACE_SECONDS


def is_data_fault(error: BaseException) -> bool:
    """Say whether the data is at fault; after any other error the connection is not to be used again."""
    return isinstance(error, DATA_FAULTS)


def describe_in_line(error: BaseException) -> str:
    """Say what an error says in one line, for a log."""
    return " ".join(str(error).split())


def is_read_only(connection: Connection[TupleRow]) -> bool:
    """Say whether the server has said, with its last answer, that it takes no writes."""
    names = ("in_hot_standby", "default_transaction_read_only")
    return any(connection.info.parameter_status(name) == "on" for name in names)


def is_stale(connection: Session) -> bool:
    """Say whether a session has been read-only for long enough to look for the server that is not, after a failover."""
    return is_read_only(connection) and time.monotonic() - connection.opened_at > READ_ONLY_SECONDS


@contextmanager
def remove_time_limit(connection: Connection[TupleRow]) -> Iterator[None]:
    """Let statements take as long as they need, in the block, which is in a transaction."""
    connection.execute(load_sql(__package__, "remove_time_limit"))
    if not isinstance(connection, Session):
        yield
        return
    before, connection.reply_timeout_seconds = connection.reply_timeout_seconds, None
    try:
        yield
    finally:
        connection.reply_timeout_seconds = before


def limit_idleness(connection: Connection[TupleRow], limit: str = IDLE_LIMIT) -> str:
    """Have the server end the session, with the locks it holds, when it is frozen; returns what the limit was."""
    row = connection.execute(load_sql(__package__, "limit_idleness"), {"timeout": limit}).fetchone()
    return "0" if row is None else str(row[0])


def begin_snapshot(connection: Connection[TupleRow]) -> None:
    """Let the transaction that has just begun see one moment, and change nothing."""
    connection.execute(load_sql(__package__, "begin_snapshot"))


def select_clock(connection: Connection[TupleRow]) -> datetime:
    """Read the clock of PostgreSQL, by which all is judged; aware."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cast("datetime", cursor.execute(load_sql(__package__, "select_clock")).fetchone())


def make_connection_arguments(database_url: str, *, application_name: str) -> dict[str, Any]:
    """Make what every connection is opened with, for a pool as well; what the URL says comes first."""
    parts = parse_database_url(database_url)
    defaults: dict[str, Any] = {
        "fallback_application_name": application_name,
        # a server that vanished without a word is noticed within seconds
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 8_000,
    }
    if "PGCONNECT_TIMEOUT" not in os.environ:
        defaults["connect_timeout"] = CONNECT_TIMEOUT_SECONDS
    several = "," in f"{parts.get('host', '')}{parts.get('hostaddr', '')}"
    if several and "PGTARGETSESSIONATTRS" not in os.environ:
        # of several servers the one that takes writes
        defaults["target_session_attrs"] = "read-write"
    # without startup parameters of its own: a pooler refuses those, and the user's `options` would be lost
    return {**defaults, **parts, "autocommit": True}
