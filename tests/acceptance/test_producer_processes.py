"""Producers in real processes that fork, end and are killed in every way."""

import signal
import socket
import time
from collections import Counter
from pathlib import Path

import pytest
from redis import Redis

from producer_tools import PrivateRedis, read_events, read_spool, run_script, start_script
from waiting import wait_until

MAKE = """
import os, sys, time
from fuseboard_producer import Producer
producer = Producer(sys.argv[1], spool_dir=sys.argv[2], linger_seconds=float(sys.argv[3]))
"""

ENDS = {
    "falls off its end": "",
    "exits": "sys.exit(0)",
    "raises": "import contextlib; sys.excepthook = lambda *_: None; raise ValueError",
    "closes itself": "producer.close()",
    "leaves by os._exit": "os._exit(0)",
    "records at the very end": "import atexit; atexit.register(producer.record, 'late', 'm')",
}


def count_providers(redis: Redis) -> Counter[str]:
    events = read_events(redis, "fuseboard")
    assert len({event["event_id"] for event in events}) == len(events)
    return Counter(event["provider"] for event in events)


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_ends_leaves_no_event_behind(
    shared_redis: PrivateRedis, redis: Redis, tmp_path: Path, end: str
) -> None:
    source = MAKE + "for _ in range(5): producer.record('claude', 'm')\n" + ENDS[end]

    process = start_script(source, shared_redis.url, tmp_path, 60)
    process.communicate(timeout=60)

    assert process.returncode == (1 if end == "raises" else 0)
    assert count_providers(redis)["claude"] == 5
    assert count_providers(redis)["late"] == (1 if end == "records at the very end" else 0)


def test_a_silent_redis_delays_an_exit_by_seconds_and_costs_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        run_script(MAKE + "producer.record('claude', 'm'); os._exit(0)", url, tmp_path, 0)
        assert time.monotonic() - began < 30

    assert len(read_spool(tmp_path / "fuseboard")) == 1


FORK = """
for _ in range(3): producer.record('parent', 'm')
pid = os.fork()
if pid == 0:
    assert producer.counters.recorded == 0
    producer.record('child', 'm')
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
producer.record('parent', 'm')
"""


@pytest.mark.parametrize("linger_seconds", [0, 60])
def test_a_fork_sends_what_each_recorded_and_nothing_twice(
    shared_redis: PrivateRedis, redis: Redis, tmp_path: Path, linger_seconds: float
) -> None:
    run_script(MAKE + FORK, shared_redis.url, tmp_path, linger_seconds)

    assert count_providers(redis) == {"parent": 4, "child": 1}
    workers = {event["worker_id"] for event in read_events(redis, "fuseboard")}
    assert len(workers) == 2


FORK_STORM = """
import threading
stopping = threading.Event()

def hammer():
    while not stopping.is_set():
        producer.record('parent', 'm')
        time.sleep(0.0002)

threads = [threading.Thread(target=hammer) for _ in range(2)]
for thread in threads: thread.start()
children = []
for number in range(60):
    pid = os.fork()
    if pid == 0:
        for _ in range(3): producer.record('child', 'm')
        if number % 3 == 0: producer.close()
        os._exit(0)
    children.append(pid)
    if number % 4 == 3:
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * len(children)
        children = []
stopping.set()
for thread in threads: thread.join()
producer.close()
print(producer.counters.recorded)
"""


@pytest.mark.parametrize("redis_is_up", [True, False])
def test_forks_at_any_moment_neither_hang_nor_lose(
    shared_redis: PrivateRedis, redis: Redis, tmp_path: Path, redis_is_up: bool
) -> None:
    url = shared_redis.url if redis_is_up else "unix:///nonexistent/redis.sock"

    recorded = int(run_script(MAKE + FORK_STORM, url, tmp_path, 0))

    if redis_is_up:
        assert count_providers(redis) == {"parent": recorded, "child": 180}
    spooled = Counter(event["provider"] for event in read_spool(tmp_path / "fuseboard"))
    assert spooled == ({} if redis_is_up else {"parent": recorded, "child": 180})


