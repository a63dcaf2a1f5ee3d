"""A pair of servers for one test, which may stop, kill and restart them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from fuseboard_cli.embedded_database import make_database_url, plan_postgres
from fuseboard_cli.embedded_files import make_socket_folder
from fuseboard_cli.embedded_redis import make_redis_url, plan_redis
from fuseboard_cli.embedded_server import Server, ServerPlan
from waiting import wait_until

# only at an address that nobody else listens at
REDIS_PORT: Final = 6379


class PrivateServer:
    """One server; its address stays the same over every restart. Callable from any thread."""

    def __init__(self, server: Server, launcher: ThreadPoolExecutor) -> None:
        self._server = server
        self._launcher = launcher

    def start(self) -> None:
        """Start the server and return once it answers."""
        # a server follows the thread that launched it, and the caller's may be short-lived
        self._launcher.submit(self._server.start).result()

    def stop(self) -> None:
        """Stop the server in good order."""
        self._server.stop()

    def kill9(self) -> None:
        """Kill the server as the out-of-memory killer would, and return once nothing of it answers any more."""
        # PostgreSQL's own children notice the death of their parent by themselves, and one may answer until it does
        children = list_children(self._server)
        self._server.kill()
        wait_until(lambda: not any(map(is_running, children)))

    def restart(self, *, down_seconds: float = 0.0) -> None:
        """Stop the server in good order and start it again."""
        self.stop()
        time.sleep(down_seconds)
        self.start()


def list_children(server: Server) -> list[Path]:
    """List the processes that a server has started, as their directories in /proc."""
    assert server._process is not None
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        # one that ends meanwhile is no child any more
        with suppress(OSError):
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == server._process.pid:
                found.append(status.parent)
    return found


def is_running(process: Path) -> bool:
    """Say whether a process of /proc still runs; one that only waits to be collected does not."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class PrivateServers(NamedTuple):
    """Both servers, running, and where they are."""

    database_url: str
    redis_url: str
    postgres: PrivateServer
    valkey: PrivateServer


def listen_at(plan: ServerPlan, root: Path, address: str) -> ServerPlan:
    """Let a server listen at an address as well, for those who reach it over a network of their own."""
    if plan.name == "postgres":
        with (root / "postgres" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {address}/30 trust\n")
        return replace(plan, command=[*plan.command, "-c", f"listen_addresses={address}"])
    return replace(
        plan, command=[*plan.command, "--port", str(REDIS_PORT), "--bind", address, "--protected-mode", "no"]
    )


@contextmanager
def run_private_servers(root: Path, address: str | None = None) -> Iterator[PrivateServers]:
    """Run a pair of servers that belong to this process alone; with an address they listen there as well."""
    sockets = make_socket_folder(root)
    plans = [make_plan(root, sockets) for make_plan in (plan_redis, plan_postgres)]
    valkey, postgres = (Server(listen_at(plan, root, address) if address else plan, root) for plan in plans)
    with ThreadPoolExecutor(max_workers=1) as launcher:
        pair = PrivateServers(
            make_database_url(postgres.plan),
            make_redis_url(valkey.plan),
            PrivateServer(postgres, launcher),
            PrivateServer(valkey, launcher),
        )
        try:
            pair.valkey.start()
            pair.postgres.start()
            yield pair
        finally:
            pair.postgres.stop()
            pair.valkey.stop()
