"""Producers and routers in programs that gevent patches, early or late, and under gunicorn."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from redis import Redis

from producer_tools import PrivateRedis, read_events, read_spool, run_script
from waiting import wait_until

PATCHED = """
import os, sys, time, warnings
# that it is late is what is tried
warnings.simplefilter("ignore")

def patch_at(moment):
    if sys.argv[3] == moment:
        import gevent.monkey
        gevent.monkey.patch_all()

patch_at("before the import")
from fuseboard_producer import Producer, Router
patch_at("after the import")
producer = Producer(sys.argv[1], spool_dir=sys.argv[2])
router = Router(producer, providers=["ollama"])
patch_at("after both were made")
producer.record("early", "m")
router.choose()
if sys.argv[3] == "while both are busy":
    time.sleep(0.3)
patch_at("while both are busy")
import gevent

turns = []
def count_turns():
    while True:
        turns.append(None)
        gevent.sleep(0.001)
counting = gevent.spawn(count_turns)

def work(number):
    producer.record("greenlet", "m")
    router.call(None, {"ollama": lambda attempt: gevent.sleep(0.001)})
    return router.may_call("ollama")

jobs = [gevent.spawn(work, number) for number in range(200)]
gevent.joinall(jobs, raise_error=True)
assert all(job.value for job in jobs)

pid = os.fork()
if pid == 0:
    gevent.spawn(producer.record, "child", "m").join()
    router.call(None, {"ollama": lambda attempt: None})
    os._exit(0)
while os.waitpid(pid, os.WNOHANG)[0] == 0:
    gevent.sleep(0.01)

before, began = len(turns), time.monotonic()
producer.flush(0.5 if sys.argv[4] == "silent" else 30)
# whoever waits holds up no other greenlet
assert time.monotonic() - began < 0.1 or len(turns) > before
producer.close()
router.close()
producer.record("late", "m")
print(producer.counters.dropped)
"""
MOMENTS = ["before the import", "after the import", "after both were made", "while both are busy"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_program_patched_at_any_moment_goes_on_and_loses_nothing(
    shared_redis: PrivateRedis, redis: Redis, tmp_path: Path, moment: str
) -> None:
    printed = run_script(PATCHED, shared_redis.url, tmp_path, moment, "there")

    assert printed == "1\n"
    providers = Counter(event["provider"] for event in read_events(redis, "fuseboard"))
    assert providers == {"early": 1, "greenlet": 200, "ollama": 201, "child": 1}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_silent_redis_holds_up_no_greenlet(tmp_path: Path, moment: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        printed = run_script(PATCHED, f"redis://127.0.0.1:{silent.getsockname()[1]}", tmp_path, moment, "silent")

    assert printed == "1\n"
    spooled = Counter(event["provider"] for event in read_spool(tmp_path / "fuseboard"))
    assert spooled == {"early": 1, "greenlet": 200, "ollama": 201, "child": 1}


APPLICATION = """
import os
from fuseboard_producer import Producer, Router

producer = Producer()
router = Router(producer, providers=["ollama"])
# in the process that preloads
producer.record("import", "m")
router.choose()

def app(environment, start_response):
    producer.record("request", "m")
    router.call(None, {"ollama": lambda attempt: None})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_preloaded_workers_of_gunicorn_answer_and_their_events_arrive(
    shared_redis: PrivateRedis, redis: Redis, tmp_path: Path, worker_class: str
) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "--workers=2", f"--worker-class={worker_class}",
         "--bind=127.0.0.1:0", "--graceful-timeout=10", "application:app"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"REDIS_URL": shared_redis.url, "FUSEBOARD_SPOOL_DIR": str(tmp_path / "spool")},
    )  # fmt: skip
    try:
        assert server.stderr is not None
        line = next(line for line in server.stderr if "Listening at" in line)
        url = line.split("Listening at: ")[1].split()[0]
        answered = [urllib.request.urlopen(url, timeout=30).read() for _ in range(60)]  # noqa: S310 - this machine's
    finally:
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=60)

    assert len(answered) == 60, errors
    wait_until(lambda: len(read_events(redis, "fuseboard")) >= 121)
    providers = Counter(event["provider"] for event in read_events(redis, "fuseboard"))
    assert providers == {"import": 1, "request": 60, "ollama": 60}
