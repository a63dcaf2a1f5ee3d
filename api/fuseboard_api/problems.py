"""Errors as callers see them: problem details (RFC 9457), one form for all of them, and never a stack trace."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fuseboard_api.exact_json import encode_json
from fuseboard_api.problem_page import make_page, wants_page
from fuseboard_api.protection import SECURITY_HEADERS
from fuseboard_schema.database import DATABASE_DOWN

log = logging.getLogger(__name__)
PROBLEM_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5
# an answer is no larger for a request that is wrong in a thousand places
ERRORS_MAX: Final = 20
PLACE_MAX_LENGTH: Final = 100
DETAIL_MAX_LENGTH: Final = 500
BUSY: Final = (PoolTimeout, PoolClosed, TooManyRequests)
# what PostgreSQL says when it cannot be asked
UNAVAILABLE: Final = (*DATABASE_DOWN, *BUSY)

PROBLEM_SCHEMA: Final = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": "Always about:blank: the status says what kind it is."},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong, and what to do."},
        "errors": {
            "type": "array",
            "description": f"Only of 422: each part of the request that is wrong, at most {ERRORS_MAX} of them.",
            "items": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "Such as query.days or body.reason."},
                    "detail": {"type": "string", "description": "What is wrong there."},
                },
                "required": ["place", "detail"],
            },
        },
        "rejected": {
            "type": "array",
            "description": "Only of 422 to a record: each event, and why it was not taken.",
            "items": {"$ref": "#/components/schemas/RejectedItem"},
        },
        "event_ids": {
            "type": "array",
            "description": "Only of 503 to a record: the ids of the events to send again.",
            "items": {"type": "string", "format": "uuid"},
        },
    },
    "required": ["type", "title", "status", "detail"],
}
RETRY_AFTER: Final = {
    "headers": {
        "Retry-After": {
            "description": "Seconds to wait.", "schema": {"type": "integer"}, "example": RETRY_AFTER_SECONDS
        }
    }
}  # fmt: skip
CHALLENGED: Final = {
    "headers": {
        "WWW-Authenticate": {
            "description": "How to present a token; a login link's answer has none.",
            "schema": {"type": "string"},
            "example": 'Bearer realm="fuseboard"',
        }
    }
}
PROBLEM_HEADERS: Final[dict[int, dict[str, Any]]] = {401: CHALLENGED, 429: RETRY_AFTER, 503: RETRY_AFTER}


class Problem(Exception):  # noqa: N818 - RFC 9457's name
    """What goes wrong for a reason that the caller may know; `members` are added to the problem's document."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:  # noqa: ANN401 - any JSON value
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.members = members


def make_problem(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    request: Request | None = None,
    **members: Any,  # noqa: ANN401 - any JSON value
) -> Response:
    """Make the answer: to the request of a browser that opens a page, a page."""
    title = HTTPStatus(status).phrase
    if request is not None and wants_page(request):
        return make_page(status, title, detail, {**SECURITY_HEADERS, **(headers or {})})
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
    # set here as well, because the last resort answers from outside of what else sets them
    return Response(encode_json(document), status, {**SECURITY_HEADERS, **(headers or {})}, media_type=PROBLEM_TYPE)


def declare_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare error answers for the OpenAPI document."""
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content} | PROBLEM_HEADERS.get(status, {})
        for status in statuses
    }


def add_problem_handlers(app: FastAPI) -> None:
    """Turn every exception into a problem."""
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    for kind in (*UNAVAILABLE, RedisError):
        app.add_exception_handler(kind, _answer_unavailable)
    app.add_exception_handler(Exception, _answer_failure)


async def _answer_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return make_problem(error.status, error.detail, error.headers, request=request, **error.members)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return make_problem(error.status_code, str(error.detail), error.headers, request=request)


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    # what was sent is not sent back: it may be a secret
    found = error.errors()
    wrong = [
        {"place": ".".join(map(str, item["loc"]))[:PLACE_MAX_LENGTH], "detail": item["msg"][:DETAIL_MAX_LENGTH]}
        for item in found[:ERRORS_MAX]
    ]
    said = [f"{item['place']}: {item['detail']}" for item in wrong]
    if len(found) > ERRORS_MAX:
        said.append(f"and {len(found) - ERRORS_MAX} more")
    return make_problem(422, "; ".join(said), request=request, errors=wrong)


async def _answer_unavailable(request: Request, error: Exception) -> Response:
    log.warning("api_unavailable error=%r", " ".join(str(error).split()))
    if isinstance(error, psycopg.errors.QueryCanceled):
        detail = "the database took too long: ask for less"
    elif isinstance(error, BUSY):
        detail = "the database is busy or away: try again"
    else:
        detail = f"{'Redis' if isinstance(error, RedisError) else 'the database'} cannot be used now: try again"
    return make_problem(503, detail, {"Retry-After": str(RETRY_AFTER_SECONDS)}, request=request)


async def _answer_failure(request: Request, error: Exception) -> Response:
    # the server logs the traceback itself
    log.error("api_failed error=%r", type(error).__name__)
    return make_problem(500, "something went wrong here; the server's log says what", request=request)
