"""Redis is emptied while a sweep is at work."""

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow
from redis import Redis

from fuseboard_consumer.sweep import Sweep
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_snapshot

Database = Connection[TupleRow]
SEEDED = {b"claude", b"localai", b"ollama", b"openai"}


@pytest.mark.parametrize("lost", [[b"ollama"], [*SEEDED, HEARTBEAT_FIELD.encode()]], ids=["one provider", "everything"])
def test_no_heartbeat_stands_for_a_snapshot_that_was_emptied_meanwhile(
    connection: Database, redis_client: Redis, namespace: str, lost: list[bytes]
) -> None:
    snapshot = name_snapshot(namespace)
    losses = [lost]

    def empty_redis() -> None:
        # asked for after everything is published, before the heartbeat
        if losses and redis_client.hexists(snapshot, HEARTBEAT_FIELD):
            redis_client.hdel(snapshot, *losses.pop())

    sweep = Sweep(redis_client, namespace, empty_redis)
    sweep.run(connection)
    heartbeat = redis_client.hget(snapshot, HEARTBEAT_FIELD)
    sweep.run(connection)
    assert losses == []
    assert redis_client.hget(snapshot, HEARTBEAT_FIELD) in {heartbeat, None}

    sweep.run(connection)

    assert set(redis_client.hkeys(snapshot)) == SEEDED | {HEARTBEAT_FIELD.encode()}
    assert redis_client.hget(snapshot, HEARTBEAT_FIELD) != heartbeat
