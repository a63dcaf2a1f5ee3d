"""What consumers publish, as workers read it."""

import logging
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis
from redis.client import PubSub

from fuseboard_consumer.projection_store import read_models
from fuseboard_consumer.publisher import NO_BASELINE, PublishCounts, Publisher, publish_circuits
from fuseboard_producer.circuit_scripts import acquire_probe, hint_throttle
from fuseboard_producer.projection import decode_snapshot
from fuseboard_producer.snapshot import Health, Offer, ProviderView, Rates
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_changes, name_hints, name_snapshot
from fuseboard_schema.price_store import select_prices
from fuseboard_schema.pricing import PriceBook
from projections import PROVIDER, publish, read_entry
from stopped_clock import stopped_clock
from waiting import wait_out_midnight

Database = Connection[TupleRow]
NOW = 5_000.0


def read_view(redis: Redis, namespace: str, provider: str) -> ProviderView:
    """Read one provider at 0 of the worker's clock."""
    seconds, microseconds = redis.time()
    fields = redis.hgetall(name_snapshot(namespace))
    return decode_snapshot(fields, seconds * 1000 + microseconds / 1000, 0.0).by_name[provider]


def publish_at(redis: Redis, namespace: str, at: float, **fields: Any) -> bool:  # noqa: ANN401 - any field of a row
    with stopped_clock(at):
        return publish(redis, namespace, **fields).is_applied


@pytest.fixture
def channel(redis_client: Redis, namespace: str) -> Iterator[PubSub]:
    """Listen as a worker does."""
    with redis_client.pubsub(ignore_subscribe_messages=True) as opened:  # type: ignore[no-untyped-call]
        opened.subscribe(name_changes(namespace))
        opened.get_message(timeout=5)
        yield opened


def list_told(channel: PubSub, redis: Redis, namespace: str) -> list[str]:
    """List whose circuit workers were told of so far."""
    redis.publish(name_changes(namespace), "that was all")
    told: list[str] = []
    while "that was all" not in told:
        message = channel.get_message(timeout=5)
        told += [message["data"].decode()] if message else []
    return told[:-1]


def test_a_publication_is_applied_once_and_never_after_a_newer_one(redis_client: Redis, namespace: str) -> None:
    assert publish(redis_client, namespace, revision=0) == (PROVIDER, 0, True, -1)
    assert publish(redis_client, namespace, revision=7, state="open", epoch=2) == (PROVIDER, 7, True, 0)
    assert publish(redis_client, namespace, revision=7, epoch=3) == (PROVIDER, 7, False, 7)
    assert publish(redis_client, namespace, revision=6, epoch=3) == (PROVIDER, 6, False, 7)

    entry = read_entry(redis_client, namespace)
    assert (entry["r"], entry["st"], entry["ep"]) == (7, "open", 2)


@pytest.mark.parametrize("entry", ['{"r":9,"st":"open"}', '{"r":9,"st":"ajar","h":{}}', '{"st":"open","h":{}}'])
def test_half_an_entry_is_none(redis_client: Redis, namespace: str, entry: str) -> None:
    redis_client.hset(name_snapshot(namespace), PROVIDER, entry)

    assert publish(redis_client, namespace, revision=9).is_applied
    assert read_entry(redis_client, namespace)["st"] == "closed"


def test_deadlines_are_of_the_clock_of_redis(redis_client: Redis, namespace: str) -> None:
    publish_at(redis_client, namespace, NOW, state="open", open_ms=1500.2, throttle_ms=0.5)

    entry = read_entry(redis_client, namespace)
    assert (entry["til"], entry["thr"]) == (NOW * 1000 + 1501, NOW * 1000 + 1)


def test_figures_and_settings_are_renewed_without_a_revision(redis_client: Redis, namespace: str) -> None:
    publish_at(redis_client, namespace, NOW, state="open", open_ms=1000, rolling_minutes={"1": [1, 1, 1, 1]})
    before = read_entry(redis_client, namespace)

    publish_at(redis_client, namespace, NOW + 5, priority=3, epoch=77, open_ms=1000, throttle_ms=1000)

    after = read_entry(redis_client, namespace)
    assert after == before | {"c": after["c"]}
    assert (before["c"]["priority"], after["c"]["priority"]) == (10, 3)


def test_a_snapshot_ends_without_consumers(redis_client: Redis, namespace: str) -> None:
    publish(redis_client, namespace)

    assert 0 < redis_client.ttl(name_snapshot(namespace)) <= 600


