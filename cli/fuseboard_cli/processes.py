"""Child processes that are started again when they crash and that never outlive their parent."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from fuseboard_cli.embedded_files import open_log
from fuseboard_cli.exec_bound import bind_to_parent

log = logging.getLogger(__name__)

LIFELINE_VARIABLE: Final = "FUSEBOARD_LIFELINE_FD"
BACKOFF_FIRST_SECONDS: Final = 0.5
BACKOFF_LAST_SECONDS: Final = 15.0
# a child that lived this long crashed anew, not still
BACKOFF_RESET_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1


@dataclass(slots=True)
class Child:
    """One command, the process that runs it now, if any, and the thread that copies its output, if any."""

    name: str
    command: Sequence[str]
    descriptors: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    printer: threading.Thread | None = None
    started_at: float = 0.0
    start_due_at: float = 0.0
    backoff_seconds: float = 0.0


class Supervisor:
    """Runs named commands, each in a session of its own, until told to stop.

    Each child inherits the reading end of a pipe, the lifeline. However this process ends, the pipe then reaches its
    end, and a child that called `follow_parent` ends too. With `log_folder` each child writes NAME.log there, else to
    this process's standard error with its name before every line.

    Call its methods from one thread that lives as long as the children: on Linux they follow that thread.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        log_folder: Path | None = None,
        grace_seconds: float = 10.0,
    ) -> None:
        self.children: list[Child] = []
        self._environment = dict(os.environ if environment is None else environment)
        self._log_folder = log_folder
        self._grace_seconds = grace_seconds
        reader, writer = os.pipe()
        self._lifeline, self._lifeline_writer = os.fdopen(reader, "rb"), os.fdopen(writer, "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def add(self, name: str, command: Sequence[str], count: int = 1, *, descriptors: Sequence[int] = ()) -> None:
        """Add `count` children that run `command` and inherit `descriptors`; the next `poll` starts them."""
        names = [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]
        self.children += [Child(each, command, descriptors) for each in names]

    def poll(self) -> None:
        """Start every child that is due: the new ones, and the crashed ones after their pause. Does not wait."""
        now = time.monotonic()
        for child in self.children:
            if child.process and child.process.poll() is not None:
                note_exit(child, child.process.returncode, now)
            if child.process is None and now >= child.start_due_at:
                self._start(child, now)

    def run_until(self, stop: Callable[[], bool]) -> None:
        """Keep the children running until `stop()` is true or SIGINT or SIGTERM arrives, then stop them all.

        Call it in the main thread. `stop` is asked about ten times per second. The handlers of both signals are put
        back before it returns.
        """
        signalled = threading.Event()
        with ExitStack() as cleanup:
            for number in (signal.SIGINT, signal.SIGTERM):
                cleanup.callback(signal.signal, number, signal.signal(number, lambda *_: signalled.set()))
            cleanup.callback(self.stop)
            while not signalled.is_set() and not stop():
                self.poll()
                signalled.wait(POLL_SECONDS)

    def stop(self) -> None:
        """End all children: SIGTERM, and SIGKILL to the whole session of each that is left after the grace time."""
        children, self.children = self.children, []
        processes = [child.process for child in children if child.process]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        for process in processes:
            _wait_or_kill(process, deadline)
        for child in children:
            if child.printer:
                # a grandchild may hold the pipe open for ever
                child.printer.join(timeout=1.0)
        self._lifeline.close()
        self._lifeline_writer.close()

    def _start(self, child: Child, now: float) -> None:
        lifeline = self._lifeline.fileno()
        with self._open_output(child) as output:
            process = subprocess.Popen(  # noqa: S603 - commands come from this program
                child.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment | {LIFELINE_VARIABLE: str(lifeline)},
                pass_fds=[lifeline, *child.descriptors],
                start_new_session=True,
            )
        child.process, child.started_at = process, now
        log.info("process_started name=%s pid=%d", child.name, process.pid)
        if process.stdout:
            child.printer = threading.Thread(target=_copy_lines, args=(child.name, process.stdout), daemon=True)
            child.printer.start()

    def _open_output(self, child: Child) -> AbstractContextManager[IO[bytes] | int]:
        if self._log_folder is None:
            return nullcontext(subprocess.PIPE)
        return open_log(self._log_folder / f"{child.name}.log")


def follow_parent(grace_seconds: float = 10.0) -> None:
    """End this process when the supervisor that started it ends: SIGTERM at once, a hard exit after `grace_seconds`.

    Call it first thing in a command. Without a supervisor it does nothing.
    """
    variable = os.environ.pop(LIFELINE_VARIABLE, None)
    if variable is None:
        return
    lifeline = int(variable)
    # this process's own children must not take it for theirs
    os.set_inheritable(lifeline, False)
    threading.Thread(target=_await_end, args=(lifeline, grace_seconds), name="lifeline", daemon=True).start()
    # a second way, because a fork of the supervisor would hold the other end of the pipe
    bind_to_parent(os.getppid(), signal.SIGTERM)


def _await_end(lifeline: int, grace_seconds: float) -> None:
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os._exit(1)


def note_exit(child: Child, code: int, now: float) -> None:
    """Set when a child that exited is started again."""
    lived_seconds = now - child.started_at
    backoff_seconds = 0.0 if lived_seconds >= BACKOFF_RESET_SECONDS else child.backoff_seconds * 2
    child.backoff_seconds = min(max(backoff_seconds, BACKOFF_FIRST_SECONDS), BACKOFF_LAST_SECONDS)
    child.start_due_at = now + child.backoff_seconds
    child.process = None
    log.warning(
        "process_exited name=%s code=%d lived_seconds=%.1f restart_in_seconds=%.1f",
        child.name,
        code,
        lived_seconds,
        child.backoff_seconds,
    )


def _wait_or_kill(process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        log.warning("process_killed pid=%d", process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _copy_lines(name: str, lines: IO[bytes]) -> None:
    with lines:
        for line in lines:
            sys.stderr.write(f"{name} | {line.decode(errors='replace').rstrip()}\n")
