"""Tokens that were right lately, in this process: neither guesses of others nor an outage of PostgreSQL stops them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from fuseboard_api.token_store import StoredToken

TOKENS_MAX: Final = 1_000
# events need Redis or the disk alone: they are not to be lost because a token cannot be looked up
TRUST_SECONDS: Final = 3600.0


class Sighting(NamedTuple):
    """A token as PostgreSQL had it, and when by the clock."""

    token: StoredToken
    seen_at: float


class RememberedTokens:
    """Remembers TOKENS_MAX tokens by the hash of their secret, the longest unused forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[bytes, Sighting] = OrderedDict()

    def remember(self, token: StoredToken) -> None:
        """Remember a token that was right, as it is now."""
        with self._lock:
            self._seen[token.token_sha256] = Sighting(token, self._clock())
            self._seen.move_to_end(token.token_sha256)
            if len(self._seen) > TOKENS_MAX:
                self._seen.popitem(last=False)

    def was_right(self, secret_sha256: bytes) -> bool:
        """Say whether a secret was right when it was last looked up, however long ago."""
        with self._lock:
            return secret_sha256 in self._seen

    def recall(self, secret_sha256: bytes) -> StoredToken | None:
        """Give the token as it was when it was last looked up, within TRUST_SECONDS; None for any other, or expired."""
        with self._lock:
            sighting = self._seen.get(secret_sha256)
        if sighting is None or self._clock() - sighting.seen_at > TRUST_SECONDS:
            return None
        expires_at = sighting.token.expires_at
        return None if expires_at is not None and expires_at <= datetime.now(UTC) else sighting.token