def test_of_two_throttles_the_later_one_holds_until_an_operator_resets_it(redis_client: Redis, namespace: str) -> None:
    publish_at(redis_client, namespace, NOW, revision=1, throttle_ms=9_000)
    publish_at(redis_client, namespace, NOW, revision=2, throttle_ms=2_000)
    assert read_entry(redis_client, namespace)["thr"] == (NOW + 9) * 1000
    publish_at(redis_client, namespace, NOW, revision=3)
    assert read_entry(redis_client, namespace)["thr"] == (NOW + 9) * 1000

    with stopped_clock(NOW):
        hint_throttle(redis_client, namespace, PROVIDER, 30)
        hint_throttle(redis_client, namespace, "another", 30)
    # reset at revision 4, and throttled again at 5: both arrive at once
    publish_at(redis_client, namespace, NOW, revision=5, throttle_reset_revision=4, throttle_ms=1_000)

    assert read_entry(redis_client, namespace)["thr"] == (NOW + 1) * 1000
    assert redis_client.hkeys(name_hints(namespace)) == [b"another"]

    with stopped_clock(NOW):
        hint_throttle(redis_client, namespace, PROVIDER, 20)
    publish_at(redis_client, namespace, NOW, revision=6, throttle_reset_revision=4, throttle_ms=500)

    assert read_entry(redis_client, namespace)["thr"] == (NOW + 1) * 1000
    with stopped_clock(NOW):
        assert acquire_probe(redis_client, namespace, PROVIDER, "a").wait_seconds == 20


def test_workers_are_told_of_what_matters_to_them_at_once(redis_client: Redis, namespace: str, channel: PubSub) -> None:
    steps: list[tuple[dict[str, Any], bool]] = [
        ({"revision": 1}, True),
        # a batch in which all went well
        ({"revision": 2, "rolling_minutes": {"1": [1, 1, 1, 1]}}, False),
        ({"revision": 3, "version": 2, "state": "open", "epoch": 2, "open_ms": 1000}, True),
        ({"revision": 3, "version": 2, "state": "open", "epoch": 2, "open_ms": 2000}, False),
        ({"revision": 4, "version": 2, "state": "open", "epoch": 2, "throttle_ms": 5000}, True),
        ({"revision": 5, "version": 2, "state": "open", "epoch": 2, "throttle_ms": 5100}, False),
        ({"revision": 6, "version": 2, "state": "open", "epoch": 2, "throttle_reset_revision": 6}, True),
        ({"revision": 7, "version": 2, "state": "open", "epoch": 2, "enabled": False}, True),
        # too old
        ({"revision": 2}, False),
    ]
    for fields, is_told in steps:
        publish_at(redis_client, namespace, NOW, **fields)

        assert (list_told(channel, redis_client, namespace) == [PROVIDER]) == is_told, fields


def test_workers_read_what_was_published(connection: Database, redis_client: Redis, namespace: str) -> None:
    connection.execute("""
        UPDATE llm_providers SET priority = 7, weight = 0.5, context_tokens = 200000,
            capabilities = '{tools,NULL,vision}',
            circuit_settings = '{"ramp_s": 9, "retry_after_cap_s": 60, "probe_lease_ttl_s": 12,
                "half_open_max_probes": 2}',
            models = '{"small": {"model": "haiku", "context_tokens": 8000, "capabilities": ["tools"]},
                "large": {}, "Ünï": {}}'
        WHERE name = 'claude'
    """)
    connection.execute("""
        INSERT INTO llm_prices (provider, model_pattern, input_usd_per_token, output_usd_per_token,
            cache_read_usd_per_token, multiplier, source)
        VALUES ('claude', 'haiku', 0.00000000025, 0.0000000125, 0, 1.1, 'test')
    """)
    connection.execute("""
        UPDATE llm_provider_health SET state = 'open', epoch = 5, version = 6, revision = 9007199254740993,
            open_until = clock_timestamp() + interval '1 hour',
            throttle_until = clock_timestamp() + interval '10 minutes',
            override = 'forced_open', override_by = 'me', override_reason = 'so'
        WHERE provider = 'claude'
    """)

    assert publish_circuits(connection, redis_client, namespace, ["claude"]) == PublishCounts(1, 0)

    view = read_view(redis_client, namespace, "claude")
    dollars = Rates(Decimal("0.000003"), Decimal("0.000015"))
    own = Rates(Decimal("0.000000000275"), Decimal("0.00000001375"), Decimal(0))
    assert (view.name, view.enabled, view.provider_type, view.priority) == ("claude", True, "remote", 7)
    assert (view.weight, view.ramp_seconds) == (0.5, 9)
    assert view.offer == Offer(None, dollars, 200_000, frozenset({"tools", "vision"}))
    assert view.offers == {
        "small": Offer("haiku", own, 8000, frozenset({"tools"})),
        "large": Offer(None, dollars),
        "Ünï": Offer(None, dollars),
    }
    assert (view.state, view.epoch, view.version, view.override) == ("open", 5, 6, "forced_open")
    assert view.open_until == pytest.approx(3600, abs=60)
    assert view.throttle_until == pytest.approx(600, abs=60)
    assert view.health == Health()
    assert (
        read_entry(redis_client, namespace, "claude")["c"].items()
        >= {
            "half_open_max_probes": 2,
            "probe_lease_ttl_s": 12,
            "retry_after_cap_s": 60,
            "throttle_default_s": 5,
            "min_timeout_for_failure_s": 5,
        }.items()
    )


