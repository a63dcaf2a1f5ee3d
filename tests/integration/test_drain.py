from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis

from consumers import drain_all, is_drained, make_settings, running_drain, shorten_waits
from events import add_entry, make_event
from fuseboard_schema.settings import Settings
from fuseboard_schema.stream import name_event_stream
from queries import Database, fetch_row, fetch_value
from waiting import wait_until

EVERY_FIELD = {
    "request_id": "r-1",
    "attempt": 2,
    "provider": "openai",
    "model": "gpt-4o",
    "requested_model": "gpt-4",
    "status": "rate_limited",
    "error_type": "RateLimitError",
    "http_status": 429,
    "retry_after_seconds": 1.5,
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "cache_read_tokens": 40,
    "cache_write_tokens": 30,
    "cache_write_1h_tokens": 20,
    "reasoning_tokens": 5,
    "total_tokens": 120,
    "web_searches": 1,
    "usage_source": "partial",
    "service_tier": "batch",
    "duration_seconds": 0.1234564,
    "time_to_first_token_seconds": 0.05,
    "is_fallback": True,
    "original_provider": "claude",
    "cost_usd": "0.00000000123",
    "worker_id": 'a\\b\t"c"\nd',
    "circuit_epoch": 3,
    "admission": "probe",
    "lease_id": "lease",
    "tags": {"team": "grün", "q": 'say "hi"\\'},
    "metadata": {"n": 1, "x": 0.5, "ok": True, "none": None},
}


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_CLAIM_IDLE_SECONDS="0.3")


