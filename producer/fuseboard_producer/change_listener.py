"""Word of changed circuits over pub/sub: only a reason to poll early, so losing it costs no more than a poll's time."""

import logging
import time
from contextlib import suppress
from typing import Final, Self

from redis import Redis
from redis.client import PubSub
from redis.exceptions import NoPermissionError

from fuseboard_producer.limited_log import LimitedLog
from fuseboard_schema.circuit_keys import name_changes

log = logging.getLogger(__name__)
RETRY_SECONDS: Final = 5.0
# of one listening, however many more there are
MESSAGES_MAX: Final = 1000


class ChangeListener:
    """Listen on the channel of changes; raises nothing. Belongs to one thread.

    Without the right to subscribe it is silent for good, and says so once; after any other failure it tries again.
    """

    def __init__(self, redis: Redis, namespace: str) -> None:
        self._redis = redis
        self._channel = name_changes(namespace)
        self._pubsub: PubSub | None = None
        self._due_at: float | None = 0.0
        self._has_changed = False
        self._warnings = LimitedLog(log)

    def listen(self, timeout_seconds: float) -> bool:
        """Listen for so long at most; False at once where nothing can be heard."""
        if self._pubsub is None and (self._due_at is None or time.monotonic() < self._due_at):
            return False
        try:
            if self._pubsub is None:
                self._pubsub = PubSub(self._redis.connection_pool, ignore_subscribe_messages=True)
                self._pubsub.subscribe(self._channel)
            self._read(self._pubsub, timeout_seconds)
        except NoPermissionError as error:
            log.warning("changes_not_allowed polling goes on: allow &%s error=%r", self._channel, str(error))
            self._drop(None)
        except Exception as error:  # noqa: BLE001 - polling goes on
            self._warnings.warn("listen", "changes_not_heard error=%r", str(error)[:300])
            self._drop(time.monotonic() + RETRY_SECONDS)
        return self._pubsub is not None

    def has_changed(self) -> bool:
        """Say whether something changed since this was asked last."""
        changed, self._has_changed = self._has_changed, False
        return changed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop(None)

    def _read(self, pubsub: PubSub, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        for _ in range(MESSAGES_MAX):
            remaining = 0.0 if self._has_changed else max(deadline - time.monotonic(), 0.0)
            if pubsub.get_message(timeout=remaining) is not None:
                self._has_changed = True
            elif time.monotonic() >= deadline or self._has_changed:
                # a confirmation is read as nothing as well, long before the time is over
                return

    def _drop(self, due_at: float | None) -> None:
        pubsub, self._pubsub, self._due_at = self._pubsub, None, due_at
        if pubsub is not None:
            with suppress(Exception):
                pubsub.close()
