"""What the doctor makes of what it finds. Pure: readings in, verdicts out."""

from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from fuseboard_cli.output import clean_text, format_time
from fuseboard_cli.stream_state import StreamState
from fuseboard_schema.database_pooling import Pooling
from fuseboard_schema.redis_mode import CLUSTER_ACTION
from fuseboard_schema.settings import Settings
from fuseboard_schema.stream import STREAM_MAX_ENTRIES

Level = Literal["ok", "warn", "fail"]
Service = Literal["consumer", "aggregator"]

REDIS_VERSION_MIN: Final = (6, 2)
POSTGRES_MAJOR_MIN: Final = 15
POSTGRES_MAJOR_MAX: Final = 18
OLDEST_ENTRY_WARN_SECONDS: Final = 60.0
OLDEST_ENTRY_FAIL_SECONDS: Final = 600.0
CLOCK_WARN_SECONDS: Final = 1.0
CLOCK_FAIL_SECONDS: Final = 60.0
# a daily job that is two hours late was missed
DAILY_JOB_SECONDS: Final = 26 * 3600.0
# partitions are made once a day; with fewer than this many days ahead that has failed for days
PARTITIONS_AHEAD_MIN: Final = 2
SHOWN_MODELS: Final = 5
JOB_PREFIX: Final = "job "
# a consumer that is restarted makes no job run, an aggregator drains no stream, and neither sets up Redis
MENDED_ELSEWHERE: Final = {
    "consumer": (JOB_PREFIX, "Redis persistence"),
    "aggregator": ("stream", "oldest entry", "consumers", "sweeper", "Redis persistence"),
}


class Check(NamedTuple):
    """One line of the doctor: what was looked at, how it is, and what to do where it is not well."""

    name: str
    level: Level
    text: str
    action: str = ""


class JobRun(NamedTuple):
    """One row of fuseboard_job_runs; times are aware."""

    job: str
    last_started_at: datetime
    last_success_at: datetime | None
    last_error: str | None


def is_mended_by(check: Check, service: Service | None) -> bool:
    """Say whether a check is about what this service, or anybody (None), can mend."""
    return service is None or not check.name.startswith(MENDED_ELSEWHERE[service])


def check_redis_version(info: Mapping[str, Any]) -> Check:
    """Check INFO's version: streams are claimed with commands of Redis 6.2; Valkey tells the Redis it stands for."""
    version = str(info.get("redis_version", "0"))
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    if _parse_version(version) >= REDIS_VERSION_MIN:
        return Check("Redis version", "ok", name)
    return Check("Redis version", "fail", name, "use Redis 6.2 or newer, or Valkey")


def check_redis_mode(*, is_cluster: bool) -> Check:
    """Check that Redis is no part of Redis Cluster."""
    if not is_cluster:
        return Check("Redis mode", "ok", "no cluster")
    return Check("Redis mode", "fail", "Redis Cluster, whose keys do not belong together", CLUSTER_ACTION)


def check_redis_policy(info: Mapping[str, Any]) -> Check:
    """Check that Redis never throws events away to make room."""
    policy, limit = info.get("maxmemory_policy"), int(info.get("maxmemory") or 0)
    if policy == "noeviction":
        return Check("Redis policy", "ok", "noeviction")
    level: Level = "fail" if limit else "warn"
    return Check(
        "Redis policy",
        level,
        f"{policy}, maxmemory {limit:,} bytes",
        "set maxmemory-policy noeviction, or events vanish",
    )


