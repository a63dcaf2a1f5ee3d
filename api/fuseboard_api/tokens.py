"""Tokens: random enough that a plain hash keeps them, and split so that the first part finds them."""

import hashlib
import secrets
from typing import Final, Literal, NamedTuple, get_args

Scope = Literal["read", "write", "admin"]
# each scope may do what those before it may
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
SECRET_BYTES: Final = 32
ID_BYTES: Final = 6
TOKEN_MAX_LENGTH: Final = 128


class NewToken(NamedTuple):
    """A token as it is shown once, and what is stored of it."""

    token: str
    token_id: str
    token_sha256: bytes


def make_token() -> NewToken:
    """Make a token of 256 random bits: `fuseboard_ID_SECRET`."""
    token_id = secrets.token_hex(ID_BYTES)
    token = f"fuseboard_{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return NewToken(token, token_id, hash_secret(token))


def make_secret() -> str:
    """Make the secret of a session or a login link, of 256 random bits."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_secret(secret: str) -> bytes:
    """Hash a secret of 256 random bits; such a one cannot be guessed, so the hash need not be slow."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def find_token_id(token: str) -> str | None:
    """Read the public part; None for what cannot be a token."""
    match token.split("_", 2):
        case ["fuseboard", token_id, _] if len(token) <= TOKEN_MAX_LENGTH and token_id.isalnum() and token_id.isascii():
            return token_id
        case _:
            return None


def includes(granted: Scope, needed: Scope) -> bool:
    """Say whether one scope may do what another one is needed for."""
    return SCOPES.index(granted) >= SCOPES.index(needed)
