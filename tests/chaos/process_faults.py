"""Processes and servers that are killed or frozen."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import psycopg

from chaos.field import SECONDS_AIMED_AT_FROZEN, Field, Wound, fault, signal_server
from chaos.fleet import GUEST_AGGREGATOR, GUEST_CONSUMER, Member

# what a member waits for while it has a transaction open
CONSUMER_LOCK: Final = "SELECT FROM llm_provider_health WHERE provider = 'claude' FOR UPDATE"
AGGREGATOR_LOCK: Final = "SELECT FROM llm_costs_daily WHERE provider = 'claude' FOR UPDATE"
LOCKS: Final = {
    "consumer": CONSUMER_LOCK,
    "aggregator": AGGREGATOR_LOCK,
    GUEST_CONSUMER: CONSUMER_LOCK,
    GUEST_AGGREGATOR: AGGREGATOR_LOCK,
}
LURE_SECONDS: Final = 4.0
# a supervisor starts what has died after a moment
SUPERVISOR_SECONDS: Final = 0.2
FROZEN_SECONDS: Final = 12.0


def choose_member(field: Field, kind: str) -> Member:
    """Choose a victim."""
    return field.randomness.choice(field.fleet.list_kind(kind))


@contextmanager
def lured(field: Field, kind: str) -> Iterator[Member | None]:
    """Hold rows until a member of a kind waits for them inside its transaction; None where none came in time."""
    lock = LOCKS.get(kind)
    with ExitStack() as stack:
        caught = None
        # where PostgreSQL is away or others hold the rows the fault strikes all the same
        with suppress(psycopg.Error):
            if lock is not None:
                blocker = stack.enter_context(field.observer.connect())
                stack.enter_context(suppress(psycopg.Error))
                stack.enter_context(blocker.transaction(force_rollback=True))
                blocker.execute(lock.encode())
                caught = wait_for_victim(field, kind)
        yield caught


def wait_for_victim(field: Field, kind: str) -> Member | None:
    """Wait until a member waits for a lock."""
    members = {member.name: member for member in field.fleet.list_kind(kind)}
    query = (
        "SELECT application_name FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND application_name = ANY(%(names)s)"
    )
    deadline = time.monotonic() + LURE_SECONDS
    while time.monotonic() < deadline:
        waiting = field.observer.ask(query, {"names": list(members)})
        if waiting:
            return members[waiting[0][0]]
        time.sleep(0.02)
    return None


def kill_lured(field: Field, kind: str, *, needs_fold: bool = False) -> Iterator[Wound]:
    """Kill a member inside its transaction, if one comes in time; it starts again when all is well without it."""
    with lured(field, kind) as caught:
        victim = caught or choose_member(field, kind)
        at = time.time()
        victim.kill()
    yield Wound(at, victim.name, needs_fold=needs_fold, is_in_transaction=caught is not None)
    victim.start()


def freeze_lured(field: Field, kind: str, *, needs_fold: bool = False) -> Iterator[Wound]:
    """Freeze a member inside its transaction, if one comes in time, until all is well without it."""
    with lured(field, kind) as caught:
        victim = caught or choose_member(field, kind)
        at = time.time()
        victim.send(signal.SIGSTOP)
    try:
        yield Wound(at, victim.name, needs_fold=needs_fold, is_in_transaction=caught is not None)
    finally:
        victim.send(signal.SIGCONT)


def restart_killed(victim: Member, *, needs_api: bool = False) -> Iterator[Wound]:
    """Kill a member and start it as a supervisor does."""
    at = time.time()
    victim.kill()
    time.sleep(SUPERVISOR_SECONDS)
    victim.start()
    yield Wound(at, victim.name, needs_api=needs_api)


def freeze(victim: Member) -> Iterator[Wound]:
    """Freeze a member, then let it go on."""
    at = time.time()
    victim.send(signal.SIGSTOP)
    try:
        yield Wound(at, victim.name)
    finally:
        victim.send(signal.SIGCONT)


@fault("consumer killed")
def kill_consumer(field: Field) -> Iterator[Wound]:
    """Kill a consumer inside its transaction."""
    yield from kill_lured(field, "consumer")


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


@fault("restarted one by one")
def restart_all(field: Field) -> Iterator[Wound]:
    """End consumers and aggregators in good order and start them again, as an upgrade does."""
    for member in [*field.fleet.list_kind("consumer"), *field.fleet.list_kind("aggregator")]:
        member.stop()
        member.start()
    yield Wound(time.time(), "consumers and aggregators", needs_fold=True)


@fault("everything killed", aim_seconds=SECONDS_AIMED_AT_FROZEN)
def kill_everything(field: Field) -> Iterator[Wound]:
    """Kill consumers, aggregators, the API and both servers at once, then start them, as a machine that restarts."""
    at = time.time()
    members = [each for each in field.fleet.members.values() if each.kind in {"consumer", "aggregator", "api"}]
    for member in members:
        member.kill()
    for server in (field.servers.valkey, field.servers.postgres):
        server.kill9()
    for server in (field.servers.valkey, field.servers.postgres):
        server.start()
    for member in members:
        member.start()
    yield Wound(at, "everything", needs_fold=True, needs_api=True)


@fault("consumer frozen", aim_seconds=SECONDS_AIMED_AT_FROZEN, held_seconds=FROZEN_SECONDS)
def freeze_consumer(field: Field) -> Iterator[Wound]:
    """Freeze a consumer inside its transaction, for so long that others take over; then it goes on."""
    yield from freeze_lured(field, "consumer")


@fault("aggregator killed")
def kill_aggregator(field: Field) -> Iterator[Wound]:
    """Kill an aggregator inside its fold."""
    yield from kill_lured(field, "aggregator", needs_fold=True)


@fault("aggregator frozen", aim_seconds=SECONDS_AIMED_AT_FROZEN, held_seconds=FROZEN_SECONDS)
def freeze_aggregator(field: Field) -> Iterator[Wound]:
    """Freeze an aggregator inside its fold; then it goes on."""
    yield from freeze_lured(field, "aggregator", needs_fold=True)


@fault("api killed")
def kill_api(field: Field) -> Iterator[Wound]:
    """Kill the API; a supervisor starts it again."""
    yield from restart_killed(choose_member(field, "api"), needs_api=True)


@fault("api frozen", aim_seconds=SECONDS_AIMED_AT_FROZEN, held_seconds=3.0)
def freeze_api(field: Field) -> Iterator[Wound]:
    """Freeze the API; nobody else may need it."""
    yield from freeze(choose_member(field, "api"))


@fault("producer killed")
def kill_producer(field: Field) -> Iterator[Wound]:
    """Kill a producer; the next one of its spool starts."""
    yield from restart_killed(choose_member(field, field.randomness.choice(("producer", "router"))))


@fault("producer frozen", aim_seconds=SECONDS_AIMED_AT_FROZEN, held_seconds=3.0)
def freeze_producer(field: Field) -> Iterator[Wound]:
    """Freeze a producer, then let it go on."""
    yield from freeze(choose_member(field, "producer"))


@fault("redis killed")
def kill_redis(field: Field) -> Iterator[Wound]:
    """Kill Redis and start it again."""
    at = time.time()
    field.servers.valkey.kill9()
    field.servers.valkey.start()
    yield Wound(at, "redis", needs_api=True)


@fault("redis frozen", held_seconds=4.0, is_outage=True)
def freeze_redis(field: Field) -> Iterator[Wound]:
    """Freeze Redis."""
    at = time.time()
    signal_server(field.servers.valkey, signal.SIGSTOP)
    try:
        yield Wound(at, "redis", needs_api=True)
    finally:
        signal_server(field.servers.valkey, signal.SIGCONT)


@fault("postgresql killed")
def kill_postgresql(field: Field) -> Iterator[Wound]:
    """Kill PostgreSQL and start it again; it recovers from its log."""
    at = time.time()
    field.servers.postgres.kill9()
    field.servers.postgres.start()
    yield Wound(at, "postgresql", needs_fold=True, needs_api=True)


@fault("postgresql frozen", held_seconds=4.0, is_outage=True)
def freeze_postgresql(field: Field) -> Iterator[Wound]:
    """Freeze PostgreSQL and all its sessions."""
    at = time.time()
    signal_server(field.servers.postgres, signal.SIGSTOP)
    try:
        yield Wound(at, "postgresql", needs_fold=True, needs_api=True)
    finally:
        signal_server(field.servers.postgres, signal.SIGCONT)
