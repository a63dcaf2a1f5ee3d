"""What the harness sees, past all links: it never raises because a server is away, and says that it does not know."""

from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
import redis as redis_client
from redis import Redis

from chaos.fleet import NAMESPACE

STREAM: Final = f"{NAMESPACE}:events"
PATIENCE_SECONDS: Final = 2

Row = tuple[Any, ...]


class Observer:
    """Sessions of its own to both servers."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._database_url = database_url
        self._connection: psycopg.Connection[Row] | None = None
        self.redis = Redis.from_url(redis_url, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS)

    def connect(self) -> psycopg.Connection[Row]:
        """Open another session, in autocommit mode."""
        return psycopg.connect(
            self._database_url,
            autocommit=True,
            application_name="observer",
            connect_timeout=PATIENCE_SECONDS,
            options="-c default_transaction_read_only=off -c statement_timeout=20s",
        )

    def ask(self, query: str, arguments: dict[str, Any] | None = None) -> list[Row] | None:
        """Ask PostgreSQL; None while it does not answer."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self.connect()
            # the texts are those of this folder
            return self._connection.execute(query.encode(), arguments).fetchall()
        except psycopg.Error:
            self.forget()
            return None

    def forget(self) -> None:
        """Drop the session: the next question opens another one."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def is_stored(self, event_id: str) -> bool:
        """Say whether an event is a row."""
        return self.ask("SELECT FROM llm_requests WHERE event_id = %(event_id)s", {"event_id": event_id}) not in (
            None,
            [],
        )

    def has_folded_since(self, at: float) -> bool:
        """Say whether a fold that began after a time has ended well."""
        query = (
            "SELECT FROM fuseboard_job_runs WHERE job = 'fold' AND last_success_at >= last_started_at"
            " AND last_started_at > to_timestamp(%(at)s)"
        )
        return self.ask(query, {"at": at}) not in (None, [])

    def read_last_entry(self) -> bytes | None:
        """Read the id of the newest entry that was ever added; None while Redis does not answer."""
        try:
            found: Any = self.redis.xinfo_stream(STREAM)
        except redis_client.RedisError:
            return None
        return bytes(found["last-generated-id"])

    def is_stored_up_to(self, entry_id: bytes | None) -> bool:
        """Say whether no entry up to this one waits any more, read by somebody or not."""
        try:
            return entry_id is None or not self.redis.xrange(STREAM, "-", entry_id, count=1)
        except redis_client.RedisError:
            return False

    def is_drained(self) -> bool:
        """Say whether nothing waits in the stream."""
        try:
            return int(self.redis.xlen(STREAM)) == 0
        except redis_client.RedisError:
            return False

    def is_api_ready(self, port: int) -> bool:
        """Say whether the API answers that it reaches both servers."""
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def close(self) -> None:
        """End the sessions."""
        self.forget()
        self.redis.close()


def find_socket(url: str) -> Path:
    """Find the folder or file of a `unix` address in a URL of the embedded servers."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return Path(unquote(parts.path))
    query = parse_qs(parts.query)
    return Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"
