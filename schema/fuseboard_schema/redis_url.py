"""REDIS_URL as redis-py takes it: checked, without options that would change what replies look like."""

from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from redis.connection import parse_url

SCHEMES: Final = ("redis", "rediss", "unix")
# what may stand behind the `?`; those of TLS are beside it
OPTIONS: Final = frozenset(
    {
        "client_name",
        "db",
        "health_check_interval",
        "max_connections",
        "password",
        "protocol",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_timeout",
        "username",
    }
)
TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_ciphers", "ssl_keyfile"}
    | {"ssl_min_version", "ssl_password"}
)
# for other programs that share the URL: here replies are bytes of one shape, and retries are set by each client
IGNORED: Final = frozenset(
    {"decode_responses", "encoding", "encoding_errors", "legacy_responses", "retry_on_error", "retry_on_timeout"}
)
# threads of one process ask at once; who finds no connection free gets an error
CONNECTIONS_MIN: Final = 10
ENCODE: Final = "write special characters of a password percent-encoded: # is %23, / is %2F, ? is %3F, @ is %40"


class RedisUrlError(ValueError):
    """REDIS_URL cannot be used; the message names it and quotes no part that could be of a password."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"REDIS_URL {problem}")


def parse_redis_url(redis_url: str) -> dict[str, Any]:
    """Turn a `redis://`, `rediss://` (TLS) or `unix://` URL into redis-py's arguments of a connection.

    What would change the shape of replies is left out. Raises RedisUrlError.
    """
    redis_url = redis_url.strip()
    options = urlencode(_read_options(_split(redis_url)))
    try:
        # the parser's own words name an option, and show no value
        arguments: dict[str, Any] = parse_url(f"{redis_url.partition('?')[0]}?{options}")  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise RedisUrlError(f"cannot be used: {error}") from None
    if arguments.get("protocol") not in {None, 2}:
        # 3 is spoken anyway where it can be; asked for by name, it nests replies differently
        del arguments["protocol"]
    if arguments.get("max_connections", CONNECTIONS_MIN) < CONNECTIONS_MIN:
        raise RedisUrlError(f"has max_connections below {CONNECTIONS_MIN}, which is too few: leave it out")
    return arguments


def _split(redis_url: str) -> SplitResult:
    """Take a URL apart; whatever looks as if a password had broken it is refused."""
    try:
        url = urlsplit(redis_url)
        # computed when asked for, and it may raise
        _ = url.port
    except ValueError:
        raise RedisUrlError(f"cannot be read: give the port as a number, and {ENCODE}") from None
    if url.scheme not in SCHEMES or "://" not in redis_url:
        raise RedisUrlError("must begin with redis://, rediss:// (TLS) or unix://, such as redis://127.0.0.1:6379/0")
    if url.fragment or "@" in url.query or (url.scheme != "unix" and "@" in url.path):
        raise RedisUrlError(f"cannot be read: {ENCODE}")
    database = url.path.strip("/")
    if url.scheme != "unix" and database and not database.isdecimal():
        raise RedisUrlError(f"must end with the number of a database or nothing, such as :6379/0; {ENCODE}")
    return url


def _read_options(url: SplitResult) -> dict[str, str]:
    """Read what stands behind the `?` and is ours; an unknown option is refused by its name."""
    known = OPTIONS | IGNORED | (TLS_OPTIONS if url.scheme == "rediss" else frozenset())
    options = dict(parse_qsl(url.query))
    for name in options.keys() - known:
        if name in TLS_OPTIONS:
            raise RedisUrlError(f"has the option {name}, which needs rediss:// in front")
        raise RedisUrlError(f"has an unknown option {name[:40]!r}: known are {', '.join(sorted(OPTIONS))}")
    return {name: value for name, value in options.items() if name not in IGNORED}
