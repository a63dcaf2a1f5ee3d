"""Who asks, and may they: a bearer token, or the session of a browser."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from fuseboard_api.problems import Problem
from fuseboard_api.resources import Database, Resources, get_resources
from fuseboard_api.token_store import StoredToken, select_session_token, select_token, update_token_use
from fuseboard_api.tokens import Scope, find_token_id, hash_secret, includes

SESSION_COOKIE: Final = "fuseboard_session"
CSRF_HEADER: Final = "X-Fuseboard-CSRF"
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="fuseboard"'}
# compared with when there is no such token, so that this takes as long
NO_TOKEN_SHA256: Final = bytes(32)

BEARER: Final = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token made by `fuseboard tokens create`."
)
COOKIE: Final = APIKeyCookie(
    name=SESSION_COOKIE,
    auto_error=False,
    scheme_name="session",
    description=f"Set by POST /login. What changes something needs the header {CSRF_HEADER} and a matching Origin.",
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
Session = Annotated[str | None, Security(COOKIE)]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token it is."""

    token_id: str
    name: str
    scope: Scope

    @property
    def actor(self) -> str:
        """How an operator's order names who gave it."""
        return f"{self.name} (token {self.token_id})"


def identify(
    request: Request,
    resources: Annotated[Resources, Depends(get_resources)],
    bearer: Bearer,
    session: Session,
) -> Identity:
    """Find out who asks; raises Problem 401, 403 for a request that another site may have caused, and 429."""
    if bearer is None and session is None:
        raise Problem(401, "this needs a token: Authorization: Bearer ...", CHALLENGE)
    address = name_address(request)
    refuse_guessing(resources, address)
    with resources.pool.connection() as connection:
        if bearer is not None:
            token = find_token(connection, bearer.credentials)
        else:
            check_same_origin(request)
            token = select_session_token(connection, hash_secret(session or ""))
        # a session that is over is unknown as well, and no guess
        if token is None and bearer is not None:
            resources.failures.note_failure(address)
        identity = admit(token)
        if token is not None and token.is_use_news:
            update_token_use(connection, token.token_id)
    return identity


def require(needed: Scope) -> Callable[[Identity], Identity]:
    """Make the dependency of an endpoint that needs a scope."""

    def check_scope(identity: Annotated[Identity, Depends(identify)]) -> Identity:
        if not includes(identity.scope, needed):
            raise Problem(403, f"this needs a token of scope {needed}, and this one has {identity.scope}")
        return identity

    return check_scope


def find_token(connection: Database, text: str) -> StoredToken | None:
    """Find the token that a caller presents; None unless all of it is right."""
    token_id = find_token_id(text)
    token = None if token_id is None else select_token(connection, token_id)
    expected = NO_TOKEN_SHA256 if token is None else token.token_sha256
    return token if hmac.compare_digest(expected, hash_secret(text)) else None


def admit(token: StoredToken | None) -> Identity:
    """Make the identity of a token that holds; raises Problem 401 for any other."""
    if token is None:
        raise Problem(401, "this token or session is not known here", CHALLENGE)
    if token.state != "valid":
        raise Problem(401, f"this token is {token.state}", CHALLENGE)
    return Identity(token.token_id, token.name, token.scope)


def refuse_guessing(resources: Resources, address: str) -> None:
    """Raise Problem 429 where too many unknown secrets came from this address."""
    wait_seconds = resources.failures.read_wait_seconds(address)
    if wait_seconds > 0:
        headers = {"Retry-After": str(int(wait_seconds) + 1)}
        raise Problem(429, "too many wrong tokens from this address", headers)


def name_address(request: Request) -> str:
    """Name who failures are counted for."""
    return request.client.host if request.client else ""


def check_same_origin(request: Request) -> None:
    """Raise Problem 403 where a page of another site may have sent what the browser's cookie then allowed."""
    if request.method in SAFE_METHODS:
        return
    if not is_same_origin(request) or CSRF_HEADER not in request.headers:
        raise Problem(403, f"a session changes things only from its own pages, with the header {CSRF_HEADER}")


def is_same_origin(request: Request) -> bool:
    """Say whether the page that sends this came from here."""
    _, _, place = request.headers.get("Origin", "").partition("://")
    return place == request.headers.get("Host", "") != ""
