"""An aggregator that is stopped in its work, and the others."""

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

from aggregators import aggregator
from consumers import make_settings
from fuseboard_aggregator.job_store import finish_job_run
from fuseboard_aggregator.jobs import JobRun
from fuseboard_aggregator.locks import hold_lock
from fuseboard_aggregator.scheduler import Aggregator
from fuseboard_schema.database import connect_database
from queries import Database, fetch_value
from stored_usage import compute_usage, fetch_usage, make_events, store_events
from waiting import wait_until

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
PENDING = "SELECT count(*) FROM llm_usage_deltas"


def test_an_aggregator_frozen_in_a_fold_stops_no_other_and_counts_nothing_twice(
    database_url: str, connection: Database, tmp_path: Path
) -> None:
    with aggregator(tmp_path, database_url) as frozen:
        wait_until(lambda: frozen.logged("job=fold"))
        with connect_database(database_url, application_name="tests") as blocker, blocker.transaction():
            store_events(database_url, make_events([datetime.now(UTC)] * 30))
            blocker.execute("LOCK TABLE llm_costs_daily IN SHARE MODE")
            wait_until(lambda: fetch_value(connection, WAITING) == 1)
            os.kill(frozen.process.pid, signal.SIGSTOP)
        # its statement is done now; the transaction and the job's lock are open until its session ends
        with aggregator(tmp_path, database_url) as healthy:
            wait_until(lambda: fetch_value(connection, PENDING) == 0)
            store_events(database_url, make_events([datetime.now(UTC)] * 30))
            wait_until(lambda: fetch_value(connection, PENDING) == 0)
            os.kill(frozen.process.pid, signal.SIGCONT)
            wait_until(lambda: frozen.logged("job_retried_later job=fold"))
            assert (frozen.stop(), healthy.stop()) == (0, 0)

    assert fetch_usage(connection, "llm_costs_daily") == compute_usage(connection)
    assert not frozen.logged("Traceback")


def test_a_job_left_to_another_is_done_when_that_one_did_not_end_it(database_url: str, connection: Database) -> None:
    process = Aggregator(make_settings(database_url, "redis://nowhere", "test"))
    with connect_database(database_url, application_name="tests") as other:
        with hold_lock(other, "fuseboard.job.reconcile"):
            assert process._run_unless_done(connection, "reconcile").is_skipped
            assert process._run_unless_done(connection, "reconcile").is_skipped
        # frozen or gone
        assert "raw requests" in process._run_unless_done(connection, "reconcile").summary

        with hold_lock(other, "fuseboard.job.reconcile"):
            assert process._run_unless_done(connection, "reconcile").is_skipped
            finish_job_run(other, "reconcile", None)
        assert process._run_unless_done(connection, "reconcile") == JobRun("another process has done it")
