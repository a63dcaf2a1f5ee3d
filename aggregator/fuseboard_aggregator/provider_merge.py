"""Merging a provider into another: one that was made by a typo, or by another of its names (G3)."""

import logging
import time
from collections.abc import Callable

from fuseboard_aggregator.locks import FOLD_LOCK, REPRICE_LOCK, hold_lock
from fuseboard_aggregator.reprice import RepriceBusyError
from fuseboard_aggregator.store import Database
from fuseboard_schema.database import remove_time_limit
from fuseboard_schema.sql import load_sql

log = logging.getLogger(__name__)


def merge_provider(
    connection: Database,
    from_name: str,
    into_name: str,
    *,
    wait_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Move requests, usage and health totals of one provider to another; its name stays as an alias.

    First the alias, then a wait of `wait_seconds`, by when every consumer knows it, then one transaction: all or
    nothing, and safe to repeat. Raises RepriceBusyError while requests are being repriced, LookupError where there is
    no provider to merge into. The connection must be outside of any transaction.
    """
    if not add_provider_alias(connection, from_name, into_name):
        raise LookupError(into_name)
    # nobody waits for a lock of this session meanwhile
    sleep(wait_seconds)
    with hold_lock(connection, REPRICE_LOCK) as held:
        if not held:
            raise RepriceBusyError("a reprice is running: wait until it has ended")
        with hold_lock(connection, FOLD_LOCK, wait=True), connection.transaction(), remove_time_limit(connection):
            names = {"from_name": from_name, "into_name": into_name}
            connection.execute(load_sql(__package__, "merge_provider"), names)
    log.info("provider_merged from=%s into=%s", from_name, into_name)


def add_provider_alias(connection: Database, alias: str, provider: str) -> bool:
    """Let a name mean a registered provider; False where that is not registered. Safe to repeat."""
    parameters = {"alias": alias, "provider": provider}
    return connection.execute(load_sql(__package__, "insert_provider_alias"), parameters).fetchone() is not None
