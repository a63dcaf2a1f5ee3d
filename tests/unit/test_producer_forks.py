"""What a producer does to forks and exits, and that it does no more."""

from pathlib import Path

import pytest

from fuseboard_producer import outbox
from fuseboard_producer.encoding import Encoded
from fuseboard_producer.fork_gate import FORK_GATE
from fuseboard_producer.outbox import Outbox
from fuseboard_producer.spool import Spool
from producer_tools import run_script, start_script

FORK_WHILE_HELD = """
import os, sys, threading, time
from fuseboard_producer.fork_gate import FORK_GATE

held, forked = threading.Event(), threading.Event()

def hold():
    with FORK_GATE.lock:
        held.set()
        if sys.argv[1] == "for a moment":
            time.sleep(0.3)
        else:
            forked.wait()

holder = threading.Thread(target=hold)
holder.start()
held.wait()
began = time.monotonic()
pid = os.fork()
if pid == 0:
    os._exit(FORK_GATE.lock.locked())
print(time.monotonic() - began, os.waitpid(pid, 0)[1])
forked.set()
holder.join()
assert not FORK_GATE.lock.locked()
"""


@pytest.mark.parametrize(("held", "least_seconds"), [("for a moment", 0.2), ("until the fork is done", 0.9)])
def test_a_fork_waits_for_the_gate_but_not_for_ever(held: str, least_seconds: float) -> None:
    waited_seconds, child_found_it_locked = run_script(FORK_WHILE_HELD, held).split()

    assert float(waited_seconds) > least_seconds
    assert child_found_it_locked == "0"


def test_events_are_encoded_behind_the_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    locked = []

    def encode(_fields: object, _worker_id: str) -> Encoded:
        locked.append(FORK_GATE.lock.locked())
        return Encoded(b"{}")

    monkeypatch.setattr(outbox, "encode_event", encode)
    Outbox(Spool(tmp_path, 0), "host:1").accept([{}, {}], 500)

    assert locked == [True, True]
    assert not FORK_GATE.lock.locked()


LEAVE_OS_EXIT_ALONE = """
import os, sys
untouched = os._exit
from fuseboard_producer import Producer
producer = Producer("unix:///nonexistent/redis.sock", spool_dir=sys.argv[1])
assert os._exit is untouched
producer.record("claude", "m")
assert os._exit is not untouched
guarded = os._exit
producer.close()
Producer("unix:///nonexistent/redis.sock", spool_dir=sys.argv[1]).record("claude", "m")
assert os._exit is guarded
os._exit(7)
"""


def test_os_exit_is_wrapped_once_and_only_by_processes_that_record(tmp_path: Path) -> None:
    process = start_script(LEAVE_OS_EXIT_ALONE, tmp_path)

    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 7


def test_a_process_that_only_imports_starts_no_thread() -> None:
    source = "import threading, fuseboard_producer; print(threading.active_count())"

    assert run_script(source) == "1\n"


def test_the_base_install_imports_no_server_library() -> None:
    source = """
import sys, fuseboard_producer
print({"psycopg", "rq", "pydantic_settings", "apscheduler", "typer", "rich"} & set(sys.modules))
"""

    assert run_script(source) == "set()\n"
