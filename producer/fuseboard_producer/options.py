"""What a producer is told once: checked arguments and their defaults from the environment."""

import hashlib
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FilePath, model_validator

from fuseboard_schema.redis_url import parse_redis_url
from fuseboard_schema.stream import (
    CA_CERTS_VARIABLE,
    FLUSH_MAX_EVENTS,
    NAMESPACE,
    NAMESPACE_PATTERN,
    NAMESPACE_VARIABLE,
    STREAM_MAX_ENTRIES,
)


def _find_redis_url(redis_url: object) -> object:
    found = redis_url or os.environ.get("REDIS_URL")
    if not found:
        raise ValueError("pass it, or set REDIS_URL")
    if isinstance(found, str):
        parse_redis_url(found)
    return found


def _find_namespace(namespace: object) -> object:
    if namespace is not None:
        return namespace
    found = os.environ.get(NAMESPACE_VARIABLE) or NAMESPACE
    if not re.fullmatch(NAMESPACE_PATTERN, found):
        raise ValueError(f"{NAMESPACE_VARIABLE} is {found[:80]!r}: up to 64 letters, digits and . _ -")
    return found


def _find_ca_certs(path: object) -> object:
    if path is not None:
        return path
    found = os.environ.get(CA_CERTS_VARIABLE) or None
    if found is not None and not Path(found).is_file():
        raise ValueError(f"{CA_CERTS_VARIABLE} is {found[:200]!r}: no such file")
    return found


# found by the field's own validator
DEFAULT: Final[Any] = Field(None, validate_default=True)


class Options(BaseModel):
    """The arguments of `Producer`, checked: an error names the argument and never shows the password in a URL."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Producer", hide_input_in_errors=True)

    redis_url: Annotated[str, BeforeValidator(_find_redis_url)]
    namespace: Annotated[str, BeforeValidator(_find_namespace), Field(pattern=NAMESPACE_PATTERN)] = DEFAULT
    spool_dir: Path | None = None
    worker_id: str | None = Field(None, min_length=1, max_length=256)
    linger_seconds: float = Field(0.05, ge=0, le=60, allow_inf_nan=False)
    flush_max_events: int = Field(FLUSH_MAX_EVENTS, ge=1, le=FLUSH_MAX_EVENTS)
    buffer_max_events: int = Field(20_000, ge=1, le=10_000_000)
    spool_max_bytes: int = Field(50_000_000, ge=0)
    stream_max_entries: int = Field(STREAM_MAX_ENTRIES, ge=1)
    redis_ca_certs: Annotated[FilePath | None, BeforeValidator(_find_ca_certs)] = DEFAULT

    @cached_property
    def spool_path(self) -> Path:
        """The directory of the spool's segments."""
        return locate_spool(self.redis_url, self.namespace, self.spool_dir)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.buffer_max_events < self.flush_max_events:
            raise ValueError(
                f"buffer_max_events ({self.buffer_max_events}) is below flush_max_events ({self.flush_max_events}): "
                "the buffer must hold one flush"
            )
        # an unusable home directory is better heard of here than when Redis is down
        _ = self.spool_path
        return self


def locate_spool(redis_url: str, namespace: str, spool_dir: Path | None = None) -> Path:
    """Find the directory of the segments that producers with these arguments share.

    A directory that was chosen (argument or FUSEBOARD_SPOOL_DIR) belongs to one installation, wherever its Redis
    moves; the default one is shared by all that this user runs, so there every Redis has its own.
    Raises ValueError for a URL that is none, and where no directory was chosen and the user has no home.
    """
    chosen = spool_dir or os.environ.get("FUSEBOARD_SPOOL_DIR")
    if chosen:
        return Path(chosen).absolute() / namespace
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        raise ValueError("spool_dir is missing and this user has no home: set FUSEBOARD_SPOOL_DIR") from None
    address = {key: value for key, value in parse_redis_url(redis_url).items() if key in {"host", "port", "db", "path"}}
    digest = hashlib.sha256(repr(sorted(address.items())).encode()).hexdigest()[:12]
    return state.absolute() / "fuseboard" / "spool" / f"{namespace}-{digest}"
