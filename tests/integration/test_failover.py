"""PostgreSQL that is there and takes no writes: a standby before its promotion, a server that is read-only."""

import logging
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from api_tools import expect_problem, make_api_token, open_client
from consumers import is_drained, make_settings, running_drain, shorten_waits
from events import add_entry, make_event
from fuseboard_aggregator.jobs import run_job
from fuseboard_api import resources
from fuseboard_schema import database
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from fuseboard_schema.database import connect_database
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.settings import Settings
from private_servers import PrivateServers
from sweepers import sweeping
from waiting import wait_until

NAMESPACE = "failover"


@pytest.fixture
def settings(private_servers: PrivateServers, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(private_servers.database_url, private_servers.redis_url, NAMESPACE)


def make_standby(servers: PrivateServers) -> None:
    """Start the server again as a hot standby."""
    servers.postgres.stop()
    data = servers.postgres._server.plan.command
    folder = data[data.index("-D") + 1]
    with open(f"{folder}/standby.signal", "wb"):  # noqa: PTH123 - of another user
        pass
    servers.postgres.start()


def promote(servers: PrivateServers) -> None:
    with connect_database(servers.database_url, application_name="tests") as admin:
        assert admin.execute("SELECT pg_promote()").fetchone() == (True,)


def set_read_only(servers: PrivateServers, value: str) -> None:
    with connect_database(servers.database_url, application_name="tests") as admin:
        admin.execute("SET default_transaction_read_only TO off")
        admin.execute(f"ALTER SYSTEM SET default_transaction_read_only TO {value}".encode())
        admin.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    ("refuse", "take"),
    [
        pytest.param(make_standby, promote, id="standby"),
        pytest.param(lambda servers: set_read_only(servers, "on"), lambda servers: set_read_only(servers, "off"),
                     id="read-only"),
    ],
)  # fmt: skip
def test_a_server_that_takes_no_writes_is_waited_for(
    private_servers: PrivateServers, settings: Settings, caplog: pytest.LogCaptureFixture,
    refuse: Callable[[PrivateServers], None], take: Callable[[PrivateServers], None],
) -> None:  # fmt: skip
    def logged(text: str) -> bool:
        return any(message.startswith(text) for message in caplog.messages)

    with connect_database(private_servers.database_url, application_name="tests") as admin:
        token = make_api_token(admin, "admin")
    with (
        caplog.at_level(logging.INFO),
        connect_redis(private_servers.redis_url) as redis,
        open_client(settings, token) as api,
        running_drain(redis, settings),
        sweeping(private_servers.database_url, private_servers.redis_url, NAMESPACE, every_seconds=0.2),
    ):
        add_entry(redis, NAMESPACE, [make_event(provider="claude")])
        wait_until(lambda: is_drained(redis, NAMESPACE) and logged("sweeper_started"))
        assert api.get("/readyz").status_code == 200
        refuse(private_servers)
        add_entry(redis, NAMESPACE, [make_event(provider="claude")])
        wait_until(lambda: logged("database_unavailable"))
        order = {"reason": "a test"}
        wait_until(lambda: api.post("/api/llm/circuits/claude/force-open", json=order).status_code == 503)
        expect_problem(api.post("/api/llm/circuits/claude/force-open", json=order), 503)
        # it can be read from all the same
        wait_until(lambda: api.get("/api/llm/providers").status_code == 200)
        # what the scheduler tries again soon, in one line
        with pytest.raises(database.DATABASE_DOWN):
            run_job("fold", settings)
        take(private_servers)
        wait_until(lambda: is_drained(redis, NAMESPACE))
        wait_until(lambda: api.post("/api/llm/circuits/claude/force-open", json=order).status_code == 200)
        run_job("fold", settings)
        redis.delete(name_snapshot(NAMESPACE))
        wait_until(lambda: redis.hexists(name_snapshot(NAMESPACE), HEARTBEAT_FIELD))

    with connect_database(private_servers.database_url, application_name="tests") as admin:
        assert admin.execute("SELECT count(*) FROM llm_requests").fetchone() == (2,)
        assert admin.execute("SELECT sum(total_requests) FROM llm_provider_health").fetchone() == (2,)
    assert "Traceback" not in caplog.text


def test_a_pool_whose_connections_fell_silent_makes_new_ones_at_once(settings: Settings) -> None:
    with resources.make_pool(settings) as pool, ExitStack() as stack:
        with ExitStack() as taken:
            pids = [taken.enter_context(pool.connection()).info.backend_pid for _ in range(5)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            stack.callback(os.kill, pid, signal.SIGCONT)

        answered = 0
        for _ in range(3):
            with suppress(PoolTimeout), pool.connection() as connection:
                connection.execute("SELECT 1")
                answered += 1

    # one caller may have found out
    assert answered >= 2


def test_a_pools_connection_to_a_read_only_server_is_kept_for_a_while_only(
    private_servers: PrivateServers, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_read_only(private_servers, "on")
    with database.connect_database(settings.database_url or "", application_name="tests") as session:
        resources.check_connection(session)
        monkeypatch.setattr(database, "READ_ONLY_SECONDS", 0.0)

        with pytest.raises(psycopg.OperationalError, match="read-only"):
            resources.check_connection(session)
