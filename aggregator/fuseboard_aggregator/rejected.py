"""Refused events: deleted when they are older than the retention, open ones as well."""

import logging
from datetime import datetime, timedelta
from typing import Final

from fuseboard_aggregator.store import Database, delete_expired_rejected

log = logging.getLogger(__name__)

# a text is up to 64 kB, and a statement is not to take long
CHUNK_ROWS: Final = 1000


def expire_rejected_events(connection: Database, retention_days: int, now: datetime) -> int:
    """Delete the refused events that came more than `retention_days` before `now` (aware); return how many."""
    before = now - timedelta(days=retention_days)
    expired = 0
    while deleted := delete_expired_rejected(connection, before, CHUNK_ROWS):
        expired += deleted
    if expired:
        log.info("rejected_events_expired events=%d", expired)
    return expired
