"""Who asks, and may they: a bearer token, or the session of a browser."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from fuseboard_api.problems import UNAVAILABLE, Problem
from fuseboard_api.resources import Database, Resources, get_resources
from fuseboard_api.token_store import StoredToken, select_session_token, select_token, update_token_use
from fuseboard_api.tokens import Scope, find_token_id, hash_secret, includes
from fuseboard_schema.database import is_read_only

SESSION_COOKIE: Final = "fuseboard_session"
CSRF_HEADER: Final = "X-Fuseboard-CSRF"
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="fuseboard"'}
ADDRESS_MAX_LENGTH: Final = 64
IPV6_NETWORK_BITS: Final = 64
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
    if bearer is not None:
        token = try_token(request, resources, bearer.credentials)
    else:
        check_same_origin(request)
        # a session that is over is unknown as well, and no guess
        with resources.pool.connection() as connection:
            token = select_session_token(connection, hash_secret(session or ""))
    identity = admit(token)
    if token is not None and token.is_use_news:
        with resources.pool.connection() as connection:
            # a server that takes no writes can be read from all the same
            if not is_read_only(connection):
                update_token_use(connection, token.token_id)
    return identity


def identify_recorder(
    request: Request,
    resources: Annotated[Resources, Depends(get_resources)],
    bearer: Bearer,
    session: Session,
) -> Identity:
    """Find out who asks; while PostgreSQL is away a token is what it was when it was last looked up, lately.

    Only for what needs nothing of PostgreSQL: a token that was revoked since is not known as such.
    """
    try:
        return identify(request, resources, bearer, session)
    except UNAVAILABLE:
        token = None if bearer is None else resources.tokens.recall(hash_secret(bearer.credentials))
        if token is None:
            raise
        return admit(token)


def require(needed: Scope, by: Callable[..., Identity] = identify) -> Callable[[Identity], Identity]:
    """Make the dependency of an endpoint that needs a scope."""

    # the scopes given here reach the OpenAPI document
    def check_scope(identity: Annotated[Identity, Security(by, scopes=[needed])]) -> Identity:
        if not includes(identity.scope, needed):
            raise Problem(403, f"this needs a token of scope {needed}, and this one has {identity.scope}")
        return identity

    return check_scope


def try_token(request: Request, resources: Resources, text: str) -> StoredToken | None:
    """Find the token that a caller presents, None where it is wrong; raises Problem 429 after too many of those."""
    address = name_address(request)
    secret_sha256 = hash_secret(text)
    refuse_guessing(resources, address, secret_sha256)
    with resources.pool.connection() as connection:
        token = find_token(connection, text)
    if token is None:
        resources.failures.note_failure(address)
    else:
        resources.tokens.remember(token)
    return token


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


def refuse_guessing(resources: Resources, address: str, secret_sha256: bytes) -> None:
    """Raise Problem 429 where too many unknown secrets came from this address, and this one is new."""
    wait_seconds = resources.failures.read_wait_seconds(address)
    if wait_seconds > 0 and not resources.tokens.was_right(secret_sha256):
        headers = {"Retry-After": str(int(wait_seconds) + 1)}
        raise Problem(429, "too many wrong tokens from this address", headers)


def name_address(request: Request) -> str:
    """Name who failures are counted for: an address, or the network of IPv6 in which one caller has any number."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        # a proxy's word; it takes no more room than an address
        return host[:ADDRESS_MAX_LENGTH]
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Network((int(address), IPV6_NETWORK_BITS), strict=False))


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
