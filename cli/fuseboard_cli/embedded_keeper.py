"""The keeper: a detached process whose children are the servers, and which ends with their last user."""

import logging
import os
import shutil
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

from fuseboard_cli.embedded_database import make_database_url, plan_postgres
from fuseboard_cli.embedded_error import EmbeddedError
from fuseboard_cli.embedded_files import (
    Addresses,
    make_socket_folder,
    open_lock,
    remove_addresses,
    try_lock,
    wait_for_lock,
    write_addresses,
)
from fuseboard_cli.embedded_redis import make_redis_url, plan_redis
from fuseboard_cli.embedded_server import Server

log = logging.getLogger(__name__)

START_TIMEOUT_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1
# a server that dies more often is broken, and starting it again only fills its log
REVIVALS_MAX: Final = 3
REVIVALS_WINDOW_SECONDS: Final = 60.0
READY: Final = "ready"


class Keeper:
    """The servers of one data directory, kept running while any process holds its shared lock on users.lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.servers: list[Server] = []
        self._sockets: Path | None = None
        self._revived_at: deque[float] = deque(maxlen=REVIVALS_MAX)

    def start(self) -> None:
        """Start both servers and write their addresses; raises EmbeddedError."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        self._sockets = sockets = make_socket_folder(self.root)
        # Valkey loads its data while PostgreSQL's directory is made
        for make_plan in (plan_redis, plan_postgres):
            server = Server(make_plan(self.root, sockets), self.root)
            server.launch(deadline)
            self.servers.append(server)
        for server in self.servers:
            server.wait_until_ready(deadline)
        self._write_addresses()

    def watch(self) -> None:
        """Return when the last user is gone; a server that dies before is started again at its old address.

        Polls, because waiting for the lock and for two children at once would take a thread or a signal handler.
        """
        with open_lock(self.root / "users.lock") as users:
            while not try_lock(users):
                for server in self.servers:
                    if server.has_exited():
                        self._revive(server)
                time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop both servers in good order, side by side."""
        remove_addresses(self.root)
        for server in self.servers:
            server.request_stop()
        for server in self.servers:
            server.stop()
        if self._sockets and self._sockets.parent != self.root:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _revive(self, server: Server) -> None:
        log.error("server_exited name=%s pid=%d", server.plan.name, server.pid)
        remove_addresses(self.root)
        now = time.monotonic()
        if len(self._revived_at) == REVIVALS_MAX and now - self._revived_at[0] < REVIVALS_WINDOW_SECONDS:
            raise EmbeddedError(f"{server.plan.name} keeps exiting, see {self.root / server.plan.name}.log")
        self._revived_at.append(now)
        server.start(START_TIMEOUT_SECONDS)
        self._write_addresses()
        log.warning("server_revived name=%s pid=%d", server.plan.name, server.pid)

    def _write_addresses(self) -> None:
        valkey, postgres = self.servers
        write_addresses(
            self.root,
            Addresses(
                database_url=make_database_url(postgres.plan),
                redis_url=make_redis_url(valkey.plan),
                keeper_pid=os.getpid(),
                postgres_pid=postgres.pid,
                valkey_pid=valkey.pid,
            ),
        )


def keep(root: Path) -> None:
    """Run the servers until their last user is gone, saying once on standard output `ready` or what went wrong."""
    with open_lock(root / "keeper.lock") as lock:
        if not wait_for_lock(lock, time.monotonic() + START_TIMEOUT_SECONDS):
            raise EmbeddedError(f"another keeper still runs in {root}")
        keeper = Keeper(root)
        try:
            keeper.start()
            _answer(READY)
            keeper.watch()
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            keeper.stop()


def _answer(text: str) -> None:
    """Tell the process that waits for the servers; it reads one line and goes on."""
    print(text, flush=True)  # noqa: T201 - the pipe to the waiting process
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def main() -> int:
    """Leave the process that asked, so that neither waits for the other, and keep the servers."""
    if os.fork() != 0:
        return 0
    # logs quote what users sent
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        keep(Path(sys.argv[1]))
    except (EmbeddedError, OSError) as error:
        log.exception("keeper_failed")
        _answer(" ".join(str(error).split()))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
