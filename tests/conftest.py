"""Real servers for the tests: one pair per session, one migrated database and one namespace per test."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import hypothesis
import pytest
from psycopg import Connection, sql
from psycopg.rows import TupleRow
from redis import Redis

from fuseboard_cli.embedded import Embedded, is_running
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import migrate
from fuseboard_schema.redis_client import connect_redis
from private_servers import PrivateServers, run_private_servers
from producer_tools import PrivateRedis, run_private_redis
from waiting import wait_until

# machines are noisy: how long an example takes to make or to run says nothing about the code
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


class ServerUrls(NamedTuple):
    """Where the tests' PostgreSQL and Redis are."""

    database_url: str
    redis_url: str


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    """Undo what a command run in this process does to logging: its stream is closed after the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def servers() -> Iterator[ServerUrls]:
    """Run one pair of embedded servers for all tests, or use the ones that the environment names."""
    database_url = os.environ.get("FUSEBOARD_TEST_DATABASE_URL")
    redis_url = os.environ.get("FUSEBOARD_TEST_REDIS_URL")
    if database_url and redis_url:
        yield ServerUrls(database_url, redis_url)
        return
    with tempfile.TemporaryDirectory(prefix="fuseboard-tests-") as root:
        with Embedded(root) as embedded:
            yield ServerUrls(database_url or embedded.database_url, redis_url or embedded.redis_url)
        # the files can be removed once nobody writes them
        wait_until(lambda: not is_running(Path(root)))


@pytest.fixture(scope="session")
def template_database(servers: ServerUrls) -> Iterator[str]:
    """Migrate one database that every test's database is copied from."""
    with create_database(servers.database_url, "template0") as url:
        with connect_database(url, application_name="tests") as template:
            migrate(template)
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def database_url(servers: ServerUrls, template_database: str) -> Iterator[str]:
    with create_database(servers.database_url, template_database) as url:
        yield url


@pytest.fixture
def empty_database_url(servers: ServerUrls) -> Iterator[str]:
    """Make a database that nothing was migrated into."""
    with create_database(servers.database_url, "template0") as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection[TupleRow]]:
    with connect_database(database_url, application_name="tests") as opened:
        yield opened


@pytest.fixture
def redis_url(servers: ServerUrls) -> str:
    return servers.redis_url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[Redis]:
    with connect_redis(redis_url) as client:
        yield client


@pytest.fixture
def namespace(redis_client: Redis) -> Iterator[str]:
    """Name a part of Redis that no other test uses; every key that has the name in it is deleted afterwards."""
    name = f"test{uuid4().hex[:12]}"
    yield name
    for key in redis_client.scan_iter(match=f"*{name}*", count=1000):
        redis_client.delete(key)


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """Run a Redis for the tests of one file alone, which may empty and configure it."""
    with run_private_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def redis(shared_redis: PrivateRedis) -> Iterator[Redis]:
    """Ask the file's own Redis, and leave it empty."""
    with connect_redis(shared_redis.url) as client:
        yield client
        client.flushall()


@pytest.fixture
def private_servers() -> Iterator[PrivateServers]:
    """Run a migrated pair of servers that this test may stop, kill and restart."""
    with tempfile.TemporaryDirectory(prefix="fuseboard-private-") as root, run_private_servers(Path(root)) as pair:
        with connect_database(pair.database_url, application_name="tests") as opened:
            migrate(opened)
        yield pair


@contextmanager
def create_database(server_url: str, template: str) -> Iterator[str]:
    """Make a database and give its URL; afterwards it is dropped with everybody still connected to it."""
    name = f"fuseboard_test_{uuid4().hex[:12]}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with connect_database(server_url, application_name="tests") as admin:
        admin.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
        # a URL and not keywords, because that is what DATABASE_URL of the processes under test holds
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        admin.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))
