from pathlib import Path

import pytest
from redis import Redis

from commands import store_events
from consumers import drain_all, make_settings, shorten_waits
from events import add_entry, make_event
from fuseboard_consumer.batch_meter import BATCH_EVENTS_BOUNDS, name_batch_counts, read_batch_counts
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot
from fuseboard_schema.settings import Settings
from fuseboard_schema.stream import CONSUMER_GROUP, STREAM_MAX_ENTRIES, name_event_stream
from metric_tools import read_metrics
from queries import Database, fetch_value


@pytest.fixture
def settings(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))


def test_what_waits_in_the_stream_and_who_has_it_is_told(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    stream = name_event_stream(settings.namespace)
    seconds, _ = redis_client.time()
    # an id says when Redis took the entry
    redis_client.xadd(stream, {"events": "[]"}, id=f"{(seconds - 100) * 1000}-0")
    for _ in range(2):
        add_entry(redis_client, settings.namespace, [make_event()])
    redis_client.xgroup_create(stream, CONSUMER_GROUP, id="0")
    redis_client.xreadgroup(CONSUMER_GROUP, "somebody", {stream: ">"}, count=1)

    metrics = read_metrics(connection, redis_client, settings)

    assert metrics.get("fuseboard_stream_entries") == 3
    assert metrics.get("fuseboard_stream_entries_limit") == STREAM_MAX_ENTRIES
    assert metrics.get("fuseboard_stream_unacknowledged_entries") == 1
    assert metrics.get("fuseboard_stream_oldest_entry_seconds") >= 100
    assert metrics.get("fuseboard_consumers") == 1
    assert metrics.get("fuseboard_redis_up") == 1


def test_the_age_of_the_heartbeat_is_by_the_clock_of_redis(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    seconds, _ = redis_client.time()
    redis_client.hset(name_snapshot(settings.namespace), HEARTBEAT_FIELD, (seconds - 50) * 1000)

    assert read_metrics(connection, redis_client, settings).get("fuseboard_heartbeat_age_seconds") >= 50


def test_every_batch_is_counted_by_events_seconds_and_lag(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    for events in (1, 40, 700):
        store_events(redis_client, settings, [make_event() for _ in range(events)])

    metrics = read_metrics(connection, redis_client, settings)

    counted = [metrics.get("fuseboard_batch_events_bucket", le=f"{float(bound)}") for bound in BATCH_EVENTS_BOUNDS]
    assert counted == [1, 1, 2, 2, 3, 3, 3, 3]
    assert metrics.get("fuseboard_batch_events_sum") == fetch_value(connection, "SELECT count(*) FROM llm_requests")
    for name in ("batch_events", "batch_duration_seconds", "ingest_lag_seconds"):
        assert metrics.get(f"fuseboard_{name}_count") == metrics.get(f"fuseboard_{name}_bucket", le="+Inf") == 3
    # a batch is taken from the stream after it came there, so it cannot take longer than it lagged
    assert metrics.get("fuseboard_batch_duration_seconds_sum") > 0
    assert metrics.get("fuseboard_ingest_lag_seconds_sum") > 0


def test_what_is_above_the_last_bound_is_in_the_total_alone(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    stream = name_event_stream(settings.namespace)
    seconds, _ = redis_client.time()
    redis_client.xadd(stream, {"events": "[]"}, id=f"{(seconds - 1000) * 1000}-0")
    drain_all(redis_client, settings)

    metrics = read_metrics(connection, redis_client, settings)

    assert metrics.get("fuseboard_ingest_lag_seconds_bucket", le="300.0") == 0
    assert metrics.get("fuseboard_ingest_lag_seconds_count") == 1
    assert metrics.get("fuseboard_ingest_lag_seconds_sum") >= 1000


def test_counts_that_redis_refuses_stop_no_batch(settings: Settings, redis_client: Redis, connection: Database) -> None:
    key = name_batch_counts(settings.namespace)
    redis_client.set(key, "not a hash")

    store_events(redis_client, settings, [make_event()])

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 1
    redis_client.delete(key)
    assert read_batch_counts(redis_client, settings.namespace).events.observations == 0
