from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from commands import run_command, run_json, store_events
from consumers import consumers, make_settings, running_drain, shorten_waits
from events import add_entry, make_event
from fuseboard_aggregator.jobs import run_job
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from fuseboard_schema.settings import Settings
from fuseboard_schema.stream import CONSUMER_GROUP, name_event_stream
from queries import Database, fetch_row, fetch_value
from waiting import wait_out_midnight, wait_until

COST_FIELDS = [
    "total_cost_usd",
    "total_requests",
    "local_requests",
    "remote_requests",
    "estimated_savings_usd",
    "hypothetical_claude_cost_usd",
    "savings_percentage",
    "unpriced_requests",
    "unmetered_requests",
    "baseline_unknown_requests",
    "uncompared_usd",
    "providers",
]


@pytest.fixture
def settings(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    shorten_waits(monkeypatch.setattr)
    # where doctor looks for a spool
    monkeypatch.setenv("FUSEBOARD_SPOOL_DIR", str(tmp_path / "spool"))
    return make_settings(database_url, redis_url, namespace)


def make_mixed_events() -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [
        make_event(provider="claude", prompt_tokens=1001, completion_tokens=77),
        make_event(provider="claude", status="timeout", completion_tokens=None, error_type="TimeoutError"),
        make_event(provider="openai", model="gpt-4o", prompt_tokens=333, completion_tokens=1),
        make_event(provider="ollama", model="llama3.1:8b", is_fallback=True, original_provider="claude"),
        make_event(provider="newcomer", model="m-1"),
        make_event(provider="openai", model="gpt-4o", occurred_at=now - timedelta(days=3), cost_usd="0.0000000001"),
    ]


def sum_raw(connection: Database) -> dict[str, Any]:
    return fetch_row(
        connection,
        "SELECT count(*) AS requests, sum(cost_usd) AS cost, sum(baseline_cost_usd) AS baseline,"
        " sum(savings_usd) AS savings FROM llm_requests",
    )


def test_costs_without_any_event_are_zero_and_the_percentage_unknown(settings: Settings) -> None:
    document = run_json(settings, "costs")

    assert list(document) == COST_FIELDS
    assert document["total_cost_usd"] == document["estimated_savings_usd"] == "0"
    assert (document["total_requests"], document["savings_percentage"], document["providers"]) == (0, None, [])


def test_costs_are_the_exact_sums_of_the_raw_requests_before_and_after_the_fold(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    store_events(redis_client, settings, make_mixed_events())
    raw = sum_raw(connection)

    before = run_json(settings, "costs")
    run_job("fold", settings)
    after = run_json(settings, "costs")

    assert before == after
    assert Decimal(after["total_cost_usd"]) == raw["cost"]
    assert Decimal(after["hypothetical_claude_cost_usd"]) == raw["baseline"]
    assert Decimal(after["estimated_savings_usd"]) == raw["savings"]
    assert after["savings_percentage"] == float(round(100 * raw["savings"] / (raw["cost"] + raw["savings"]), 2))
    assert (after["total_requests"], after["local_requests"], after["remote_requests"]) == (6, 1, 5)
    assert (after["unpriced_requests"], after["unmetered_requests"]) == (1, 1)


def test_the_parts_of_the_costs_sum_up_to_the_whole(settings: Settings, redis_client: Redis) -> None:
    store_events(redis_client, settings, make_mixed_events())

    document = run_json(settings, "costs")

    providers = document["providers"]
    assert [provider["name"] for provider in providers] == ["ollama", "claude", "openai", "newcomer"]
    assert sum(provider["requests"] for provider in providers) == document["total_requests"]
    assert sum(Decimal(provider["cost_usd"] or 0) for provider in providers) == Decimal(document["total_cost_usd"])
    claude = providers[1]
    assert (claude["display_name"], claude["provider_type"], claude["success_rate"]) == ("Claude", "remote", 50.0)
    assert claude["cost_usd"] == "0.004158"
    assert claude["avg_response_time_ms"] == 1250.0


def test_costs_of_the_last_days_leave_out_what_was_before(settings: Settings, redis_client: Redis) -> None:
    wait_out_midnight()
    store_events(redis_client, settings, make_mixed_events())

    assert run_json(settings, "costs", "--days", "1")["total_requests"] == 5
    assert run_json(settings, "costs", "--days", "3")["total_requests"] == 5
    assert run_json(settings, "costs", "--days", "4")["total_requests"] == 6


def test_costs_for_people_name_what_is_in_no_figure(settings: Settings, redis_client: Redis) -> None:
    store_events(redis_client, settings, make_mixed_events())

    text = run_command(settings, "costs").stdout

    assert "unpriced" in next(line for line in text.splitlines() if "newcomer" in line)
    assert "requests with no known price (in no cost above, see `fuseboard doctor`): 1" in text
    assert "requests with unknown usage, as after a timeout (in no cost above): 1" in text


def test_status_shows_health_and_what_is_on_its_way(settings: Settings, redis_client: Redis) -> None:
    store_events(redis_client, settings, make_mixed_events())
    add_entry(redis_client, settings.namespace, [make_event()])

    document = run_json(settings, "status")

    by_name = {provider["name"]: provider for provider in document["providers"]}
    assert list(by_name) == ["ollama", "localai", "claude", "openai", "newcomer"]
    assert (by_name["claude"]["total_requests"], by_name["claude"]["success_rate"]) == (2, 50.0)
    assert by_name["claude"]["last_error_type"] == "TimeoutError"
    assert (by_name["localai"]["total_requests"], by_name["localai"]["success_rate"]) == (0, None)
    assert by_name["newcomer"]["enabled"] is False
    assert document["pipeline"]["unfolded_requests"] == 6
    assert document["pipeline"]["unpriced_requests"] == 1
    assert document["stream"]["entries"] == document["stream"]["undelivered_entries"] == 1
    assert "1 entries wait" in run_command(settings, "status").stdout


def test_status_counts_the_consumers_that_live(settings: Settings, redis_client: Redis) -> None:
    store_events(redis_client, settings, [make_event()])
    # as after a restart of Redis: one that is gone looks as if it had just been there
    redis_client.xgroup_createconsumer(name_event_stream(settings.namespace), CONSUMER_GROUP, "gone")

    assert run_json(settings, "status")["stream"]["live_consumers"] == 0
    with running_drain(redis_client, settings):
        assert run_json(settings, "status")["stream"]["live_consumers"] == 1


def test_reconcile_finds_no_difference_and_shows_the_equation(settings: Settings, redis_client: Redis) -> None:
    store_events(redis_client, settings, make_mixed_events())
    run_job("fold", settings)
    store_events(redis_client, settings, [make_event(prompt_tokens=1, completion_tokens=0)])

    document = run_json(settings, "reconcile")

    assert (document["difference_usd"], document["difference_requests"]) == ("0", 0)
    assert (document["raw_requests"], document["daily_requests"], document["pending_requests"]) == (7, 6, 1)
    assert document["pending_cost_usd"] == "0.000003"
    assert "7 = 6 + 1 requests" in run_command(settings, "reconcile").stdout


def test_reconcile_fails_on_a_difference_until_it_is_repaired(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    store_events(redis_client, settings, make_mixed_events())
    run_job("fold", settings)
    connection.execute(
        b"UPDATE llm_costs_daily SET cost_usd = cost_usd + 0.5, requests = requests - 1 WHERE provider = 'claude'"
    )

    found = run_json(settings, "reconcile", code=1)
    assert (found["difference_usd"], found["difference_requests"], found["repaired"]) == ("0.5", 1, False)
    assert [difference["provider"] for difference in found["differences"]] == ["claude"]
    assert "≠" in run_command(settings, "reconcile", code=1).stdout
    assert run_json(settings, "reconcile", "--repair")["repaired"] is True
    assert run_json(settings, "reconcile")["difference_requests"] == 0


def test_rebuild_moves_the_days_and_keeps_the_sums(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    late = datetime.now(UTC).replace(hour=23, minute=30) - timedelta(days=2)
    store_events(redis_client, settings, [make_event(occurred_at=late)])
    before = run_json(settings, "costs")

    text = run_command(settings, "rebuild", "--time-zone", "Asia/Tokyo").stdout

    assert "days are of Asia/Tokyo (before: UTC): 1 daily rows, 1 requests" in text
    assert run_json(settings, "costs") == before
    day = fetch_value(connection, "SELECT day FROM llm_costs_daily")
    assert day == late.date() + timedelta(days=1)


def test_doctor_finds_a_new_installation_usable(settings: Settings, redis_client: Redis, tmp_path: Path) -> None:
    for job in ("partitions", "fold", "reconcile"):
        run_job(job, settings)
    urls = (settings.database_url or "", settings.redis_url or "")
    with consumers(1, tmp_path, *urls, settings.namespace):
        wait_until(lambda: redis_client.hexists(name_snapshot(settings.namespace), HEARTBEAT_FIELD))
        found = run_json(settings, "doctor")

    # servers of one's own, which the tests may run on, are not always set up for production
    tolerated = {"Redis policy", "Redis persistence"}
    assert [check for check in found if check["level"] != "ok" and check["name"] not in tolerated] == []
    assert {"stream", "consumers", "sweeper", "circuits", "migrations", "partitions", "job reconcile", "spool"} <= {
        check["name"] for check in found
    }


def test_doctor_names_what_is_wrong_and_fails(
    settings: Settings, redis_client: Redis, connection: Database, tmp_path: Path
) -> None:
    store_events(redis_client, settings, [make_event(provider="newcomer", model="m-1"), {"nonsense": 1}])
    add_entry(redis_client, settings.namespace, [make_event()])
    spool = tmp_path / "spool" / settings.namespace
    spool.mkdir(parents=True)
    (spool / "1.spool").write_text("waiting")
    connection.execute(b"INSERT INTO fuseboard_job_runs VALUES ('fold', now(), NULL, 'it broke')")

    found = {check["name"]: check for check in run_json(settings, "doctor", code=1)}

    assert (found["consumers"]["level"], found["job fold"]["level"]) == ("fail", "fail")
    assert found["job fold"]["text"] == "it broke"
    assert found["prices"]["text"] == "requests in no cost figure: 1 (newcomer/m-1)"
    assert found["rejected events"]["text"] == "1"
    assert found["spool"]["text"].startswith("7 bytes in ")
    assert "→ start `fuseboard consumer`" in run_command(settings, "doctor", code=1).stdout
    of_consumer = run_json(settings, "doctor", "--service", "consumer", code=1)
    of_aggregator = run_json(settings, "doctor", "--service", "aggregator", code=1)
    assert [check["name"] for check in of_consumer if check["level"] == "fail"] == ["consumers"]
    assert [check["name"] for check in of_aggregator if check["level"] == "fail"] == ["job fold"]


def test_doctor_names_models_that_a_bare_star_prices_and_a_redis_that_does_not_tell_how_it_writes(
    settings: Settings, redis_client: Redis
) -> None:
    store_events(redis_client, settings, [make_event(), make_event(provider="ollama", model="llama3.1:8b")])
    redis_client.acl_setuser("untold", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config"])
    try:
        url = (settings.redis_url or "").replace("://", "://untold:x@", 1)
        found = run_json(settings.model_copy(update={"redis_url": url}), "doctor")
    finally:
        redis_client.acl_deluser("untold")

    by_name = {check["name"]: check for check in found}
    assert by_name["assumed prices"]["level"] == "warn"
    assert "claude/claude-sonnet-4-5: 1 requests" in by_name["assumed prices"]["text"]
    assert "0.0045 USD" in by_name["assumed prices"]["text"]
    assert (by_name["Redis persistence"]["level"], "unknown" in by_name["Redis persistence"]["text"]) == ("warn", True)


def test_doctor_tells_which_server_is_down(settings: Settings) -> None:
    no_redis = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})
    no_database = settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/none"})

    assert "correct REDIS_URL" in run_command(no_redis, "doctor", code=1).stdout
    assert "correct DATABASE_URL" in run_command(no_database, "doctor", code=1).stdout


def test_an_unmigrated_database_is_named_and_then_migrated(empty_database_url: str, settings: Settings) -> None:
    empty = settings.model_copy(update={"database_url": empty_database_url})

    [migrations] = [check for check in run_json(empty, "doctor", code=1) if check["name"] == "migrations"]
    assert (migrations["level"], migrations["action"]) == ("fail", "run `fuseboard migrate`")
    assert "applied 0001_settings.sql" in run_command(empty, "migrate").stdout
    assert "up to date" in run_command(empty, "migrate").stdout
    assert run_json(empty, "costs")["total_requests"] == 0


def test_a_job_is_run_once(settings: Settings, redis_client: Redis, connection: Database) -> None:
    store_events(redis_client, settings, [make_event()])

    assert "folded 1 deltas into 1 daily rows" in run_command(settings, "aggregator", "--once", "fold").stdout
    assert fetch_value(connection, "SELECT count(*) FROM llm_costs_daily") == 1
