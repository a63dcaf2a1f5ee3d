"""Bodies of requests: read once whoever asks has been admitted, up to the route's limit, parsed off the event loop.

FastAPI reads and parses a body before it asks any dependency, so here a body is a dependency itself, which endpoints
take after the identity.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from fuseboard_api.problems import Problem

# an order's reason and time, whatever the script it is written in
ORDER_MAX_BYTES: Final = 16_000
Model = TypeVar("Model", bound=BaseModel)


def read_body(model: type[Model], max_bytes: int) -> Callable[[Request], Awaitable[Model]]:
    """Make the dependency that reads a body of JSON into `model`.

    Raises Problem 413 beyond `max_bytes` and 415 for what is not JSON, RequestValidationError for a wrong body.
    """

    async def read(request: Request) -> Model:
        raw = await read_raw_json(request, max_bytes)
        return await run_in_threadpool(_parse, model, raw)

    return read


async def read_raw_json(request: Request, max_bytes: int) -> bytes:
    """Read a body as it comes; raises Problem 413 once it has more than `max_bytes`, and 415 where it is not JSON."""
    _require_json(request)
    declared = request.headers.get("Content-Length", "")
    too_large = Problem(413, f"the body has more than {max_bytes} bytes")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > max_bytes:
            raise too_large
    return bytes(raw)


def describe_body(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a body for the OpenAPI document, which knows nothing of dependencies that read one."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


def _require_json(request: Request) -> None:
    """Raise Problem 415 for a body that says it is something else, as that of a bare `curl -d` does."""
    kind = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Problem(415, f"this is read as JSON only: send Content-Type: application/json, not {kind[:100]}")


def _parse(model: type[Model], raw: bytes) -> Model:
    try:
        return TypeAdapter(model).validate_json(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in errors]) from error
