"""Redis clients with explicit retry and timeouts: the defaults of from_url never retry and wait for ever."""

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

REDIS_DOWN = (RedisConnectionError, RedisTimeoutError, OSError)


def connect_redis(
    redis_url: str,
    *,
    retries: int = 3,
    socket_timeout_seconds: float = 5.0,
    connect_timeout_seconds: float = 3.0,
    ca_certs: str | None = None,
) -> Redis:
    """Make a client for `redis://`, `rediss://` (TLS, certificate checked) or `unix://`; connects on first use.

    Replies are bytes. Raises ValueError for a URL of another scheme.
    """
    tls = {"ssl_ca_certs": ca_certs, "ssl_cert_reqs": "required"} if redis_url.startswith("rediss://") else {}
    client: Redis = Redis.from_url(
        redis_url,
        retry=Retry(ExponentialWithJitterBackoff(cap=1.0, base=0.05), retries),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        socket_connect_timeout=connect_timeout_seconds,
        socket_timeout=socket_timeout_seconds,
        health_check_interval=15,
        **tls,
    )
    return client
