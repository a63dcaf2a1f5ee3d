from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from fuseboard_schema.lua import run_lua
from fuseboard_schema.redis_client import REDIS_DOWN, RedisRefusedError, connect_redis
from producer_tools import PrivateRedis, run_private_redis
from redis_refusals import REFUSALS

WRITE = "return redis.call('SET', KEYS[1], 1)"


@pytest.fixture(scope="module")
def private_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with run_private_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def admin(private_redis: PrivateRedis) -> Iterator[Redis]:
    # not a client of ours: it must get through while those are refused
    with Redis.from_url(private_redis.url) as redis:
        yield redis


@pytest.mark.parametrize("code", REFUSALS)
def test_what_redis_refuses_for_a_while_is_told_from_what_is_wrong(
    private_redis: PrivateRedis, admin: Redis, code: str
) -> None:
    # a stale replica refuses writes as any replica does
    words = r"\b(MASTERDOWN|READONLY)\b" if code == "MASTERDOWN" else rf"\b{code}\b"
    with connect_redis(private_redis.url) as redis:
        redis.set("text", "a")
        with REFUSALS[code](admin):
            with pytest.raises(RedisRefusedError, match=words):
                redis.set("a", 1)
            with pytest.raises(RedisRefusedError, match=words):
                run_lua(redis, WRITE, ["a"], [])
            for is_transaction in (True, False):
                with redis.pipeline(transaction=is_transaction) as pipeline, pytest.raises(REDIS_DOWN, match=words):
                    pipeline.set("a", 1).get("a").execute()
        # over the same client, and no reply is taken for another one's
        assert redis.set("a", 2)
        assert redis.get("a") == b"2"
        with pytest.raises(ResponseError) as wrong:
            redis.lpush("text", 1)
        assert not isinstance(wrong.value, REDIS_DOWN)


def test_after_a_refusal_of_a_replica_the_next_command_goes_over_a_new_connection(
    private_redis: PrivateRedis, admin: Redis
) -> None:
    with connect_redis(private_redis.url) as redis:
        before = redis.client_id()
        assert redis.client_id() == before
        with REFUSALS["READONLY"](admin):
            with redis.pipeline(transaction=False) as pipeline:
                replies = pipeline.set("a", 1).client_id().execute(raise_on_error=False)
            assert isinstance(replies[0], RedisRefusedError)
            assert replies[1] == before
            assert redis.client_id() != before
