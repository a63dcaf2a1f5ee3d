"""PostgreSQL and Valkey without an installation: started by their first user, ended with their last."""

import fcntl
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from fuseboard_cli.embedded_error import EmbeddedError
from fuseboard_cli.embedded_files import (
    Addresses,
    check_data_folder,
    open_lock,
    open_log,
    read_addresses,
    read_log_tail,
    remove_addresses,
    try_lock,
)
from fuseboard_cli.embedded_keeper import READY

__all__ = ["Embedded", "EmbeddedError", "is_running"]


class Embedded:
    """Both servers of one data directory, for any number of processes at once.

    `with Embedded(root) as servers:` gives `servers.database_url` and `servers.redis_url`. Every user holds a shared
    lock that the kernel drops however the process ends; the keeper stops the servers when no user is left. A process
    forked inside the `with` is a user as well. Raises EmbeddedError when the servers cannot run here.
    """

    database_url: str
    redis_url: str

    def __init__(self, root: Path | str, *, start_timeout_seconds: float = 90.0) -> None:
        self.root = Path(root).absolute()
        self._start_timeout_seconds = start_timeout_seconds
        self._user: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_data_folder(self.root)
            # one starter at a time
            with open_lock(self.root / "start.lock") as start:
                fcntl.flock(start, fcntl.LOCK_EX)
                self._user = open_lock(self.root / "users.lock")
                # waits while a keeper is shutting down
                fcntl.flock(self._user, fcntl.LOCK_SH)
                addresses = self._reach_servers()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise EmbeddedError(
                    f"the data directory {self.root} cannot be used ({error}): choose another with "
                    "FUSEBOARD_DATA_DIR, or use servers of your own by setting DATABASE_URL and REDIS_URL"
                ) from error
            raise
        self.database_url, self.redis_url = addresses.database_url, addresses.redis_url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop being a user; when this was the last one the servers end within moments."""
        if self._user:
            self._user.close()
            self._user = None

    def _reach_servers(self) -> Addresses:
        deadline = time.monotonic() + self._start_timeout_seconds
        while time.monotonic() < deadline:
            if not is_running(self.root):
                remove_addresses(self.root)
                self._start_keeper()
            addresses = read_addresses(self.root)
            if addresses:
                return addresses
            # a keeper whose starter was killed, or one that is reviving a server
            time.sleep(0.05)
        raise EmbeddedError(f"the embedded servers were not ready in time, see the logs in {self.root}")

    def _start_keeper(self) -> None:
        keeper_log = self.root / "keeper.log"
        command = [sys.executable, "-P", "-m", "fuseboard_cli.embedded_keeper", str(self.root)]
        with (
            open_log(keeper_log) as log,
            subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True, cwd="/"
            ) as starter,
        ):
            # the keeper holds the other end; it closes it unwritten only when it dies
            answer = starter.stdout.readline().decode().strip() if starter.stdout else ""
        if answer != READY:
            raise EmbeddedError(answer or f"the keeper of the embedded servers died: {read_log_tail(keeper_log)}")


def is_running(root: Path) -> bool:
    """Tell whether a keeper, and so possibly a server, of this data directory is alive."""
    with open_lock(root / "keeper.lock") as lock:
        return not try_lock(lock)
