"""Sessions of PostgreSQL: what is set in them, what ends them, and what no one else has to wait for."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from redis import Redis

from commands import run_command, store_events
from conftest import create_database
from consumers import consumers, count_pending, drain_all, is_drained, make_settings, shorten_waits
from events import add_entry, make_event
from fuseboard_aggregator.locks import hold_lock
from fuseboard_aggregator.partitions import make_partitions_ahead
from fuseboard_aggregator.store import drop_request_partition
from fuseboard_api import exports
from fuseboard_schema import migrate as migrate_module
from fuseboard_schema.database import ReplyTimeoutError, connect_database, select_clock
from fuseboard_schema.migrate import MigrationError, migrate
from fuseboard_schema.settings import Settings
from queries import Database, fetch_value
from waiting import wait_until

IDLE_LIMIT = "SELECT current_setting('idle_session_timeout')"


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(database_url, redis_url, namespace)


def test_a_consumer_frozen_in_a_transaction_and_in_its_turn_to_sweep_stops_no_other(
    settings: Settings, redis_client: Redis, connection: Database, tmp_path: Path
) -> None:
    urls = (settings.database_url or "", settings.redis_url or "", settings.namespace)

    def count_stored() -> object:
        return fetch_value(connection, "SELECT count(*) FROM llm_requests")

    add_entry(redis_client, settings.namespace, [make_event(provider="claude")])
    with consumers(1, tmp_path, *urls) as (frozen,):
        wait_until(lambda: count_stored() == 1 and frozen.logged("sweeper_started"))
        with connection.transaction():
            connection.execute("SELECT FROM llm_provider_health WHERE provider = 'claude' FOR UPDATE")
            add_entry(redis_client, settings.namespace, [make_event(provider="claude")])
            with connect_database(urls[0], application_name="tests") as other:
                waiting = (
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                wait_until(lambda: fetch_value(other, waiting) == 1)
            os.kill(frozen.process.pid, signal.SIGSTOP)
        # its statement is done now, and the row is locked until its session ends
        with consumers(1, tmp_path, *urls) as (healthy,):
            add_entry(redis_client, settings.namespace, [make_event(provider="claude")])
            wait_until(lambda: count_stored() == 3 and healthy.logged("sweeper_started"))
            os.kill(frozen.process.pid, signal.SIGCONT)
            add_entry(redis_client, settings.namespace, [make_event(provider="claude")])
            wait_until(lambda: is_drained(redis_client, settings.namespace))
            assert (frozen.stop(), healthy.stop()) == (0, 0)

    assert count_stored() == 4
    assert fetch_value(connection, "SELECT total_requests FROM llm_provider_health WHERE provider = 'claude'") == 4


def test_who_holds_a_lock_of_the_session_is_ended_when_it_does_nothing(connection: Database) -> None:
    before = fetch_value(connection, IDLE_LIMIT)
    with hold_lock(connection, "outer"):
        with hold_lock(connection, "inner"):
            pass
        assert fetch_value(connection, IDLE_LIMIT) == "5s"
    assert fetch_value(connection, IDLE_LIMIT) == before


def test_a_server_that_does_not_answer_is_left(database_url: str) -> None:
    with connect_database(database_url, application_name="tests", statement_timeout_seconds=0.5) as session:
        pid = session.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(ReplyTimeoutError, match="no reply within"):
                session.execute("SELECT 1")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert session.closed


@contextmanager
def odd_database(server_url: str) -> Iterator[str]:
    """Make a database whose defaults are odd, and give a URL whose search_path leads to a schema of its own."""
    with create_database(server_url, "template0") as url:
        with psycopg.connect(url, autocommit=True) as admin:
            name = sql.Identifier(admin.info.dbname)
            admin.execute("CREATE SCHEMA fuse")
            for setting, value in {
                "datestyle": "German, DMY", "intervalstyle": "sql_standard", "timezone": "Asia/Kathmandu",
                "bytea_output": "escape", "extra_float_digits": "-5", "standard_conforming_strings": "off",
                "default_transaction_isolation": "serializable", "client_encoding": "LATIN1",
            }.items():  # fmt: skip
                statement = sql.SQL("ALTER DATABASE {} SET {} TO {}")
                admin.execute(statement.format(name, sql.Identifier(setting), value))
        yield f"{url}{'&' if '?' in url else '?'}options={quote('-csearch_path=fuse')}&application_name=mine"


def test_odd_defaults_of_a_database_change_nothing_and_what_the_url_says_is_heeded(
    settings: Settings, redis_client: Redis
) -> None:
    with odd_database(settings.database_url or "") as url:
        odd = settings.model_copy(update={"database_url": url})
        run_command(odd, "migrate")
        store_events(redis_client, odd, [make_event(provider="claude", model="模型", duration_seconds=1.25)])
        for command in (
            ["aggregator", "--once", "partitions"], ["aggregator", "--once", "fold"], ["reconcile"], ["status"],
            ["circuits"], ["prices", "list"], ["rebuild", "--time-zone", "Europe/Berlin"],
        ):  # fmt: skip
            run_command(odd, *command)
        with connect_database(url, application_name="tests") as connection:
            assert fetch_value(connection, "SELECT model FROM fuse.llm_requests") == "模型"
            assert fetch_value(connection, "SELECT to_regclass('public.llm_requests')") is None
            assert fetch_value(connection, "SELECT current_setting('application_name')") == "mine"
            check_partitions_of_another_path(odd, redis_client, connection)
            assert exports.is_known_table(connection, "llm_costs_daily")
            assert abs(select_clock(connection) - datetime.now(UTC)) < timedelta(minutes=5)


def check_partitions_of_another_path(odd: Settings, redis: Redis, connection: Database) -> None:
    """Check that a process whose search_path begins elsewhere makes and drops partitions beside their table."""
    connection.execute("CREATE SCHEMA elsewhere")
    url = (odd.database_url or "").replace("search_path%3Dfuse", "search_path%3Delsewhere,fuse")
    other = odd.model_copy(update={"database_url": url})
    store_events(redis, other, [make_event(provider="claude", occurred_at=datetime(2026, 1, 2, tzinfo=UTC))])
    stray = "SELECT count(*) FROM pg_class WHERE relname ~ '^llm_requests' AND relnamespace <> 'fuse'::regnamespace"
    assert fetch_value(connection, stray) == 0
    with connect_database(url, application_name="tests") as session:
        drop_request_partition(session, date(2026, 1, 2))
    assert fetch_value(connection, "SELECT to_regclass('fuse.llm_requests_20260102')") is None


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused_in_one_sentence(
    settings: Settings, redis_client: Redis, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    with connect_database(settings.database_url or "", application_name="tests") as admin:
        name = f"{admin.info.dbname}_odd"
        statement = "CREATE DATABASE {} ENCODING {} LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        admin.execute(sql.SQL(statement).format(sql.Identifier(name), encoding))
        url = (settings.database_url or "").replace(admin.info.dbname, name)
        odd = settings.model_copy(update={"database_url": url})
        try:
            with pytest.raises(MigrationError, match=f"^the database is in {encoding}, .* ENCODING 'UTF8'"):
                run_command(odd, "migrate")
            assert f"{encoding}, which cannot hold" in run_command(odd, "doctor", code=1).output.replace("\n", " ")
            if encoding == "LATIN1":
                check_rejected_text(odd, redis_client, monkeypatch)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def check_rejected_text(odd: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that an event whose text the database cannot hold blocks nothing, and is kept."""
    with connect_database(odd.database_url or "", application_name="tests") as connection:
        monkeypatch.setattr(migrate_module, "check_encoding", lambda _: None)
        migrate(connection)
        models = ["m1", "模型", "m2"]
        store_events(redis, odd, [make_event(provider="claude", model=model) for model in models])

        assert fetch_value(connection, "SELECT array_agg(model ORDER BY model) FROM llm_requests") == ["m1", "m2"]
        kept = connection.execute("SELECT reason, raw_text FROM llm_rejected_events").fetchall()
        assert [reason for reason, _ in kept] == ["refused_by_database"]
        assert "\\u6a21\\u578b" in kept[0][1]


