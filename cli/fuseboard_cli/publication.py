"""Changes of the registry, and telling workers of them at once, whether or not a consumer runs."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from redis.exceptions import RedisError

from fuseboard_cli.command_error import CommandError, describe_error
from fuseboard_cli.output import clean_text, remark
from fuseboard_cli.servers import open_database, open_redis, use_servers
from fuseboard_consumer.publisher import publish_circuits
from fuseboard_schema.settings import Settings


@contextmanager
def use_registry() -> Iterator[tuple[Settings, Connection[TupleRow]]]:
    """Give the settings and the database, for a change that Redis is not needed for."""
    with use_servers(needs_redis=False) as settings, open_database(settings) as connection:
        yield settings, connection


def make_unknown_provider_error(name: str, known: Iterable[str]) -> CommandError:
    """Make the error that names the providers there are."""
    return CommandError(f"there is no provider {clean_text(name)}: known are {', '.join(map(clean_text, known))}")


def tell_workers(settings: Settings, connection: Connection[TupleRow], providers: Sequence[str]) -> None:
    """Publish the circuits of these providers, as committed.

    What was changed stands also where Redis is down; then a remark says when workers come to know.
    """
    if not settings.redis_url:
        remark("REDIS_URL is not set: workers are told by a consumer, within seconds if one runs")
        return
    try:
        with open_redis(settings) as redis:
            publish_circuits(connection, redis, settings.namespace, providers)
    except (RedisError, psycopg.Error, OSError) as error:
        remark(f"{describe_error(error)}; the change stands, and a consumer tells workers as soon as it can")
