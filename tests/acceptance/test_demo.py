import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fuseboard_cli.embedded import Embedded
from fuseboard_cli.sample import write_sample
from fuseboard_schema.database import connect_database
from marked import MARK_VARIABLE, count_marked, list_marked
from waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

COMMAND = (sys.executable, "-m", "fuseboard_cli")
TIMEOUT_SECONDS = 120


@pytest.fixture
def mark() -> str:
    return uuid4().hex


def run_fuseboard(folder: Path, mark: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` with an environment of nothing but the mark."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env={MARK_VARIABLE: mark},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


@contextmanager
def start_fuseboard(folder: Path, mark: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command, its output in out.log; one that still lives at the end is killed."""
    with (folder / "out.log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=folder, env={MARK_VARIABLE: mark}, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_costs(folder: Path, mark: str) -> dict[str, Any]:
    done = run_fuseboard(folder, mark, "costs", "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def add_up_raw_costs(folder: Path) -> tuple[int, Decimal]:
    """Count and add the raw rows in Python, one by one."""
    with Embedded(folder / ".fuseboard") as servers, connect_database(servers.database_url, application_name="t") as db:
        costs = [cost or Decimal(0) for (cost,) in db.execute(b"SELECT cost_usd FROM llm_requests")]
    return len(costs), sum(costs, Decimal(0))


def read_added(output: str) -> int:
    added = re.search(r"this run added ([\d,]+) events", output)
    assert added, output
    return int(added[1].replace(",", ""))


def check_report(output: str) -> None:
    for text in ("Ollama", "LocalAI", "Claude", "OpenAI", "success", "tokens in", "cost USD"):
        assert text in output
    for text in ("total cost", "hypothetical Claude cost", "savings", "reconciliation: raw = daily + pending"):
        assert text in output


def test_the_demo_runs_in_an_empty_directory_and_again_and_leaves_nothing_running(tmp_path: Path, mark: str) -> None:
    first = run_fuseboard(tmp_path, mark, "demo")
    assert first.returncode == 0, first.stderr
    assert list_marked(mark, tmp_path) == []
    added = read_added(first.stdout)
    assert added >= 4000
    check_report(first.stdout)

    second = run_fuseboard(tmp_path, mark, "demo")
    assert second.returncode == 0, second.stderr
    assert list_marked(mark, tmp_path) == []
    # the same seed: the same events once more
    assert read_added(second.stdout) == added
    assert f"of all {2 * added:,} events" in second.stdout
    assert f"{2 * added:,} = {2 * added:,} + 0 requests" in second.stdout

    costs = read_costs(tmp_path, mark)
    assert (costs["total_requests"], Decimal(costs["total_cost_usd"])) == add_up_raw_costs(tmp_path)
    assert costs["total_requests"] == 2 * added
    assert [path.name for path in tmp_path.iterdir()] == [".fuseboard"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_demo_that_is_broken_off_leaves_nothing_running(
    tmp_path: Path, mark: str, number: signal.Signals, code: int
) -> None:
    write_sample(tmp_path / "long.csv", rows=30_000)
    with start_fuseboard(tmp_path, mark, ["demo", "long.csv"]) as demo:
        log = tmp_path / ".fuseboard" / "logs" / "consumer.log"
        wait_until(lambda: log.exists() and b"consumer_started" in log.read_bytes(), 60)
        commands = " ".join(list_marked(mark, tmp_path))
        for part in ("demo", "replay_worker", "consumer", "aggregator", "keeper", "postgres", "valkey"):
            assert part in commands
        assert demo.poll() is None
        demo.send_signal(number)

        assert demo.wait(60) == code
        if number != signal.SIGKILL:
            assert list_marked(mark, tmp_path) == []
        wait_until(lambda: count_marked(mark, tmp_path) == 0, 60)
    assert b"Traceback" not in (tmp_path / "out.log").read_bytes()


def test_up_takes_the_event_of_its_own_example_until_it_is_told_to_stop(tmp_path: Path, mark: str) -> None:
    with start_fuseboard(tmp_path, mark, ["up", "--consumers", "2"]) as up:
        output = tmp_path / "out.log"
        wait_until(lambda: "Ctrl-C stops everything" in output.read_text(), 60)
        example = re.search(r"^    from .*?\n\nThen", output.read_text(), re.DOTALL | re.MULTILINE)
        assert example
        code = "\n".join(line.removeprefix("    ") for line in example[0].splitlines()[:-1])
        subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={}, timeout=60)
        wait_until(lambda: read_costs(tmp_path, mark)["total_requests"] == 1, 60)
        doctor = run_fuseboard(tmp_path, mark, "doctor")
        assert doctor.returncode == 0, doctor.stdout
        up.send_signal(signal.SIGINT)

        assert up.wait(60) == 0
        assert list_marked(mark, tmp_path) == []
    assert "consumer-2 | " in output.read_text()
    # 1,200 tokens at 3 and 300 at 15 USD per million
    assert read_costs(tmp_path, mark)["total_cost_usd"] == "0.0081"


def test_several_consumers_are_started_again_and_end_with_their_parent(
    tmp_path: Path, mark: str, database_url: str, redis_url: str, namespace: str
) -> None:
    environment = {
        **os.environ,
        MARK_VARIABLE: mark,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FUSEBOARD_NAMESPACE": namespace,
    }
    output = tmp_path / "out.log"
    with output.open("wb") as log:
        parent = subprocess.Popen(
            [*COMMAND, "consumer", "--processes", "2"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: output.read_text().count("consumer_started") == 2, 60)
        victim = int(re.findall(r"process_started name=consumer-1 pid=(\d+)", output.read_text())[0])
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: output.read_text().count("consumer_started") == 3, 60)
        assert count_marked(mark, tmp_path) == 3
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: count_marked(mark, tmp_path) == 0, 60)
