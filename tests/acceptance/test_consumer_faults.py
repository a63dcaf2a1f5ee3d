import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from redis import Redis

from consumers import ConsumerProcess, consumers, count_pending, is_drained
from events import add_entry, make_event
from fuseboard_schema.database import connect_database
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.stream import CONSUMER_GROUP
from private_servers import PrivateServers
from waiting import wait_until

NAMESPACE = "faults"
# a stopped drain is back within this, whatever died
BACK_WITHIN_SECONDS = 5.0


@pytest.fixture
def redis(private_servers: PrivateServers) -> Iterator[Redis]:
    with connect_redis(private_servers.redis_url, retries=10) as client:
        yield client


@pytest.fixture
def consumer(private_servers: PrivateServers, tmp_path: Path) -> Iterator[ConsumerProcess]:
    with consumers(1, tmp_path, private_servers.database_url, private_servers.redis_url, NAMESPACE) as started:
        wait_until(lambda: started[0].logged("consumer_started"))
        yield started[0]


def count_requests(database_url: str) -> int:
    with connect_database(database_url, application_name="tests") as connection:
        row = connection.execute(
            "SELECT count(*), (SELECT sum(requests) FROM llm_usage_deltas) FROM llm_requests"
        ).fetchone()
    assert row is not None
    assert row[0] == (row[1] or 0)
    return int(row[0])


def add_and_wait(redis: Redis, database_url: str, count: int = 10) -> None:
    """Add events and wait until they are stored, on top of what is there."""
    before = count_requests(database_url)
    add_entry(redis, NAMESPACE, [make_event() for _ in range(count)])
    wait_until(lambda: count_requests(database_url) == before + count)


def count_failed_jobs(redis: Redis) -> int:
    return int(redis.zcard(f"rq:failed:{NAMESPACE}-drain"))


def test_sigterm_ends_an_idle_consumer_with_nothing_left(
    private_servers: PrivateServers, redis: Redis, consumer: ConsumerProcess
) -> None:
    add_and_wait(redis, private_servers.database_url)

    started = time.monotonic()
    assert consumer.stop() == 0

    assert time.monotonic() - started < BACK_WITHIN_SECONDS
    assert consumer.logged("consumer_stopped")
    assert count_pending(redis, NAMESPACE) == 0
    assert [key for key in redis.keys("rq:job:*") if b":dependents" not in key] == []


def test_sigterm_under_load_finishes_the_batch_in_hand_and_leaves_the_rest_unread(
    private_servers: PrivateServers, redis: Redis, consumer: ConsumerProcess
) -> None:
    for _ in range(120):
        add_entry(redis, NAMESPACE, [make_event() for _ in range(250)])
    wait_until(lambda: count_requests(private_servers.database_url) > 0)

    assert consumer.stop() == 0

    stored = count_requests(private_servers.database_url)
    assert stored > 0
    assert count_pending(redis, NAMESPACE) <= 40
    assert stored + 250 * redis.xlen(f"{NAMESPACE}:events") >= 120 * 250


def test_a_killed_consumers_entries_are_stored_once_by_another(
    private_servers: PrivateServers, redis: Redis, tmp_path: Path
) -> None:
    entries, per_entry = 100, 200
    with consumers(2, tmp_path, private_servers.database_url, private_servers.redis_url, NAMESPACE) as (first, _):
        for _ in range(entries):
            add_entry(redis, NAMESPACE, [make_event() for _ in range(per_entry)])
        wait_until(lambda: count_requests(private_servers.database_url) > 0)
        first.process.send_signal(signal.SIGKILL)

        wait_until(lambda: count_requests(private_servers.database_url) == entries * per_entry)
        wait_until(lambda: is_drained(redis, NAMESPACE))
    assert count_pending(redis, NAMESPACE) == 0


def test_postgresql_going_away_keeps_the_entries_and_burns_no_job(
    private_servers: PrivateServers, redis: Redis, consumer: ConsumerProcess
) -> None:
    add_and_wait(redis, private_servers.database_url)
    private_servers.postgres.kill9()
    add_entry(redis, NAMESPACE, [make_event() for _ in range(10)])
    wait_until(lambda: consumer.logged("database_unavailable"))
    assert consumer.process.poll() is None

    private_servers.postgres.start()

    wait_until(lambda: count_requests(private_servers.database_url) == 20, timeout_seconds=BACK_WITHIN_SECONDS + 10)
    wait_until(lambda: is_drained(redis, NAMESPACE))
    assert count_failed_jobs(redis) == 0


@pytest.mark.parametrize("how", ["killed", "stopped", "emptied"])
def test_redis_going_away_stops_the_drain_for_no_longer_than_it_is_away(
    private_servers: PrivateServers, redis: Redis, consumer: ConsumerProcess, how: str
) -> None:
    add_and_wait(redis, private_servers.database_url)
    if how == "emptied":
        redis.flushall()
    else:
        (private_servers.valkey.kill9 if how == "killed" else private_servers.valkey.stop)()
        wait_until(lambda: consumer.logged("redis_unavailable"))
        private_servers.valkey.start()

    add_and_wait(redis, private_servers.database_url)

    assert consumer.process.poll() is None
    assert "Traceback" not in consumer.log.read_text()


def test_a_database_that_hangs_does_not_hold_up_a_stop(
    private_servers: PrivateServers, redis: Redis, consumer: ConsumerProcess
) -> None:
    add_and_wait(redis, private_servers.database_url)
    with connect_database(private_servers.database_url, application_name="tests") as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE llm_usage_deltas")
        add_entry(redis, NAMESPACE, [make_event()])
        wait_until(lambda: is_waiting_for_a_lock(blocker))

        started = time.monotonic()
        assert consumer.stop() == 0

        assert time.monotonic() - started < BACK_WITHIN_SECONDS + 1
    assert count_pending(redis, NAMESPACE) == 1


