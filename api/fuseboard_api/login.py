"""Browsers: a token, or a link that works once, becomes a session; the page never sees either again."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Cookie, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from fuseboard_api.authentication import (
    SESSION_COOKIE,
    Identity,
    admit,
    check_same_origin,
    identify,
    is_same_origin,
    name_address,
    refuse_guessing,
    try_token,
)
from fuseboard_api.bodies import describe_body, read_body
from fuseboard_api.exact_json import ExactJson
from fuseboard_api.parameters import NO_NUL
from fuseboard_api.problems import Problem, declare_problems
from fuseboard_api.reads import Held
from fuseboard_api.resources import Resources
from fuseboard_api.token_store import delete_session, insert_session, select_token, take_login_code
from fuseboard_api.tokens import TOKEN_MAX_LENGTH, hash_secret, make_secret

SESSION_LASTS: Final = timedelta(hours=12)
CODE_MAX_LENGTH: Final = 128
# whoever sends it is not known yet
LOGIN_MAX_BYTES: Final = 4_000

router = APIRouter(tags=["login"])
Code = Annotated[str, Query(max_length=CODE_MAX_LENGTH, pattern=NO_NUL, description="Of the link.")]
SessionCookie = Annotated[str | None, Cookie(alias=SESSION_COOKIE, description="The session to end.")]
STARTED: Final = {
    "Set-Cookie": {
        "description": "The session; scripts cannot read it.",
        "schema": {"type": "string"},
        "example": f"{SESSION_COOKIE}=SECRET; HttpOnly; Max-Age=43200; Path=/; SameSite=strict",
    }
}
TO_DASHBOARD: Final = {"Location": {"description": "The dashboard.", "schema": {"type": "string"}, "example": "/"}}


class Login(BaseModel):
    """The token that the browser shall have the rights of."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"token": "fuseboard_ID_SECRET"}]})

    token: Annotated[str, Field(max_length=TOKEN_MAX_LENGTH)]


@router.post(
    "/login",
    response_model=Identity,
    responses={200: {"headers": STARTED}, **declare_problems(415)},
    openapi_extra=describe_body(Login),
)
def log_in(
    request: Request, held: Held, body: Annotated[Login, Depends(read_body(Login, LOGIN_MAX_BYTES))]
) -> Response:
    """Turn a token into the session of this browser, which lasts 12 hours at most and ends with the token."""
    if "Origin" in request.headers and not is_same_origin(request):
        raise Problem(403, "a login comes from this installation's own page")
    identity = admit(try_token(request, held, body.token))
    response = ExactJson(identity)
    start_session(request, held, response, identity.token_id)
    return response


@router.get(
    "/login",
    status_code=303,
    response_class=RedirectResponse,
    responses={303: {"description": "To the dashboard.", "headers": STARTED | TO_DASHBOARD}},
)
def follow_login_link(request: Request, held: Held, code: Code) -> Response:
    """Follow the link that `fuseboard up` prints: it works once, within ten minutes."""
    if request.headers.get("Sec-Fetch-Dest", "document") != "document":
        # a picture or script of any page that is open here; its guesses are not those of whoever reads it
        raise Problem(403, "this link is to be opened, not fetched")
    address = name_address(request)
    code_sha256 = hash_secret(code)
    refuse_guessing(held, address, code_sha256)
    with held.pool.connection() as connection:
        token_id = take_login_code(connection, code_sha256)
        token = None if token_id is None else select_token(connection, token_id)
    if token is None:
        held.failures.note_failure(address)
        raise Problem(401, "this link was used already, or is over: log in with a token, or start again")
    response = RedirectResponse("/", 303)
    start_session(request, held, response, admit(token).token_id)
    return response


@router.get("/session", response_model=Identity)
def show_session(identity: Annotated[Identity, Depends(identify)]) -> ExactJson:
    """Show whose session or token this is, and its scope."""
    return ExactJson(identity)


@router.post("/logout", status_code=204, response_class=Response, responses=declare_problems(403))
def log_out(request: Request, held: Held, session: SessionCookie = None) -> Response:
    """End the session of this browser."""
    response = Response(status_code=204)
    if session is not None:
        check_same_origin(request)
        with held.pool.connection() as connection:
            delete_session(connection, hash_secret(session))
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
    return response


def start_session(request: Request, held: Resources, response: Response, token_id: str) -> None:
    """Store a session and give the browser its secret."""
    secret = make_secret()
    with held.pool.connection() as connection:
        insert_session(connection, hash_secret(secret), token_id, SESSION_LASTS)
    response.set_cookie(
        SESSION_COOKIE,
        secret,
        max_age=int(SESSION_LASTS.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
