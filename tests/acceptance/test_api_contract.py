"""The OpenAPI document holds: whatever is asked, no 5xx comes and no answer that it does not declare."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from psycopg import Connection
from psycopg.rows import TupleRow
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api_tools import ApiClient, bear, make_api_token, open_client
from consumers import make_settings
from fuseboard_api import events

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 8
# guesses: after twenty of them this address has to wait, whatever it asks
LAST = "/login"


@pytest.fixture
def api(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, connection: Connection[TupleRow]
) -> Iterator[ApiClient]:
    settings = make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path))
    with open_client(settings, make_api_token(connection, "admin")) as client:
        yield client


def takes_input(operation: dict[str, Any]) -> bool:
    """Tell whether anything can be asked wrongly; a cookie is any text."""
    parameters = operation.get("parameters", ())
    return "requestBody" in operation or any(parameter["in"] != "cookie" for parameter in parameters)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_asked_the_answer_is_one_that_is_declared(
    mode: GenerationMode, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a stream that lasts for ten minutes is asked for its beginning
    monkeypatch.setattr(events, "STREAM_LASTS_SECONDS", 0.0)
    schema = schemathesis.openapi.from_dict(api.get("/openapi.json").json())
    headers = bear(api.headers["Authorization"].removeprefix("Bearer "))
    operations = [operation.ok() for operation in schema.get_all_operations()]  # type: ignore[union-attr]
    tried = set()

    for found in sorted(operations, key=lambda operation: operation.path == LAST):

        @hypothesis.settings(
            max_examples=EXAMPLES, database=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(case=found.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(base_url=api.origin, headers=headers, checks=CHECKS)

        # what takes nothing cannot be asked wrongly
        with suppress(hypothesis.errors.Unsatisfiable):
            ask()
            tried.add(found.label)

    assert tried >= {
        found.label for found in operations if mode is GenerationMode.POSITIVE or takes_input(found.definition.raw)
    }
