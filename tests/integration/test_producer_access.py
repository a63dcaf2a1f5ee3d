"""The rights a producer needs on a shared server, and encryption on the way there."""

import re
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import trustme
from redis import Redis
from redis.exceptions import NoPermissionError

from fuseboard_producer import Producer
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.stream import name_event_stream
from producer_tools import PrivateRedis, read_events, read_spool, run_private_redis
from waiting import wait_until

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def private_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with run_private_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def admin(private_redis: PrivateRedis) -> Iterator[Redis]:
    with connect_redis(private_redis.url) as redis:
        yield redis
        redis.flushall()


def read_documented_rule(password: str) -> list[str]:
    """Read the ACL rule out of the page that tells administrators to use it."""
    page = (REPOSITORY / "docs" / "redis-acl.md").read_text()
    (rule,) = re.findall(r"^ACL SETUSER (fuseboard-producer .+)$", page, re.MULTILINE)
    return [str(word) for word in rule.replace("PASSWORD", password).split()]


def run_command(redis: Redis, *words: str) -> object:
    return redis.execute_command(*words)  # type: ignore[no-untyped-call]


def make_user_url(redis_url: str, user: str, password: str) -> str:
    parts = urlsplit(redis_url)
    return parts._replace(netloc=f"{user}:{password}@").geturl()


def test_the_documented_user_can_produce_and_nothing_else(
    private_redis: PrivateRedis, admin: Redis, tmp_path: Path
) -> None:
    password = secrets.token_hex(16)
    user, *rules = read_documented_rule(password)
    run_command(admin, "ACL", "SETUSER", user, *rules)
    url = make_user_url(private_redis.url, user, password)

    with Producer(url, spool_dir=tmp_path) as producer:
        producer.record("claude", "m")
        assert producer.flush()
        assert producer.counters.sent == 1

    assert len(read_events(admin, "fuseboard")) == 1
    stream = name_event_stream("fuseboard")
    with connect_redis(url) as redis:
        assert redis.ping()
        for command in (
            ["XRANGE", stream, "-", "+"],
            ["XREAD", "STREAMS", stream, "0"],
            ["XDEL", stream, "0-1"],
            ["XTRIM", stream, "MAXLEN", "0"],
            ["XGROUP", "CREATE", stream, "mine", "0"],
            ["DEL", stream],
            ["XADD", "another", "*", "events", "[]"],
            ["RPUSH", "rq:queue:fuseboard", "job"],
            ["GET", "any"],
            ["KEYS", "*"],
            ["CONFIG", "GET", "*"],
            ["FLUSHALL"],
            ["CLIENT", "LIST"],
            ["EVAL", "return 1", "0"],
            ["PUBLISH", "any", "message"],
        ):
            with pytest.raises(NoPermissionError):
                run_command(redis, *command)


def test_a_user_without_rights_spools_until_it_has_them(
    private_redis: PrivateRedis, admin: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = secrets.token_hex(16)
    user, *rules = read_documented_rule(password)
    run_command(admin, "ACL", "SETUSER", user, *rules, "-xadd")

    with Producer(make_user_url(private_redis.url, user, password), spool_dir=tmp_path) as producer:
        producer.record("claude", "m")
        assert producer.flush()
        assert len(read_spool(tmp_path / "fuseboard")) == 1
        run_command(admin, "ACL", "SETUSER", user, "+xadd")
        wait_until(lambda: producer.counters.spool_drained == 1)

    assert "sending_paused" in caplog.text
    assert password not in caplog.text


def test_a_wrong_password_spools_and_shows_no_password(
    private_redis: PrivateRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Producer(make_user_url(private_redis.url, "nobody", "hidden-word"), spool_dir=tmp_path) as producer:
        producer.record("claude", "m")
        assert producer.flush()

    assert len(read_spool(tmp_path / "fuseboard")) == 1
    assert "sending_paused" in caplog.text
    assert "hidden-word" not in caplog.text


def relay(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def encrypt(redis_url: str, context: ssl.SSLContext) -> Iterator[int]:
    """Put TLS in front of the server, whose binary is built without it; gives the port."""
    path = unquote(urlsplit(redis_url).path)
    assert parse_qs(urlsplit(redis_url).query)["db"] == ["0"]
    ends: list[socket.socket] = []

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                ends.append(plain)
                with suppress(OSError):
                    client = context.wrap_socket(plain, server_side=True)
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(path)
                    ends.extend([client, server])
                    for pair in ((client, server), (server, client)):
                        threading.Thread(target=relay, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener,), daemon=True)
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    serving.join()
    for end in ends:
        end.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def encrypted_port(private_redis: PrivateRedis, authority: trustme.CA) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with encrypt(private_redis.url, context) as port:
        yield port


def test_events_travel_encrypted_to_a_server_whose_certificate_is_known(
    encrypted_port: int, authority: trustme.CA, admin: Redis, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    with Producer(
        f"rediss://localhost:{encrypted_port}", spool_dir=tmp_path, redis_ca_certs=tmp_path / "ca.pem"
    ) as producer:
        producer.record("claude", "m")
        assert producer.flush()
        assert producer.counters.sent == 1

    assert len(read_events(admin, "fuseboard")) == 1


@pytest.mark.parametrize("fault", ["another authority", "another name"])
def test_nothing_is_sent_to_a_server_that_cannot_prove_its_name(
    encrypted_port: int, authority: trustme.CA, tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    trusted = trustme.CA() if fault == "another authority" else authority
    trusted.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    host = "127.0.0.1" if fault == "another name" else "localhost"

    with Producer(
        f"rediss://{host}:{encrypted_port}", spool_dir=tmp_path, redis_ca_certs=tmp_path / "ca.pem"
    ) as producer:
        producer.record("claude", "m")
        assert producer.flush()
        assert producer.counters.sent == 0

    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
    assert len(read_spool(tmp_path / "fuseboard")) == 1
