"""The OpenAPI document, completed by what the code does not say: scopes, examples, what each field holds."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

from fuseboard_api.field_texts import FIELD_TEXTS
from fuseboard_api.problems import PROBLEM_SCHEMA, PROBLEM_TYPE
from fuseboard_api.record_schema import build_recorded_event_schema

EXAMPLES_PATH: Final = Path(__file__).parent / "examples.json"
# what needs a body to go wrong
OF_A_BODY: Final = ("400", "408", "413")
T = TypeVar("T")
Json = dict[str, Any]


def complete_document(document: Json) -> Json:
    """Complete the document that FastAPI makes; gives another one."""
    completed = deepcopy(document)
    examples = json.loads(EXAMPLES_PATH.read_text())
    for method, operation in list_operations(completed):
        describe_scope(operation)
        drop_impossible_problems(method, operation)
        add_parameter_examples(operation, examples["parameters"])
        add_answer_examples(operation, examples)
    schemas = completed["components"]["schemas"] | collect_body_schemas(completed)
    completed["components"]["schemas"] = schemas
    describe_fields(schemas)
    schemas |= {"Event": build_recorded_event_schema(), "Problem": PROBLEM_SCHEMA}
    return completed


def list_operations(document: Json) -> Iterator[tuple[str, Json]]:
    """Give the method of every operation of a document, and the operation."""
    for path in document["paths"].values():
        yield from path.items()


def collect_body_schemas(document: Json) -> Json:
    """Collect the schemas that operations have of their bodies by name, and leave a reference to each there."""
    schemas = {}
    for _, operation in list_operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            name = content["schema"].get("title")
            if name is not None:
                schemas[name] = content["schema"]
                content["schema"] = {"$ref": f"#/components/schemas/{name}"}
    return schemas


def describe_scope(operation: Json) -> None:
    """Say the scope that `require` declares, which OpenAPI's readers show as no more than a word."""
    scopes = list_scopes(operation)
    if scopes:
        needed = f"Needs a token of scope `{scopes[0]}`, or one that includes it."
    elif "security" in operation:
        needed = "Needs a token of any scope."
    else:
        needed = "Needs no token."
    operation["description"] += f"\n\n{needed}"


def list_scopes(operation: Json) -> list[str]:
    """List the scopes that an operation needs."""
    return sorted({scope for kind in operation.get("security", ()) for scopes in kind.values() for scope in scopes})


def drop_impossible_problems(method: str, operation: Json) -> None:
    """Drop the problems of bodies that an operation does not take, and of scopes that every token has."""
    impossible: list[str] = []
    if "requestBody" not in operation:
        impossible += OF_A_BODY
    # no page of another site is refused a read: it cannot see the answer
    if method == "get" and "security" in operation and list_scopes(operation) in ([], ["read"]):
        impossible.append("403")
    for status in impossible:
        operation["responses"].pop(status, None)


def add_parameter_examples(operation: Json, examples: Json) -> None:
    """Give each parameter its example."""
    for parameter in operation.get("parameters", ()):
        example = look_up(examples, operation["operationId"], parameter["name"])
        if example is not None:
            parameter["example"] = example


def add_answer_examples(operation: Json, examples: Json) -> None:
    """Give each answer its example: a problem that of its status, and what the operation's own says otherwise."""
    own = examples["answers"].get(operation["operationId"], {})
    for status, answer in operation["responses"].items():
        for media_type, content in answer.get("content", {}).items():
            if media_type == PROBLEM_TYPE:
                problem = {"type": "about:blank", "title": HTTPStatus(int(status)).phrase, "status": int(status)}
                content["example"] = problem | examples["problems"].get(status, {}) | own.get(status, {})
            elif status in own:
                content["example"] = own[status]


def describe_fields(schemas: Json) -> None:
    """Say what each field holds."""
    for schema_name, schema in schemas.items():
        for name, field in schema.get("properties", {}).items():
            text = look_up(FIELD_TEXTS, schema_name, name)
            if text is not None:
                field.setdefault("description", text)


def look_up(known: Mapping[str, T], owner: str, name: str) -> T | None:
    """Find what is said of a name of this owner, or of the name wherever it is."""
    return known.get(f"{owner}.{name}", known.get(name))
