"""Links between one process, or all of a kind, and a server: cut, stalled, swallowing replies, half-open."""

import time
from collections.abc import Iterator
from typing import Final

from chaos.field import SECONDS_AIMED_AT, SECONDS_AIMED_AT_FROZEN, Field, Strike, Wound, fault
from chaos.process_faults import choose_member, lured

LINK_SECONDS: Final = 8.0


def turn_links(field: Field, kind: str, server: str, mode: str, *, takes_all: bool) -> list[str]:
    """Turn the link to a server of one member of a kind, or of all; returns the links."""
    victims = field.fleet.list_kind(kind) if takes_all else [choose_member(field, kind)]
    links = [f"{victim.name}/{server}" for victim in victims]
    for link in links:
        field.links.turn(link, mode)
    return links


def add_link_fault(kind: str, server: str, mode: str, *, takes_all: bool = False) -> Strike:
    """Add the fault of a link to the table."""
    who = f"all {kind}s" if takes_all else kind
    # a link that is quiet is found out by waiting; one that is cut says so
    aim_seconds = SECONDS_AIMED_AT if mode == "cut" else SECONDS_AIMED_AT_FROZEN
    # who is cut off and has nobody beside it is well again when the link is
    makes_events = kind in {"producer", "router"}
    is_outage = (takes_all or makes_events or kind == "api") and mode != "half-open"

    @fault(
        f"{who} from {server}: {mode}",
        aim_seconds=aim_seconds,
        held_seconds=LINK_SECONDS if not is_outage else LINK_SECONDS / 2,
        is_outage=is_outage,
    )
    def turn_link(field: Field) -> Iterator[Wound]:
        """Turn a link, inside a transaction where the link has any."""
        with lured(field, kind if server == "database" else "nobody") as caught:
            at = time.time()
            if caught is not None and not takes_all:
                links = [f"{caught.name}/{server}"]
                field.links.turn(links[0], mode)
            else:
                links = turn_links(field, kind, server, mode, takes_all=takes_all)
        try:
            yield Wound(
                at,
                ", ".join(links),
                needs_fold=kind == "aggregator",
                needs_api=kind == "api",
                producers=tuple(link.split("/")[0] for link in links if makes_events),
                is_in_transaction=caught is not None,
            )
        finally:
            for link in links:
                field.links.turn(link, "pass")

    return turn_link


for each in ("cut", "stall", "swallow", "half-open"):
    add_link_fault("consumer", "redis", each)
    add_link_fault("consumer", "database", each)
    add_link_fault("consumer", "redis", each, takes_all=True)
    add_link_fault("consumer", "database", each, takes_all=True)
    add_link_fault("aggregator", "database", each)
    add_link_fault("producer", "redis", each)
    add_link_fault("router", "redis", each)
    add_link_fault("api", "database", each)
    add_link_fault("api", "redis", each)
