"""Names in Redis of what workers know about circuits; one cluster slot per installation (part C.8)."""

from typing import Final

# the field of the snapshot that says when the consumers last made progress: milliseconds of Redis's clock
HEARTBEAT_FIELD: Final = "__hb__"


def name_snapshot(namespace: str) -> str:
    """Name the hash of projections, a field per provider: consumers write it, workers read it."""
    return f"llmcb:{{{namespace}}}:snap"


def name_hints(namespace: str) -> str:
    """Name the hash of throttle deadlines that workers found themselves: provider to milliseconds of Redis's clock."""
    return f"llmcb:{{{namespace}}}:hint"


def name_leases(namespace: str, provider: str) -> str:
    """Name the sorted set of a provider's probe leases: `epoch:lease_id` by when it expires, in milliseconds."""
    return f"llmcb:{{{namespace}}}:lease:{provider}"


def name_changes(namespace: str) -> str:
    """Name the channel on which a provider's name says that its projection has changed."""
    return f"llmcb:{{{namespace}}}:chg"
