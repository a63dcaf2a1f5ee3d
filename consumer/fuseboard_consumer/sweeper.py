"""The thread that sweeps, one per consumer process, of which one at a time is at work: it has the lock."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis
from redis.exceptions import RedisError

from fuseboard_consumer.projection_store import listen_for_circuits, try_sweeper_lock
from fuseboard_consumer.sweep import Sweep
from fuseboard_schema.database import connect_database, describe_in_line, limit_idleness
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.settings import Settings

log = logging.getLogger(__name__)

SWEEP_EVERY_SECONDS: Final = 2.0
# how long it waits for a notification before it looks whether it should stop
NAP_SECONDS: Final = 0.2
REDIS_TIMEOUT_SECONDS: Final = 2.0
STATEMENT_TIMEOUT_SECONDS: Final = 5


class Sweeper:
    """Sweeps every 2 seconds, and at once when PostgreSQL tells of an order; servers that are down are waited for."""

    def __init__(
        self, settings: Settings, stopping: threading.Event, read_progress: Callable[[], float | None]
    ) -> None:
        self._settings = settings
        self._stopping = stopping
        self._read_progress = read_progress
        # told once per outage
        self._is_down = False
        # a daemon: a server that hangs must not hold up the process's end
        self._thread = threading.Thread(target=self._run, name="fuseboard-sweeper", daemon=True)

    def start(self) -> None:
        """Start the thread; it ends when a stop is asked for."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread's end."""
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._sweep_in_turn()
            except (RedisError, OSError, psycopg.Error) as error:
                if not self._is_down:
                    log.warning("sweep_failed error=%r", describe_in_line(error))
                self._is_down = True
            except Exception:
                log.exception("sweep_failed")
            self._stopping.wait(SWEEP_EVERY_SECONDS)

    def _sweep_in_turn(self) -> None:
        """Wait for the lock and then sweep, over connections of its own, until a stop or an error."""
        settings = self._settings
        with (
            connect_redis(
                settings.redis_url or "",
                retries=0,
                socket_timeout_seconds=REDIS_TIMEOUT_SECONDS,
                ca_certs=settings.redis_ca_certs,
            ) as redis,
            connect_database(
                settings.session_database_url or "",
                application_name="fuseboard sweeper",
                statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
            ) as connection,
        ):
            while not try_sweeper_lock(connection):
                self._is_down = False
                if self._stopping.wait(SWEEP_EVERY_SECONDS):
                    return
            # frozen, it must not keep others from sweeping
            limit_idleness(connection)
            listen_for_circuits(connection)
            self._keep_sweeping(connection, redis)

    def _keep_sweeping(self, connection: Connection[TupleRow], redis: Redis) -> None:
        log.info("sweeper_started")
        sweep = Sweep(redis, self._settings.namespace, self._read_progress)
        is_told = False
        while not self._stopping.is_set():
            sweep.run(connection, is_told=is_told)
            if self._is_down:
                log.info("sweep_resumed")
            self._is_down = False
            is_told = self._wait_for_order(connection)

    def _wait_for_order(self, connection: Connection[TupleRow]) -> bool:
        """Wait until the next sweep is due; True as soon as an order came in."""
        due_at = time.monotonic() + SWEEP_EVERY_SECONDS
        while time.monotonic() < due_at and not self._stopping.is_set():
            if list(connection.notifies(timeout=NAP_SECONDS, stop_after=1)):
                return True
        return False
