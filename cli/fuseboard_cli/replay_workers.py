"""The worker processes of one replay, as the process that runs the replay sees them."""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from types import TracebackType
from typing import IO, Final, Self, cast

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.replay_worker import Task
from fuseboard_producer import Counters

STOP_SECONDS: Final = 15.0
COMMAND: Final = (sys.executable, "-m", "fuseboard_cli.replay_worker")
NOTHING: Final = Counters(**dict.fromkeys((field.name for field in fields(Counters)), 0))


class ReplayWorkers:
    """Runs one process per task. Leaving the block ends those that still run; so does the death of this process."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []
        self._counters: list[Counters] = [NOTHING] * len(tasks)

    def __enter__(self) -> Self:
        try:
            for number, task in enumerate(self._tasks):
                self._start(number, task)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def are_running(self) -> bool:
        """Say whether any worker still sends; raises CommandError when one has failed."""
        codes = [process.poll() for process in self._processes]
        if any(codes):
            raise CommandError("a worker of the replay failed, its reason stands above: run the replay again")
        return None in codes or any(reader.is_alive() for reader in self._readers)

    @property
    def counters(self) -> Counters:
        """Sum up what the workers' producers have counted so far."""
        sums = {field.name: sum(getattr(each, field.name) for each in self._counters) for field in fields(Counters)}
        return Counters(**sums)

    def _start(self, number: int, task: Task) -> None:
        process = subprocess.Popen(  # noqa: S603 - our own command
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for the parent, which lets its workers finish in good order
            start_new_session=True,
        )
        self._processes.append(process)
        reader = threading.Thread(target=self._read, args=(number, process.stdout), daemon=True)
        self._readers.append(reader)
        reader.start()
        task_pipe = cast("IO[str]", process.stdin)
        # a worker that died at once is reported by `are_running`
        with suppress(BrokenPipeError):
            task_pipe.write(task.to_json() + "\n")
            task_pipe.flush()

    def _read(self, number: int, lines: IO[str]) -> None:
        for line in lines:
            self._counters[number] = Counters(**json.loads(line))

    def _stop(self) -> None:
        for process in self._processes:
            with suppress(BrokenPipeError):
                cast("IO[str]", process.stdin).close()
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader, process in zip(self._readers, self._processes, strict=True):
            reader.join()
            cast("IO[str]", process.stdout).close()
