"""One typed function per statement on the ledger of jobs. None of them opens or ends a transaction."""

from datetime import datetime

from fuseboard_aggregator.store import Database
from fuseboard_schema.sql import load_sql


def start_job_run(connection: Database, job: str) -> None:
    """Note that a job starts."""
    connection.execute(load_sql(__package__, "start_job_run"), {"job": job})


def finish_job_run(connection: Database, job: str, problem: str | None) -> None:
    """Note that a job ran to its end, and the problem that it found."""
    connection.execute(load_sql(__package__, "finish_job_run"), {"job": job, "problem": problem})


def fail_job_run(connection: Database, job: str, error: str) -> None:
    """Note why a job did not run to its end."""
    connection.execute(load_sql(__package__, "fail_job_run"), {"job": job, "error": error})


def select_job_runs(connection: Database) -> dict[str, datetime | None]:
    """Read when each job last ran to its end, aware; a job that never started is not there."""
    return dict(connection.execute(load_sql(__package__, "select_job_runs")).fetchall())
