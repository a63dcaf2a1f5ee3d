"""An RQ worker that runs one named job and trusts nothing it finds in Redis.

RQ as it comes resolves any dotted name that a job carries, unpickles in places, and obeys commands over pub/sub
(docs/decisions/0010). Our job carries no data, so nothing of a stored job is ever parsed: a popped id is run only when
its stored call is, byte for byte, the one that we queue.
"""

import logging
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final, NoReturn, cast

from redis import Redis
from rq import Queue, SimpleWorker
from rq.exceptions import InvalidJobOperation, NoSuchJobError, StopRequested
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException
from rq.utils import now
from rq.worker_registration import clean_worker_registry

from fuseboard_schema.redis_client import REDIS_FAULTS

log = logging.getLogger(__name__)

DRAIN_JOB: Final = "fuseboard.drain"
JOB_TIMEOUT_SECONDS: Final = 60
FAILURE_TTL_SECONDS: Final = 3600
# what a killed worker leaves is gone after its heartbeat's time, RQ's minute on top, and the next maintenance
WORKER_TTL_SECONDS: Final = 30
MAINTENANCE_SECONDS: Final = 30
# our call, compressed, takes about forty
STORED_CALL_MAX_BYTES: Final = 1000


class DrainJob(Job):
    """A job that only ever means `drain`: made here, never restored from Redis."""

    # set by the worker's process before it works
    drain: ClassVar[Callable[[], None]]

    def restore(self, raw_data: object) -> NoReturn:
        """Refuse to parse a stored job, whoever asks; RQ takes it as gone."""
        raise NoSuchJobError(f"job {self.id} is not restored: {type(raw_data).__name__} from Redis is not trusted")

    @property
    def func(self) -> Callable[[], None]:
        """The one function there is, whatever name is stored."""
        return type(self).drain


class DrainQueue(Queue):
    """The queue of drain jobs. An id whose stored call is not ours is refused, logged and removed."""

    job_class = DrainJob

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as RQ calls it
        super().__init__(*args, **{**kwargs, "serializer": JSONSerializer, "job_class": type(self).job_class})

    def create_drain(self, job_id: str | None = None) -> Job:
        """Make the drain job itself; raises ValueError for an id that RQ would not make."""
        return self.create_job(
            DRAIN_JOB,
            timeout=JOB_TIMEOUT_SECONDS,
            # its hash expires by itself, so a job that nobody takes leaves nothing behind
            ttl=JOB_TIMEOUT_SECONDS,
            result_ttl=0,
            failure_ttl=FAILURE_TTL_SECONDS,
            description=DRAIN_JOB,
            job_id=job_id,
        )

    @classmethod
    def _fetch_dequeued_job(
        cls,
        connection: Redis,
        queue_key: str,
        job_id: str,
        *_options: object,
        **_named: object,
    ) -> tuple[Job, Queue] | None:
        queue = cast("DrainQueue", cls.from_queue_key(queue_key, connection=connection))
        try:
            job = queue.create_drain(job_id)
        except ValueError:
            job = None
        if job is not None and _is_our_call(connection, job):
            return job, queue
        connection.lrem(queue.intermediate_queue_key, 1, job_id)
        log.warning("job_refused queue=%s job_id=%.100r reason=not_the_drain_job", queue.name, job_id)
        return None


