"""Ways to make a real server answer and refuse, each as it comes about in life."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from waiting import wait_until

BUSY_SCRIPT: Final = "local n = 0 while n < ARGV[1] + 0 do n = n + 1 end return n"


@contextmanager
def full(redis: Redis) -> Iterator[None]:
    """Let memory be at its limit."""
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


@contextmanager
def demoted(redis: Redis) -> Iterator[None]:
    """Make it a replica, of nobody who answers."""
    redis.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        redis.replicaof("NO", "ONE")


@contextmanager
def stale(redis: Redis) -> Iterator[None]:
    """Make it a replica that does not answer from data that may be old."""
    redis.config_set("replica-serve-stale-data", "no")
    redis.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        redis.replicaof("NO", "ONE")
        redis.config_set("replica-serve-stale-data", "yes")


@contextmanager
def alone(redis: Redis) -> Iterator[None]:
    """Ask for a replica that there is not."""
    redis.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        redis.config_set("min-replicas-to-write", 0)


@contextmanager
def unsaved(redis: Redis) -> Iterator[None]:
    """Let it fail to save: something else has the place of its file."""
    place = Path(str(redis.config_get("dir")["dir"])) / "dump.rdb"
    place.mkdir()
    redis.config_set("save", "3600 1")
    redis.bgsave()
    wait_until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
    try:
        yield
    finally:
        place.rmdir()
        redis.config_set("save", "")
        redis.bgsave()
        wait_until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "ok")


@contextmanager
def busy(redis: Redis) -> Iterator[None]:
    """Let a script run and run."""
    redis.config_set("busy-reply-threshold", 10)

    def run() -> None:
        with suppress(RedisError):
            redis.eval(BUSY_SCRIPT, 0, 1e12)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: is_refusing(lambda: redis.get("anything")))
    try:
        yield
    finally:
        redis.script_kill()
        thread.join()


def is_refusing(ask: Callable[[], object]) -> bool:
    """Say whether the server refuses."""
    try:
        ask()
    except RedisError:
        return True
    time.sleep(0.01)
    return False


REFUSALS: Final[Mapping[str, Callable[[Redis], AbstractContextManager[None]]]] = {
    "OOM": full,
    "READONLY": demoted,
    "MASTERDOWN": stale,
    "NOREPLICAS": alone,
    "MISCONF": unsaved,
    "BUSY": busy,
}