def is_waiting_for_a_lock(connection: Connection[TupleRow]) -> bool:
    return connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (0,)


def test_an_idle_consumer_asks_redis_next_to_nothing(
    private_servers: PrivateServers, redis: Redis, consumer: ConsumerProcess
) -> None:
    add_and_wait(redis, private_servers.database_url)
    before = count_commands(redis)
    time.sleep(4)

    assert consumer.process.poll() is None
    # a read and a claim a second; a worker that polled in a loop would send thousands
    assert count_commands(redis) - before < 100


def count_commands(redis: Redis) -> int:
    return int(redis.info("stats")["total_commands_processed"])


def test_a_batch_that_fails_is_logged_and_stored_by_a_later_try(
    private_servers: PrivateServers, redis: Redis, consumer: ConsumerProcess
) -> None:
    add_and_wait(redis, private_servers.database_url)
    stored = count_requests(private_servers.database_url)
    with connect_database(private_servers.database_url, application_name="tests") as connection:
        before = connection.execute("SELECT rolling_minutes::text FROM llm_provider_health LIMIT 1").fetchone()
        connection.execute("UPDATE llm_provider_health SET rolling_minutes = '7'")
        add_entry(redis, NAMESPACE, [make_event()])
        wait_until(lambda: consumer.logged("drain_failed"))
        connection.execute("UPDATE llm_provider_health SET rolling_minutes = %s", before)

    wait_until(lambda: count_requests(private_servers.database_url) == stored + 1)
    assert consumer.process.poll() is None


def test_a_table_that_is_not_there_is_waited_for(
    private_servers: PrivateServers, redis: Redis, consumer: ConsumerProcess
) -> None:
    with connect_database(private_servers.database_url, application_name="tests") as connection:
        connection.execute("ALTER TABLE llm_provider_health RENAME TO elsewhere")
        add_entry(redis, NAMESPACE, [make_event()])
        wait_until(lambda: consumer.logged("database_unavailable"))
        connection.execute("ALTER TABLE elsewhere RENAME TO llm_provider_health")

    wait_until(lambda: count_requests(private_servers.database_url) == 1)
    assert not consumer.logged("Traceback")


def test_a_consumer_waits_for_the_migrations_and_says_so(private_servers: PrivateServers, tmp_path: Path) -> None:
    with connect_database(private_servers.database_url, application_name="tests") as connection:
        connection.execute("ALTER TABLE fuseboard_migrations RENAME TO elsewhere")
        with consumers(1, tmp_path, private_servers.database_url, private_servers.redis_url, NAMESPACE) as (waiting,):
            wait_until(lambda: waiting.logged("migrations_pending"))
            assert waiting.logged("fuseboard migrate")
            connection.execute("ALTER TABLE elsewhere RENAME TO fuseboard_migrations")
            with connect_redis(private_servers.redis_url) as redis:
                add_and_wait(redis, private_servers.database_url)


def test_a_batch_that_takes_long_is_left_to_the_living_and_taken_from_the_frozen(
    private_servers: PrivateServers, redis: Redis, tmp_path: Path
) -> None:
    urls = private_servers.database_url, private_servers.redis_url
    with (
        consumers(2, tmp_path, *urls, NAMESPACE, FUSEBOARD_CLAIM_IDLE_SECONDS="0.5") as both,
        connect_database(private_servers.database_url, application_name="tests") as blocker,
    ):
        add_and_wait(redis, private_servers.database_url)
        with blocker.transaction():
            blocker.execute("LOCK TABLE llm_usage_deltas")
            add_entry(redis, NAMESPACE, [make_event()])
            wait_until(lambda: is_waiting_for_a_lock(blocker))
            time.sleep(2)
            assert not any(consumer.logged("entries_claimed") for consumer in both)

            (pending,) = redis.xpending_range(f"{NAMESPACE}:events", CONSUMER_GROUP, "-", "+", 10)
            (holder,) = (each for each in both if f"-{each.process.pid}-" in str(pending["consumer"]))
            (other,) = (each for each in both if each is not holder)
            holder.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: other.logged("entries_claimed"))
        wait_until(lambda: is_drained(redis, NAMESPACE))
        holder.process.send_signal(signal.SIGCONT)
        add_and_wait(redis, private_servers.database_url)
        wait_until(lambda: count_pending(redis, NAMESPACE) == 0)
        assert count_requests(private_servers.database_url) == 21
        assert all(consumer.process.poll() is None for consumer in both)


def test_a_consumer_that_does_not_reach_postgresql_leaves_its_batch_to_one_that_does(
    private_servers: PrivateServers, redis: Redis, tmp_path: Path
) -> None:
    with connect_database(private_servers.database_url, application_name="tests") as admin:
        admin.execute("CREATE ROLE cut_off LOGIN SUPERUSER")
        cut_off = make_conninfo(private_servers.database_url, user="cut_off")
        with consumers(1, tmp_path, cut_off, private_servers.redis_url, NAMESPACE) as (alone,):
            add_and_wait(redis, private_servers.database_url)
            admin.execute("ALTER ROLE cut_off NOLOGIN")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cut_off'")
            add_entry(redis, NAMESPACE, [make_event()])
            wait_until(lambda: alone.logged("batch_left_in_stream"))
            folder = tmp_path / "other"
            folder.mkdir()
            with consumers(1, folder, private_servers.database_url, private_servers.redis_url, NAMESPACE):
                wait_until(lambda: is_drained(redis, NAMESPACE))
            assert count_requests(private_servers.database_url) == 11
            assert alone.process.poll() is None
