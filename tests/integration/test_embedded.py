"""The embedded servers as processes use them: started, shared, killed, started again."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from fuseboard_cli.embedded import Embedded, EmbeddedError, is_running
from fuseboard_cli.embedded_files import Addresses, open_lock, read_addresses, try_lock
from fuseboard_schema.redis_client import connect_redis
from waiting import wait_until

USER = """
import sys
from fuseboard_cli.embedded import Embedded
with Embedded(sys.argv[1]) as servers:
    print(servers.database_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def root() -> Iterator[Path]:
    # not tmp_path, whose length puts the sockets elsewhere on some machines
    with tempfile.TemporaryDirectory(prefix="fb-") as folder:
        yield Path(folder)
        wait_until(lambda: has_ended(Path(folder)))


@pytest.fixture(scope="module")
def seed() -> Iterator[Path]:
    """Make a data directory once: a first start is most of what a test here takes."""
    with tempfile.TemporaryDirectory(prefix="fb-") as folder:
        with Embedded(folder):
            pass
        wait_until(lambda: has_ended(Path(folder)))
        yield Path(folder)


@pytest.fixture
def used_root(root: Path, seed: Path) -> Path:
    """Copy a data directory that was started before."""
    shutil.copytree(seed / "postgres", root / "postgres")
    return root


@contextmanager
def run_user(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that uses the servers until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_ready_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def read_running(root: Path) -> Addresses:
    addresses = read_addresses(root)
    assert addresses
    return addresses


def has_ended(root: Path) -> bool:
    """Tell whether the keeper and both servers, with all their children, are gone."""

    def is_free(name: str) -> bool:
        with open_lock(root / f"{name}.lock") as lock:
            return try_lock(lock)

    return not is_running(root) and is_free("postgres") and is_free("valkey")


def has_changed(root: Path, before: Addresses) -> bool:
    return read_addresses(root) != before


def write_marks(servers: Embedded) -> None:
    with psycopg.connect(servers.database_url) as database:
        database.execute("CREATE TABLE marks AS SELECT 'kept' AS mark")
    with Redis.from_url(servers.redis_url) as redis:
        redis.set("mark", "kept")


def read_marks(servers: Embedded) -> tuple[object, object]:
    with psycopg.connect(servers.database_url) as database, Redis.from_url(servers.redis_url) as redis:
        row = database.execute("SELECT mark FROM marks").fetchone()
        return row and row[0], redis.get("mark")


def test_a_cold_start_gives_servers_that_nobody_else_can_reach(root: Path) -> None:
    with Embedded(root / "data") as servers:
        with psycopg.connect(servers.database_url) as database, Redis.from_url(servers.redis_url) as redis:
            row = database.execute("SELECT current_setting('listen_addresses')").fetchone()
            ports = redis.config_get("port", "appendonly", "appendfsync", "maxmemory-policy")

        assert row == ("",)
        assert ports == {"port": "0", "appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
        assert stat.S_IMODE((root / "data").stat().st_mode) == 0o700


def test_what_was_written_is_there_after_the_next_start(used_root: Path) -> None:
    with Embedded(used_root) as servers:
        write_marks(servers)
    wait_until(lambda: has_ended(used_root))

    with Embedded(used_root) as servers:
        assert read_marks(servers) == ("kept", b"kept")


def test_the_servers_stay_while_another_process_uses_them(used_root: Path) -> None:
    with run_user(used_root) as other:
        read_ready_line(other)
        before = read_running(used_root)
        with Embedded(used_root) as servers:
            other.kill()
            other.wait()
            write_marks(servers)

            assert read_marks(servers) == ("kept", b"kept")
            assert read_running(used_root) == before


def test_the_servers_end_when_their_last_user_is_killed(used_root: Path) -> None:
    with run_user(used_root) as first, run_user(used_root) as second:
        assert read_ready_line(first) == read_ready_line(second)
        first.kill()
        first.wait()
        assert not has_ended(used_root)

        second.kill()
        second.wait()

        wait_until(lambda: has_ended(used_root))


def test_the_servers_end_when_their_keeper_is_killed_and_the_next_user_finds_the_data(used_root: Path) -> None:
    with Embedded(used_root) as servers:
        write_marks(servers)
        os.kill(read_running(used_root).keeper_pid, signal.SIGKILL)
        wait_until(lambda: has_ended(used_root))

    with Embedded(used_root) as servers:
        assert read_marks(servers) == ("kept", b"kept")


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_killed_server_is_back_at_its_address_with_its_data(used_root: Path, name: str) -> None:
    with Embedded(used_root) as servers:
        write_marks(servers)
        before = read_running(used_root)
        killed = before.postgres_pid if name == "postgres" else before.valkey_pid
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: read_addresses(used_root) not in {before, None})

        assert read_marks(servers) == ("kept", b"kept")
        assert killed not in read_running(used_root)


def test_a_server_that_keeps_dying_is_given_up_and_the_reason_is_logged(used_root: Path) -> None:
    with Embedded(used_root):
        for _ in range(4):
            wait_until(lambda: read_addresses(used_root) is not None)
            before = read_running(used_root)
            os.kill(before.valkey_pid, signal.SIGKILL)
            wait_until(partial(has_changed, used_root, before))
        wait_until(lambda: has_ended(used_root))

    # the addresses are gone before the servers are stopped and the keeper says why
    wait_until(lambda: "valkey keeps exiting" in (used_root / "keeper.log").read_text())


@pytest.mark.parametrize(
    "name", ["with space, comma and 100%", "with space", "a=b", "long" * 40], ids=["strange", "space", "equals", "long"]
)
def test_a_strange_or_long_path_is_no_obstacle(root: Path, name: str) -> None:
    folder = root / name
    with Embedded(folder) as servers:
        write_marks(servers)

        assert read_marks(servers) == ("kept", b"kept")
        # RQ asks this of every connection
        with connect_redis(servers.redis_url) as redis:
            assert redis.client_info()["id"]
    wait_until(lambda: has_ended(folder))


def test_processes_that_start_at_once_share_one_pair_of_servers(root: Path) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(run_user(root)) for _ in range(6)]
        urls = {read_ready_line(user) for user in users}

        assert urls == {read_running(root).database_url + "\n"}


def test_a_first_start_that_was_cut_short_is_begun_again(root: Path) -> None:
    unfinished = root / "postgres.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")

    with Embedded(root) as servers:
        write_marks(servers)

        assert read_marks(servers) == ("kept", b"kept")
        assert not unfinished.exists()


def test_data_of_another_postgresql_is_refused_and_left_alone(root: Path) -> None:
    data = root / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("12\n")

    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 12.*DATABASE_URL"), Embedded(root):
        pass
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_data_directory_that_cannot_be_used_is_named(root: Path) -> None:
    (root / "file").write_text("")

    with pytest.raises(EmbeddedError, match=r"file/data.*FUSEBOARD_DATA_DIR"), Embedded(root / "file" / "data"):
        pass
