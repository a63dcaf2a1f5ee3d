"""Sweepers while servers are down, hang or come back."""

import logging
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from consumers import consumers, count_pending
from events import add_entry, make_event
from fuseboard_consumer.sweeper import Sweeper
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from fuseboard_schema.database import connect_database
from fuseboard_schema.redis_client import connect_redis
from private_servers import PrivateServers
from sweepers import sweeping
from waiting import wait_until

NAMESPACE = "sweep"


def has_heartbeat(redis: Redis) -> bool:
    return bool(redis.hexists(name_snapshot(NAMESPACE), HEARTBEAT_FIELD))


def test_outages_are_told_once_and_sweeps_go_on_afterwards(
    private_servers: PrivateServers, caplog: pytest.LogCaptureFixture
) -> None:
    def count_logged(event: str) -> int:
        return sum(message.startswith(event) for message in caplog.messages)

    with (
        caplog.at_level(logging.INFO, logger=Sweeper.__module__),
        connect_redis(private_servers.redis_url) as redis,
        sweeping(private_servers.database_url, private_servers.redis_url, NAMESPACE, every_seconds=0.1),
    ):
        for server in (private_servers.postgres, private_servers.valkey):
            wait_until(lambda: has_heartbeat(redis))
            redis.delete(name_snapshot(NAMESPACE))
            server.kill9()
            wait_until(lambda: count_logged("sweep_failed") > count_logged("sweep_resumed"))
            server.start()
            wait_until(lambda: count_logged("sweep_failed") == count_logged("sweep_resumed"))
        wait_until(lambda: has_heartbeat(redis))

    assert count_logged("sweep_failed") == 2


def find_processes(servers: PrivateServers, which: str) -> list[int]:
    """Find the server's processes that a consumer talks to, or would."""
    server = getattr(servers, which)._server
    if which == "valkey":
        return [server.pid]
    with connect_database(servers.database_url, application_name="tests") as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'fuseboard %'"
        return [server.pid, *(row[0] for row in connection.execute(query))]


@pytest.mark.parametrize("which", ["postgres", "valkey"])
def test_a_server_that_hangs_does_not_keep_a_consumer_alive(
    private_servers: PrivateServers, tmp_path: Path, which: str
) -> None:
    urls = (private_servers.database_url, private_servers.redis_url)
    with connect_redis(private_servers.redis_url) as redis, consumers(1, tmp_path, *urls, NAMESPACE) as (consumer,):
        wait_until(lambda: has_heartbeat(redis))
        with ExitStack() as stack:
            for pid in find_processes(private_servers, which):
                os.kill(pid, signal.SIGSTOP)
                stack.callback(os.kill, pid, signal.SIGCONT)
            if which == "postgres":
                # the drain waits for its answer
                add_entry(redis, NAMESPACE, [make_event()])
                wait_until(lambda: count_pending(redis, NAMESPACE) == 1)

            assert consumer.stop(timeout_seconds=30) == 0
