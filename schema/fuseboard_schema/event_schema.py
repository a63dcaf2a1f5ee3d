"""The event as JSON Schema, so that a worker in any language can emit it: `python -m fuseboard_schema.event_schema`."""

import ast
import inspect
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from pydantic import AliasChoices

from fuseboard_schema import event
from fuseboard_schema.event import NO_NUL, RequestEvent
from fuseboard_schema.stream import ENTRY_FIELD, FLUSH_MAX_BYTES, FLUSH_MAX_EVENTS, name_event_stream

EVENT_SCHEMA_PATH: Final = Path("docs/event.schema.json")
EXAMPLE: Final = {
    "version": 1,
    "event_id": "019ab134-5a10-7c3e-9a4b-0d2f6c8e1b57",
    "request_id": "checkout-7f3a",
    "attempt": 1,
    "occurred_at": "2026-11-23T12:00:00.250Z",
    "provider": "claude",
    "model": "claude-sonnet-4-5",
    "status": "success",
    "prompt_tokens": 1200,
    "completion_tokens": 300,
    "cache_read_tokens": 1000,
    "duration_seconds": 1.84,
    "tags": {"team": "search"},
}
SCALAR: Final = {
    "anyOf": [{"type": "string", "pattern": NO_NUL}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}]
}
DESCRIPTION: Final = f"""\
One attempt at one LLM provider. Events travel as entries of the Redis stream {name_event_stream("fuseboard")}: \
XADD with the one field `{ENTRY_FIELD}`, whose value is a JSON array of at most {FLUSH_MAX_EVENTS} events and \
{FLUSH_MAX_BYTES} bytes. What this schema cannot say and the consumer checks: the cache tokens together do not \
exceed prompt_tokens, nor reasoning_tokens completion_tokens; occurred_at lies between 2020 and a day ahead. \
No prompts, completions or keys are ever part of an event."""


def build_event_schema() -> dict[str, Any]:
    """Build the JSON Schema (2020-12) of an event in its wire form, old names included as deprecated."""
    schema = RequestEvent.model_json_schema()
    properties = schema["properties"]
    for name, description in _read_field_descriptions().items():
        properties[name] = {"description": description, **_drop_titles(properties[name])}
    # what pydantic's own schema leaves open
    properties["cost_usd"]["anyOf"][1] |= {"pattern": r"^[0-9]{1,9}(\.[0-9]+)?$", "examples": ["0.0081"]}
    for name in ("tags", "metadata"):
        properties[name]["anyOf"][0]["additionalProperties"] = False
    # what the consumer brings into the contract's form is allowed as well
    tags = properties["tags"]["anyOf"][0]
    tags["patternProperties"] = {NO_NUL: SCALAR}
    del tags["maxProperties"]
    required = set(schema["required"])
    one_name_each = []
    for name, old_name in _list_old_names():
        properties[old_name] = {**properties[name], "description": f"Old name of {name}.", "deprecated": True}
        names = [{"required": [name]}, {"required": [old_name]}]
        one_name_each.append({"oneOf": names} if name in required else {"not": {"required": [name, old_name]}})
        required.discard(name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:fuseboard:event:{event.EVENT_VERSION}",
        "title": "Fuseboard request event",
        "description": DESCRIPTION,
        "type": "object",
        "properties": properties,
        "required": sorted(required),
        "allOf": one_name_each,
        "additionalProperties": False,
        "examples": [EXAMPLE],
    }


def write_event_schema(path: Path = EVENT_SCHEMA_PATH) -> bool:
    """Write the schema to a file; return whether that changed it."""
    text = _format_event_schema()
    changed = _read_text(path) != text
    if changed:
        path.write_text(text)
    return changed


def main() -> int:
    """Write docs/event.schema.json, or with --check only say whether it is current: 0 for yes, 1 for no."""
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit("usage: python -m fuseboard_schema.event_schema [--check]")
    if sys.argv[1:]:
        is_current = _read_text(EVENT_SCHEMA_PATH) == _format_event_schema()
        sys.stdout.write(f"{EVENT_SCHEMA_PATH}: {'current' if is_current else 'outdated, run without --check'}\n")
        return 0 if is_current else 1
    sys.stdout.write(f"{EVENT_SCHEMA_PATH}: {'written' if write_event_schema() else 'was current'}\n")
    return 0


def _format_event_schema() -> str:
    return json.dumps(build_event_schema(), indent=2) + "\n"


def _read_text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _list_old_names() -> list[tuple[str, str]]:
    """List the pairs of a field's name and the old name that is accepted for it."""
    pairs = []
    for name, field in RequestEvent.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            pairs += [(name, str(alias)) for alias in field.validation_alias.choices if alias != name]
    return pairs


def _read_field_descriptions() -> dict[str, str]:
    """Read the docstrings under the fields.

    From the source and here only: pydantic's own way of it would cost every worker 50 ms at its start.
    """
    tree = ast.parse(inspect.getsource(RequestEvent))
    (model,) = tree.body
    body = model.body if isinstance(model, ast.ClassDef) else []
    described = {}
    for field, docstring in pairwise(body):
        match field, docstring:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                described[name] = " ".join(text.split())
            case _:
                pass
    return described


def _drop_titles(node: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Drop pydantic's titles: they only repeat the names."""
    match node:
        case dict():
            return {key: _drop_titles(value) for key, value in node.items() if key != "title"}
        case list():
            return [_drop_titles(value) for value in node]
        case _:
            return node


if __name__ == "__main__":
    sys.exit(main())
