"""From PostgreSQL to Redis: publishes circuits to all workers, fenced by their revision (part C.8)."""

import time
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis

from fuseboard_consumer.projection_rows import DayUsage, Publication, compose_publication
from fuseboard_consumer.projection_store import select_day_usage, select_projections
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_changes, name_hints, name_leases, name_snapshot
from fuseboard_schema.lua import Argument, load_lua
from fuseboard_schema.price_store import select_prices
from fuseboard_schema.pricing import PriceBook

# without any consumer, workers forget the circuits after this
SNAPSHOT_TTL_SECONDS: Final = 600
DAY_USAGE_SECONDS: Final = 30.0
# costs are not computed here
NO_BASELINE: Final = ("", "")


class Published(NamedTuple):
    """What came of a publication; stored_revision is the one that Redis had, -1 for none."""

    provider: str
    revision: int
    is_applied: bool
    stored_revision: int


class PublishCounts(NamedTuple):
    """How many circuits were new to Redis, and how many it had already."""

    applied: int
    fenced: int


class Publisher:
    """Publishes what is committed. Raises what PostgreSQL and Redis raise: a publication that is lost is repeated."""

    def __init__(self, redis: Redis, namespace: str) -> None:
        self._redis = redis
        self._namespace = namespace
        self._day: dict[str, DayUsage] = {}
        self._day_read_at: float | None = None

    def publish(
        self, connection: Connection[TupleRow], book: PriceBook, providers: Collection[str] | None = None
    ) -> PublishCounts:
        """Publish some providers, or all, as they are committed now; safe to repeat and to race."""
        done = self.publish_each(connection, book, providers)
        applied = sum(published.is_applied for published in done)
        return PublishCounts(applied, len(done) - applied)

    def publish_each(
        self, connection: Connection[TupleRow], book: PriceBook, providers: Collection[str] | None = None
    ) -> list[Published]:
        """Publish as `publish` does and say what came of each."""
        rows = select_projections(connection, providers)
        day = self._read_day_usage(connection)
        # anybody can name a provider in an event
        return self.send(
            [compose_publication(row, day.get(row.provider), book) for row in rows if row.provider != HEARTBEAT_FIELD]
        )

    def send(self, publications: Sequence[Publication]) -> list[Published]:
        """Send publications to Redis in one round trip; each is applied by itself."""
        if not publications:
            return []
        script = load_lua(__package__, "publish")
        keys = (name_snapshot(self._namespace), name_hints(self._namespace))
        with self._redis.pipeline(transaction=False) as pipeline:
            for publication in publications:
                # whole, as a pipeline cannot say it again where Redis does not know the digest
                pipeline.eval(script, len(keys), *keys, *self._list_arguments(publication))
            replies = pipeline.execute()
        return [
            Published(publication.provider, publication.revision, reply[0] == 1, reply[1])
            for publication, reply in zip(publications, replies, strict=True)
        ]

    def release(self, leases: Iterable[tuple[str, int, str]]) -> None:
        """Give back the places of probes, named by provider, epoch and lease; those that are gone stay gone."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for provider, epoch, lease_id in leases:
                pipeline.zrem(name_leases(self._namespace, provider), f"{epoch}:{lease_id}")
            pipeline.execute()

    def _read_day_usage(self, connection: Connection[TupleRow]) -> dict[str, DayUsage]:
        """Two days change little in half a minute, and reading them costs more than all the rest."""
        now = time.monotonic()
        if self._day_read_at is None or now - self._day_read_at > DAY_USAGE_SECONDS:
            self._day = select_day_usage(connection)
            self._day_read_at = now
        return self._day

    def _list_arguments(self, publication: Publication) -> list[Argument]:
        return [
            name_changes(self._namespace),
            publication.provider,
            publication.revision,
            "" if publication.open_ms is None else publication.open_ms,
            "" if publication.throttle_ms is None else publication.throttle_ms,
            publication.throttle_reset_revision,
            publication.circuit,
            publication.health,
            publication.settings,
            SNAPSHOT_TTL_SECONDS,
        ]


def publish_circuits(
    connection: Connection[TupleRow], redis: Redis, namespace: str, providers: Collection[str] | None = None
) -> PublishCounts:
    """Publish some circuits, or all, with the prices as they stand, after an operator's order.

    Raises what PostgreSQL and Redis raise; consumers that run publish the order in any case.
    """
    book = PriceBook(select_prices(connection), NO_BASELINE)
    return Publisher(redis, namespace).publish(connection, book, providers)