def test_every_field_of_an_event_reaches_its_column(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    event = make_event(**EVERY_FIELD)
    add_entry(redis_client, settings.namespace, [event])

    drain_all(redis_client, settings)

    row = fetch_row(connection, "SELECT * FROM llm_requests")
    stored = {
        "event_id": str(row["event_id"]),
        "occurred_at": row["occurred_at"].isoformat(),
        "duration_seconds": float(row["duration_seconds"]),
        "cost_usd": format(row["reported_cost_usd"], "f"),
    }
    assert row | stored == row | stored | event | {"duration_seconds": 0.123456}
    assert (row["cost_usd"], row["price_id"], row["savings_usd"]) == (
        Decimal("0.00000000123"),
        None,
        Decimal("-0.00000000123"),
    )


def test_cost_baseline_and_savings_are_exact_and_name_their_price_rows(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    add_entry(redis_client, settings.namespace, [
        make_event(provider="claude", prompt_tokens=1234567, completion_tokens=7),
        make_event(provider="openai", prompt_tokens=1000, completion_tokens=100),
        make_event(provider="ollama", prompt_tokens=1000, completion_tokens=100),
        make_event(provider="openai", status="error", prompt_tokens=1000, completion_tokens=0),
        make_event(provider="openai", status="error", prompt_tokens=None, completion_tokens=None),
        make_event(provider="openai", service_tier="batch"),
    ])  # fmt: skip

    drain_all(redis_client, settings)

    rows = connection.execute(
        "SELECT r.provider, cost_usd, baseline_cost_usd, savings_usd, p.provider, b.provider FROM llm_requests r"
        " LEFT JOIN llm_prices p USING (price_id) LEFT JOIN llm_prices b ON b.price_id = baseline_price_id"
        " ORDER BY r.provider, cost_usd, baseline_cost_usd"
    ).fetchall()
    d = Decimal
    assert rows == [
        ("claude", d("3.703806"), d("3.703806"), d(0), "claude", "claude"),
        ("ollama", d(0), d("0.0045"), d("0.0045"), "ollama", "claude"),
        ("openai", d("0.005"), None, d("-0.005"), "openai", None),
        ("openai", d("0.0065"), d("0.0045"), d("-0.002"), "openai", "claude"),
        ("openai", None, d("0.0045"), None, None, "claude"),
        ("openai", None, None, None, "openai", None),
    ]
    delta = fetch_row(connection, "SELECT sum(requests) n, sum(unpriced_requests) unpriced,"
                      " sum(unmetered_requests) unmetered, sum(cost_usd) cost, sum(savings_usd) savings"
                      " FROM llm_usage_deltas")  # fmt: skip
    assert delta == {"n": 6, "unpriced": 1, "unmetered": 1, "cost": d("3.715306"), "savings": d("-0.0025")}


def test_an_event_delivered_twice_is_counted_once(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    events = [make_event() for _ in range(20)]
    add_entry(redis_client, settings.namespace, events)
    add_entry(redis_client, settings.namespace, [*events[:10], make_event()])
    drain_all(redis_client, settings)
    add_entry(redis_client, settings.namespace, events)
    drain_all(redis_client, settings)

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 21
    assert fetch_value(connection, "SELECT sum(requests) FROM llm_usage_deltas") == 21
    assert fetch_value(connection, "SELECT total_requests FROM llm_provider_health WHERE provider = 'claude'") == 21
    assert fetch_value(connection, "SELECT count(*) FROM llm_rejected_events") == 0


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two batches"])
@pytest.mark.parametrize("change", [{"prompt_tokens": 5}, {"occurred_at": "later"}], ids=["tokens", "time"])
def test_the_same_event_id_with_other_content_is_kept_as_a_conflict_and_the_first_stays(
    settings: Settings, redis_client: Redis, connection: Database, change: dict[str, Any], together: bool
) -> None:
    noon = datetime.now(UTC).replace(hour=12) - timedelta(days=1)
    first = make_event(occurred_at=noon, prompt_tokens=1000)
    if change.get("occurred_at"):
        change = {"occurred_at": (noon + timedelta(seconds=1)).isoformat()}
    for payload in [[first, first | change]] if together else [[first], [first | change]]:
        add_entry(redis_client, settings.namespace, payload)
        drain_all(redis_client, settings)

    assert fetch_value(connection, "SELECT array_agg(prompt_tokens) FROM llm_requests") == [1000]
    rejected = fetch_row(connection, "SELECT reason, raw_text::jsonb ->> 'event_id' id FROM llm_rejected_events")
    assert rejected == {"reason": "conflicting_duplicate", "id": first["event_id"]}
    assert fetch_value(connection, "SELECT sum(requests) FROM llm_usage_deltas") == 1


def test_bad_events_are_kept_once_and_the_rest_is_stored(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    add_entry(redis_client, settings.namespace, [make_event(), make_event(status="fine"), make_event()])
    add_entry(redis_client, settings.namespace, b"\x00not json")
    add_entry(redis_client, settings.namespace, b"x" * 10_000_000)
    redis_client.xadd(name_event_stream(settings.namespace), {"other_field": "1"})

    drain_all(redis_client, settings)

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 2
    reasons = connection.execute("SELECT reason, count(*) FROM llm_rejected_events GROUP BY 1 ORDER BY 1").fetchall()
    assert reasons == [("entry_too_large", 1), ("invalid_event", 1), ("not_json", 2)]


def test_an_event_that_the_database_refuses_is_found_among_its_neighbours(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    connection.execute("ALTER TABLE llm_requests ADD CHECK (model <> 'bad')")
    models = ["good"] * 40
    models[17] = models[30] = "bad"
    first = make_event(model="first")
    add_entry(redis_client, settings.namespace, [first, *(make_event(model=model) for model in models)])
    add_entry(redis_client, settings.namespace, [first | {"model": "conflict"}])

    drain_all(redis_client, settings)

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 39
    rejected = connection.execute(
        "SELECT entry_index, reason, detail LIKE '%check%' FROM llm_rejected_events ORDER BY reason, entry_index"
    ).fetchall()
    assert rejected == [
        (0, "conflicting_duplicate", False),
        (18, "refused_by_database", True),
        (31, "refused_by_database", True),
    ]


def test_an_unknown_provider_is_registered_disabled_and_its_cost_is_unknown(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    add_entry(redis_client, settings.namespace, [make_event(provider="mistral")])

    drain_all(redis_client, settings)

    registered = "SELECT provider_type, enabled, registered_by FROM llm_providers WHERE name = 'mistral'"
    assert fetch_row(connection, registered) == {
        "provider_type": "remote", "enabled": False, "registered_by": "event",
    }  # fmt: skip
    assert fetch_value(connection, "SELECT cost_usd FROM llm_requests") is None
    assert fetch_value(connection, "SELECT total_requests FROM llm_provider_health WHERE provider = 'mistral'") == 1


def test_a_price_edited_in_the_table_takes_effect_without_a_restart(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    settings = settings.model_copy(update={"price_refresh_seconds": 0.1})
    with running_drain(redis_client, settings):
        add_entry(redis_client, settings.namespace, [make_event(provider="mistral", prompt_tokens=10)])
        wait_until(lambda: is_drained(redis_client, settings.namespace))
        connection.execute(
            "INSERT INTO llm_prices (provider, model_pattern, input_usd_per_token, output_usd_per_token, source)"
            " VALUES ('mistral', 'claude*', 1, 0, 'test')"
        )

        def is_priced() -> bool:
            add_entry(redis_client, settings.namespace, [make_event(provider="mistral", prompt_tokens=10)])
            return bool(fetch_value(connection, "SELECT count(*) FROM llm_requests WHERE cost_usd = 10"))

        wait_until(is_priced)
