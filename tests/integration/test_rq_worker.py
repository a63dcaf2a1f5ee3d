import json
import os
import pickle
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from fuseboard_consumer.rq_worker import DRAIN_JOB, DrainJob, DrainQueue, DrainWorker
from waiting import wait_until


class Exploit:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


class RunningWorker:
    """A worker in a thread of this process, which counts its drains."""

    def __init__(self, redis: Redis, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue = DrainQueue(f"{namespace}-drain", connection=redis)
        self.stopping = threading.Event()
        self.drains = 0
        monkeypatch.setattr(DrainJob, "drain", staticmethod(self.drain), raising=False)
        self.worker = DrainWorker(self.queue, self.stopping, f"{namespace}-worker")
        # signals and alarms belong to the main thread, which is pytest's
        self.thread = threading.Thread(target=self.worker.work)

    def drain(self) -> None:
        self.drains += 1
        self.stopping.wait(0.02)

    def wait_for_drains(self, count: int = 2) -> None:
        seen = self.drains
        wait_until(lambda: self.drains >= seen + count or not self.thread.is_alive())
        assert self.thread.is_alive()


@pytest.fixture
def running(redis_client: Redis, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningWorker]:
    from rq.timeouts import TimerDeathPenalty  # noqa: PLC0415 - only for the thread

    monkeypatch.setattr(DrainWorker, "death_penalty_class", TimerDeathPenalty)
    running = RunningWorker(redis_client, namespace, monkeypatch)
    running.thread.start()
    try:
        yield running
    finally:
        running.stopping.set()
        running.thread.join()


def push_job(redis: Redis, queue: DrainQueue, job_id: str, **fields: str | bytes) -> None:
    """Store and push a job as somebody with access to Redis could."""
    stored: Mapping[Any, Any] = {
        "created_at": "2026-11-23T12:00:00.000000Z",
        "status": "queued",
        "origin": queue.name,
        **fields,
    }
    redis.hset(f"rq:job:{job_id}", mapping=stored)
    redis.rpush(queue.key, job_id)


def call(*parts: object) -> bytes:
    return zlib.compress(json.dumps(parts).encode())


def test_a_worker_supplies_itself_with_drains_and_leaves_no_jobs_behind(
    running: RunningWorker, redis_client: Redis
) -> None:
    running.wait_for_drains(5)

    running.stopping.set()
    running.thread.join()
    assert redis_client.llen(running.queue.key) == 0
    assert running.queue.failed_job_registry.get_job_count(cleanup=False) == 0
    assert running.queue.started_job_registry.get_job_count(cleanup=False) == 0


@pytest.mark.parametrize(
    "data",
    [
        call("os.system", None, ["touch {path}"], {}),
        call("subprocess.call", None, [["touch", "{path}"]], {}),
        call("builtins.exec", None, ["open('{path}', 'w')"], {}),
        call("eval", None, ["open('{path}', 'w')"], {}),
        call(DRAIN_JOB, "{{0}}", [], {}),
        call(DRAIN_JOB, None, ["an argument"], {}),
        call(DRAIN_JOB, None, [], {"a": 1}),
        zlib.compress(b"0" * 300_000_000),
        b"x" * 10_000_000,
        b"",
        b"not compressed",
        "pickle",
    ],
    ids=[
        "os.system",
        "subprocess",
        "exec",
        "eval",
        "instance",
        "argument",
        "keyword",
        "bomb",
        "long",
        "empty",
        "text",
        "pickle",
    ],
)
def test_a_forged_job_is_refused_and_logged_and_the_worker_lives_on(
    running: RunningWorker, redis_client: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes | str
) -> None:
    path = tmp_path / "owned"
    if isinstance(data, str):
        data = zlib.compress(pickle.dumps((Exploit(path), None, [], {})))
    elif len(data) < 1000:
        data = data.replace(b"{path}", str(path).encode())

    push_job(redis_client, running.queue, "forged", data=data)
    wait_until(lambda: "job_refused" in caplog.text)
    running.wait_for_drains()

    assert "forged" in caplog.text
    assert not path.exists()


def test_callbacks_webhooks_and_broken_fields_of_a_job_that_calls_drain_are_never_read(
    running: RunningWorker, redis_client: Redis, tmp_path: Path
) -> None:
    path = tmp_path / "owned"
    bomb = pickle.dumps(Exploit(path))
    push_job(
        redis_client,
        running.queue,
        "hooked",
        data=zlib.compress(json.dumps((DRAIN_JOB, None, (), {})).encode()),
        success_callback_name="builtins.exit",
        failure_callback_name="builtins.exit",
        webhooks=json.dumps([{"url": "http://127.0.0.1:1/", "method": "POST"}]),
        meta=bomb,
        result=bomb,
        status="no such status",
        timeout="abc",
        created_at="never",
        retries_left="x",
        dependency_ids="[",
    )

    running.wait_for_drains(3)

    assert redis_client.llen(running.queue.key) <= 1
    assert not path.exists()


@pytest.mark.parametrize("job_id", ["no hash", "a:b", "x" * 5000, "\x00", "ünïcode", "../..", ""])
def test_an_odd_job_id_is_refused_and_the_worker_lives_on(
    running: RunningWorker, redis_client: Redis, caplog: pytest.LogCaptureFixture, job_id: str
) -> None:
    redis_client.rpush(running.queue.key, job_id)

    wait_until(lambda: "job_refused" in caplog.text)
    running.wait_for_drains()


def test_poison_in_rqs_own_registries_and_groups_is_not_parsed(
    running: RunningWorker, redis_client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "owned"
    bomb = pickle.dumps(Exploit(path))
    redis_client.hset("rq:job:poison", mapping={"data": bomb, "status": "?", "meta": bomb})
    redis_client.zadd(running.queue.started_job_registry.key, {"poison:execution": 1, "\x00": 2})
    redis_client.zadd(running.queue.failed_job_registry.key, {"poison": 1})
    redis_client.rpush(running.queue.intermediate_queue_key, "poison")
    # after the maintenance of the start, which would say in the end that it has just been done
    running.wait_for_drains(1)
    monkeypatch.setattr(running.worker, "last_cleaned_at", None)

    wait_until(lambda: redis_client.zcard(running.queue.started_job_registry.key) <= 1)
    running.wait_for_drains()

    assert redis_client.zscore(running.queue.started_job_registry.key, "poison:execution") is None
    assert not path.exists()


def test_messages_to_the_worker_and_rqs_suspension_do_not_stop_it(running: RunningWorker, redis_client: Redis) -> None:
    redis_client.set("rq:suspended", 1)
    try:
        told = redis_client.publish(f"rq:pubsub:{running.worker.name}", json.dumps({"command": "shutdown"}))
        running.wait_for_drains(3)
    finally:
        redis_client.delete("rq:suspended")
    assert told == 0


def test_a_plain_rq_worker_cannot_run_our_job_by_mistake(redis_client: Redis, namespace: str) -> None:
    queue = DrainQueue(f"{namespace}-drain", connection=redis_client)
    queue.enqueue_job(queue.create_drain())

    plain = Job.fetch(queue.job_ids[0], connection=redis_client, serializer=JSONSerializer)

    with pytest.raises(ValueError, match="fuseboard"):
        _ = plain.func


def test_a_job_whose_hash_vanished_meanwhile_is_told_in_one_line(
    running: RunningWorker, redis_client: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drain() -> None:
        running.drain()
        for key in redis_client.scan_iter("rq:job:*", count=1000):
            redis_client.delete(key)

    monkeypatch.setattr(DrainJob, "drain", staticmethod(drain))
    wait_until(lambda: "job_vanished" in caplog.text)
    running.wait_for_drains()

    assert "Traceback" not in caplog.text


def test_workers_that_were_killed_leave_rqs_registry(
    running: RunningWorker, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = f"rq:worker:{running.queue.name}-killed"
    registries = ("rq:workers", f"rq:workers:{running.queue.name}")
    for registry in registries:
        redis_client.sadd(registry, killed)
    monkeypatch.setattr(running.worker, "last_cleaned_at", None)

    for registry in registries:
        wait_until(lambda: not redis_client.sismember(registry, killed))  # noqa: B023 - called at once
        assert redis_client.sismember(registry, running.worker.key)
