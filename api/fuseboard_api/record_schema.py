"""What POST /api/llm/record takes and answers, for the OpenAPI document."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from fuseboard_schema.event_schema import build_event_schema

EVENTS_MAX: Final = 5_000
EVENT_EXAMPLE: Final = {
    "provider": "claude",
    "model": "claude-sonnet-4-5",
    "status": "success",
    "prompt_tokens": 1200,
    "completion_tokens": 300,
    "duration_seconds": 1.84,
    "tags": {"team": "search"},
}
EVENT_DESCRIPTION: Final = "As docs/event.schema.json; event_id, occurred_at and status may be left out here."
TIME_MAY_BE_LEFT_OUT: Final = {"not": {"required": ["occurred_at", "timestamp"]}}
EVENT_SCHEMA: Final = {"$ref": "#/components/schemas/Event"}
RECORD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        EVENT_SCHEMA,
                        {"type": "array", "items": EVENT_SCHEMA, "minItems": 1, "maxItems": EVENTS_MAX},
                    ]
                },
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


def build_recorded_event_schema() -> dict[str, Any]:
    """Build the schema of docs/event.schema.json without what is added here to an event that leaves it out."""
    schema = build_event_schema()
    schema["properties"]["status"]["default"] = "success"
    return {
        "description": f"{EVENT_DESCRIPTION} {schema['description']}",
        **{name: schema[name] for name in ("type", "properties", "additionalProperties")},
        "allOf": [TIME_MAY_BE_LEFT_OUT if "occurred_at" in str(rule) else rule for rule in schema["allOf"]],
        "examples": [EVENT_EXAMPLE],
    }
