"""Redis clients with explicit retry and timeouts: the defaults of from_url never retry and wait for ever."""

import re
from collections.abc import Mapping
from typing import Any, Final

from redis import ConnectionPool, Redis
from redis.backoff import ExponentialBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from fuseboard_schema.redis_url import parse_redis_url


class RedisRefusedError(ResponseError):
    """Redis answers and refuses for a while, whatever was asked: full, a replica, loading, busy; try again later.

    The message begins with Redis's own code, such as OOM or READONLY.
    """


# what passes without anybody changing a request: a server that is away, and one that refuses for a while
REDIS_DOWN: Final = (RedisConnectionError, RedisTimeoutError, OSError, RedisRefusedError)
# whatever goes wrong with Redis, the request's own faults among it
REDIS_FAULTS: Final = (RedisError, OSError)

# redis-py takes the code off these
CODES: Final[Mapping[type[Exception], str]] = {
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    MasterDownError: "MASTERDOWN",
    ClusterDownError: "CLUSTERDOWN",
    TryAgainError: "TRYAGAIN",
}
# in front, or where a script or a transaction quotes it
REFUSAL: Final = re.compile(
    r"(?:^|[\s:-])(?:OOM|READONLY|NOREPLICAS|MISCONF|MASTERDOWN|LOADING|BUSY|UNKILLABLE|CLUSTERDOWN|TRYAGAIN)\b"
    r"|^(?:ERR )?max number of clients"
)


# another server may stand behind the same address by now: a demoted master does not hang up on its clients
REPLACED: Final = ("READONLY", "MASTERDOWN", "NOREPLICAS", "MISCONF", "CLUSTERDOWN")


class _FollowingConnection(AbstractConnection):
    """A connection that tells refusals from errors, and is made anew where another server may serve by now."""

    _is_left = False

    def read_response(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as redis-py has it
        try:
            return super().read_response(*args, **kwargs)
        except ResponseError as error:
            refusal = find_refusal(error)
            if refusal is None:
                raise
            self._is_left = self._is_left or any(code in str(refusal) for code in REPLACED)
            raise refusal from None

    def send_packed_command(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as above
        # not where the refusal is read: the other replies of a pipeline come over the same connection
        if self._is_left:
            self._is_left = False
            self.disconnect()  # type: ignore[no-untyped-call] # redis-py is typed in parts
        super().send_packed_command(*args, **kwargs)  # type: ignore[no-untyped-call] # as above


class _TcpConnection(_FollowingConnection, Connection):
    pass


class _TlsConnection(_FollowingConnection, SSLConnection):
    pass


class _UnixConnection(_FollowingConnection, UnixDomainSocketConnection):
    pass


CONNECTION_CLASSES: Final = {SSLConnection: _TlsConnection, UnixDomainSocketConnection: _UnixConnection}


def connect_redis(
    redis_url: str,
    *,
    retries: int = 3,
    socket_timeout_seconds: float = 5.0,
    connect_timeout_seconds: float = 3.0,
    ca_certs: str | None = None,
) -> Redis:
    """Make a client for `redis://`, `rediss://` (TLS, certificate checked) or `unix://`; connects on first use.

    Replies are bytes. What Redis refuses for a while is raised as RedisRefusedError; REDIS_DOWN names all that passes
    by itself. Timeouts of the URL hold where they are shorter. Raises RedisUrlError (a ValueError).
    """
    url = parse_redis_url(redis_url)
    connection_class = CONNECTION_CLASSES.get(url.pop("connection_class", None), _TcpConnection)
    tls = {"ssl_ca_certs": ca_certs, "ssl_cert_reqs": "required"} if connection_class is _TlsConnection else {}
    arguments: dict[str, Any] = {
        # without jitter, which draws from the random numbers that a worker may have seeded for itself
        "retry": Retry(ExponentialBackoff(cap=1.0, base=0.05), retries),
        "retry_on_error": [RedisConnectionError, RedisTimeoutError],
        "health_check_interval": 15,
        **tls,
        **url,
        "socket_timeout": min(socket_timeout_seconds, url.get("socket_timeout", socket_timeout_seconds)),
        "socket_connect_timeout": min(
            connect_timeout_seconds, url.get("socket_connect_timeout", connect_timeout_seconds)
        ),
    }
    return Redis.from_pool(ConnectionPool(connection_class, **arguments))


def find_refusal(error: ResponseError) -> RedisRefusedError | None:
    """Say what Redis refused for a while; None where the request itself is at fault."""
    text = str(error)
    code = next((code for kind, code in CODES.items() if isinstance(error, kind)), None)
    if code is not None:
        return RedisRefusedError(f"{code} {text}")
    return RedisRefusedError(text) if REFUSAL.search(text) else None
