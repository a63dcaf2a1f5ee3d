"""The OpenAPI document for tests: its operations, and what holds of a value by its schemas."""

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator, FormatChecker

from fuseboard_api.application import create_app
from fuseboard_api.document import complete_document
from fuseboard_schema.settings import Settings

NOWHERE = Settings(DATABASE_URL="postgresql://nowhere/x", REDIS_URL="redis://nowhere")


class Operation(NamedTuple):
    """One operation: `get`, `/api/llm/costs`, and what the document says of it."""

    method: str
    path: str
    body: dict[str, Any]


@cache
def read_document() -> dict[str, Any]:
    """Read the document as it is served."""
    return complete_document(create_app(NOWHERE).openapi())


def list_operations() -> list[Operation]:
    """List every operation that the document has."""
    found = [
        Operation(method, path, body)
        for path, methods in read_document()["paths"].items()
        for method, body in methods.items()
    ]
    assert len(found) > 20
    return found


def find_operation(method: str, path: str) -> Operation | None:
    """Find the operation that serves a path; None for what the document leaves out."""
    for operation in list_operations():
        pattern = re.sub(r"\\{\w+\\}", ".+", re.escape(operation.path))
        if operation.method == method.lower() and re.fullmatch(pattern, path):
            return operation
    return None


def find_answer_faults(method: str, path: str, status: int, media_type: str, answer: object) -> list[str]:
    """Say what is wrong with an answer by the document; nothing where it leaves the path out."""
    operation = find_operation(method, path)
    if operation is None:
        return []
    declared = operation.body["responses"].get(str(status), {}).get("content", {}).get(media_type)
    return [f"{status} {media_type} is not declared"] if declared is None else find_faults(answer, declared["schema"])


@cache
def build_strict_components() -> dict[str, Any]:
    """Build the document's components so that an answer has no field that is not in them."""
    components: dict[str, Any] = deepcopy(read_document()["components"])
    for schema in components["schemas"].values():
        schema.setdefault("additionalProperties", False)
    return components


def find_faults(value: object, schema: dict[str, Any]) -> list[str]:
    """Say what is wrong with a value by a schema of the document; fields that it does not have are wrong as well."""
    whole = {**schema, "components": build_strict_components()}
    return [error.message for error in Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(value)]


def walk(value: object) -> Iterator[tuple[str, object]]:
    """Give every field in a JSON value, at any depth, with what it holds."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield name, item
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)
