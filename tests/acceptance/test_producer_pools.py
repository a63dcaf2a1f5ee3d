"""Producers in workers of multiprocessing that are ended by SIGTERM."""

from pathlib import Path

import pytest
from redis import Redis

from producer_tools import PrivateRedis, read_events, read_spool, run_script

POOLS = """
import multiprocessing, os, signal, sys, threading, time
from fuseboard_producer import Producer
producer = Producer(sys.argv[1], spool_dir=sys.argv[2], linger_seconds=60)

def work(number):
    producer.record('child', 'm')

def work_in_a_thread(number):
    thread = threading.Thread(target=work, args=[number])
    thread.start()
    thread.join()

def keep_own_handler():
    signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'mine ') and os._exit(0))

def end(pid):
    os.kill(pid, signal.SIGTERM)

def record_and_wait(ready):
    producer.record('child', 'm')
    ready.set()
    time.sleep(60)

if __name__ == '__main__':
    context = multiprocessing.get_context(sys.argv[3])
    for task in (work, work_in_a_thread):
        with context.Pool(2) as pool:
            pool.map(task, range(25), chunksize=1)
    with context.Pool(1, maxtasksperchild=3) as pool:
        pool.map(work, range(10), chunksize=1)
    with context.Pool(1, keep_own_handler) as pool:
        pool.map(work, range(5))
    ready = context.Event()
    process = context.Process(target=record_and_wait, args=[ready])
    process.start()
    ready.wait()
    process.terminate()
    process.join()
    print(process.exitcode, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("redis_is_up", [True, False])
def test_workers_of_a_terminated_pool_leave_nothing_behind_and_die_as_they_would(
    shared_redis: PrivateRedis, redis: Redis, tmp_path: Path, method: str, redis_is_up: bool
) -> None:
    (tmp_path / "pools.py").write_text(POOLS)
    url = shared_redis.url if redis_is_up else "unix:///nonexistent/redis.sock"

    # a script that spawned processes can import
    run = "import runpy, sys; runpy.run_path(sys.argv[4], run_name='__main__')"
    printed = run_script(run, url, tmp_path, method, tmp_path / "pools.py")

    assert printed == "mine -15 True\n"
    sent = len(read_events(redis, "fuseboard"))
    assert sent + len(read_spool(tmp_path / "fuseboard")) == 50 + 10 + 5 + 1
    assert sent == (66 if redis_is_up else 0)