class DrainWorker(SimpleWorker):
    """A worker of one queue that keeps itself supplied: whoever finds no drain queued queues one."""

    job_class = DrainJob
    queue_class = DrainQueue
    log_result_lifespan = False

    def __init__(self, queue: DrainQueue, stopping: threading.Event, name: str) -> None:
        super().__init__(
            [queue],
            name=name,
            connection=queue.connection,
            serializer=JSONSerializer,
            log_job_description=False,
            maintenance_interval=MAINTENANCE_SECONDS,
            worker_ttl=WORKER_TTL_SECONDS,
        )
        self._drain_queue = queue
        self._stopping = stopping
        # called after each job that RQ has finished
        self.job_done: Callable[[], None] = lambda: None

    def work(self, *_options: object, **_named: object) -> bool:
        """Work until a stop is asked for; raises what Redis raises, which RQ's own loop logs as an error and hides."""
        self.bootstrap()
        with suppress(StopRequested):
            while True:
                if self.should_run_maintenance_tasks:
                    self.run_maintenance_tasks()
                self.execute_job(*self.dequeue_job_and_maintain_ttl(None))
                self.job_done()
        self.teardown()  # type: ignore[no-untyped-call] # as above
        return True

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Run the drain; raises what Redis raises, of which RQ would make a failed job and tell over several lines."""
        try:
            self.prepare_job_execution(job, remove_from_intermediate_queue=True)
            job.started_at = now()
            with self.death_penalty_class(job.timeout, JobTimeoutException, job_id=job.id):
                job.perform()
            self._finalize_success(job, queue, execution, None)
        except REDIS_FAULTS:
            raise
        except InvalidJobOperation:
            log.warning("job_vanished job_id=%s reason=redis_was_emptied", job.id)
        except Exception:  # noqa: BLE001 - logged where it was raised; RQ keeps it among the failed jobs
            self._finalize_failure(job, queue, execution, sys.exc_info())
            return False
        return True

    def handle_exception(self, job: Job, *exc_info: Any) -> None:  # noqa: ANN401 - as RQ has it
        """Leave the telling to the drain, which has told it."""

    def _set_connection(self, connection: Redis) -> Redis:
        """Keep our timeout: RQ would raise it for pops that block, which ours do not."""
        return connection

    def bootstrap(self, *_logging: object) -> None:
        """Register, without RQ's own log handlers and without its command channel."""
        self.register_birth()  # type: ignore[no-untyped-call] # RQ is typed in parts
        self.set_state("started")

    def check_for_suspension(self, burst: bool) -> None:
        """Ignore `rq suspend`: whoever may write to Redis must not be able to stop the accounting."""

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> tuple[Job, Queue]:
        """Take a drain, queueing one first where there is none; raises StopRequested once a stop was asked for."""
        del timeout, max_idle_time
        while not self._stopping.is_set():
            self.heartbeat()
            if self._drain_queue.is_empty():
                self._drain_queue.enqueue_job(self._drain_queue.create_drain())
            taken = self.queue_class.dequeue_any(self.queues, None, connection=self.connection)
            if taken is not None:
                job, queue = taken
                job.redis_server_version = self.get_redis_server_version()  # type: ignore[no-untyped-call] # as above
                return job, queue
        raise StopRequested

    def run_maintenance_tasks(self) -> None:
        """Throw away what killed workers left of themselves and their jobs: nothing is restored or retried."""
        queue, until = self._drain_queue, int(time.time())
        stale = cast("list[bytes]", self.connection.zrangebyscore(queue.started_job_registry.key, 0, until))
        with self.connection.pipeline(transaction=False) as pipeline:
            for member in stale:
                job_id = member.decode("utf-8", "replace").partition(":")[0]
                pipeline.delete(f"rq:job:{job_id}", ExecutionRegistry(job_id, self.connection).key)
                pipeline.zrem(queue.started_job_registry.key, member)
            pipeline.zremrangebyscore(queue.failed_job_registry.key, 0, until)
            pipeline.ltrim(queue.intermediate_queue_key, -1000, -1)
            pipeline.execute()
        clean_worker_registry(queue)
        self.last_cleaned_at = now()  # type: ignore[assignment] # RQ declares None

    def _install_signal_handlers(self) -> None:
        """Leave the signals to the process: RQ's handler raises wherever it strikes, and could lose a job."""


def _is_our_call(connection: Redis, job: Job) -> bool:
    """Compare the stored call with ours without parsing it, and without ever reading or inflating a bomb."""
    if not 0 < connection.hstrlen(job.key, "data") <= STORED_CALL_MAX_BYTES:
        return False
    stored = cast("bytes | None", connection.hget(job.key, "data"))
    try:
        return zlib.decompressobj().decompress(stored or b"", STORED_CALL_MAX_BYTES) == job.data
    except zlib.error:
        return False