def check_redis_persistence(info: Mapping[str, Any], appendfsync: str | None) -> Check:
    """Check the append-only file: a crash of Redis loses what it has acknowledged and not yet written to it.

    `appendfsync` is None where Redis does not tell it, as managed ones do that refuse CONFIG.
    """
    if not info.get("aof_enabled"):
        return Check(
            "Redis persistence",
            "fail",
            "no append-only file",
            "set appendonly yes and appendfsync always: a crash of Redis loses every event that waits",
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        return Check(
            "Redis persistence", "fail", "writing the append-only file fails", "see Redis' log; is the disk full?"
        )
    if appendfsync == "always":
        return Check("Redis persistence", "ok", "append-only file, appendfsync always")
    if appendfsync is None:
        return Check(
            "Redis persistence",
            "warn",
            "append-only file; appendfsync is unknown, because Redis refuses CONFIG",
            "see its settings: with anything but appendfsync always a crash loses events that were acknowledged",
        )
    lost = "up to two seconds of" if appendfsync == "everysec" else "any number of"
    return Check(
        "Redis persistence",
        "warn",
        f"append-only file, appendfsync {appendfsync}",
        f"set appendfsync always: a crash of Redis loses {lost} events that it has acknowledged (G2)",
    )


def check_postgres_version(version: int) -> Check:
    """Check PostgreSQL's version number, such as 180001."""
    major = version // 10_000
    text = f"PostgreSQL {major}.{version % 10_000}"
    if major < POSTGRES_MAJOR_MIN:
        return Check("PostgreSQL version", "fail", text, f"use PostgreSQL {POSTGRES_MAJOR_MIN} to {POSTGRES_MAJOR_MAX}")
    if major > POSTGRES_MAJOR_MAX:
        return Check("PostgreSQL version", "warn", text, f"tested are {POSTGRES_MAJOR_MIN} to {POSTGRES_MAJOR_MAX}")
    return Check("PostgreSQL version", "ok", text)


def check_postgres_encoding(encoding: str | None) -> Check:
    """Check that the database can hold every text."""
    if encoding == "UTF8":
        return Check("PostgreSQL encoding", "ok", encoding)
    action = "make a database with ENCODING 'UTF8' TEMPLATE template0, and set DATABASE_URL to it"
    return Check("PostgreSQL encoding", "fail", f"{encoding}, which cannot hold every text", action)


def check_pooling(pooling: Pooling, *, has_direct_url: bool) -> Check:
    """Check what stands between DATABASE_URL and PostgreSQL: locks and notifications need a session."""
    if pooling == "none":
        return Check("pooling", "ok", "none")
    text = f"a pooler gives each {pooling} a session of PostgreSQL"
    if pooling == "session" or has_direct_url:
        return Check("pooling", "ok", text)
    action = "set FUSEBOARD_DIRECT_DATABASE_URL to PostgreSQL itself, for sweeper, aggregator, migrate and commands"
    return Check("pooling", "fail", text, action)


def check_migrations(pending: Collection[str]) -> Check:
    """Check that the database is of this version."""
    if pending:
        return Check("migrations", "fail", f"{len(pending)} missing, first {min(pending)}", "run `fuseboard migrate`")
    return Check("migrations", "ok", "all applied")


def check_partitions(days: Collection[date], today: date) -> Check:
    """Check that the partitions of the next days are there; `today` is of UTC."""
    ahead = 0
    while today + timedelta(days=ahead + 1) in days:
        ahead += 1
    if today in days and ahead >= PARTITIONS_AHEAD_MIN:
        return Check("partitions", "ok", f"{ahead} days ahead")
    text = f"{ahead} days ahead" if today in days else "none of today"
    return Check("partitions", "warn", text, "run `fuseboard aggregator`; until then the consumer makes them")


def check_stream(state: StreamState) -> Check:
    """Check how many entries wait: above the bound producers spool to their disks."""
    text = (
        f"{state.entries:,} of at most {STREAM_MAX_ENTRIES:,} entries wait, "
        f"{state.undelivered_entries if state.undelivered_entries is not None else '?'} undelivered, "
        f"{state.unacknowledged_entries:,} unacknowledged"
    )
    if state.entries >= STREAM_MAX_ENTRIES:
        return Check("stream", "fail", text, "start more consumers: `fuseboard consumer --processes N`")
    if state.entries >= STREAM_MAX_ENTRIES // 2:
        return Check("stream", "warn", text, "start more consumers: `fuseboard consumer --processes N`")
    return Check("stream", "ok", text)


def check_oldest_entry(state: StreamState) -> Check:
    """Check how long the oldest entry has been waiting: how far behind everything is."""
    seconds = state.oldest_entry_seconds
    if not state.entries or seconds < OLDEST_ENTRY_WARN_SECONDS:
        return Check("oldest entry", "ok", f"{seconds:.0f} s old" if state.entries else "none waits")
    level: Level = "fail" if seconds >= OLDEST_ENTRY_FAIL_SECONDS else "warn"
    return Check("oldest entry", level, f"{seconds:,.0f} s old", "see the consumers' logs, or start more of them")


def check_consumers(state: StreamState) -> Check:
    """Check that somebody consumes."""
    if state.live_consumers:
        return Check("consumers", "ok", f"{state.live_consumers} running")
    return Check("consumers", "fail" if state.entries else "warn", "none is running", "start `fuseboard consumer`")


def check_spool(place: str, size_bytes: int, oldest_at: datetime | None) -> Check:
    """Check whether events wait on this host's disk."""
    if not size_bytes:
        return Check("spool", "ok", f"empty ({place})")
    text = f"{size_bytes:,} bytes in {place} since {format_time(oldest_at)} UTC"
    return Check("spool", "warn", text, "any producer on this host sends them: is Redis up, does one run?")


def check_tag_keys(unfinished: Collection[str]) -> Check:
    """Check that every tag whose cost is kept is summed up."""
    if not unfinished:
        return Check("tags", "ok", "the cost of every kept tag is whole")
    shown = ", ".join(map(clean_text, unfinished))
    return Check(
        "tags",
        "warn",
        f"being added, or an addition was interrupted: {shown}",
        "`fuseboard tags add` for each, once more",
    )


def check_unpriced(models: Collection[tuple[str, str, int]]) -> Check:
    """Check for (provider, model, requests) that no price covers."""
    if not models:
        return Check("prices", "ok", "every request has a price")
    shown = ", ".join(
        f"{clean_text(provider)}/{clean_text(model)}" for provider, model, _ in list(models)[:SHOWN_MODELS]
    )
    more = f" and {len(models) - SHOWN_MODELS} more" if len(models) > SHOWN_MODELS else ""
    count = sum(requests for _, _, requests in models)
    return Check(
        "prices",
        "warn",
        f"requests in no cost figure: {count:,} ({shown}{more})",
        "`fuseboard prices reprice --dry-run` says which `fuseboard prices set` each needs, then without --dry-run",
    )


def check_rejected(events: int) -> Check:
    """Check for refused events that nobody has dealt with."""
    if not events:
        return Check("rejected events", "ok", "none")
    return Check("rejected events", "warn", f"{events:,}", "see `fuseboard rejected list`")


def check_clock(name: str, ahead_seconds: float) -> Check:
    """Check how far a server's clock is ahead of this host's."""
    difference = abs(ahead_seconds)
    text = f"{name} is {difference:.3f} s {'ahead of' if ahead_seconds > 0 else 'behind'} this host"
    if difference < CLOCK_WARN_SECONDS:
        return Check("clock", "ok", text)
    level: Level = "fail" if difference >= CLOCK_FAIL_SECONDS else "warn"
    return Check("clock", level, text, "synchronise the clocks, such as with chrony")


def check_jobs(runs: Collection[JobRun], settings: Settings, now: datetime) -> list[Check]:
    """Check that every scheduled job has run lately and well; `now` is the database's."""
    by_name = {run.job: run for run in runs}
    limits = {
        "fold": 60.0 + 3 * settings.fold_interval_seconds,
        "partitions": DAILY_JOB_SECONDS,
        "reconcile": DAILY_JOB_SECONDS,
    }
    return [_check_job(name, by_name.get(name), limit, now) for name, limit in limits.items()]


def _check_job(name: str, run: JobRun | None, limit_seconds: float, now: datetime) -> Check:
    title = f"{JOB_PREFIX}{name}"
    if run is None or (run.last_success_at is None and run.last_error is None):
        return Check(title, "warn", "has never run to its end", "start `fuseboard aggregator`")
    if run.last_error is not None:
        action = "`fuseboard reconcile --repair`" if name == "reconcile" else f"`fuseboard aggregator --once {name}`"
        return Check(title, "fail", clean_text(run.last_error), f"see the aggregator's log; try {action}")
    text = f"last done {format_time(run.last_success_at)} UTC"
    if run.last_success_at is None or (now - run.last_success_at).total_seconds() > limit_seconds:
        return Check(title, "warn", f"{text}, which is too long ago", "start `fuseboard aggregator`")
    return Check(title, "ok", text)


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
