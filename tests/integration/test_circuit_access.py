"""The rights that a worker with a router needs on a shared server."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from fuseboard_producer import Producer, Router
from fuseboard_producer.circuit_scripts import acquire_probe, hint_throttle, release_lease
from fuseboard_schema.circuit_keys import name_changes, name_hints, name_leases, name_snapshot
from fuseboard_schema.redis_client import connect_redis
from producer_tools import PrivateRedis, run_private_redis
from projections import PROVIDER, publish
from waiting import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "redis-acl.md"
NAMESPACE = "fuseboard"


@pytest.fixture(scope="module")
def private_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with run_private_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def admin(private_redis: PrivateRedis) -> Iterator[Redis]:
    with connect_redis(private_redis.url) as redis:
        yield redis
        redis.flushall()


def run_command(redis: Redis, *words: str) -> object:
    return redis.execute_command(*words)  # type: ignore[no-untyped-call]


@pytest.fixture
def router_url(private_redis: PrivateRedis, admin: Redis) -> str:
    """Create the documented user; its URL."""
    password = secrets.token_hex(16)
    (rule,) = re.findall(r"^ACL SETUSER (fuseboard-router .+)$", PAGE.read_text(), re.MULTILINE)
    run_command(admin, "ACL", "SETUSER", *rule.replace("PASSWORD", password).split())
    parts = urlsplit(private_redis.url)
    return parts._replace(netloc=f"fuseboard-router:{password}@").geturl()


def test_the_documented_user_can_route_by_published_circuits(router_url: str, admin: Redis, tmp_path: Path) -> None:
    publish(admin, NAMESPACE)
    with Producer(router_url, spool_dir=tmp_path) as producer, Router(producer, poll_seconds=0.05) as router:
        assert router.wait_until_ready(10)
        assert router.may_call(PROVIDER)

        publish(admin, NAMESPACE, revision=2, version=2, epoch=2, override="forced_open")
        wait_until(lambda: not router.may_call(PROVIDER))
        wait_until(lambda: admin.pubsub_numsub(name_changes(NAMESPACE))[0][1] == 1)
        producer.record(PROVIDER, "m")
        assert producer.flush()

    assert router.counters.poll_errors == 0
    assert producer.counters.sent == 1


def test_the_documented_user_can_take_leases_and_note_throttles(router_url: str, admin: Redis) -> None:
    publish(admin, NAMESPACE, revision=2, version=1, epoch=2, state="open")
    with connect_redis(router_url) as redis:
        assert acquire_probe(redis, NAMESPACE, PROVIDER, "mine").admission == "probe"
        release_lease(redis, NAMESPACE, PROVIDER, 2, "mine")
        assert hint_throttle(redis, NAMESPACE, PROVIDER, 30.0)
        assert acquire_probe(redis, NAMESPACE, PROVIDER, "mine").reason == "throttled"

    assert admin.zcard(name_leases(NAMESPACE, PROVIDER)) == 0
    assert admin.hexists(name_hints(NAMESPACE), PROVIDER)


@pytest.mark.parametrize(
    "command",
    [
        ["HSET", name_snapshot(NAMESPACE), PROVIDER, "{}"],
        ["HDEL", name_snapshot(NAMESPACE), PROVIDER],
        ["EVAL", "return redis.call('HSET', ARGV[1], 'ollama', '{}')", "0", name_snapshot(NAMESPACE)],
        ["EVAL", "return redis.call('DEL', ARGV[1])", "0", name_hints(NAMESPACE)],
        ["PUBLISH", name_changes(NAMESPACE), PROVIDER],
        ["SUBSCRIBE", "another"],
        ["HGETALL", "llmcb:{another}:snap"],
        ["ZADD", "llmcb:{another}:lease:ollama", "1", "lease"],
        ["XRANGE", "fuseboard:events", "-", "+"],
        ["FLUSHALL"],
        ["KEYS", "*"],
        ["SCRIPT", "FLUSH"],
        ["CONFIG", "GET", "*"],
    ],
)
def test_the_documented_user_can_neither_write_circuits_nor_see_others(router_url: str, command: list[str]) -> None:
    with connect_redis(router_url) as redis, pytest.raises(Exception, match=r"(?i)permission|NOPERM|ACL") as refusal:
        run_command(redis, *command)

    assert isinstance(refusal.value, NoPermissionError) or "EVAL" in command
