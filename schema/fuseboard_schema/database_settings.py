"""The settings that every session of PostgreSQL has, set by its own statements. Pure."""

from collections.abc import Mapping
from typing import Final

# a session that does nothing inside a transaction for this long is frozen or gone, and others wait for its locks
IDLE_IN_TRANSACTION_SECONDS: Final = 5

# what our statements and psycopg rely on, whatever database and role have as their default
MEANING: Final = {
    "client_encoding": "UTF8",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": "read committed",
}
# the server notices within seconds that the client's machine is gone: by default it waits for hours
VANISHED: Final = {
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "6s",
}
# and that the client has gone while a statement runs or waits for a lock, where the server's system can tell
WATCH_CLIENT: Final = (
    "SELECT set_config('client_connection_check_interval', '2s', false) WHERE version() LIKE '%linux%'"
)


def list_settings(statement_timeout_seconds: float) -> dict[str, str]:
    """List what is set in every session or transaction."""
    return {
        **MEANING,
        "statement_timeout": f"{round(statement_timeout_seconds * 1000)}ms",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    }


def write_settings(settings: Mapping[str, str], *, is_local: bool) -> bytes:
    """Write the statements that set them, one round trip: for a transaction, or for a session and its watch."""
    # values are this module's own, so none needs quoting
    if is_local:
        return "; ".join(f"SET LOCAL {name} TO '{value}'" for name, value in settings.items()).encode()
    statements = [f"SET {name} TO '{value}'" for name, value in {**settings, **VANISHED}.items()]
    return "; ".join([*statements, WATCH_CLIENT]).encode()