def test_an_event_that_a_trigger_refuses_blocks_nothing(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF new.model = 'bad' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN new; END $$"
    )
    connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON llm_requests FOR EACH ROW EXECUTE FUNCTION refuse()")
    models = ["m1", "bad", "m2", "m3"]

    store_events(redis_client, settings, [make_event(provider="claude", model=model) for model in models])

    assert fetch_value(connection, "SELECT array_agg(model ORDER BY model) FROM llm_requests") == ["m1", "m2", "m3"]
    assert "not this one" in fetch_value(connection, "SELECT detail FROM llm_rejected_events")


def test_what_is_ahead_is_judged_by_postgresqls_clock(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    # a clock two days ahead, as this session and the consumer's see it
    connection.execute("CREATE SCHEMA clocks")
    connection.execute(
        "CREATE FUNCTION clocks.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
        "$$ SELECT pg_catalog.clock_timestamp() + interval '2 days' $$"
    )
    path = quote("-csearch_path=public,clocks,pg_catalog")
    url = f"{settings.database_url}{'&' if '?' in (settings.database_url or '') else '?'}options={path}"
    ahead = [datetime.now(UTC) + timedelta(hours=hours) for hours in (60, 90)]

    drained = settings.model_copy(update={"database_url": url})
    add_entry(redis_client, settings.namespace, [make_event(occurred_at=at) for at in ahead])
    drain_all(redis_client, drained)
    run_command(drained, "aggregator", "--once", "partitions")

    assert connection.execute("SELECT occurred_at FROM llm_requests").fetchall() == [(ahead[0],)]
    assert fetch_value(connection, "SELECT reason FROM llm_rejected_events") == "absurd_time"
    today: date = (datetime.now(UTC) + timedelta(days=2)).date()
    assert make_partitions_ahead(connection, 7, datetime(today.year, today.month, today.day, tzinfo=UTC)) == []
    assert count_pending(redis_client, settings.namespace) == 0
