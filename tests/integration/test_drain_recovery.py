import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from consumers import count_pending, drain_all, is_drained, make_settings, running_drain, shorten_waits
from events import add_entry, make_event
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.settings import Settings
from fuseboard_schema.stream import CONSUMER_GROUP, name_event_stream
from queries import Database, fetch_value
from waiting import wait_until


@pytest.fixture
def settings(database_url: str, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shorten_waits(monkeypatch.setattr)
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_CLAIM_IDLE_SECONDS="0.3")


def test_events_of_any_day_land_in_a_partition_of_their_day(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    days = [
        datetime(2020, 1, 1, tzinfo=UTC),
        datetime(2023, 11, 16, 23, 59, 59, 999999, tzinfo=UTC),
        datetime.now(UTC) + timedelta(hours=20),
    ]
    add_entry(redis_client, settings.namespace, [make_event(occurred_at=day) for day in days])

    drain_all(redis_client, settings)

    stored = connection.execute("SELECT tableoid::regclass::text, occurred_at FROM llm_requests ORDER BY 2").fetchall()
    assert stored == [(f"llm_requests_{day:%Y%m%d}", day) for day in days]


def test_a_partition_dropped_behind_the_consumers_back_is_made_again(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    day = datetime(2024, 2, 29, 12, tzinfo=UTC)
    with running_drain(redis_client, settings):
        add_entry(redis_client, settings.namespace, [make_event(occurred_at=day)])
        wait_until(lambda: is_drained(redis_client, settings.namespace))
        connection.execute("DROP TABLE llm_requests_20240229")
        add_entry(redis_client, settings.namespace, [make_event(occurred_at=day) for _ in range(3)])
        wait_until(lambda: is_drained(redis_client, settings.namespace))

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 3
    assert fetch_value(connection, "SELECT count(*) FROM llm_rejected_events") == 0


def test_entries_of_a_dead_consumer_are_claimed_back(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    stream = name_event_stream(settings.namespace)
    for _ in range(5):
        add_entry(redis_client, settings.namespace, [make_event()])
    redis_client.xgroup_create(stream, CONSUMER_GROUP, id="0")
    redis_client.xreadgroup(CONSUMER_GROUP, "dead", {stream: ">"}, count=3)
    assert count_pending(redis_client, settings.namespace) == 3

    drain_all(redis_client, settings)

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 5
    assert count_pending(redis_client, settings.namespace) == 0


def test_a_stream_that_vanished_with_its_group_is_read_again_from_its_first_entry(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    with running_drain(redis_client, settings):
        add_entry(redis_client, settings.namespace, [make_event()])
        wait_until(lambda: fetch_value(connection, "SELECT count(*) FROM llm_requests") == 1)
        redis_client.delete(name_event_stream(settings.namespace))
        add_entry(redis_client, settings.namespace, [make_event()])
        wait_until(lambda: fetch_value(connection, "SELECT count(*) FROM llm_requests") == 2)


def test_options_of_the_url_that_change_what_replies_look_like_change_nothing(
    settings: Settings, connection: Database
) -> None:
    changed = settings.model_copy(update={"redis_url": f"{settings.redis_url}&protocol=3&decode_responses=yes"})
    with connect_redis(changed.redis_url or "") as redis:
        add_entry(redis, settings.namespace, [make_event()])
        drain_all(redis, changed)

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 1


def test_many_small_entries_become_few_transactions(
    settings: Settings, redis_client: Redis, connection: Database
) -> None:
    with redis_client.pipeline() as pipeline:
        for _ in range(3000):
            pipeline.xadd(name_event_stream(settings.namespace), {"events": json.dumps([make_event()])})
        pipeline.execute()

    drain_all(redis_client, settings)

    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 3000
    assert fetch_value(connection, "SELECT count(DISTINCT xmin::text) FROM llm_requests") <= 8


def test_a_batch_is_stored_whole_or_not_at_all(
    settings: Settings, redis_client: Redis, connection: Database, caplog: pytest.LogCaptureFixture
) -> None:
    connection.execute("ALTER TABLE llm_provider_health RENAME TO elsewhere")
    add_entry(redis_client, settings.namespace, [make_event()])

    # not the data's fault, so it is waited for
    with caplog.at_level(logging.WARNING), running_drain(redis_client, settings):
        wait_until(lambda: "llm_provider_health" in caplog.text)

    connection.execute("ALTER TABLE elsewhere RENAME TO llm_provider_health")
    assert (
        fetch_value(connection, "SELECT (SELECT count(*) FROM llm_requests) + (SELECT count(*) FROM llm_usage_deltas)")
        == 0
    )
    drain_all(redis_client, settings)
    assert fetch_value(connection, "SELECT count(*) FROM llm_requests") == 1
