"""One server process, from launch to end."""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fuseboard_cli.embedded_error import EmbeddedError
from fuseboard_cli.embedded_files import open_lock, open_log, read_log_tail, wait_for_lock


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """How to run one server and how to see that it answers: send `greeting`, expect `answer`."""

    name: str
    command: list[str]
    socket: Path
    greeting: bytes
    answer: bytes
    stop_signal: signal.Signals


class Server:
    """A server at a fixed address that can be started again after any end.

    The process inherits a lock, and so do its children. Whoever starts the next one waits for that lock, so two
    servers never share a data directory, whatever killed the first one's keeper.
    """

    def __init__(self, plan: ServerPlan, root: Path) -> None:
        self.plan = plan
        self._log_path = root / f"{plan.name}.log"
        self._lock_path = root / f"{plan.name}.lock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Number of the process last launched."""
        return self._process.pid if self._process else 0

    def start(self, timeout_seconds: float = 60.0) -> None:
        """Launch the server and return once it answers."""
        deadline = time.monotonic() + timeout_seconds
        self.launch(deadline)
        self.wait_until_ready(deadline)

    def launch(self, deadline: float) -> None:
        """Start the process; raise EmbeddedError when the one before it still runs at `deadline`."""
        with open_lock(self._lock_path) as lock, open_log(self._log_path) as log:
            if not wait_for_lock(lock, deadline):
                raise EmbeddedError(
                    f"{self.plan.name} of an earlier run still runs (process {lock.read()}): stop it and start again"
                )
            self._process = subprocess.Popen(  # noqa: S603 - the command is this package's own
                self.plan.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_make_environment(),
                pass_fds=[lock.fileno()],
                start_new_session=True,
            )
            _write_pid(lock, self._process.pid)

    def wait_until_ready(self, deadline: float) -> None:
        """Return once the server answers; raise EmbeddedError when it exits or is not ready at `deadline`."""
        while not self._answers():
            if self.has_exited():
                raise EmbeddedError(f"{self.plan.name} did not start: {read_log_tail(self._log_path)}")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{self.plan.name} was not ready in time, see {self._log_path}")
            time.sleep(0.02)

    def has_exited(self) -> bool:
        """Tell whether there is no process any more."""
        return self._process is None or self._process.poll() is not None

    def request_stop(self) -> None:
        """Ask the server to end at once but in good order; does not wait."""
        if self._process and not self.has_exited():
            self._process.send_signal(self.plan.stop_signal)

    def stop(self, timeout_seconds: float = 20.0) -> None:
        """End the server in good order, by force when that takes too long."""
        self.request_stop()
        if self._process:
            try:
                self._process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self.plan.socket))
                client.sendall(self.plan.greeting)
                return client.recv(64).startswith(self.plan.answer)
        except OSError:
            return False


def _make_environment() -> dict[str, str]:
    # libpq's variables change a server's defaults as well
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _write_pid(lock: IO[str], pid: int) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write(str(pid))
