"""What the API holds while it runs: a bounded pool, Redis, one producer."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import psycopg
from fastapi import Request
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool
from redis import Redis

from fuseboard_api.event_feed import EventFeed
from fuseboard_api.failures import FailureLimiter
from fuseboard_api.probes import REDIS_TIMEOUT_SECONDS, Probes
from fuseboard_api.remembered_tokens import RememberedTokens
from fuseboard_producer import Producer
from fuseboard_schema.database import (
    ReplyTimeoutError,
    Session,
    is_data_fault,
    is_stale,
    make_connection_arguments,
    set_up_session,
)
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.settings import Settings

APPLICATION_NAME: Final = "fuseboard api"
POOL_MAX_CONNECTIONS: Final = 8
POOL_MAX_WAITING: Final = 64
POOL_WAIT_SECONDS: Final = 2.0
RECONNECT_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 1.0
STATEMENT_TIMEOUT_SECONDS: Final = 5

Database = Connection[TupleRow]


class Pool(ConnectionPool[Session]):
    """A pool that takes no connection back after an error that is not the data's: its server may be the wrong one."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - psycopg_pool's own options
        super().__init__(connection_class=Session, check=self.check_session, **options)

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Session]:
        """Lend a connection, as psycopg_pool does."""
        with super().connection(timeout) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                if not is_data_fault(error):
                    connection.close()
                raise

    def check_session(self, connection: Session) -> None:
        """Raise psycopg.OperationalError for a connection that is not to be used; a silent one makes all suspect."""
        try:
            check_connection(connection)
        except ReplyTimeoutError:
            self.drain()
            raise


@dataclass(frozen=True, slots=True)
class Resources:
    """One of each per process; handlers get it by `get_resources`."""

    settings: Settings
    pool: Pool
    redis: Redis
    producer: Producer
    probes: Probes
    feed: EventFeed
    failures: FailureLimiter = field(default_factory=FailureLimiter)
    tokens: RememberedTokens = field(default_factory=RememberedTokens)


def make_pool(settings: Settings) -> Pool:
    """Make a pool that opens when told to: more callers than it serves wait a moment, and are refused then."""
    return Pool(
        kwargs=make_connection_arguments(settings.database_url or "", application_name=APPLICATION_NAME),
        configure=partial(set_up_session, statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS, may_be_pooled=True),
        min_size=1,
        max_size=POOL_MAX_CONNECTIONS,
        max_waiting=POOL_MAX_WAITING,
        timeout=POOL_WAIT_SECONDS,
        # after that a caller's question makes a new attempt, and none waits for a back-off of minutes
        reconnect_timeout=RECONNECT_SECONDS,
        name="fuseboard-api",
        open=False,
    )


def check_connection(connection: Session) -> None:
    """Raise psycopg.OperationalError for a connection that is gone, or read-only for long: another may not be."""
    before, connection.reply_timeout_seconds = connection.reply_timeout_seconds, CHECK_SECONDS
    ConnectionPool.check_connection(connection)
    connection.reply_timeout_seconds = before
    if is_stale(connection):
        raise psycopg.OperationalError("the server has become read-only")


@contextmanager
def open_resources(settings: Settings) -> Iterator[Resources]:
    """Open everything without waiting for a server: who asks while one is away is told so."""
    with ExitStack() as cleanup:
        pool = make_pool(settings)
        pool.open(wait=False)
        cleanup.callback(pool.close, timeout=2.0)
        redis = cleanup.enter_context(
            connect_redis(
                settings.redis_url or "", retries=1, socket_timeout_seconds=2.0, ca_certs=settings.redis_ca_certs
            )
        )
        producer = cleanup.enter_context(
            Producer(
                settings.redis_url,
                namespace=settings.namespace,
                spool_dir=settings.spool_dir,
                redis_ca_certs=settings.redis_ca_certs,
                linger_seconds=0.005,
            )
        )
        probes = Probes(cleanup.enter_context(_connect_briefly(settings)), settings.namespace)
        feed = cleanup.enter_context(EventFeed(settings.session_database_url or "", probes))
        yield Resources(settings, pool, redis, producer, probes, feed)


def _connect_briefly(settings: Settings) -> Redis:
    return connect_redis(
        settings.redis_url or "",
        retries=0,
        socket_timeout_seconds=REDIS_TIMEOUT_SECONDS,
        connect_timeout_seconds=REDIS_TIMEOUT_SECONDS,
        ca_certs=settings.redis_ca_certs,
    )


def get_resources(request: Request) -> Resources:
    """Get what the application holds."""
    resources: Resources = request.app.state.resources
    return resources
