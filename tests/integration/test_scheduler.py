import signal
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from aggregators import aggregator
from consumers import make_settings
from fuseboard_aggregator.fold import fold_deltas
from fuseboard_aggregator.jobs import JOBS, JobRun, run_job
from fuseboard_aggregator.locks import hold_lock
from fuseboard_aggregator.reconcile import reconcile
from fuseboard_aggregator.scheduler import run_aggregator
from fuseboard_aggregator.store import list_partitions
from fuseboard_consumer.batch import BatchStore
from fuseboard_schema.database import connect_database
from fuseboard_schema.migrate import MigrationError
from fuseboard_schema.settings import Settings, SettingsError
from private_servers import PrivateServers
from stored_usage import (
    Row,
    compute_usage,
    fetch_rows,
    fetch_usage,
    fetch_value,
    make_events,
    store_batch,
    store_events,
)
from waiting import wait_until

Database = Connection[TupleRow]
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return make_settings(database_url, redis_url, "unused", FUSEBOARD_PARTITIONS_AHEAD_DAYS="2")


def fetch_job(connection: Database, job: str) -> Row:
    (row,) = fetch_rows(connection, f"SELECT * FROM fuseboard_job_runs WHERE job = '{job}'")  # noqa: S608 - a constant
    return row


def is_folded(connection: Database) -> bool:
    return not fetch_rows(connection, "SELECT FROM llm_usage_deltas")


def test_every_job_runs_once_on_demand_and_is_noted(
    settings: Settings, database_url: str, connection: Database
) -> None:
    store_events(database_url, make_events([NOON, NOON]))

    runs = {name: run_job(name, settings) for name in JOBS}

    assert runs == {
        "partitions": JobRun("made 4 partitions, dropped 1"),
        "fold": JobRun("folded 1 deltas into 1 daily rows"),
        "reconcile": JobRun("0 raw requests = 0 daily + 0 pending, difference 0 requests, 0 USD"),
    }
    assert len(list_partitions(connection)) == 4
    noted = fetch_rows(connection, "SELECT * FROM fuseboard_job_runs")
    assert {row["job"] for row in noted} == runs.keys()
    assert all(row["last_started_at"] <= row["last_success_at"] and row["last_error"] is None for row in noted)


def test_a_difference_is_logged_and_noted_until_it_is_repaired(
    settings: Settings, database_url: str, connection: Database, caplog: pytest.LogCaptureFixture
) -> None:
    store_events(database_url, make_events([NOON]))
    fold_deltas(connection)
    connection.execute("UPDATE llm_costs_daily SET cost_usd = cost_usd + 1")

    run = run_job("reconcile", settings)
    noted = fetch_job(connection, "reconcile")
    reconcile(connection, repair=True)
    after_repair = run_job("reconcile", settings)

    assert run.problem == noted["last_error"]
    assert "1 days from 2026-03-10 to 2026-03-10 differ" in noted["last_error"]
    assert noted["last_success_at"] is not None
    assert "job_found_problem job=reconcile" in caplog.text
    assert after_repair.problem is fetch_job(connection, "reconcile")["last_error"] is None


def test_a_job_that_another_process_runs_is_left_to_it(
    settings: Settings, database_url: str, connection: Database
) -> None:
    store_events(database_url, make_events([NOON]))

    with hold_lock(connection, "fuseboard.job.fold"):
        run = run_job("fold", settings)

    assert run == JobRun("another process is running it", is_skipped=True)
    assert not is_folded(connection)
    assert fetch_rows(connection, "SELECT * FROM fuseboard_job_runs") == []


def test_a_job_that_fails_is_noted_and_gives_its_lock_back(settings: Settings, connection: Database) -> None:
    run_job("fold", settings)
    before = fetch_job(connection, "fold")
    connection.execute("ALTER TABLE llm_costs_daily RENAME TO elsewhere")
    with pytest.raises(psycopg.errors.UndefinedTable):
        run_job("fold", settings)
    failed = fetch_job(connection, "fold")
    connection.execute("ALTER TABLE elsewhere RENAME TO llm_costs_daily")
    run = run_job("fold", settings)

    assert failed["last_success_at"] == before["last_success_at"] < failed["last_started_at"]
    assert 'UndefinedTable: relation "llm_costs_daily" does not exist' in failed["last_error"]
    assert run == JobRun("folded 0 deltas into 0 daily rows")


def test_a_database_that_is_not_migrated_says_what_to_do(settings: Settings, connection: Database) -> None:
    connection.execute("DELETE FROM fuseboard_migrations WHERE name LIKE '0006%'")

    with pytest.raises(MigrationError, match=r"lacks migration 0006_usage\.sql: run `fuseboard migrate`"):
        run_job("fold", settings)


