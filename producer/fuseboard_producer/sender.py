"""The way into Redis: one round trip per entry, and a pause with growing steps while Redis does not take any."""

# the first connection imports these: a fork in that moment would leave its child with an import that never ends
import email.parser  # noqa: F401
import encodings.idna  # noqa: F401
import logging
import random
import time
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError

from fuseboard_producer.encoding import Entry
from fuseboard_producer.limited_log import LimitedLog
from fuseboard_producer.options import Options
from fuseboard_schema.redis_client import connect_redis
from fuseboard_schema.stream import ENTRY_FIELD, name_event_stream

log = logging.getLogger(__name__)
PAUSE_MIN_SECONDS: Final = 0.2
PAUSE_MAX_SECONDS: Final = 5.0


class Sender:
    """Hand entries to Redis and answer whether it took them; raises nothing.

    Belongs to one thread. After a failure, or when the stream is over its bound, it is paused: entries are refused
    at once (they go to the spool). When a probe finds Redis there, the next entry is tried: a full or demoted server
    answers probes as well, so only an entry that it takes ends the outage.
    """

    def __init__(self, options: Options) -> None:
        ca_certs = str(options.redis_ca_certs) if options.redis_ca_certs else None
        # retried below, once: waiting longer is the spool's business
        self._redis = connect_redis(options.redis_url, retries=0, socket_timeout_seconds=3.0, ca_certs=ca_certs)
        self._stream = name_event_stream(options.namespace)
        self._stream_max_entries = options.stream_max_entries
        # not the module's own: a worker may have seeded that and count on its sequence
        self._random = random.Random()  # noqa: S311 - spreads retries, keeps no secret
        self._warnings = LimitedLog(log)
        self._failures = 0
        self._paused_at = 0.0
        self.resume_at: float | None = None

    def send(self, entry: Entry) -> bool:
        """Add one entry to the stream; return False when Redis did not take it."""
        if self.resume_at is not None:
            return False
        try:
            added, length = self._add(entry)
        except Exception as error:  # noqa: BLE001 - whatever fails here, the spool is the answer
            self._pause(error)
            return False
        if isinstance(added, Exception):
            self._pause(added)
            return False
        if self._failures:
            self._failures = 0
            self._warnings.warn("resumed", "sending_resumed paused_seconds=%.1f", time.monotonic() - self._paused_at)
        # the entry is in; what is wrong with the length concerns the next one
        self._check_length(length)
        return True

    def probe(self) -> bool:
        """Return whether entries are taken now; when the pause is over, ask Redis."""
        if self.resume_at is None:
            return True
        if time.monotonic() < self.resume_at:
            return False
        try:
            length: object = self._redis.xlen(self._stream)
        except Exception as error:  # noqa: BLE001 - as above
            length = error
        if self._check_length(length):
            self.resume_at = None
        return self.resume_at is None

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _add(self, entry: Entry) -> list[object]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for _ in range(2):
                pipeline.xadd(self._stream, {ENTRY_FIELD: entry.payload})
                pipeline.xlen(self._stream)
                try:
                    return pipeline.execute(raise_on_error=False)
                except RedisConnectionError as error:
                    # a connection that went stale while idle is replaced by the second try; silence gets none
                    failure = error
        raise failure

    def _check_length(self, length: object) -> bool:
        if isinstance(length, Exception):
            self._pause(length)
        elif isinstance(length, int) and length >= self._stream_max_entries:
            self._pause(f"the stream has {length} entries of at most {self._stream_max_entries}: consumers lag behind")
        else:
            return True
        return False

    def _pause(self, reason: object) -> None:
        now = time.monotonic()
        if not self._failures:
            self._paused_at = now
            self._warnings.warn("paused", "sending_paused reason=%r", str(reason)[:300])
        self._failures += 1
        # the exponent is bounded, or a long outage would end in an overflow
        longest = min(PAUSE_MIN_SECONDS * 2 ** min(self._failures, 10), PAUSE_MAX_SECONDS)
        self.resume_at = now + longest * self._random.uniform(0.5, 1.0)
