"""The supervisor with real children: started again after a crash, never left behind."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from fuseboard_cli import processes
from fuseboard_cli.embedded_files import open_lock, try_lock
from fuseboard_cli.processes import Supervisor
from waiting import wait_until

# holds a lock while it lives, which is seen without asking for process numbers
HOLD = """
import signal, subprocess, sys, time
from pathlib import Path
from fuseboard_cli import processes
from fuseboard_cli.embedded_files import open_lock, try_lock
def hold(path):
    lock = open_lock(Path(path))
    assert try_lock(lock)
    return lock
"""
CHILD = HOLD + "processes.follow_parent()\nlock = hold(sys.argv[1])\ntime.sleep(60)"
DEAF_CHILD = (
    HOLD + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "processes.follow_parent(grace_seconds=0.2)\nlock = hold(sys.argv[1])\ntime.sleep(60)"
)
# as where there is no death signal
CHILD_WITH_PIPE_ONLY = CHILD.replace("processes.follow", "processes.bind_to_parent = lambda *_: None\nprocesses.follow")
SUPERVISOR = """
import os, sys, time
from fuseboard_cli.processes import Supervisor
code, fork, *locks = sys.argv[1:]
supervisor = Supervisor()
for lock in locks:
    supervisor.add("child", [sys.executable, "-c", code, lock])
if fork == "fork" and os.fork() == 0:
    time.sleep(5)
    os._exit(0)
supervisor.run_until(lambda: False)
"""


def is_held(path: Path) -> bool:
    with open_lock(path) as lock:
        return not try_lock(lock)


def are_free(paths: Sequence[Path]) -> bool:
    return not any(is_held(path) for path in paths)


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


@contextmanager
def run_supervisor(code: str, locks: Sequence[Path], fork: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Run a supervisor in a process of its own until all its children are up."""
    with subprocess.Popen(python(SUPERVISOR, code, fork, *locks)) as process:
        try:
            wait_until(lambda: all(is_held(lock) for lock in locks))
            yield process
        finally:
            process.kill()


@pytest.fixture
def locks(tmp_path: Path) -> list[Path]:
    return [tmp_path / "first.lock", tmp_path / "second.lock"]


@pytest.mark.parametrize(
    ("code", "fork"),
    [(CHILD, ""), (DEAF_CHILD, ""), (CHILD_WITH_PIPE_ONLY, ""), (CHILD, "fork")],
    ids=["plain", "deaf", "pipe_only", "pipe_held_by_a_fork"],
)
def test_children_end_when_their_supervisor_is_killed(locks: list[Path], code: str, fork: str) -> None:
    if fork and sys.platform != "linux":
        pytest.skip("only Linux has the death signal")
    with run_supervisor(code, locks, fork) as supervisor:
        supervisor.kill()
        supervisor.wait()

        wait_until(partial(are_free, locks), timeout_seconds=4.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_supervisor_and_its_children(locks: list[Path], number: signal.Signals) -> None:
    with run_supervisor(CHILD, locks) as supervisor:
        supervisor.send_signal(number)

        assert supervisor.wait(timeout=30) == 0
        assert are_free(locks)


def test_a_killed_child_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "BACKOFF_FIRST_SECONDS", 0.01)
    starts = tmp_path / "starts"
    code = "import os, signal, sys; open(sys.argv[1], 'a').write('x'); os.kill(os.getpid(), signal.SIGKILL)"
    with Supervisor() as supervisor:
        supervisor.add("crashing", python(code, starts))
        supervisor.run_until(lambda: starts.exists() and len(starts.read_text()) >= 3)


def test_run_until_stops_the_children_and_puts_signal_handlers_back(locks: list[Path]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Supervisor() as supervisor:
        for lock in locks:
            supervisor.add("child", python(CHILD, lock))
        supervisor.run_until(lambda: all(is_held(lock) for lock in locks))

        assert are_free(locks)
        assert signal.getsignal(signal.SIGTERM) is before


def test_a_child_that_ignores_sigterm_is_killed_with_its_own_children(locks: list[Path]) -> None:
    first, second = locks
    with_grandchild = DEAF_CHILD.replace(
        "time.sleep", "subprocess.Popen([sys.executable, '-c', sys.argv[3], sys.argv[2]])\ntime.sleep"
    )
    with Supervisor(grace_seconds=0.3) as supervisor:
        supervisor.add("deaf", python(with_grandchild, first, second, CHILD))
        supervisor.run_until(lambda: is_held(first) and is_held(second))

    wait_until(partial(are_free, locks))


def test_output_goes_to_a_file_per_child_or_behind_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = python("import time; print('hello', flush=True); time.sleep(60)")
    files = [tmp_path / "child-1.log", tmp_path / "child-2.log"]
    with Supervisor(log_folder=tmp_path) as supervisor:
        supervisor.add("child", command, count=2)
        supervisor.run_until(lambda: all(file.exists() and file.read_text() == "hello\n" for file in files))
    assert capsys.readouterr().err == ""

    printed = []

    def has_printed() -> bool:
        printed.append(capsys.readouterr().err)
        return "hello\n" in "".join(printed)

    with Supervisor() as supervisor:
        supervisor.add("child", command)
        supervisor.run_until(has_printed)
    assert "".join(printed) == "child | hello\n"
