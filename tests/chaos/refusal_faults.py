"""Servers that answer and refuse: Redis full, read-only or alone; PostgreSQL demoted, locked, ending sessions."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import psycopg
import redis as redis_client

from chaos.field import Field, Wound, fault
from chaos.process_faults import AGGREGATOR_LOCK, CONSUMER_LOCK

REFUSED_SECONDS: Final = 4.0
INSIST_SECONDS: Final = 30.0


def insist(action: Callable[[], object]) -> None:
    """Do what heals, though the server may be busy with a second fault; raises what it says when it stays so."""
    deadline = time.monotonic() + INSIST_SECONDS
    while True:
        try:
            action()
        except (redis_client.RedisError, psycopg.Error):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def configure(field: Field, name: str, value: str) -> None:
    """Set a setting of Redis."""
    field.observer.redis.config_set(name, value)


@fault("redis at its memory", held_seconds=REFUSED_SECONDS, is_outage=True)
def fill_redis(field: Field) -> Iterator[Wound]:
    """Let Redis refuse every write that needs memory."""
    at = time.time()
    configure(field, "maxmemory", "1mb")
    try:
        yield Wound(at, "redis")
    finally:
        insist(lambda: configure(field, "maxmemory", "0"))


@fault("redis read-only", held_seconds=REFUSED_SECONDS, is_outage=True)
def demote_redis(field: Field) -> Iterator[Wound]:
    """Make Redis the replica of a server that is not there, then a master again."""
    at = time.time()
    # a replica that never reached its master keeps what it has, and serves it
    field.observer.redis.replicaof("127.0.0.1", "1")
    try:
        yield Wound(at, "redis")
    finally:
        insist(lambda: field.observer.redis.replicaof("NO", "ONE"))


@fault("redis without replicas", held_seconds=REFUSED_SECONDS, is_outage=True)
def isolate_redis(field: Field) -> Iterator[Wound]:
    """Let Redis refuse writes because too few replicas follow it."""
    at = time.time()
    configure(field, "min-replicas-to-write", "1")
    try:
        yield Wound(at, "redis")
    finally:
        insist(lambda: configure(field, "min-replicas-to-write", "0"))


@fault("redis connections ended")
def end_redis_connections(field: Field) -> Iterator[Wound]:
    """End all connections of Redis but our own."""
    at = time.time()
    with suppress(redis_client.RedisError):
        field.observer.redis.client_kill_filter(_type="normal", skipme=True)
    yield Wound(at, "redis")


@fault("postgresql read-only", held_seconds=REFUSED_SECONDS, is_outage=True)
def demote_postgresql(field: Field) -> Iterator[Wound]:
    """Make PostgreSQL read-only, as a server that was demoted."""
    at = time.time()
    set_read_only(field, "on")
    try:
        yield Wound(at, "postgresql", needs_fold=True)
    finally:
        insist(lambda: set_read_only(field, "off"))


def set_read_only(field: Field, value: str) -> None:
    """Let transactions of all sessions, open and new, only read from now on, or write again."""
    with field.observer.connect() as session:
        session.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
        session.execute("SELECT pg_reload_conf()")


@fault("sessions terminated")
def terminate_sessions(field: Field) -> Iterator[Wound]:
    """End all sessions but our own, as an administrator or a failover would."""
    at = time.time()
    with field.observer.connect() as session:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND application_name <> 'observer'"
        )
    yield Wound(at, "sessions", needs_fold=True, needs_api=True)


@fault("lock held", held_seconds=3.0, is_outage=True)
def hold_rows(field: Field) -> Iterator[Wound]:
    """Hold rows that consumers and aggregators need, as somebody who forgets a transaction in psql does."""
    with field.observer.connect() as session, session.transaction(force_rollback=True):
        session.execute(CONSUMER_LOCK.encode())
        session.execute(AGGREGATOR_LOCK.encode())
        at = time.time()
        yield Wound(at, "rows", needs_fold=True)


@fault("table locked", held_seconds=3.0, is_outage=True)
def lock_table(field: Field) -> Iterator[Wound]:
    """Lock a table as VACUUM FULL or a migration does."""
    with field.observer.connect() as session, session.transaction(force_rollback=True):
        session.execute("LOCK TABLE llm_usage_deltas")
        yield Wound(time.time(), "llm_usage_deltas", needs_fold=True)
