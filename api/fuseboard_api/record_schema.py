"""What POST /api/llm/record takes and answers, for the OpenAPI document."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

EVENT_EXAMPLE: Final = {
    "provider": "claude",
    "model": "claude-sonnet-4-5",
    "status": "success",
    "prompt_tokens": 1200,
    "completion_tokens": 300,
    "duration_seconds": 1.84,
    "tags": {"team": "search"},
}
EVENT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "An event, by docs/event.schema.json; here event_id, occurred_at and status may be left out.",
}
RECORD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [EVENT_SCHEMA, {"type": "array", "items": EVENT_SCHEMA, "minItems": 1}]},
                "examples": {"one": {"value": EVENT_EXAMPLE}, "list": {"value": [EVENT_EXAMPLE]}},
            }
        },
    }
}


@dataclass(frozen=True, slots=True)
class RejectedItem:
    """An event that was not taken: its place in the list, and why."""

    index: int
    detail: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """The ids of the events that were taken, in order, and the events that were not."""

    event_ids: list[UUID]
    rejected: list[RejectedItem]
