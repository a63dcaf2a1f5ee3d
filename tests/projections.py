"""Circuits in Redis for tests."""

import json
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis

from fuseboard_consumer.projection_rows import ProjectionRow, Publication, compose_publication
from fuseboard_consumer.publisher import Published, Publisher
from fuseboard_schema.circuit_keys import name_snapshot
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.pricing import PriceBook

NO_PRICES: Final = PriceBook([], ("", ""))
PROVIDER: Final = "ollama"
ROW: Final = ProjectionRow(
    PROVIDER,
    enabled=True,
    provider_type="local",
    priority=10,
    weight=None,
    context_tokens=None,
    capabilities=[],
    models={},
    circuit_settings=CircuitSettings(),
    revision=1,
    version=1,
    state="closed",
    epoch=1,
    override=None,
    throttle_reset_revision=0,
    open_ms=None,
    throttle_ms=None,
    rolling_minutes={},
    rolling_durations={},
    clock=datetime(2026, 3, 4, tzinfo=UTC),
)


def make_publication(**fields: Any) -> Publication:  # noqa: ANN401 - any field of a row
    """Make what is published of a closed circuit but for the fields given."""
    return compose_publication(ROW._replace(**fields), None, NO_PRICES)


def publish(redis: Redis, namespace: str, **fields: Any) -> Published:  # noqa: ANN401 - any field of a row
    """Publish a closed circuit but for the fields given."""
    (published,) = Publisher(redis, namespace).send([make_publication(**fields)])
    return published


def read_entry(redis: Redis, namespace: str, provider: str = PROVIDER) -> dict[str, Any]:
    """Read what is published of one provider."""
    text = redis.hget(name_snapshot(namespace), provider)
    assert text is not None
    entry: dict[str, Any] = json.loads(text)
    return entry
