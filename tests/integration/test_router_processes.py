"""Routers in real processes that fork and end."""

from collections import Counter
from pathlib import Path

import pytest
from redis import Redis

from producer_tools import read_events, run_script
from router_tools import publish

HALF_OPEN = {"st": "open", "ep": 2, "til_in": -1, "c": {"priority": 1, "half_open_max_probes": 3}}
OPEN = {"r": 2, "st": "open", "ep": 2, "til_in": 600, "c": {"priority": 1}}

MAKE = """
import os, sys, threading, time
from fuseboard_producer import Producer, Router
from fuseboard_schema.redis_client import connect_redis
from router_tools import publish
producer = Producer(sys.argv[1], namespace=sys.argv[2], spool_dir=sys.argv[3])
router = Router(producer, providers=["ollama", "claude"], poll_seconds=0.05)

def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
"""

FORK = """
if sys.argv[4] == "after its use":
    assert router.wait_until_ready(30)
    router.choose()
pid = os.fork()
if pid == 0:
    assert router.counters.polls == 0 or sys.argv[4] == "before its use"
    router.choose()
    wait_until(lambda: router.counters.polls > 2)
    publish(connect_redis(sys.argv[1]), sys.argv[2], ollama={"r": 9, "st": "open", "ep": 4, "til_in": 600})
    wait_until(lambda: not router.may_call("ollama"))
    assert router.call(None, dict.fromkeys(("ollama", "claude"), lambda attempt: attempt.provider)) == "claude"
    if sys.argv[5] == "closed":
        router.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert router.wait_until_ready(30)
wait_until(lambda: not router.may_call("ollama"))
"""


FIRST = """
import asyncio, os, sys
from fuseboard_producer import Producer, Router
producer = Producer(sys.argv[1], namespace=sys.argv[2], spool_dir=sys.argv[3])
# longer than by default, which a loaded machine may need
router = Router(producer, providers=["ollama", "claude"], first_snapshot_wait_seconds=30)
if sys.argv[4] == "a fork":
    child = os.fork()
    if child:
        raise SystemExit(os.waitpid(child, 0)[1])
    assert router.choose().provider == "claude"
elif sys.argv[4] == "may_call":
    assert not router.may_call("ollama")
elif sys.argv[4] == "call":
    assert router.call(None, dict.fromkeys(("ollama", "claude"), lambda attempt: attempt.provider)) == "claude"
else:
    async def answer(attempt):
        return attempt.provider

    async def main():
        assert await router.acall(None, {"ollama": answer, "claude": answer}) == "claude"

    asyncio.run(main())
"""


@pytest.mark.parametrize("first", ["a fork", "may_call", "call", "acall"])
def test_the_first_choice_of_a_process_obeys_what_the_fleet_knows(
    redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path, first: str
) -> None:
    publish(redis_client, namespace, ollama={"st": "open", "ep": 2, "til_in": 600}, claude={"c": {"priority": 2}})

    run_router_script(FIRST, redis_url, namespace, tmp_path, first)


@pytest.mark.parametrize("end", ["closed", "left open"])
@pytest.mark.parametrize("when", ["before its use", "after its use"])
def test_a_forked_child_reads_the_circuits_for_itself(
    redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path, when: str, end: str
) -> None:
    publish(redis_client, namespace, ollama={"c": {"priority": 1}}, claude={"c": {"priority": 2}})

    run_router_script(MAKE + FORK, redis_url, namespace, tmp_path, when, end)

    assert [event["provider"] for event in read_events(redis_client, namespace)] == ["claude"]


FORK_STORM = """
assert router.wait_until_ready(30)
stopping = threading.Event()

def hammer():
    while not stopping.is_set():
        candidate = router.choose()
        if candidate.lease_id: held.append(candidate.lease_id)

held = []
threads = [threading.Thread(target=hammer) for _ in range(3)]
for thread in threads: thread.start()
children = []
for number in range(40):
    pid = os.fork()
    if pid == 0:
        answer = lambda attempt: attempt.provider
        for _ in range(3): router.call(None, {"ollama": answer, "claude": answer})
        wait_until(lambda: router.counters.polls)
        if number % 2: router.close()
        os._exit(0)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * len(children)
stopping.set()
for thread in threads: thread.join()
producer.close()
print(len(held))
"""


def test_forks_in_the_midst_of_threads_that_ask_for_leases_leave_no_child_stuck(
    redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path
) -> None:
    publish(redis_client, namespace, ollama=HALF_OPEN, claude={"c": {"priority": 2}})

    held = int(run_router_script(MAKE + FORK_STORM, redis_url, namespace, tmp_path))

    events = read_events(redis_client, namespace)
    admissions = Counter(event["admission"] for event in events)
    assert len(events) == 120
    # over the parent and all children together
    assert held + admissions["probe"] == 3


ENDS = {
    "falls off its end": "",
    "exits": "sys.exit(0)",
    "leaves by os._exit": "os._exit(0)",
    "closes itself": "router.close()",
    "closes at the very end": "import atexit; atexit.register(router.close)",
    "asks at the very end": "import atexit; atexit.register(router.choose)",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_with_a_router_ends_by_itself(
    redis_url: str, redis_client: Redis, namespace: str, tmp_path: Path, end: str
) -> None:
    publish(redis_client, namespace, ollama={}, claude={})

    run_router_script(MAKE + "assert router.wait_until_ready(30)\n" + ENDS[end], redis_url, namespace, tmp_path)


def run_router_script(source: str, *arguments: object) -> str:
    """Run a program that may import what tests do."""
    return run_script(source, *arguments, PYTHONPATH=str(Path(__file__).parents[1]))
