"""One consumer process: an RQ worker around the drain, kept alive through outages."""

import gc
import logging
import os
import secrets
import signal
import socket
import threading
import time
from types import FrameType
from typing import Final

import psycopg
from redis import Redis

from fuseboard_consumer.drain import Drain
from fuseboard_consumer.rq_worker import DrainJob, DrainQueue, DrainWorker
from fuseboard_consumer.sweeper import Sweeper
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import list_pending_migrations
from fuseboard_schema.redis_client import REDIS_DOWN, connect_redis
from fuseboard_schema.settings import Settings, SettingsError
from fuseboard_schema.stopping import arm_exit_backstop

log = logging.getLogger(__name__)

RESTART_FIRST_SECONDS: Final = 0.2
RESTART_MAX_SECONDS: Final = 3.0
AFTER_FAILURE_SECONDS: Final = 1.0


def run_consumer(settings: Settings) -> None:
    """Consume until SIGTERM or SIGINT: the batch in hand is finished and acknowledged, within 5 seconds.

    Waits out a Redis or PostgreSQL that is down, and migrations that are not applied yet. Raises SettingsError when
    REDIS_URL or DATABASE_URL is missing.
    """
    if not settings.redis_url or not settings.database_url:
        raise SettingsError("REDIS_URL and DATABASE_URL must both be set for a consumer")
    stopping = threading.Event()
    _stop_on_signals(stopping)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    redis = connect_redis(settings.redis_url, ca_certs=settings.redis_ca_certs)
    drain = Drain(redis, settings, name, stopping)
    sweeper = Sweeper(settings, stopping, lambda: drain.progressed_at)
    _relax_garbage_collection()
    log.info("consumer_started name=%s", name)
    _wait_for_schema(settings.database_url, stopping)
    sweeper.start()
    _work(redis, f"{settings.namespace}-drain", name, drain, stopping)
    drain.close()
    sweeper.join()
    log.info("consumer_stopped name=%s", name)


def _work(redis: Redis, queue_name: str, name: str, drain: Drain, stopping: threading.Event) -> None:
    """Run RQ workers one after the other: RQ's own loop ends at any error of Redis outside of its dequeue."""
    # staticmethod: RQ calls what the class holds, without an instance
    DrainJob.drain = staticmethod(lambda: _run_drain(drain, stopping))
    wait_seconds = RESTART_FIRST_SECONDS
    while not stopping.is_set():
        started = time.monotonic()
        try:
            # a worker registers under its name, so each gets its own
            worker = DrainWorker(DrainQueue(queue_name, connection=redis), stopping, f"{name}-{secrets.token_hex(2)}")
            worker.work()
        except REDIS_DOWN as error:
            log.warning("redis_unavailable retry_in_seconds=%.1f error=%s", wait_seconds, error)
        if time.monotonic() - started > RESTART_MAX_SECONDS:
            wait_seconds = RESTART_FIRST_SECONDS
        stopping.wait(wait_seconds)
        wait_seconds = min(wait_seconds * 2, RESTART_MAX_SECONDS)


def _run_drain(drain: Drain, stopping: threading.Event) -> None:
    """Run the job; a fault that stays must not spin."""
    try:
        drain.run()
    except REDIS_DOWN:
        raise
    except Exception:
        log.exception("drain_failed")
        # whatever it was, it does not meet the same session again
        drain.close()
        stopping.wait(AFTER_FAILURE_SECONDS)
        raise


def _wait_for_schema(database_url: str, stopping: threading.Event) -> None:
    """Wait until PostgreSQL is there and migrated, saying what it waits for."""
    while not stopping.is_set():
        try:
            with connect_database(
                database_url, application_name="fuseboard consumer", may_be_pooled=True
            ) as connection:
                pending = list_pending_migrations(connection)
        except psycopg.Error as error:
            log.warning("database_unavailable error=%s", str(error).strip())
        else:
            if not pending:
                return
            log.warning("migrations_pending first=%s action=run `fuseboard migrate`", pending[0])
        stopping.wait(AFTER_FAILURE_SECONDS)


def _relax_garbage_collection() -> None:
    """Events hold no cycles: looking for some after every few hundred of them is wasted."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _stop_on_signals(stopping: threading.Event) -> None:
    def stop(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        stopping.set()
        arm_exit_backstop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