MULTIPROCESSING = """
import multiprocessing

def work(number):
    producer.record('child', 'm')
    return number

if __name__ == '__main__':
    producer.record('parent', 'm')
    context = multiprocessing.get_context('fork')
    process = context.Process(target=work, args=(0,))
    process.start()
    process.join()
    assert process.exitcode == 0
    with context.Pool(2) as pool:
        assert pool.map(work, range(20)) == list(range(20))
        pool.close()
        pool.join()
"""


def test_children_of_multiprocessing_leave_nothing_behind(
    shared_redis: PrivateRedis, redis: Redis, tmp_path: Path
) -> None:
    run_script(MAKE + MULTIPROCESSING, shared_redis.url, tmp_path, 60)

    assert count_providers(redis) == {"parent": 1, "child": 21}


JOBS = """
import os
from fuseboard_producer import Producer

# made when the work-horse imports this module: after the fork
producer = Producer(os.environ["REDIS_URL"], linger_seconds=60)

def call_model(number):
    with producer.request("claude", "m", request_id=str(number)) as call:
        call.set_usage(prompt_tokens=number)
        if number == 3:
            raise TimeoutError
"""

RUN_JOBS = """
import sys
from redis import Redis
from rq import Queue, Worker
sys.path.insert(0, sys.argv[2])
connection = Redis.from_url(sys.argv[1])
queue = Queue("llm", connection=connection)
for number in range(5):
    queue.enqueue("llm_jobs.call_model", number)
if sys.argv[3] == "made before the fork":
    import llm_jobs
Worker([queue], connection=connection).work(burst=True, logging_level="ERROR")
"""


@pytest.mark.parametrize("producer_is", ["made before the fork", "made in the work-horse"])
def test_jobs_of_a_forking_rq_worker_record_every_call(
    shared_redis: PrivateRedis, redis: Redis, tmp_path: Path, producer_is: str
) -> None:
    (tmp_path / "llm_jobs.py").write_text(JOBS)

    run_script(
        RUN_JOBS,
        shared_redis.url,
        tmp_path,
        producer_is,
        REDIS_URL=shared_redis.url,
        FUSEBOARD_SPOOL_DIR=str(tmp_path / "spool"),
    )

    events = {event["request_id"]: event for event in read_events(redis, "fuseboard")}
    assert {number: event["status"] for number, event in events.items()} == {
        str(number): "timeout" if number == 3 else "success" for number in range(5)
    }
    assert len({event["worker_id"] for event in events.values()}) == 5


RECORD_FOR_EVER = """
number = 0
print("started", flush=True)
while True:
    producer.record('claude', 'm', request_id=str(number), metadata={"pad": "x" * 200})
    number += 1
    time.sleep(0.0001)
"""


def test_what_a_killed_process_had_spooled_is_sent_by_the_next_one(
    shared_redis: PrivateRedis, redis: Redis, tmp_path: Path
) -> None:
    spool = tmp_path / "fuseboard"
    for _ in range(3):
        process = start_script(MAKE + RECORD_FOR_EVER, "unix:///nonexistent/redis.sock", tmp_path, 0.001)
        assert process.stdout is not None
        process.stdout.readline()
        seen = len(list(spool.glob("*.spool")))
        wait_until(lambda seen=seen: len(list(spool.glob("*.spool"))) > seen)  # type: ignore[misc]
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    # killed in the middle of a write, as it may be
    newest = max(spool.glob("*.spool"))
    with newest.open("ab") as half_written:
        half_written.write(b'+ 00000000 7 [{"event_id":"torn')
    waiting = read_spool(spool)

    source = MAKE + (
        "producer.record('next', 'm')\nproducer.flush()\nwhile producer.counters.spool_bytes: time.sleep(0.01)\n"
    )
    run_script(source, shared_redis.url, tmp_path, 0)

    sent = read_events(redis, "fuseboard")
    assert [event for event in sent if event["provider"] == "claude"] == waiting
    assert len(waiting) > 100
    assert list(spool.iterdir()) == []
