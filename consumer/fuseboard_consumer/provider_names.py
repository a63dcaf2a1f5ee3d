"""Which provider a worker means: whatever the case, by aliases that are read again so that an edit takes effect."""

import time
from collections.abc import Mapping

from psycopg import Connection
from psycopg.rows import TupleRow

from fuseboard_consumer.decode import Accepted
from fuseboard_schema.sql import load_sql


class ProviderNames:
    """The names of providers; each name that is said is looked up once."""

    def __init__(self, aliases: Mapping[str, str], registered: list[str]) -> None:
        self._aliases = aliases
        self._folded = {name.lower(): name for name in sorted(registered, reverse=True)}
        self._known = {name: name for name in registered if name.strip().lower() not in aliases}

    def resolve(self, said: str) -> str:
        """Resolve a name: by alias, or whatever its case; a new one in lower case."""
        known = self._known.get(said)
        if known is None:
            key = said.strip().lower()
            known = self._aliases.get(key) or self._folded.get(key) or key
            self._known[said] = known
        return known

    def rename(self, accepted: Accepted) -> Accepted:
        """Give events the names of their providers; those that have them already are left as they are."""
        resolve = self.resolve
        for position, event in enumerate(accepted.events):
            provider, original = resolve(event.provider), event.original_provider
            original = original and resolve(original)
            if provider != event.provider or original != event.original_provider:
                accepted.events[position] = event.model_copy(
                    update={"provider": provider}
                    if event.original_provider is None
                    else {"provider": provider, "original_provider": original}
                )
        return accepted


class ProviderNameSource:
    """Hands out the names, at most refresh_seconds old."""

    def __init__(self, refresh_seconds: float) -> None:
        self._refresh_seconds = refresh_seconds
        self._names: ProviderNames | None = None
        self._read_at = 0.0

    def read_names(self, connection: Connection[TupleRow]) -> ProviderNames:
        """Return the names, read again when they are stale; raises psycopg.Error while PostgreSQL is down."""
        if self._names is None or time.monotonic() - self._read_at > self._refresh_seconds:
            self._names = select_provider_names(connection)
            self._read_at = time.monotonic()
        return self._names


def select_provider_names(connection: Connection[TupleRow]) -> ProviderNames:
    """Read the aliases and the registered names."""
    rows = connection.execute(load_sql(__package__, "select_provider_names")).fetchall()
    return ProviderNames(
        {said: provider for said, provider in rows if provider is not None},
        [said for said, provider in rows if provider is None],
    )
