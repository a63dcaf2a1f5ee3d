"""Machines that vanish: no end of a connection is heard of."""

import time
from collections.abc import Iterator
from typing import Final

from chaos.field import SECONDS_AIMED_AT_FROZEN, Field, Wound, fault
from chaos.fleet import GUEST_AGGREGATOR, GUEST_CONSUMER
from chaos.process_faults import lured
from waiting import wait_until

VANISHED_SECONDS: Final = 20.0
BACK_SECONDS: Final = 3.0
TRIES: Final = 5


def vanish(field: Field, kind: str, *, needs_fold: bool) -> Iterator[Wound]:
    """Pull the cable of a machine while its process is inside a transaction, where that can be had."""
    assert field.machine is not None
    guest = field.fleet.list_kind(kind)[0]
    guest.start()
    wait_until(lambda: guest.has_started)
    for attempt in range(TRIES):
        with lured(field, kind) as caught:
            if caught is not None or attempt == TRIES - 1:
                at = time.time()
                field.machine.pull_cable()
                break
    try:
        yield Wound(at, kind, needs_fold=needs_fold, is_in_transaction=caught is not None)
    finally:
        field.machine.plug_in()
        # it goes on with what it had begun, and then takes its leave
        time.sleep(BACK_SECONDS)
        guest.dismiss()


@fault("consumer vanished", aim_seconds=SECONDS_AIMED_AT_FROZEN, held_seconds=VANISHED_SECONDS, needs_machine=True)
def vanish_consumer(field: Field) -> Iterator[Wound]:
    """Let the machine of a consumer vanish inside its transaction, then come back."""
    yield from vanish(field, GUEST_CONSUMER, needs_fold=False)


@fault("aggregator vanished", aim_seconds=SECONDS_AIMED_AT_FROZEN, held_seconds=VANISHED_SECONDS, needs_machine=True)
def vanish_aggregator(field: Field) -> Iterator[Wound]:
    """Let the machine of an aggregator vanish inside its fold, then come back."""
    yield from vanish(field, GUEST_AGGREGATOR, needs_fold=True)
