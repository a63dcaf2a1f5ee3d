"""The commands that keep an installation running: migrate, consumer, aggregator."""

import os
import sys
from typing import Annotated, Final

import typer

from fuseboard_aggregator.jobs import JOBS, run_job
from fuseboard_aggregator.scheduler import run_aggregator
from fuseboard_cli.logs import setup_logging
from fuseboard_cli.output import say
from fuseboard_cli.processes import Supervisor, follow_parent
from fuseboard_cli.servers import APPLICATION_NAME, use_servers
from fuseboard_consumer.worker import run_consumer
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import migrate as apply_migrations
from fuseboard_schema.settings import Settings
from fuseboard_schema.variables import find_unknown_variables

# an index on many rows is not made in half a minute
MIGRATION_TIMEOUT_SECONDS: Final = 3600


def make_command(*arguments: str) -> list[str]:
    """Make the command line of another `fuseboard` process."""
    return [sys.executable, "-m", "fuseboard_cli", *arguments]


def make_environment(settings: Settings) -> dict[str, str]:
    """Make the environment in which a child finds the servers of `settings`; what was warned of is not in it."""
    urls = {"DATABASE_URL": settings.database_url or "", "REDIS_URL": settings.redis_url or ""}
    unknown = find_unknown_variables(os.environ)
    return {**{name: value for name, value in os.environ.items() if name not in unknown}, **urls}


def migrate_database(settings: Settings) -> list[str]:
    """Apply missing migrations and return their names."""
    with connect_database(
        settings.session_database_url or "",
        application_name=APPLICATION_NAME,
        statement_timeout_seconds=MIGRATION_TIMEOUT_SECONDS,
    ) as connection:
        return apply_migrations(connection)


def migrate() -> None:
    """Bring the database to this version; does nothing when it is there."""
    with use_servers(needs_redis=False) as settings:
        applied = migrate_database(settings)
    for name in applied:
        say(f"applied {name}")
    if not applied:
        say("the database is up to date")


def consumer(
    processes: Annotated[int, typer.Option(min=1, max=256, help="How many, each a process of its own.")] = 1,
) -> None:
    """Consume events until Ctrl-C or SIGTERM."""
    follow_parent()
    with use_servers() as settings:
        setup_logging(settings.log_level)
        if processes == 1:
            run_consumer(settings)
            return
        with Supervisor(environment=make_environment(settings)) as supervisor:
            supervisor.add("consumer", make_command("consumer"), processes)
            supervisor.run_until(lambda: False)


def check_job(name: str | None) -> str | None:
    """Check the option's value."""
    if name is not None and name not in JOBS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(JOBS)}")
    return name


def aggregator(
    once: Annotated[
        str | None, typer.Option(callback=check_job, metavar="JOB", help=f"Run one job once: {', '.join(JOBS)}.")
    ] = None,
) -> None:
    """Run the scheduled jobs until Ctrl-C or SIGTERM, or one of them once."""
    follow_parent()
    with use_servers(needs_redis=False) as settings:
        setup_logging(settings.log_level)
        if once is None:
            run_aggregator(settings)
            return
        run = run_job(once, settings)
    say(f"{once}: {run.summary}")
    if run.problem:
        raise typer.Exit(1)
