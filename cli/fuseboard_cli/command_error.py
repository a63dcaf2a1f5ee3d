"""What a person sees when a command cannot do its work: one line, never a traceback."""

from typing import Final

import psycopg
from psycopg import errors
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fuseboard_cli.embedded_error import EmbeddedError
from fuseboard_cli.secrets import mask_secrets
from fuseboard_schema.database import DATABASE_DOWN, PoolingError
from fuseboard_schema.migrate import MigrationError
from fuseboard_schema.redis_url import RedisUrlError
from fuseboard_schema.settings import SettingsError


class CommandError(Exception):
    """A command cannot go on; the message says why and what to do."""


EXPECTED = (
    CommandError,
    SettingsError,
    EmbeddedError,
    MigrationError,
    RedisUrlError,
    psycopg.Error,
    RedisError,
    OSError,
)


# the first kind that fits says what to do; `{}` is what the library said
ADVICE: Final = (
    (errors.UndefinedTable, "the database is not migrated ({}): run `fuseboard migrate`"),
    (errors.UndefinedFunction, "the database is not migrated ({}): run `fuseboard migrate`"),
    (errors.UndefinedColumn, "the database is not migrated ({}): run `fuseboard migrate`"),
    (errors.ReadOnlySqlTransaction, "PostgreSQL is read-only ({}): set DATABASE_URL to the server that takes writes"),
    (errors.LockNotAvailable, "somebody uses what this needs alone ({}): try again, or stop who does"),
    (PoolingError, "{}"),
    (errors.QueryCanceled, "PostgreSQL took too long: {}"),
    (DATABASE_DOWN, "PostgreSQL cannot be used: {}: check DATABASE_URL and that the server runs"),
    (psycopg.Error, "PostgreSQL refused: {}"),
    ((RedisConnectionError, RedisTimeoutError), "Redis cannot be reached: {}: check REDIS_URL and that it runs"),
    (RedisError, "Redis refused: {}"),
)


def describe_error(error: BaseException) -> str:
    """Say in one line what went wrong and what to do, without any password."""
    text = " ".join(str(error).split()) or type(error).__name__
    advice = next((advice for kinds, advice in ADVICE if isinstance(error, kinds)), "{}")
    return mask_secrets(advice.format(text))
