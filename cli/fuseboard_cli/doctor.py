"""`fuseboard doctor`: what is not well, and what to do about it."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from psycopg import Connection
from psycopg.rows import TupleRow, class_row
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from fuseboard_aggregator.store import list_partitions
from fuseboard_api.read_store import select_tag_keys, select_unpriced_models
from fuseboard_cli import checks, circuit_checks, price_checks
from fuseboard_cli.checks import Check, JobRun, Service
from fuseboard_cli.circuit_rows import select_circuits
from fuseboard_cli.command_error import describe_error
from fuseboard_cli.output import print_json, stdout
from fuseboard_cli.servers import APPLICATION_NAME, open_redis, use_servers
from fuseboard_cli.status import select_pipeline_status, select_provider_status
from fuseboard_cli.stream_state import read_stream_state
from fuseboard_producer import locate_spool
from fuseboard_producer.spool import SUFFIX
from fuseboard_schema.database import DATABASE_DOWN, connect_database, find_database_pooling, select_clock
from fuseboard_schema.migrate import MigrationError, list_pending_migrations
from fuseboard_schema.price_store import select_prices
from fuseboard_schema.pricing import PriceBook
from fuseboard_schema.redis_mode import is_cluster
from fuseboard_schema.settings import Settings
from fuseboard_schema.sql import load_sql
from fuseboard_schema.stream_reading import read_heartbeat_at, read_redis_time

Database = Connection[TupleRow]
STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    *,
    service: Annotated[
        Service | None, typer.Option(help="Leave out what only another service mends, as its health check does.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check Redis, PostgreSQL and everything between; exit code 1 when something fails."""
    with use_servers() as settings:
        everything = [*examine_redis(settings), *examine_database(settings), examine_spool(settings)]
    found = [check for check in everything if checks.is_mended_by(check, service)]
    if as_json:
        print_json([check._asdict() for check in found])
    else:
        _print_checks(found)
    if any(check.level == "fail" for check in found):
        raise typer.Exit(1)


def examine_redis(settings: Settings) -> Iterator[Check]:
    """Look at Redis and the event stream."""
    try:
        with open_redis(settings) as redis:
            yield from _examine_redis(redis, settings.namespace)
    except (RedisError, OSError) as error:
        yield Check("Redis", "fail", describe_error(error), "start it, or correct REDIS_URL")


def _examine_redis(redis: Redis, namespace: str) -> Iterator[Check]:
    yield checks.check_redis_version(cast("dict[str, object]", redis.info("server")))
    yield checks.check_redis_mode(is_cluster=is_cluster(redis))
    yield checks.check_redis_policy(cast("dict[str, object]", redis.info("memory")))
    yield checks.check_redis_persistence(cast("dict[str, object]", redis.info("persistence")), read_appendfsync(redis))
    yield checks.check_clock("Redis", measure_clock(lambda: read_redis_time(redis)))
    state = read_stream_state(redis, namespace)
    yield checks.check_stream(state)
    yield checks.check_oldest_entry(state)
    yield checks.check_consumers(state)
    yield circuit_checks.check_heartbeat(read_heartbeat_age(redis, namespace))


def examine_database(settings: Settings) -> Iterator[Check]:
    """Look at PostgreSQL and what is stored in it."""
    try:
        yield from _examine_pooling(settings)
        with connect_database(settings.session_database_url or "", application_name=APPLICATION_NAME) as connection:
            yield checks.check_postgres_encoding(connection.info.parameter_status("server_encoding"))
            yield checks.check_postgres_version(connection.info.server_version)
            yield checks.check_clock("PostgreSQL", measure_clock(lambda: select_clock(connection)))
            pending = list_pending_migrations(connection)
            yield checks.check_migrations(pending)
            if not pending:
                yield from _examine_tables(connection, settings)
    except MigrationError as error:
        yield Check("migrations", "fail", str(error))
    except DATABASE_DOWN as error:
        yield Check("PostgreSQL", "fail", describe_error(error), "start it, or correct DATABASE_URL")


def _examine_pooling(settings: Settings) -> Iterator[Check]:
    url = settings.database_url or ""
    with connect_database(url, application_name=APPLICATION_NAME, may_be_pooled=True) as connection:
        pooling = find_database_pooling(connection, url)
    yield checks.check_pooling(pooling, has_direct_url=settings.direct_database_url is not None)


