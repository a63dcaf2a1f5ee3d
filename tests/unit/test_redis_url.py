import pytest

from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.redis_url import RedisUrlError, parse_redis_url

PASSWORD = "SEC12345"  # noqa: S105 - of no server


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}#x@h:6379/0",
        f"redis://:{PASSWORD}/x@h:6379/0",
        "redis://:12345/x@h:6379/0",
        f"redis://:{PASSWORD}?x@h:6379/0",
        "redis://:12345?x@h:6379/0",
        "redis://:12345?x=@h:6379/0",
        f"redis://:x[{PASSWORD}@h:6379/0",
        f"redis://:{PASSWORD}@h:port/0",
        f"redis://:{PASSWORD}@h:66379/0",
        f"redis://:{PASSWORD}@h/zero",
        f":{PASSWORD}@h:6379",
        f"h:6379#{PASSWORD}",
        f"https://:{PASSWORD}@h:6379",
        f"redis+sentinel://:{PASSWORD}@h:6379",
        f"redis://:{PASSWORD}@h/0?foo=12345",
        f"redis://:{PASSWORD}@h/0?db=12345SEC",
        f"redis://:{PASSWORD}@h/0?max_connections=1",
        f"redis://:{PASSWORD}@h/0?ssl_cert_reqs=none",
        f"unix://:{PASSWORD}@/run/redis.sock?timeout=12345",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_one_line_without_its_password(url: str) -> None:
    with pytest.raises(RedisUrlError) as refused:
        connect_redis(url)
    text = str(refused.value)
    assert text.startswith("REDIS_URL ")
    assert "\n" not in text
    assert "SEC" not in text
    assert "12345" not in text
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "localhost:6379/0", "localhost", "redis:/h:6379", ""])
def test_a_url_without_a_scheme_is_told_what_it_should_begin_with(url: str) -> None:
    with pytest.raises(RedisUrlError, match="REDIS_URL must begin with redis://"):
        parse_redis_url(url)


@pytest.mark.parametrize(
    "options",
    [
        "protocol=3",
        "decode_responses=True",
        "decode_responses=yes&protocol=3",
        "encoding=latin-1",
        "legacy_responses=no",
    ],
)
def test_options_that_change_what_replies_look_like_change_nothing(options: str) -> None:
    arguments = parse_redis_url(f"redis://h/0?{options}")
    assert arguments == {"host": "h", "db": 0}


def test_what_a_user_may_choose_is_kept() -> None:
    url = "rediss://me:p%23%40%2F%25@h:6380/2?protocol=2&client_name=x&ssl_cert_reqs=none&max_connections=20 \n"
    with connect_redis(f"{url}&socket_timeout=0.5".replace(" \n", "")) as redis:
        kept = redis.connection_pool.connection_kwargs
        assert redis.connection_pool.max_connections == 20
    expected = {"username": "me", "password": "p#@/%", "host": "h", "port": 6380, "db": 2, "protocol": 2}
    assert expected.items() <= kept.items()
    assert (kept["client_name"], kept["ssl_cert_reqs"], kept["socket_timeout"]) == ("x", "none", 0.5)
    assert parse_redis_url(url)["max_connections"] == 20
    assert parse_redis_url("unix:///run/a.sock?db=3")["db"] == 3


def test_a_timeout_of_the_url_lets_nobody_wait_longer_than_the_program_bears() -> None:
    with connect_redis("redis://h?socket_timeout=60&socket_connect_timeout=60", socket_timeout_seconds=0.5) as redis:
        kept = redis.connection_pool.connection_kwargs
    assert (kept["socket_timeout"], kept["socket_connect_timeout"]) == (0.5, 3.0)
