"""What a fault is given, and how faults are kept: one function each, in one table."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from chaos.fleet import Fleet
from chaos.links import Links
from chaos.machine import Machine
from chaos.observer import Observer
from private_servers import PrivateServer, PrivateServers, is_running, list_children

SECONDS_AIMED_AT: Final = 5.0
SECONDS_AIMED_AT_FROZEN: Final = 10.0


@dataclass(frozen=True, slots=True)
class Field:
    """Everything that a fault may touch."""

    fleet: Fleet
    links: Links
    servers: PrivateServers
    observer: Observer
    randomness: random.Random
    machine: Machine | None


@dataclass(frozen=True, slots=True)
class Wound:
    """What a fault has done: when (seconds since 1970), to whom, and what else must be right to have recovered."""

    at: float
    victim: str
    needs_fold: bool = False
    needs_api: bool = False
    # producers of which what they made until then must be stored
    producers: tuple[str, ...] = ()
    is_in_transaction: bool = False


Strike = Callable[[Field], AbstractContextManager[Wound]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table.

    strike: injects, yields, heals. aim_seconds: how soon all must be well. held_seconds: how long it stays at least;
    is_outage: nothing can be well before it is healed, so recovery counts from there.
    """

    name: str
    strike: Strike
    aim_seconds: float
    held_seconds: float
    is_outage: bool
    needs_machine: bool = False


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    aim_seconds: float = SECONDS_AIMED_AT,
    held_seconds: float = 0.0,
    is_outage: bool = False,
    needs_machine: bool = False,
) -> Callable[[Callable[[Field], Iterator[Wound]]], Strike]:
    """Add a function that injects, yields and heals to the table."""

    def add(function: Callable[[Field], Iterator[Wound]]) -> Strike:
        strike = contextmanager(function)
        FAULTS[name] = Fault(name, strike, aim_seconds, held_seconds, is_outage, needs_machine)
        return strike

    return add


def combine(first: Fault, second: Fault) -> Fault:
    """Make one fault of two that strike at once; the second one's outage counts for both."""
    # an outage last: what strikes inside a transaction needs the server for it
    inner, outer = sorted((first, second), key=lambda each: each.is_outage, reverse=True)

    @contextmanager
    def strike(field: Field) -> Iterator[Wound]:
        """Strike twice."""
        with outer.strike(field) as one, inner.strike(field) as other:
            yield Wound(
                at=max(one.at, other.at),
                victim=f"{outer.name} ({one.victim}) and {inner.name} ({other.victim})",
                needs_fold=one.needs_fold or other.needs_fold,
                needs_api=one.needs_api or other.needs_api,
                producers=one.producers + other.producers,
                is_in_transaction=one.is_in_transaction or other.is_in_transaction,
            )

    return Fault(
        "two at once",
        strike,
        # one may be found out only when the other one is over
        first.aim_seconds + second.aim_seconds,
        max(first.held_seconds, second.held_seconds),
        first.is_outage or second.is_outage,
    )


def signal_server(server: PrivateServer, number: signal.Signals) -> None:
    """Signal a server and all its children, and nobody who has their numbers by now."""
    inner = server._server
    for process in list_children(inner):
        if is_running(process):
            os.kill(int(process.name), number)
    os.kill(inner.pid, number)
