"""The OpenAPI document, walked: of whatever operation there is, it says all that callers need."""

import json
import re
from typing import Any

import pytest

from fuseboard_api.document import EXAMPLES_PATH
from fuseboard_api.field_texts import FIELD_TEXTS
from fuseboard_api.tokens import SCOPES
from fuseboard_schema.event_schema import build_event_schema
from openapi import Operation, find_faults, list_operations, read_document, walk

EVENT = {"provider": "claude", "model": "claude-sonnet-4-5"}
# what is answered with nothing to read
WITHOUT_CONTENT = {"204", "303"}
HEADERS = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After", "303": "Location"}

every_operation = pytest.mark.parametrize(
    "operation", [pytest.param(found, id=f"{found.method} {found.path}") for found in list_operations()]
)


@every_operation
def test_an_operation_says_what_it_does_and_who_may(operation: Operation) -> None:
    scopes = {scope for kind in operation.body.get("security", ()) for found in kind.values() for scope in found}
    (said,) = re.findall(r"\n\nNeeds (.*)\.$", operation.body["description"])

    assert not operation.body["description"].startswith("\n")
    assert operation.body["tags"]
    if scopes:
        (scope,) = scopes
        assert scope in SCOPES
        assert f"`{scope}`" in said
    else:
        assert said == ("a token of any scope" if "security" in operation.body else "no token")
    if "security" in operation.body:
        assert {name for kind in operation.body["security"] for name in kind} == {"token", "session"}
        assert {"401", "429", "503"} <= set(operation.body["responses"])


def test_every_operation_has_a_name_of_its_own_that_can_be_a_function() -> None:
    names = [operation.body["operationId"] for operation in list_operations()]

    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", name) or "_llm_" in name] == []


@every_operation
def test_a_parameter_is_described_and_has_a_good_example(operation: Operation) -> None:
    for parameter in operation.body.get("parameters", ()):
        assert parameter["description"]
        assert find_faults(parameter["example"], parameter["schema"]) == [], parameter["name"]


@every_operation
def test_a_body_has_good_examples(operation: Operation) -> None:
    for content in operation.body.get("requestBody", {}).get("content", {}).values():
        named = content.get("examples", {}).values()
        examples = [example["value"] for example in named] or resolve(content["schema"])["examples"]
        assert [find_faults(example, content["schema"]) for example in examples] == [[] for _ in examples]


@every_operation
def test_an_answer_has_an_example_that_is_good_by_its_own_schema(operation: Operation) -> None:
    assert any(status < "400" for status in operation.body["responses"])
    for status, answer in operation.body["responses"].items():
        assert ("content" in answer) != (status in WITHOUT_CONTENT), status
        for media_type, content in answer.get("content", {}).items():
            assert (media_type == "application/problem+json") == (status >= "400")
            assert content["example"], status
            assert find_faults(content["example"], content["schema"]) == [], status
            if status >= "400":
                assert str(content["example"]["status"]) == status
                assert content["example"]["detail"], status
            money = [value for name, value in walk(content["example"]) if name.endswith("_usd")]
            assert {type(amount) for amount in money} <= {int, float}


@every_operation
def test_an_answer_has_its_headers(operation: Operation) -> None:
    for status, answer in operation.body["responses"].items():
        if status in HEADERS:
            assert HEADERS[status] in answer["headers"]
        for header in answer.get("headers", {}).values():
            assert header["description"]
            assert find_faults(header["example"], header["schema"]) == []


def test_texts_for_machines_are_of_their_own_kinds() -> None:
    kinds = {
        operation.path: set(operation.body["responses"]["200"]["content"])
        for operation in list_operations()
        if "200" in operation.body["responses"]
    }

    assert {path: kind for path, kind in kinds.items() if kind != {"application/json"}} == {
        "/api/llm/export/{table}.csv": {"text/csv"},
        "/api/llm/events": {"text/event-stream"},
        "/metrics": {"text/plain"},
    }


def test_every_field_is_described() -> None:
    undescribed = [
        f"{name}.{field}"
        for name, schema in read_document()["components"]["schemas"].items()
        for field, found in schema.get("properties", {}).items()
        if not found.get("description")
    ]

    assert undescribed == []


def test_nothing_is_said_of_what_is_not_there() -> None:
    schemas = read_document()["components"]["schemas"]
    fields = {(name, field) for name, schema in schemas.items() for field in schema.get("properties", ())}
    names = {field for _, field in fields} | {f"{name}.{field}" for name, field in fields}
    answers = {(found.body["operationId"], status) for found in list_operations() for status in found.body["responses"]}
    examples = json.loads(EXAMPLES_PATH.read_text())["answers"]

    assert set(FIELD_TEXTS) - names == set()
    assert {(name, status) for name, own in examples.items() for status in own} - answers == set()


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ("ProviderRow", "provider_type"),
        ("ProviderRow", "circuit_state"),
        ("ProviderRow", "status"),
        ("HealthRow", "status"),
        ("CircuitRow", "state"),
        ("CircuitRow", "reason"),
        ("CircuitRow", "override"),
        ("CircuitHistoryRow", "from_state"),
        ("OrderDone", "to_state"),
        ("RequestRow", "status"),
        ("RejectedRow", "reason"),
        ("Identity", "scope"),
    ],
)
def test_a_closed_set_of_words_is_listed(schema: str, field: str) -> None:
    assert "enum" in dict(walk(read_document()["components"]["schemas"][schema]["properties"][field]))


def test_an_event_to_record_has_every_field_of_the_event() -> None:
    recorded = resolve({"$ref": "#/components/schemas/Event"})

    assert recorded["properties"].keys() == build_event_schema()["properties"].keys()


@pytest.mark.parametrize("body", [EVENT, [EVENT, EVENT], EVENT | {"occurred_at": "2026-11-23T12:00:00Z"}])
def test_an_event_to_record_may_leave_out_what_is_added(body: object) -> None:
    assert find_record_faults(body) == []


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"provider": "claude"},
        EVENT | {"prompt": "secret"},
        EVENT | {"prompt_tokens": -1},
        EVENT | {"provider_name": "claude"},
        EVENT | {"occurred_at": "2026-11-23T12:00:00Z", "timestamp": "2026-11-23T12:00:00Z"},
    ],
)
def test_what_is_no_event_is_none_by_the_document(body: object) -> None:
    assert find_record_faults(body) != []


def find_record_faults(body: object) -> list[str]:
    content = read_document()["paths"]["/api/llm/record"]["post"]["requestBody"]["content"]
    return find_faults(body, content["application/json"]["schema"])


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """Give the component that a schema refers to."""
    found: dict[str, Any] = read_document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found