@pytest.mark.parametrize("run", [run_aggregator, lambda settings: run_job("fold", settings)])
def test_a_missing_database_url_is_named(run: Callable[[Settings], object]) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        run(Settings(database_url=None))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_new_aggregator_does_everything_at_once_and_stops_when_told(
    database_url: str, connection: Database, tmp_path: Path, number: signal.Signals
) -> None:
    store_events(database_url, make_events([NOON]))
    with aggregator(tmp_path, database_url, FUSEBOARD_RAW_RETENTION_DAYS="3650") as running:
        wait_until(lambda: all(running.logged(f"job_done job={name}") for name in JOBS))
        folded = is_folded(connection)
        exit_code = running.stop(number)

    assert (folded, exit_code) == (True, 0)
    assert running.logged("aggregator_stopped")
    # partitions come before anything else
    text = running.log.read_text()
    assert text.index("job_done job=partitions") < min(
        text.index(f"job_done job={name}") for name in ("fold", "reconcile")
    )


def test_a_missed_run_is_made_up_for_and_one_that_is_not_due_waits(
    database_url: str, connection: Database, tmp_path: Path
) -> None:
    connection.execute(
        "INSERT INTO fuseboard_job_runs (job, last_started_at, last_success_at) VALUES"
        " ('reconcile', now() - interval '25 hours', now() - interval '25 hours'), ('fold', now(), now())"
    )
    with aggregator(tmp_path, database_url, FUSEBOARD_FOLD_INTERVAL_SECONDS="3600") as running:
        wait_until(lambda: running.logged("job_done job=reconcile"))
        running.stop()

    assert fetch_job(connection, "reconcile")["last_success_at"] > datetime.now(UTC) - timedelta(hours=1)
    assert not running.logged("job=fold")


def test_two_aggregators_at_once_count_everything_once(database_url: str, connection: Database, tmp_path: Path) -> None:
    with ExitStack() as stack:
        pair = [stack.enter_context(aggregator(tmp_path, database_url)) for _ in range(2)]
        store = stack.enter_context(closing(BatchStore(database_url)))
        for index in range(20):
            store_batch(store, make_events([datetime.now(UTC) - index * timedelta(hours=1)] * 3))
        # one may leave it to the other, or come so late that it is not due any more
        wait_until(
            lambda: (
                all(running.logged("job=partitions") for running in pair)
                and any(running.logged("job_done job=reconcile") for running in pair)
                and is_folded(connection)
            )
        )
        exit_codes = [running.stop() for running in pair]

    daily = fetch_usage(connection, "llm_costs_daily")
    assert exit_codes == [0, 0]
    assert daily == compute_usage(connection)
    assert sum(row["requests"] for row in daily.values()) == 60


def test_one_job_that_fails_stops_no_other(database_url: str, connection: Database, tmp_path: Path) -> None:
    connection.execute("ALTER FUNCTION sum_request_usage RENAME TO elsewhere")
    with aggregator(tmp_path, database_url) as running:
        wait_until(lambda: running.logged("job_failed job=reconcile"))
        store_events(database_url, make_events([NOON]))
        wait_until(lambda: is_folded(connection))
        connection.execute("ALTER FUNCTION elsewhere RENAME TO sum_request_usage")
        wait_until(lambda: running.logged("job_done job=reconcile"))

        assert running.stop() == 0


def test_a_stop_in_the_middle_of_a_fold_rolls_it_back(database_url: str, connection: Database, tmp_path: Path) -> None:
    store_events(database_url, make_events([NOON]))
    fold_deltas(connection)
    store_events(database_url, make_events([NOON, NOON]))
    folding = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'fuseboard aggregator fold'"
    )
    with (
        aggregator(tmp_path, database_url, FUSEBOARD_RAW_RETENTION_DAYS="3650") as running,
        connect_database(database_url, application_name="tests") as other,
        other.transaction(),
    ):
        other.execute("SELECT FROM llm_costs_daily FOR UPDATE")
        wait_until(lambda: fetch_value(connection, f"{folding} AND wait_event_type = 'Lock'"))
        exit_code = running.stop()
        wait_until(lambda: not fetch_value(connection, folding))

    assert (exit_code, is_folded(connection)) == (0, False)
    assert running.logged("job_interrupted job=fold")
    assert fetch_usage(connection, "llm_costs_current") == compute_usage(connection)


def test_an_aggregator_waits_for_its_database_and_outlives_it(private_servers: PrivateServers, tmp_path: Path) -> None:
    postgres, database_url = private_servers.postgres, private_servers.database_url
    rename(database_url, "fuseboard_migrations", "elsewhere")
    postgres.stop()
    with aggregator(tmp_path, database_url) as running:
        wait_until(lambda: running.logged("database_not_ready"))
        postgres.start()
        wait_until(lambda: running.logged("run `fuseboard migrate`"))
        rename(database_url, "elsewhere", "fuseboard_migrations")
        wait_until(lambda: running.logged("job_done job=fold"))
        postgres.kill9()
        wait_until(lambda: running.logged("job_retried_later"))
        postgres.start()
        store_events(database_url, make_events([NOON]))
        with connect_database(database_url, application_name="tests") as connection:
            wait_until(lambda: is_folded(connection))

        assert running.stop() == 0


def rename(database_url: str, before: str, after: str) -> None:
    with connect_database(database_url, application_name="tests") as connection:
        names = (sql.Identifier(before), sql.Identifier(after))
        connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(*names))
