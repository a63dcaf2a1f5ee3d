"""What commits changed of the circuits: what is to be published now, and not only by the next sweep. Pure."""

from collections.abc import Sequence
from typing import NamedTuple


class CircuitChanges(NamedTuple):
    """Providers whose circuit or throttle changed, and (provider, epoch, lease_id) of probes that told nothing."""

    providers: frozenset[str] = frozenset()
    released: tuple[tuple[str, int, str], ...] = ()


def merge_changes(changes: Sequence[CircuitChanges]) -> CircuitChanges:
    """Merge the changes of several commits, oldest first."""
    return CircuitChanges(
        frozenset[str]().union(*(change.providers for change in changes)),
        tuple(lease for change in changes for lease in change.released),
    )
