"""One consumer process: an RQ worker around the drain, kept alive through outages."""

import gc
import logging
import os
import secrets
import signal
import socket
import threading
from types import FrameType
from typing import Final

import psycopg
from redis import Redis
from redis.exceptions import ResponseError

from fuseboard_consumer.drain import DRAIN_SECONDS, Drain
from fuseboard_consumer.outage import Outage
from fuseboard_consumer.rq_worker import DrainJob, DrainQueue, DrainWorker
from fuseboard_consumer.sweeper import Sweeper
from fuseboard_schema.database import connect_database, describe_in_line
from fuseboard_schema.migrate import list_pending_migrations
from fuseboard_schema.redis_client import REDIS_FAULTS, connect_redis
from fuseboard_schema.redis_mode import CLUSTER_ACTION, is_cluster
from fuseboard_schema.settings import Settings, SettingsError
from fuseboard_schema.stopping import arm_exit_backstop

log = logging.getLogger(__name__)

# of a reply, the wait for entries among it: a link that swallows replies costs no more
REDIS_TIMEOUT_SECONDS: Final = 3.0
AFTER_FAILURE_SECONDS: Final = 1.0
DRAIN_IN_OUTAGE_SECONDS: Final = 1.0


def run_consumer(settings: Settings) -> None:
    """Consume until SIGTERM or SIGINT: the batch in hand is finished and acknowledged, within 5 seconds.

    Waits out a Redis or PostgreSQL that is down, and migrations that are not applied yet. Raises SettingsError when
    REDIS_URL or DATABASE_URL is missing, or leads to Redis Cluster.
    """
    if not settings.redis_url or not settings.database_url:
        raise SettingsError("REDIS_URL and DATABASE_URL must both be set for a consumer")
    stopping = threading.Event()
    _stop_on_signals(stopping)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    redis = connect_redis(
        settings.redis_url, retries=0, socket_timeout_seconds=REDIS_TIMEOUT_SECONDS, ca_certs=settings.redis_ca_certs
    )
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
    """Run RQ workers one after the other, and the drain without one where Redis does not take what RQ writes."""
    outage = Outage(stopping)
    # staticmethod: RQ calls what the class holds, without an instance
    DrainJob.drain = staticmethod(lambda: _run_drain(drain, stopping, outage))
    while not stopping.is_set():
        try:
            if is_cluster(redis):
                raise SettingsError(f"REDIS_URL leads to Redis Cluster, which cannot be used: {CLUSTER_ACTION}")
            # a worker registers under its name, so each gets its own
            worker = DrainWorker(DrainQueue(queue_name, connection=redis), stopping, f"{name}-{secrets.token_hex(2)}")
            worker.job_done = outage.end
            worker.work()
        except REDIS_FAULTS as error:
            outage.tell(error)
            if not (isinstance(error, ResponseError) and _drains_alone(drain, stopping, outage)):
                outage.wait()


def _drains_alone(drain: Drain, stopping: threading.Event, outage: Outage) -> bool:
    """Drain without RQ, once; False where Redis refuses that too.

    At the limit of its memory Redis lets read, acknowledge and delete, which frees memory, and refuses what RQ writes.
    """
    try:
        _run_drain(drain, stopping, outage)
    except Exception as error:  # noqa: BLE001 - of Redis, and told by the caller, or told where it was raised
        return not isinstance(error, REDIS_FAULTS)
    return True


def _run_drain(drain: Drain, stopping: threading.Event, outage: Outage) -> None:
    """Run the job, a short one in an outage, which may end any moment; a fault that stays must not spin."""
    try:
        drain.run(DRAIN_IN_OUTAGE_SECONDS if outage.is_on else DRAIN_SECONDS)
    except REDIS_FAULTS:
        raise
    except Exception:
        log.exception("drain_failed")
        # whatever it was, it does not meet the same session again
        drain.close_session()
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
            log.warning("database_unavailable error=%s", describe_in_line(error))
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
