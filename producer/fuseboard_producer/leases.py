"""The right to a probe of a half-open circuit: from Redis for the whole fleet, else from this process alone."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import uuid4

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from fuseboard_producer.circuit_scripts import Grant, acquire_probe
from fuseboard_producer.guard import LocalProbes
from fuseboard_producer.limited_log import LimitedLog
from fuseboard_producer.options import Options
from fuseboard_producer.process_exit import tell_of_forks_and_exits
from fuseboard_producer.selection import Candidate
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.lua import load_lua
from fuseboard_schema.redis_client import connect_redis

log = logging.getLogger(__name__)
SCRIPTS: Final = ("acquire", "throttle_hint")
# a request waits for this
REDIS_TIMEOUT_SECONDS: Final = 0.5
# requests that come right after a failure do not wait for the next one
REDIS_PAUSE_SECONDS: Final = 1.0
# a forked child neither uses nor collects its parent's clients: their locks may have been held by another thread
_parents_clients: Final[list[Redis]] = []


class Release(NamedTuple):
    """A lease to be given back to Redis: its probe told nothing."""

    provider: str
    epoch: int
    lease_id: str


class LeaseAnswer(NamedTuple):
    """The candidate as it may be called, or None and what Redis said against it."""

    candidate: Candidate | None
    grant: Grant | None = None


@dataclass(slots=True)
class LeaseQuestion:
    """One candidate's way to its lease; whoever asked may have gone when the answer comes."""

    candidate: Candidate
    settings: CircuitSettings
    answer: LeaseAnswer | None = None
    is_abandoned: bool = False


class Leases:
    """Take leases and give them back, from any thread; `send` hands a release to the background.

    Where Redis does not answer within half a second, this process admits one probe at a time.
    """

    def __init__(self, options: Options, send: Callable[[Release], None]) -> None:
        self._options = options
        self._send = send
        self._client: Redis | None = None
        for name in SCRIPTS:
            # reading them later takes the interpreter's import locks: a child forked in that moment would wait for ever
            load_lua(__package__, name)
        self.reset()
        tell_of_forks_and_exits(self)

    def reset(self) -> None:
        """Start anew: this is a forked child."""
        if self._client is not None:
            _parents_clients.append(self._client)
        self._client = None
        self._probes = LocalProbes()
        self._paused_until = 0.0
        self._warnings = LimitedLog(log)

    def settle(self, timeout_seconds: float) -> bool:  # noqa: ARG002 - as all that is told of exits
        """Leave it all as it is: leases expire."""
        return True

    def acquire(self, question: LeaseQuestion) -> LeaseAnswer:
        """Take the lease that a candidate needs, in one round trip at most."""
        candidate = question.candidate
        answer = self._ask_redis(candidate) if candidate.lease == "shared" else None
        if answer is None:
            answer = self._ask_here(candidate, question.settings)
        # in this order, and the other way round in `abandon`: one of the two sees that nobody waits any more
        question.answer = answer
        if question.is_abandoned:
            self._give_up(answer)
        return answer

    def abandon(self, question: LeaseQuestion) -> None:
        """Give back what a question brings, or has brought, that nobody waits for any more."""
        question.is_abandoned = True
        if question.answer is not None:
            self._give_up(question.answer)

    def settle_probe(self, candidate: Candidate, *, told_nothing: bool) -> None:
        """End the probe of a candidate after its call.

        A place that Redis granted stays taken until the circuit decides, or a lagging pipeline would admit probes
        without end; only one that told nothing is given back.
        """
        if candidate.lease == "local":
            self._probes.release(candidate.provider)
        elif told_nothing and candidate.lease_id is not None and candidate.epoch is not None:
            self._send(Release(candidate.provider, candidate.epoch, candidate.lease_id))

    def close(self) -> None:
        """Close the connection; the next question opens another one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _ask_redis(self, candidate: Candidate) -> LeaseAnswer | None:
        if time.monotonic() < self._paused_until:
            return None
        lease_id = uuid4().hex
        try:
            grant = self._acquire_shared(candidate.provider, lease_id)
        except Exception as error:  # noqa: BLE001 - whatever fails here, the circuit fails open
            self._paused_until = time.monotonic() + REDIS_PAUSE_SECONDS
            self._warnings.warn("acquire", "lease_not_asked_for provider=%s error=%r", candidate.provider, str(error))
            return None
        if grant.admission is None:
            return LeaseAnswer(None, grant)
        is_probe = grant.admission == "probe"
        granted = candidate._replace(
            admission=grant.admission,
            lease="shared" if is_probe else None,
            epoch=grant.epoch,
            lease_id=lease_id if is_probe else None,
        )
        return LeaseAnswer(granted, grant)

    def _acquire_shared(self, provider: str, lease_id: str) -> Grant:
        for _ in range(2):
            try:
                return acquire_probe(self._connect(), self._options.namespace, provider, lease_id)
            except RedisConnectionError as error:
                # a connection that went stale while idle is replaced by the second try; silence gets none
                failure = error
        raise failure

    def _ask_here(self, candidate: Candidate, settings: CircuitSettings) -> LeaseAnswer:
        is_free = self._probes.acquire(candidate.provider, time.monotonic(), settings.probe_lease_ttl_s)
        return LeaseAnswer(candidate._replace(lease="local") if is_free else None)

    def _give_up(self, answer: LeaseAnswer) -> None:
        if answer.candidate is not None:
            self.settle_probe(answer.candidate, told_nothing=True)

    def _connect(self) -> Redis:
        client = self._client
        if client is None:
            ca_certs = self._options.redis_ca_certs
            # two threads may make one each; the one that is not kept serves its own question
            client = self._client = connect_redis(
                self._options.redis_url,
                retries=0,
                socket_timeout_seconds=REDIS_TIMEOUT_SECONDS,
                connect_timeout_seconds=REDIS_TIMEOUT_SECONDS,
                ca_certs=str(ca_certs) if ca_certs else None,
            )
        return client