def _examine_tables(connection: Database, settings: Settings) -> Iterator[Check]:
    now = select_clock(connection)
    yield checks.check_partitions(set(list_partitions(connection)), now.date())
    unpriced = select_unpriced_models(connection)
    yield checks.check_unpriced([(row.provider, row.model, row.unpriced_requests) for row in unpriced])
    first_day, assumed = find_assumed_models(connection, settings, now)
    yield price_checks.check_assumed(assumed, first_day)
    yield checks.check_tag_keys([key.tag_key for key in select_tag_keys(connection) if key.whole_from is None])
    yield checks.check_rejected(select_pipeline_status(connection).rejected_events)
    yield circuit_checks.check_provider_settings(select_provider_settings(connection))
    yield circuit_checks.check_circuits(select_circuits(connection))
    yield circuit_checks.check_disabled(select_provider_status(connection))
    yield from checks.check_jobs(select_job_ledger(connection), settings, now)


def find_assumed_models(
    connection: Database, settings: Settings, now: datetime
) -> tuple[date, list[price_checks.ModelCost]]:
    """Find the models of the last days that only a bare `*` prices, and the first of these days, of UTC."""
    parameters = {"days": price_checks.RECENT_DAYS}
    with connection.cursor(row_factory=class_row(price_checks.ModelCost)) as cursor:
        models = cursor.execute(load_sql(__package__, "select_recent_models"), parameters).fetchall()
    book = PriceBook(select_prices(connection), (settings.baseline_provider, settings.baseline_model))
    first_day = now.date() - timedelta(days=price_checks.RECENT_DAYS)
    return first_day, price_checks.find_assumed(models, book, now)


def examine_spool(settings: Settings) -> Check:
    """Look for events that wait on this host's disk, where this user's producers leave them."""
    try:
        place = locate_spool(settings.redis_url or "", settings.namespace, settings.spool_dir)
        segments = [path.stat() for path in _list_files(place)]
    except (ValueError, OSError) as error:
        return Check("spool", "warn", str(error), "set FUSEBOARD_SPOOL_DIR to a directory of this user")
    oldest = min((segment.st_mtime for segment in segments), default=None)
    oldest_at = None if oldest is None else datetime.fromtimestamp(oldest, UTC)
    return checks.check_spool(str(place), sum(segment.st_size for segment in segments), oldest_at)


def _list_files(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.suffix == SUFFIX] if place.exists() else []


def measure_clock(read: Callable[[], datetime]) -> float:
    """Measure how many seconds a server's clock is ahead of this host's, to within half the time of the question."""
    before = datetime.now(UTC)
    there = read()
    after = datetime.now(UTC)
    return (there - (before + (after - before) / 2)).total_seconds()


def read_appendfsync(redis: Redis) -> str | None:
    """Read when Redis writes what it acknowledges to its disk; None where it does not tell."""
    try:
        found = cast("dict[bytes | str, bytes | str]", redis.config_get("appendfsync"))
    except ResponseError:
        return None
    value = found.get("appendfsync") or found.get(b"appendfsync")
    return value.decode() if isinstance(value, bytes) else value


def read_heartbeat_age(redis: Redis, namespace: str) -> float | None:
    """Read how many seconds ago the consumers last said in Redis that they make progress; None: never."""
    heartbeat_at = read_heartbeat_at(redis, namespace)
    return None if heartbeat_at is None else (read_redis_time(redis) - heartbeat_at).total_seconds()


def select_provider_settings(connection: Database) -> list[tuple[str, dict[str, Any], object]]:
    """Read the name, circuit settings and models of each provider."""
    return connection.execute(load_sql(__package__, "select_provider_settings")).fetchall()


def select_job_ledger(connection: Database) -> list[JobRun]:
    """Read when each job last ran, and how."""
    with connection.cursor(row_factory=class_row(JobRun)) as cursor:
        return cursor.execute(load_sql(__package__, "select_job_ledger")).fetchall()


def _print_checks(found: list[Check]) -> None:
    console = stdout()
    width = max(len(check.name) for check in found)
    for check in found:
        console.print(f"{check.level:<4} ", style=STYLES[check.level], end="")
        console.print(f"{check.name:<{width}}  {check.text}", soft_wrap=True)
        if check.action and check.level != "ok":
            console.print(f"{'':<{width + 7}}→ {check.action}", soft_wrap=True)
