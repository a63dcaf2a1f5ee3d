"""Events and stream entries for tests."""

import json
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from fuseboard_schema.identifiers import make_event_id
from fuseboard_schema.stream import ENTRY_FIELD, name_event_stream


def make_event(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any field, also wrong ones
    """Make a valid event in wire form; fields given replace or add, None removes."""
    occurred_at = fields.pop("occurred_at", None) or datetime.now(UTC)
    if isinstance(occurred_at, datetime):
        fields.setdefault("event_id", make_event_id(occurred_at))
        occurred_at = occurred_at.isoformat()
    else:
        fields.setdefault("event_id", make_event_id(datetime.now(UTC)))
    event = {
        "occurred_at": occurred_at,
        "provider": "claude",
        "model": "claude-sonnet-4-5",
        "status": "success",
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "duration_seconds": 1.25,
        **fields,
    }
    return {name: value for name, value in event.items() if value is not None}


def add_entry(redis: Redis, namespace: str, payload: list[dict[str, Any]] | str | bytes) -> str:
    """Add one entry to the event stream as a producer would; returns its id."""
    body = json.dumps(payload) if isinstance(payload, list) else payload
    entry_id = redis.xadd(name_event_stream(namespace), {ENTRY_FIELD: body})
    assert isinstance(entry_id, bytes)
    return entry_id.decode()
