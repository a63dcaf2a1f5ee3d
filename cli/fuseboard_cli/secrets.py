"""Passwords, which are shown nowhere: the last line behind whatever a library says of a URL."""

import os
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "***"
# every variable that names a server with a password in it
VARIABLES: Final = ("DATABASE_URL", "FUSEBOARD_DIRECT_DATABASE_URL", "REDIS_URL")
# where a library may cut a URL that is written wrong
CUTS: Final = re.compile(r"[@/?#%:;,&=\[\]\s'\"\\]+")
# shorter ones are in every word
FRAGMENT_MIN_LENGTH: Final = 3
# up to the last @, because a password that is not percent-encoded may have some of its own
AUTHORITY: Final = re.compile(r"\A(?:[\w+.-]+://)?+[^:@/\s]*:(.*)@", re.DOTALL)
PARAMETER: Final = re.compile(r"password\s*=\s*(.*?)(?=&|\s+\w+\s*=|$)", re.DOTALL | re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """Hide the passwords of this process's servers, and every part of them that a message may quote."""
    for secret in sorted({*list_secrets()}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def mask_url(url: str) -> str:
    """Hide the passwords in a URL or a connection string."""
    for secret in sorted({*_list_parts(url)}, key=len, reverse=True):
        url = url.replace(secret, HIDDEN)
    return url


def list_secrets() -> Iterator[str]:
    """List the passwords in this process's environment, and their parts."""
    for variable in VARIABLES:
        yield from _list_parts(os.environ.get(variable, ""))


def _list_parts(url: str) -> Iterator[str]:
    for pattern in (AUTHORITY, PARAMETER):
        for match in pattern.finditer(url):
            for form in (match[1], unquote(match[1])):
                parts = [form, *CUTS.split(form)]
                yield from (part for part in parts if len(part) >= FRAGMENT_MIN_LENGTH)
