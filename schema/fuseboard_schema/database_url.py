"""DATABASE_URL as people write it, made into what libpq takes; no message has a part of it: it may be the password."""

import re
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

# SQLAlchemy names the driver in the scheme
SCHEME: Final = re.compile(r"^(?:postgres|postgresql)(?:\+[a-z0-9]+)?://", re.IGNORECASE)
URI: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.:-]*://")
UNKNOWN_PARAMETER: Final = re.compile(r'invalid URI query parameter: "([a-z_]{1,40})"')
PORT: Final = re.compile(r"^[0-9]{1,5}$")
PORT_MAX: Final = 65_535
SHAPE: Final = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
ENCODING: Final = "with % as %25, @ as %40, / as %2F and a space as %20 in user and password"


class DatabaseUrlError(ValueError):
    """A URL cannot be used; the message says what to do and has no part of the URL."""


def normalize_database_url(url: str) -> str:
    """Make SQLAlchemy's form of a URL, such as `postgresql+psycopg://`, libpq's; raises DatabaseUrlError."""
    url = SCHEME.sub("postgresql://", url.strip())
    parse_database_url(url)
    return url


def parse_database_url(url: str) -> dict[str, Any]:
    """Take a URL, or libpq's `host=... dbname=...`, apart; raises DatabaseUrlError.

    What libpq would take for the host though it is a part of the password is refused: it would be in the log.
    """
    url = SCHEME.sub("postgresql://", url.strip())
    if URI.match(url) and not url.startswith("postgresql://"):
        raise DatabaseUrlError(f"not a URL of PostgreSQL: {SHAPE}, {ENCODING}")
    try:
        parts: dict[str, Any] = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise DatabaseUrlError(_explain(str(error), url)) from None
    if "://" in url and _is_ambiguous(url):
        raise DatabaseUrlError(f"user, password and host cannot be told apart: {SHAPE}, {ENCODING}")
    if not all(PORT.match(port) and int(port) <= PORT_MAX for port in str(parts.get("port", "")).split(",") if port):
        raise DatabaseUrlError(f"the port is not a number up to {PORT_MAX}: {SHAPE}, {ENCODING}")
    return parts


def _is_ambiguous(url: str) -> bool:
    """Say whether an @ stands where only one of an unencoded password can."""
    rest = url.partition("://")[2]
    before_host, at, after = rest.partition("@")
    return "@" in after.partition("?")[0] or (bool(at) and "/" in before_host)


def _explain(text: str, url: str) -> str:
    unknown = UNKNOWN_PARAMETER.search(text)
    # what stands behind the last @ is no part of a password
    if unknown and f"{unknown[1]}=" in url.rpartition("@")[2].partition("?")[2]:
        return f"libpq knows no parameter {unknown[1]}: leave it out (for TLS it is sslmode)"
    if "://" not in url:
        return f"malformed: {SHAPE}, or libpq's host=... dbname=... with quotes around a password that has spaces"
    return f"malformed: {SHAPE}, {ENCODING}"
