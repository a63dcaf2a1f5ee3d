"""`fuseboard demo`: everything at once on real traffic, from an empty directory to the savings."""

import signal
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer
from psycopg import Connection
from psycopg.rows import TupleRow, scalar_row

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import remark
from fuseboard_cli.processes import Supervisor
from fuseboard_cli.replay import (
    ASSIGNED_NOTE,
    DEFAULT_WORKERS,
    POLL_SECONDS,
    Replay,
    check_mix,
    prepare_replay,
    report_losses,
    show_progress,
)
from fuseboard_cli.replay_worker import Task
from fuseboard_cli.replay_workers import ReplayWorkers
from fuseboard_cli.report import print_report
from fuseboard_cli.sample import SAMPLE_ROWS, write_sample
from fuseboard_cli.servers import open_database, use_servers
from fuseboard_cli.status import select_pipeline_status
from fuseboard_cli.trace import is_trace
from fuseboard_cli.traffic import DEFAULT_MIX
from fuseboard_cli.up import CONSUMERS, run_services
from fuseboard_schema.sql import load_sql

Database = Connection[TupleRow]
TRACE: Final = Path("..", "shared", "data", "azure_llm_2023_conv.csv")
FOLD_SECONDS: Final = "1"
# without any progress for so long, something is broken
STALL_SECONDS: Final = 60.0
# whoever else records at the same time keeps the deltas from ever running out
FOLD_WAIT_SECONDS: Final = 20.0


class Stall:
    """Notices that a number does not grow any more."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._value = -1
        self._deadline = 0.0

    def is_reached(self, value: int) -> bool:
        """Note the number; say whether it has stayed the same for too long."""
        if value != self._value:
            self._value, self._deadline = value, time.monotonic() + self._seconds
        return time.monotonic() > self._deadline


def demo(
    file: Annotated[
        Path | None, typer.Argument(help="A trace (.csv).", show_default=f"{TRACE}, else a generated sample")
    ] = None,
    *,
    mix: Annotated[str, typer.Option(callback=check_mix, help="Providers and their shares.")] = DEFAULT_MIX,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = DEFAULT_WORKERS,
    consumers: Annotated[int, typer.Option(min=1, max=64, help="Consumer processes.")] = CONSUMERS,
    seed: Annotated[int, typer.Option(min=0, help="The same seed assigns the same.")] = 0,
) -> None:
    """Start everything, replay a trace, show cost and savings, check them against the raw rows, stop everything."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="fuseboard-demo-") as folder:
        replay = prepare_replay(choose_trace(file, Path(folder)), mix=mix, seed=seed, workers=workers)
        remark(ASSIGNED_NOTE)
        with use_servers(may_create=True) as settings:
            logs = settings.data_dir / "logs"
            logs.mkdir(mode=0o700, parents=True, exist_ok=True)
            remark(f"servers are up; the logs of consumer and aggregator are in {logs}")
            variables = {"FUSEBOARD_FOLD_INTERVAL_SECONDS": FOLD_SECONDS}
            with (
                run_services(settings, consumers, logs, **variables) as supervisor,
                open_database(settings) as connection,
            ):
                added = run_through(replay, replay.make_tasks(settings), supervisor, connection)
                wait_until_folded(supervisor, connection)
                is_exact = print_report(connection, added)
    if not is_exact:
        raise CommandError("daily + pending is not raw: run `fuseboard reconcile --repair`")


def choose_trace(file: Path | None, folder: Path) -> Path:
    """Choose what to replay: the file given, else the real trace, else a sample that is written to `folder`."""
    if file is not None:
        if not is_trace(file):
            raise CommandError(f"{file}: the demo replays a trace (.csv); `fuseboard replay` sends events")
        return file
    if TRACE.is_file():
        remark(f"replaying the real trace {TRACE}")
        return TRACE
    remark(f"{TRACE} is not there: replaying a generated sample of the same shape, {SAMPLE_ROWS:,} requests")
    sample = folder / "sample.csv"
    write_sample(sample)
    return sample


def run_through(replay: Replay, tasks: Sequence[Task], supervisor: Supervisor, connection: Database) -> int:
    """Send everything and wait until it is committed, with progress bars; returns the number of events.

    Raises CommandError when events are missing in the end.
    """
    clock, run = tasks[0].clock, replay.source.run
    first, last = clock.place(clock.first), clock.place(clock.last)
    stall = Stall(STALL_SECONDS)
    with show_progress() as progress, ReplayWorkers(tasks) as workers:
        bars = [progress.add_task(name, total=replay.extent.events) for name in ("events sent", "events stored")]
        while True:
            supervisor.poll()
            is_sending = workers.are_running
            sent, stored = workers.counters.recorded, count_replayed(connection, run, first, last)
            for bar, completed in zip(bars, (sent, stored), strict=True):
                progress.update(bar, completed=completed)
            if not is_sending and stored >= sent:
                break
            if stall.is_reached(sent + stored):
                raise CommandError(f"{sent - stored:,} of {sent:,} events are missing: see the logs of the consumer")
            time.sleep(POLL_SECONDS)
    report_losses(workers.counters)
    if stored != replay.extent.events:
        raise CommandError(f"{stored:,} events were stored, {replay.extent.events:,} were to be sent")
    return stored


def wait_until_folded(supervisor: Supervisor, connection: Database) -> None:
    """Wait until the daily rows hold everything; when others keep recording, not for ever."""
    deadline = time.monotonic() + FOLD_WAIT_SECONDS
    while select_pipeline_status(connection).unfolded_requests and time.monotonic() < deadline:
        supervisor.poll()
        time.sleep(POLL_SECONDS)


def count_replayed(connection: Database, run: str, first: datetime, last: datetime) -> int:
    """Count the stored events of a replay; all lie between two aware times."""
    parameters = {"run": run, "first": first, "last": last}
    with connection.cursor(row_factory=scalar_row) as cursor:
        return int(cursor.execute(load_sql(__package__, "count_replayed"), parameters).fetchone() or 0)
