"""What a worker asks whom to call: the fleet's circuits and its own wishes, and no I/O on the way."""

import asyncio
import weakref
from asyncio import sleep as sleep_async
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from time import sleep
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from fuseboard_producer.admission import Verdict, check_provider
from fuseboard_producer.attempt import Attempt
from fuseboard_producer.failover import Failover, Limits, make_request_id
from fuseboard_producer.leases import LeaseAnswer, LeaseQuestion
from fuseboard_producer.producer import Producer
from fuseboard_producer.request import Request
from fuseboard_producer.router_options import RouterOptions
from fuseboard_producer.routing_state import RouterCounters, RoutingState
from fuseboard_producer.selection import Candidate, Plan
from fuseboard_producer.snapshot import Snapshot
from fuseboard_producer.trial import Trial
from fuseboard_schema.event import RequestFields

Answer = TypeVar("Answer")
NO_WISHES: Final = Request()
CLOSE_SECONDS: Final = 1.0


class Router:
    """Choose providers by the circuits that the whole fleet shares. Safe with threads, fork and asyncio; one is enough.

    producer: records the attempts, and says where Redis is. providers: in the order of preference that holds before
    anything is known. poll_seconds: between two readings of the circuits. use_pubsub: whether to listen for changes in
    between. first_snapshot_wait_seconds: how long the first choice of a process waits at most for the first reading,
    which a thread begins here; 0 for not at all. Raises ValueError naming the argument that is wrong.

    Whatever happens to Redis, providers go on being called: what was known ages, and after a minute only
    what an operator ordered is left of it.
    """

    def __init__(
        self,
        producer: Producer,
        *,
        providers: Sequence[str] | None = None,
        poll_seconds: float = 1.0,
        use_pubsub: bool = True,
        first_snapshot_wait_seconds: float = 0.05,
    ) -> None:
        if not isinstance(producer, Producer):
            raise ValueError(f"producer: a Producer is needed, not {type(producer).__name__}")  # noqa: TRY004 - as below
        settings = RouterOptions.model_validate(
            {
                "providers": () if providers is None else providers,
                "poll_seconds": poll_seconds,
                "use_pubsub": use_pubsub,
                "first_snapshot_wait_seconds": first_snapshot_wait_seconds,
            }
        )
        self._producer = producer
        self._settings = settings
        self._state = RoutingState(producer.options, settings)
        # forgotten without close: the thread ends
        weakref.finalize(self, self._state.poller.stop).atexit = False
        self._state.poller.start()

    def plan(self, request: Request | None = None) -> Plan:
        """Plan which providers to try for a request, in which order, and say why not the others; no I/O."""
        state = self._state
        return state.plan(request or NO_WISHES, state.get_snapshot())

    def choose(self, request: Request | None = None) -> Candidate:
        """Choose the provider to call now, for callers that call and record for themselves.

        No I/O, unless the first choice is half-open: then Redis is asked for the lease of a probe, for half a second
        at most, and the next one is chosen where it is refused. The event of the call must carry
        `candidate.event_fields`. Raises NoProviderAvailable.
        """
        request = request or NO_WISHES
        plan = self.plan(request)
        if plan.candidates and not plan.is_panic and plan.candidates[0].lease is None:
            return plan.candidates[0]
        return self._take(Failover(self._state, request))

    def may_call(self, provider: str) -> bool:
        """Say whether a provider may be called now, in microseconds; of a half-open one yes, though it takes a lease.

        A call on the strength of this alone carries no lease and so closes no circuit: `choose` and `call` do.
        """
        return self.check(provider).refusal is None

    def check(self, provider: str) -> Verdict:
        """Say why a provider may not be called now and until when, or which lease it takes; no I/O."""
        state = self._state
        snapshot, now = state.get_snapshot(), state.now()
        return check_provider(provider, snapshot, now, state.guard.read(now))

    def call(
        self,
        request: Request | None,
        functions: Mapping[str, Callable[[Attempt], Answer]],
        *,
        max_wait_seconds: float = 0.0,
        max_attempts: int = 3,
        deadline_seconds: float | None = None,
        fields: RequestFields | None = None,
    ) -> Answer:
        """Call one of `functions`, by provider, and another one where that fails; returns the first answer.

        Each attempt is one event, with `fields` besides; clients must not retry by themselves (`max_retries=0`).
        A function may return a stream: it is given on with its first item, until which another provider may do better,
        and recorded at its end. A provider is tried once. An error that would be the same
        everywhere goes to the caller at once; when nobody is left, or the retry budget, max_attempts or the deadline
        forbid more, the last provider's error does, with a note of what was tried. A function that returns has
        answered, whatever status it has set. max_wait_seconds: how long to wait for a provider if none may be called
        now. deadline_seconds: after which no further attempt starts.
        Raises NoProviderAvailable if none was tried.
        """
        failover = self._begin(request, functions, max_wait_seconds, max_attempts, deadline_seconds)
        shared = _share_fields(fields)
        while True:
            attempt = failover.begin(self._take(failover), shared)
            with Trial(failover, attempt, self._producer.record) as trial:
                answer: Answer = trial.follow(functions[attempt.provider](attempt))
                return answer

    async def acall(
        self,
        request: Request | None,
        functions: Mapping[str, Callable[[Attempt], Awaitable[Answer] | AsyncIterator[Any]]],
        *,
        max_wait_seconds: float = 0.0,
        max_attempts: int = 3,
        deadline_seconds: float | None = None,
        fields: RequestFields | None = None,
    ) -> Answer:
        """Do as `call` with asynchronous functions, asynchronous generators too, without blocking the event loop."""
        await self._state.prepare_async()
        failover = self._begin(request, functions, max_wait_seconds, max_attempts, deadline_seconds)
        shared = _share_fields(fields)
        while True:
            attempt = failover.begin(await self._take_async(failover), shared)
            with Trial(failover, attempt, self._producer.record) as trial:
                answer: Answer = await trial.follow_async(functions[attempt.provider](attempt))
                return answer

    def wait_until_ready(self, timeout_seconds: float) -> bool:
        """Wait until the circuits have been read once; False when that took longer. Nothing else needs this."""
        return self._state.poller.wait_until_ready(timeout_seconds)

    @property
    def snapshot(self) -> Snapshot:
        """What is known of the providers now."""
        return self._state.get_snapshot()

    @property
    def counters(self) -> RouterCounters:
        """What became of polls, probes and requests so far, in this process."""
        return self._state.read_counters()

    def close(self) -> None:
        """End the thread and close the connections; later calls go by what was known. The producer stays open."""
        self._state.poller.close(CLOSE_SECONDS)
        self._state.leases.close()

    def __reduce__(self) -> tuple[Callable[[Producer, RouterOptions], "Router"], tuple[Producer, RouterOptions]]:
        """Let a copy, or what is unpickled in another process, be a router of its own with the same arguments."""
        return _make_router, (self._producer, self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _begin(
        self,
        request: Request | None,
        functions: Mapping[str, object],
        max_wait_seconds: float,
        max_attempts: int,
        deadline_seconds: float | None,
    ) -> Failover:
        if max_attempts < 1:
            raise ValueError(f"max_attempts is {max_attempts}: at least 1")
        self._state.note_names(functions)
        deadline = None if deadline_seconds is None else self._state.now() + deadline_seconds
        return Failover(
            self._state,
            (request or NO_WISHES).restrict(functions),
            tuple(functions),
            Limits(max_wait_seconds, max_attempts, deadline),
        )

    def _take(self, failover: Failover) -> Candidate:
        while True:
            step = failover.next_step()
            if isinstance(step, Candidate):
                return step
            if isinstance(step, LeaseQuestion):
                candidate = failover.accept_lease(step, self._state.leases.acquire(step))
                if candidate is not None:
                    return candidate
            else:
                sleep(step.seconds)

    async def _take_async(self, failover: Failover) -> Candidate:
        while True:
            step = failover.next_step()
            if isinstance(step, Candidate):
                return step
            if isinstance(step, LeaseQuestion):
                candidate = failover.accept_lease(step, await self._acquire_async(step))
                if candidate is not None:
                    return candidate
            else:
                await sleep_async(step.seconds)

    async def _acquire_async(self, question: LeaseQuestion) -> LeaseAnswer:
        leases = self._state.leases
        try:
            return await asyncio.to_thread(leases.acquire, question)
        except asyncio.CancelledError:
            leases.abandon(question)
            raise


def _make_router(producer: Producer, settings: RouterOptions) -> Router:
    return Router(producer, **settings.model_dump())


def _share_fields(fields: RequestFields | None) -> RequestFields:
    shared: RequestFields = {**fields} if fields else {}
    shared["request_id"] = shared.get("request_id") or make_request_id()
    return shared
