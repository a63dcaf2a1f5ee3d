"""Parameters that several endpoints take, and their bounds."""

from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Final

from fastapi import FastAPI, Path, Query, Request

from fuseboard_api.problems import Problem

DAYS_MAX: Final = 365
DAYS_DEFAULT: Final = 30
HOURS_MAX: Final = 24 * 14
HOURS_DEFAULT: Final = 48
NAME_MAX_LENGTH: Final = 128
# PostgreSQL's text holds every character but NUL
NO_NUL: Final = r"^[^\x00]*$"

Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="The last days, today among them.")]
Hours = Annotated[int, Query(ge=1, le=HOURS_MAX, description="The last hours, this one among them.")]
ProviderPath = Annotated[
    str,
    Path(
        min_length=1, max_length=NAME_MAX_LENGTH, pattern=NO_NUL,
        description="The provider's name, which is its id.",
    ),
]  # fmt: skip
ProviderQuery = Annotated[
    str | None,
    Query(
        min_length=1, max_length=NAME_MAX_LENGTH, pattern=NO_NUL,
        description="The provider's name, which is its id; all where left out.",
    ),
]  # fmt: skip


def refuse_unknown_parameters(request: Request) -> None:
    """Refuse a query that says what the endpoint does not know, rather than answer another question (Problem 422)."""
    if "Authorization" not in request.headers and not request.cookies:
        # who asks comes before what is asked
        return
    known = list_query_parameters(request.app, request.scope["route"].path_format, request.method.lower())
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            raise Problem(422, f"query.{name[:NAME_MAX_LENGTH]}: there is no such parameter{_suggest(name, known)}")
        if count > 1 and not known[name]:
            raise Problem(422, f"query.{name}: given {count} times, and it is taken once")


@cache
def list_query_parameters(app: FastAPI, path: str, method: str) -> Mapping[str, bool]:
    """List the query parameters of an endpoint as documented, and whether each may be given more than once."""
    operations = app.openapi()["paths"][path]
    # HEAD is answered as GET is
    operation = operations.get(method) or operations["get"]
    return {
        parameter["name"]: "items" in str(parameter["schema"])
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    }


def _suggest(name: str, known: Mapping[str, bool]) -> str:
    near = get_close_matches(name[:NAME_MAX_LENGTH], known, n=1)
    if near:
        return f": did you mean {near[0]}?"
    return f": this takes {', '.join(sorted(known))}" if known else ": this takes none"
