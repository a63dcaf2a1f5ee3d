from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from fuseboard_cli import checks
from fuseboard_cli.checks import JobRun
from fuseboard_cli.circuit_checks import check_heartbeat
from fuseboard_cli.price_checks import ModelCost, check_assumed, find_assumed
from fuseboard_cli.stream_state import StreamState
from fuseboard_schema.pricing import PriceBook
from fuseboard_schema.settings import Settings
from prices import make_price

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
QUIET = StreamState(0, 0, 0, None, 1, NOON)


@pytest.mark.parametrize(
    ("info", "level", "text"),
    [
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "ok", "Valkey 9.1.2"),
        ({"redis_version": "6.2.0"}, "ok", "Redis 6.2.0"),
        ({"redis_version": "10.0.1"}, "ok", "Redis 10.0.1"),
        ({"redis_version": "6.0.16"}, "fail", "Redis 6.0.16"),
        ({}, "fail", "Redis 0"),
    ],
)
def test_redis_must_be_6_2_or_newer(info: dict[str, Any], level: str, text: str) -> None:
    check = checks.check_redis_version(info)

    assert (check.level, check.text) == (level, text)


@pytest.mark.parametrize(
    ("policy", "limit", "level"),
    [("noeviction", 0, "ok"), ("noeviction", 5, "ok"), ("allkeys-lru", 0, "warn"), ("allkeys-lru", 5, "fail")],
)
def test_redis_must_not_evict(policy: str, limit: int, level: str) -> None:
    assert checks.check_redis_policy({"maxmemory_policy": policy, "maxmemory": limit}).level == level


@pytest.mark.parametrize(
    ("info", "appendfsync", "level", "text"),
    [
        ({"aof_enabled": 1, "aof_last_write_status": "ok"}, "always", "ok", "appendfsync always"),
        ({"aof_enabled": 1, "aof_last_write_status": "ok"}, "everysec", "warn", "appendfsync everysec"),
        ({"aof_enabled": 1}, "no", "warn", "appendfsync no"),
        ({"aof_enabled": 1}, None, "warn", "unknown"),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "always", "fail", "fails"),
        ({"aof_enabled": 0}, "always", "fail", "no append-only file"),
        ({}, None, "fail", "no append-only file"),
    ],
)
def test_redis_must_write_what_it_acknowledges(
    info: dict[str, Any], appendfsync: str | None, level: str, text: str
) -> None:
    check = checks.check_redis_persistence(info, appendfsync)

    assert check.level == level
    assert text in check.text
    assert not checks.is_mended_by(check, "consumer")


def test_models_that_a_bare_star_prices_are_named_with_their_cost_and_the_command_that_mends_them() -> None:
    prices = [
        make_price(1, "claude", "*", "0.000003"),
        make_price(2, "claude", "claude-haiku-*", "0.000001"),
        make_price(3, "ollama", "*", "0", "0"),
    ]
    models = [
        ModelCost("claude", "claude opus", 1200, Decimal("3.5")),
        ModelCost("claude", "claude-haiku-4", 5, Decimal(1)),
        ModelCost("ollama", "llama3.1:8b", 9, Decimal(0)),
        ModelCost("nobody", "m", 9, None),
    ]

    assumed = find_assumed(models, PriceBook(prices, ("claude", "claude")), NOON)
    check = check_assumed(assumed, date(2026, 4, 24))

    assert assumed == models[:1]
    assert check.level == "warn"
    assert "claude/claude opus: 1,200 requests" in check.text
    assert "3.5000 USD" in check.text
    assert check.action.startswith("`fuseboard prices set claude 'claude opus' --input USD")
    assert "`fuseboard prices reprice --provider claude --from 2026-04-24`" in check.action
    assert check_assumed([], NOON.date()).level == "ok"


@pytest.mark.parametrize(("version", "level"), [(140_020, "fail"), (150_000, "ok"), (180_006, "ok"), (190_000, "warn")])
def test_postgres_must_be_15_to_18(version: int, level: str) -> None:
    assert checks.check_postgres_version(version).level == level


def test_missing_migrations_fail_and_the_first_is_named() -> None:
    check = checks.check_migrations(["0003_b.sql", "0002_a.sql"])

    assert (check.level, check.action) == ("fail", "run `fuseboard migrate`")
    assert "0002_a.sql" in check.text
    assert checks.check_migrations([]).level == "ok"


@pytest.mark.parametrize(
    ("offsets", "level", "text"),
    [
        ([-1, 0, 1, 2, 3], "ok", "3 days ahead"),
        ([0, 1], "warn", "1 days ahead"),
        ([0, 2, 3], "warn", "0 days ahead"),
        ([1, 2, 3], "warn", "none of today"),
        ([], "warn", "none of today"),
    ],
)
def test_partitions_must_reach_ahead_without_a_gap(offsets: list[int], level: str, text: str) -> None:
    today = date(2026, 5, 1)
    check = checks.check_partitions({today + timedelta(days=offset) for offset in offsets}, today)

    assert (check.level, check.text) == (level, text)


@pytest.mark.parametrize(("entries", "level"), [(0, "ok"), (49_999, "ok"), (50_000, "warn"), (100_000, "fail")])
def test_a_long_stream_is_noticed_before_producers_spool(entries: int, level: str) -> None:
    assert checks.check_stream(QUIET._replace(entries=entries)).level == level


