"""The event stream: its names and bounds, which producers and consumers share."""

from typing import Final

# of one installation's keys in Redis: producers and the server side read the same variable with the same default
NAMESPACE: Final = "fuseboard"
NAMESPACE_VARIABLE: Final = "FUSEBOARD_NAMESPACE"
NAMESPACE_PATTERN: Final = r"^[A-Za-z0-9_.-]{1,64}$"
CA_CERTS_VARIABLE: Final = "FUSEBOARD_REDIS_CA_CERTS"

CONSUMER_GROUP: Final = "fuseboard"
# the one field of an entry: a JSON array of events, one flush of one producer
ENTRY_FIELD: Final = "events"
# what a producer puts into one entry at most
FLUSH_MAX_EVENTS: Final = 500
FLUSH_MAX_BYTES: Final = 1_000_000
# what a consumer accepts of anybody
ENTRY_MAX_EVENTS: Final = 10_000
ENTRY_MAX_BYTES: Final = 4_000_000
# entries in the stream above which producers spool to disk instead
STREAM_MAX_ENTRIES: Final = 100_000


def name_event_stream(namespace: str) -> str:
    """Name the Redis key of the event stream of one installation."""
    return f"{namespace}:events"
