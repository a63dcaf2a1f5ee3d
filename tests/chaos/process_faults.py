"""Processes and servers that are killed or frozen."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from chaos.field import SECONDS_AIMED_AT_FROZEN, Field, Wound, fault, signal_server
from chaos.fleet import Member

# what a member waits for while it has a transaction open
CONSUMER_LOCK: Final = "SELECT FROM llm_provider_health WHERE provider = 'claude' FOR UPDATE"
AGGREGATOR_LOCK: Final = "SELECT FROM llm_costs_daily WHERE provider = 'claude' FOR UPDATE"
TRAP_SECONDS: Final = 4.0
# a supervisor starts what has died after a moment
SUPERVISOR_SECONDS: Final = 0.2
FROZEN_SECONDS: Final = 12.0


def choose_member(field: Field, kind: str) -> Member:
    """Choose a victim."""
    return field.randomness.choice(field.fleet.list_kind(kind))


@contextmanager
def trapped(field: Field, members: list[Member], lock: str) -> Iterator[Member | None]:
    """Hold rows until one of the members waits for them inside its transaction; None where none came in time."""
    names = [member.name for member in members]
    query = (
        "SELECT application_name FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND split_part(application_name, ' ', 1) = ANY(%(names)s)"
    )
    with field.observer.connect() as blocker, blocker.transaction(force_rollback=True):
        blocker.execute(lock.encode())
        deadline = time.monotonic() + TRAP_SECONDS
        waiting: list[tuple[object, ...]] = []
        while not waiting and time.monotonic() < deadline:
            waiting = field.observer.ask(query, {"names": names}) or []
            time.sleep(0.02)
        found = str(waiting[0][0]).split(" ")[0] if waiting else None
        yield next((member for member in members if member.name == found), None)


@fault("consumer killed")
def kill_consumer(field: Field) -> Iterator[Wound]:
    """Kill a consumer inside its transaction."""
    with trapped(field, field.fleet.list_kind("consumer"), CONSUMER_LOCK) as caught:
        victim = caught or choose_member(field, "consumer")
        at = time.time()
        victim.kill()
    yield Wound(at, victim.name, is_in_transaction=caught is not None)
    victim.start()


@fault("all consumers killed")
def kill_all_consumers(field: Field) -> Iterator[Wound]:
    """Kill all consumers at once; a supervisor starts them again."""
    consumers = field.fleet.list_kind("consumer")
    at = time.time()
    for consumer in consumers:
        consumer.kill()
    time.sleep(SUPERVISOR_SECONDS)
    for consumer in consumers:
        consumer.start()
    yield Wound(at, "consumers")


@fault("consumer frozen", aim_seconds=SECONDS_AIMED_AT_FROZEN, held_seconds=FROZEN_SECONDS)
def freeze_consumer(field: Field) -> Iterator[Wound]:
    """Freeze a consumer inside its transaction, for so long that others take over; then it goes on."""
    with trapped(field, field.fleet.list_kind("consumer"), CONSUMER_LOCK) as caught:
        victim = caught or choose_member(field, "consumer")
        at = time.time()
        victim.send(signal.SIGSTOP)
    try:
        yield Wound(at, victim.name, is_in_transaction=caught is not None)
    finally:
        victim.send(signal.SIGCONT)


@fault("aggregator killed")
def kill_aggregator(field: Field) -> Iterator[Wound]:
    """Kill an aggregator inside its fold."""
    with trapped(field, field.fleet.list_kind("aggregator"), AGGREGATOR_LOCK) as caught:
        victim = caught or choose_member(field, "aggregator")
        at = time.time()
        victim.kill()
    yield Wound(at, victim.name, needs_fold=True, is_in_transaction=caught is not None)
    victim.start()


@fault("aggregator frozen", aim_seconds=SECONDS_AIMED_AT_FROZEN, held_seconds=FROZEN_SECONDS)
def freeze_aggregator(field: Field) -> Iterator[Wound]:
    """Freeze an aggregator inside its fold; then it goes on."""
    with trapped(field, field.fleet.list_kind("aggregator"), AGGREGATOR_LOCK) as caught:
        victim = caught or choose_member(field, "aggregator")
        at = time.time()
        victim.send(signal.SIGSTOP)
    try:
        yield Wound(at, victim.name, needs_fold=True, is_in_transaction=caught is not None)
    finally:
        victim.send(signal.SIGCONT)


@fault("api killed")
def kill_api(field: Field) -> Iterator[Wound]:
    """Kill the API; a supervisor starts it again."""
    victim = choose_member(field, "api")
    at = time.time()
    victim.kill()
    time.sleep(SUPERVISOR_SECONDS)
    victim.start()
    yield Wound(at, victim.name)


@fault("api frozen", aim_seconds=SECONDS_AIMED_AT_FROZEN, held_seconds=3.0)
def freeze_api(field: Field) -> Iterator[Wound]:
    """Freeze the API; nobody else may need it."""
    victim = choose_member(field, "api")
    at = time.time()
    victim.send(signal.SIGSTOP)
    try:
        yield Wound(at, victim.name)
    finally:
        victim.send(signal.SIGCONT)


@fault("producer killed")
def kill_producer(field: Field) -> Iterator[Wound]:
    """Kill a producer; the next one of its spool starts."""
    victim = choose_member(field, field.randomness.choice(("producer", "router")))
    at = time.time()
    victim.kill()
    time.sleep(SUPERVISOR_SECONDS)
    victim.start()
    yield Wound(at, victim.name)


@fault("producer frozen", aim_seconds=SECONDS_AIMED_AT_FROZEN, held_seconds=3.0)
def freeze_producer(field: Field) -> Iterator[Wound]:
    """Freeze a producer, then let it go on."""
    victim = choose_member(field, "producer")
    at = time.time()
    victim.send(signal.SIGSTOP)
    try:
        yield Wound(at, victim.name)
    finally:
        victim.send(signal.SIGCONT)


@fault("redis killed")
def kill_redis(field: Field) -> Iterator[Wound]:
    """Kill Redis and start it again."""
    at = time.time()
    field.servers.valkey.kill9()
    field.servers.valkey.start()
    yield Wound(at, "redis")


@fault("redis frozen", held_seconds=4.0, is_outage=True)
def freeze_redis(field: Field) -> Iterator[Wound]:
    """Freeze Redis."""
    at = time.time()
    signal_server(field.servers.valkey, signal.SIGSTOP)
    try:
        yield Wound(at, "redis")
    finally:
        signal_server(field.servers.valkey, signal.SIGCONT)


@fault("postgresql killed")
def kill_postgresql(field: Field) -> Iterator[Wound]:
    """Kill PostgreSQL and start it again; it recovers from its log."""
    at = time.time()
    field.servers.postgres.kill9()
    field.servers.postgres.start()
    yield Wound(at, "postgresql", needs_fold=True)


@fault("postgresql frozen", held_seconds=4.0, is_outage=True)
def freeze_postgresql(field: Field) -> Iterator[Wound]:
    """Freeze PostgreSQL and all its sessions."""
    at = time.time()
    signal_server(field.servers.postgres, signal.SIGSTOP)
    try:
        yield Wound(at, "postgresql", needs_fold=True)
    finally:
        signal_server(field.servers.postgres, signal.SIGCONT)


@fault("sessions terminated")
def terminate_sessions(field: Field) -> Iterator[Wound]:
    """End all sessions but our own, as an administrator or a failover would."""
    at = time.time()
    with field.observer.connect() as session:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND application_name <> 'observer'"
        )
    yield Wound(at, "sessions", needs_fold=True)


@fault("lock held", held_seconds=3.0, is_outage=True)
def hold_rows(field: Field) -> Iterator[Wound]:
    """Hold rows that consumers and aggregators need, as somebody who forgets a transaction in psql does."""
    with field.observer.connect() as session, session.transaction(force_rollback=True):
        session.execute(CONSUMER_LOCK.encode())
        session.execute(AGGREGATOR_LOCK.encode())
        at = time.time()
        yield Wound(at, "rows", needs_fold=True)
