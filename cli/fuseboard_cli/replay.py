"""`fuseboard replay`: traffic of a file, sent through real producers in worker processes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, Final, NamedTuple

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fuseboard_cli.command_error import CommandError
from fuseboard_cli.output import print_json, remark, say, stderr
from fuseboard_cli.replay_plan import Clock, Extent, Source, measure_source
from fuseboard_cli.replay_worker import Task
from fuseboard_cli.replay_workers import ReplayWorkers
from fuseboard_cli.servers import open_redis, use_servers
from fuseboard_cli.trace import is_trace
from fuseboard_cli.traffic import ASSIGNED_FIELDS, DEFAULT_MIX, parse_mix
from fuseboard_producer import Counters
from fuseboard_schema.settings import Settings

POLL_SECONDS: Final = 0.1
DEFAULT_WORKERS: Final = min(4, max(2, os.cpu_count() or 1))
ASSIGNED_NOTE: Final = (
    "The trace holds times and token counts only. Provider, model, duration and status are assigned by this replay."
)


class Replay(NamedTuple):
    """A replay that is ready to start."""

    source: Source
    extent: Extent
    speed: float
    keep_time: bool
    workers: int

    @property
    def assigns(self) -> bool:
        """Say whether the replay makes up what its file does not hold."""
        return is_trace(Path(self.source.path))

    def make_tasks(self, settings: Settings) -> list[Task]:
        """Share the source among the workers, from now on."""
        clock = Clock(self.extent.first, self.extent.last, datetime.now(UTC), self.speed, self.keep_time)
        spool_dir = str(settings.spool_dir) if settings.spool_dir else None
        urls = (settings.redis_url or "", settings.namespace, spool_dir, settings.redis_ca_certs)
        return [Task(self.source, clock, part, self.workers, *urls) for part in range(self.workers)]


def prepare_replay(
    path: Path, *, mix: str = DEFAULT_MIX, seed: int = 0, speed: float = 0.0, keep_time: bool = False, workers: int
) -> Replay:
    """Check the file and measure it; raises CommandError where it cannot be replayed."""
    if not path.is_file():
        raise CommandError(f"{path}: no such file")
    source = Source(str(path.absolute()), mix, seed, token_hex(4))
    return Replay(source, measure_source(source), speed, keep_time, workers)


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Show progress bars on standard error; each task has a description and a total."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr()) as progress:
        yield progress


def check_mix(text: str) -> str:
    """Check the option's value."""
    try:
        parse_mix(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def run_replay(replay: Replay, settings: Settings) -> Counters:
    """Send everything, with a progress bar; raises CommandError when a worker fails."""
    with show_progress() as progress, ReplayWorkers(replay.make_tasks(settings)) as workers:
        bar = progress.add_task("events sent", total=replay.extent.events)
        while workers.are_running:
            progress.update(bar, completed=workers.counters.recorded)
            time.sleep(POLL_SECONDS)
        progress.update(bar, completed=workers.counters.recorded)
    return workers.counters


def replay(
    file: Annotated[Path, typer.Argument(help="A trace (.csv) or events (.jsonl).", show_default=False)],
    *,
    speed: Annotated[
        float, typer.Option(min=0.0, help="0: as fast as possible, 1: at the original pace, 10: ten times as fast.")
    ] = 0.0,
    mix: Annotated[
        str, typer.Option(callback=check_mix, help="Providers of a trace's requests and their shares.")
    ] = DEFAULT_MIX,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = DEFAULT_WORKERS,
    seed: Annotated[int, typer.Option(min=0, help="The same seed assigns the same.")] = 0,
    keep_time: Annotated[
        bool,
        typer.Option(
            "--keep-time/--shift-to-now",
            help="Keep the file's times, and the ids of events, or move them so that the last one is now.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Send the traffic of FILE through real producers in several worker processes."""
    plan = prepare_replay(file, mix=mix, seed=seed, speed=speed, keep_time=keep_time, workers=workers)
    if plan.assigns:
        remark(ASSIGNED_NOTE)
    with use_servers(needs_database=False) as settings:
        with open_redis(settings) as redis:
            redis.ping()
        started = time.monotonic()
        counters = run_replay(plan, settings)
    result = describe_result(plan, counters, time.monotonic() - started)
    if as_json:
        print_json(result)
    else:
        say(
            f"{counters.recorded:,} events of {plan.extent.calls:,} requests sent in {result['seconds']:.1f} s "
            f"by {workers} workers; `fuseboard status` shows them arrive"
        )
    report_losses(counters)


def describe_result(plan: Replay, counters: Counters, seconds: float) -> dict[str, Any]:
    """Put what a replay did into the fields of its JSON form."""
    return {
        "events": counters.recorded,
        "requests": plan.extent.calls,
        "sent": counters.sent,
        "spooled": counters.spooled,
        "dropped": counters.dropped,
        "bad": counters.bad,
        "seconds": round(seconds, 3),
        "workers": plan.workers,
        "replay": plan.source.run,
        "assigned": {
            "fields": list(ASSIGNED_FIELDS) if plan.assigns else [],
            "mix": plan.source.mix if plan.assigns else None,
            "seed": plan.source.seed if plan.assigns else None,
        },
    }


def report_losses(counters: Counters) -> None:
    """Say what Redis does not have; raises CommandError when events were lost."""
    if counters.bad:
        remark(f"events that break the event's rules: {counters.bad:,}, see `fuseboard rejected list`")
    if counters.spooled:
        remark(f"events in this host's spool: {counters.spooled:,}, the next producer sends them (`fuseboard doctor`)")
    if counters.dropped:
        raise CommandError(f"{counters.dropped:,} events were dropped because buffer and spool were full")