def test_deadlines_that_have_passed_bind_nobody(connection: Database, redis_client: Redis, namespace: str) -> None:
    connection.execute("""
        UPDATE llm_provider_health SET state = 'open', open_until = clock_timestamp() - interval '1 hour',
            throttle_until = clock_timestamp() - interval '1 second'
    """)

    publish_circuits(connection, redis_client, namespace)

    assert acquire_probe(redis_client, namespace, "claude", "a").admission == "probe"
    assert read_view(redis_client, namespace, "claude").throttle_until is None


def test_health_is_of_the_last_ten_minutes_and_of_two_days(
    connection: Database, redis_client: Redis, namespace: str
) -> None:
    wait_out_midnight()
    connection.execute("""
        WITH minutes AS (SELECT date_trunc('minute', now()) - interval '1 minute' * ago AS minute, ago
            FROM unnest('{0,8,11,60}'::int[]) AS ago)
        UPDATE llm_provider_health SET
            rolling_minutes = (SELECT jsonb_object_agg(extract(epoch FROM minute)::bigint,
                '[10, 8, 1, 1]'::jsonb) FROM minutes),
            rolling_durations = (SELECT jsonb_object_agg(extract(epoch FROM minute)::bigint,
                jsonb_build_object(duration_bucket(0.3), 7, duration_bucket(20 + ago), 1)) FROM minutes)
        WHERE provider = 'ollama'
    """)
    connection.execute("""
        INSERT INTO llm_costs_daily
        SELECT (now() AT TIME ZONE 'UTC')::date - ago, 'ollama', 'm' || ago, 10, 4, 0, 0, 0, 0, 0, 0, 0, 0,
            100 * 10 ^ ago, 0, 0, 0, 0, 0, 0, 0, 0, 0, make_histogram(ARRAY[duration_bucket(2 * 10 ^ ago)], 4), now()
        FROM generate_series(0, 2) AS ago
        GROUP BY ago
    """)

    publish_circuits(connection, redis_client, namespace)

    health = read_view(redis_client, namespace, "ollama").health
    assert (health.requests, health.successes, health.day_successes) == (20, 16, 8)
    assert health.p50_seconds == pytest.approx(0.3, rel=0.06)
    assert health.p95_seconds == pytest.approx(28, rel=0.06)
    assert health.day_p50_seconds == pytest.approx(2, rel=0.06)
    assert health.mean_output_tokens == pytest.approx((100 + 1000) / 8)
    assert read_view(redis_client, namespace, "claude").health == Health()


def test_malformed_models_and_settings_are_logged_once_and_stop_nothing(
    connection: Database, redis_client: Redis, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection.execute("""
        UPDATE llm_providers SET circuit_settings = '{"ramp_s": "soon"}',
            models = '{"a": 1, "b": {"context_tokens": -1}, "c": {"capabilities": ["tools"]}, "d": {"modell": "x"}}'
        WHERE name = 'ollama'
    """)
    publisher, book = Publisher(redis_client, namespace), PriceBook(select_prices(connection), NO_BASELINE)
    read_models.cache_clear()

    with caplog.at_level(logging.WARNING):
        counts = publisher.publish(connection, book)
        publisher.publish(connection, book)

    free = Rates(Decimal(0), Decimal(0))
    view = read_view(redis_client, namespace, "ollama")
    assert counts.applied == 4
    assert view.offers == {name: Offer(None, free) for name in "abd"} | {
        "c": Offer(None, free, capabilities=frozenset({"tools"}))
    }
    assert view.ramp_seconds == 20
    malformed = [message for message in caplog.messages if message.startswith("provider_model_malformed")]
    assert sorted(message.split()[2] for message in malformed) == ["model='a'", "model='b'", "model='d'"]


def test_a_provider_without_a_price_has_no_rates(connection: Database, redis_client: Redis, namespace: str) -> None:
    connection.execute("""
        INSERT INTO llm_providers (name, display_name, provider_type, enabled) VALUES ('new', 'New', 'remote', false)
    """)
    connection.execute("INSERT INTO llm_provider_health (provider) VALUES ('new') ON CONFLICT DO NOTHING")

    publish_circuits(connection, redis_client, namespace, {"new", "unheard of"})

    view = read_view(redis_client, namespace, "new")
    assert (view.enabled, view.offer.rates) == (False, None)
    assert redis_client.hkeys(name_snapshot(namespace)) == [b"new"]


def test_a_provider_with_the_name_of_the_heartbeat_is_not_published(
    connection: Database, redis_client: Redis, namespace: str
) -> None:
    connection.execute("UPDATE llm_provider_health SET provider = '__hb__' WHERE provider = 'openai'")
    connection.execute("UPDATE llm_providers SET name = '__hb__' WHERE name = 'openai'")

    assert publish_circuits(connection, redis_client, namespace).applied == 3
    assert not redis_client.hexists(name_snapshot(namespace), HEARTBEAT_FIELD)


def test_publishing_nobody_is_nothing(connection: Database, redis_client: Redis, namespace: str) -> None:
    assert publish_circuits(connection, redis_client, namespace, []) == PublishCounts(0, 0)