@pytest.mark.parametrize(("seconds", "level"), [(0, "ok"), (59, "ok"), (60, "warn"), (599, "warn"), (600, "fail")])
def test_an_entry_that_waits_long_is_noticed(seconds: int, level: str) -> None:
    state = QUIET._replace(entries=1, oldest_entry_at=NOON - timedelta(seconds=seconds))

    assert checks.check_oldest_entry(state).level == level


@pytest.mark.parametrize(
    ("consumers", "entries", "level"), [(1, 0, "ok"), (2, 9, "ok"), (0, 0, "warn"), (0, 1, "fail")]
)
def test_somebody_must_consume(consumers: int, entries: int, level: str) -> None:
    assert checks.check_consumers(QUIET._replace(live_consumers=consumers, entries=entries)).level == level


def test_what_waits_in_the_spool_is_told_with_its_place_and_age() -> None:
    assert checks.check_spool("here", 0, None).level == "ok"
    check = checks.check_spool("here", 1234, NOON)
    assert (check.level, check.text) == ("warn", "1,234 bytes in here since 2026-05-01 12:00:00 UTC")


def test_a_tag_that_is_not_summed_up_yet_is_named_with_what_to_do() -> None:
    assert checks.check_tag_keys([]).level == "ok"
    check = checks.check_tag_keys(["project", "user"])

    assert (check.level, "project, user" in check.text) == ("warn", True)
    assert "fuseboard tags add" in check.action


def test_unpriced_models_are_named_up_to_five() -> None:
    assert checks.check_unpriced([]).level == "ok"
    check = checks.check_unpriced([("p", f"m{number}", 10) for number in range(7)])
    assert (check.level, check.text) == (
        "warn",
        "requests in no cost figure: 70 (p/m0, p/m1, p/m2, p/m3, p/m4 and 2 more)",
    )


@pytest.mark.parametrize(
    ("ahead", "level"), [(0.2, "ok"), (-0.9, "ok"), (1.5, "warn"), (-59.0, "warn"), (60.0, "fail"), (-7200.0, "fail")]
)
def test_clocks_must_agree(ahead: float, level: str) -> None:
    assert checks.check_clock("Redis", ahead).level == level


def examine_fold(run: JobRun | None) -> checks.Check:
    settings = Settings.model_validate({"FUSEBOARD_FOLD_INTERVAL_SECONDS": 30})
    return checks.check_jobs([] if run is None else [run], settings, NOON)[0]


@pytest.mark.parametrize(
    ("age_seconds", "error", "level"),
    [(10, None, "ok"), (150, None, "ok"), (151, None, "warn"), (10, "it broke", "fail"), (None, "it broke", "fail")],
)
def test_a_job_must_have_run_lately_and_well(age_seconds: int | None, error: str | None, level: str) -> None:
    done_at = None if age_seconds is None else NOON - timedelta(seconds=age_seconds)

    assert examine_fold(JobRun("fold", NOON, done_at, error)).level == level


def test_a_job_that_never_ran_is_noticed() -> None:
    assert examine_fold(None).action == "start `fuseboard aggregator`"
    assert examine_fold(JobRun("fold", NOON, None, None)).level == "warn"


def test_a_difference_that_the_nightly_job_found_fails_with_the_repair() -> None:
    runs = [JobRun("reconcile", NOON, NOON, "1 day differs")]

    [check] = [check for check in checks.check_jobs(runs, Settings(), NOON) if check.name == "job reconcile"]

    assert check.level == "fail"
    assert "reconcile --repair" in check.action


def test_a_service_is_not_sick_because_of_what_another_one_has_to_mend() -> None:
    jobs = checks.check_jobs([], Settings(), NOON)
    stream = [checks.check_stream(QUIET), checks.check_oldest_entry(QUIET), checks.check_consumers(QUIET)]
    stream.append(check_heartbeat(None))
    shared = [checks.check_migrations([]), checks.check_redis_version({}), checks.check_clock("Redis", 0)]

    def select_mended(service: checks.Service | None) -> list[checks.Check]:
        return [check for check in [*jobs, *stream, *shared] if checks.is_mended_by(check, service)]

    assert select_mended("consumer") == [*stream, *shared]
    assert select_mended("aggregator") == [*jobs, *shared]
    assert select_mended(None) == [*jobs, *stream, *shared]


def test_every_check_that_is_not_well_says_what_to_do() -> None:
    worst = [
        checks.check_redis_version({}),
        checks.check_redis_policy({}),
        checks.check_redis_persistence({}, None),
        check_assumed([ModelCost("p", "m", 1, None)], NOON.date()),
        checks.check_postgres_version(0),
        checks.check_migrations(["0001_a.sql"]),
        checks.check_partitions([], NOON.date()),
        checks.check_stream(QUIET._replace(entries=10**6)),
        checks.check_oldest_entry(QUIET._replace(entries=1, oldest_entry_at=NOON - timedelta(days=1))),
        checks.check_consumers(QUIET._replace(live_consumers=0)),
        checks.check_spool("here", 1, NOON),
        checks.check_unpriced([("p", "m", 1)]),
        checks.check_rejected(1),
        checks.check_clock("Redis", 99),
        *checks.check_jobs([], Settings(), NOON),
    ]

    assert [check.name for check in worst if check.level == "ok" or not check.action] == []
