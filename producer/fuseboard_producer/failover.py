"""One logical request on its way through the providers (E2 steps 4 to 6): a state machine without I/O or waiting."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, NoReturn
from uuid import uuid4

from fuseboard_producer.attempt import Attempt
from fuseboard_producer.leases import LeaseAnswer, LeaseQuestion
from fuseboard_producer.no_provider import NoProviderAvailable
from fuseboard_producer.request import Request
from fuseboard_producer.routing_state import RoutingState
from fuseboard_producer.selection import PANIC_MAX_CANDIDATES, Candidate, Plan
from fuseboard_producer.shortfall import Shortfall, find_shortfall
from fuseboard_producer.snapshot import Snapshot, assume_closed
from fuseboard_schema.outcome import Outcome

WAIT_JITTER_SECONDS: Final = 0.1
OTHERS_MAY_DO: Final[frozenset[Outcome]] = frozenset({"throttle", "failure", "fatal"})


class Wait(NamedTuple):
    """Nobody may be called now, but somebody soon."""

    seconds: float


class Limits(NamedTuple):
    """How far a request may go. deadline: monotonic seconds after which no further attempt starts, None for none."""

    max_wait_seconds: float = 0.0
    max_attempts: int = 3
    deadline: float | None = None


Step = Candidate | LeaseQuestion | Wait
UNLIMITED: Final = Limits()


class Failover:
    """Say what to do next, and learn what became of it; whoever drives this does the asking, waiting and calling.

    A provider is tried at most once. names: of those that can be called, in the order that holds while nothing is
    known.
    """

    def __init__(
        self, state: RoutingState, request: Request, names: tuple[str, ...] = (), limits: Limits = UNLIMITED
    ) -> None:
        self._state = state
        self._request = request
        self._names = names
        self._limits = limits
        self._preferred: str | None = None
        self._refused: frozenset[str] = frozenset()
        self._forbidden: dict[str, str] = {}
        self._failures: list[str] = []
        self._last_error: Exception | None = None
        self._attempts = 0
        self._is_retry_paid = False
        self._has_waited = False
        self._may_panic: bool | None = None

    def next_step(self) -> Step:
        """Choose what to do next: call a candidate, ask for its lease first, or wait.

        Raises the last provider's error when there is nothing left to try, and NoProviderAvailable when nothing was.
        """
        state, limits = self._state, self._limits
        if self._attempts >= limits.max_attempts:
            self._give_up(f"max_attempts is {limits.max_attempts}")
        if self._attempts and limits.deadline is not None and state.now() >= limits.deadline:
            self._give_up("the deadline has passed")
        plan = state.plan(self._request, self._get_snapshot(), self._refused)
        self._preferred = self._preferred or plan.preferred
        if not plan.candidates or (plan.is_panic and not self._allows_panic()):
            return self._wait_or_give_up(plan)
        if self._attempts and not self._pay_retry():
            self._give_up("the retry budget of this process is spent")
        candidate = plan.candidates[0]
        if candidate.lease is not None:
            return LeaseQuestion(candidate, state.get_settings(candidate.provider))
        return candidate

    def accept_lease(self, question: LeaseQuestion, answer: LeaseAnswer) -> Candidate | None:
        """Take note of the answer to a question; returns the candidate if it may be called now."""
        state, grant, provider = self._state, answer.grant, question.candidate.provider
        if answer.candidate is not None:
            if answer.candidate.lease is not None:
                state.probes_granted.increment()
            return answer.candidate
        state.probes_refused.increment()
        self._refused |= {provider}
        if grant is not None and grant.reason != "probes_busy":
            # Redis knows more than the snapshot
            state.poller.hurry()
            if grant.reason == "throttled":
                state.guard.record_throttle(provider, grant.wait_seconds, state.now())
            elif grant.reason == "forced_open":
                self._forbidden[provider] = grant.reason
                self._drop(provider)
        return None

    def begin(self, candidate: Candidate, fields: Mapping[str, Any]) -> Attempt:
        """Begin to call a candidate; `fields` of the event are the same for all attempts, as is its request_id."""
        state = self._state
        if self._attempts:
            state.failovers.increment()
        else:
            state.budget.record_request(state.now())
        self._attempts += 1
        self._is_retry_paid = False
        self._drop(candidate.provider)
        is_fallback = self._preferred is not None and candidate.provider != self._preferred
        original_provider = self._preferred if is_fallback else None
        about = {**fields, "is_fallback": is_fallback, "original_provider": original_provider}
        if candidate.model != self._request.model:
            about["requested_model"] = self._request.model
        return Attempt(candidate, self._attempts, about)

    def record_outcome(self, attempt: Attempt, error: BaseException | None) -> bool:
        """Learn how an attempt ended, for this request and for those to come; True if another provider may do better.

        An error of the request itself would be the same everywhere, unless the provider lacked the model or room; and
        a caller whose own time is over wants no other provider.
        """
        provider = attempt.provider
        verdict = self._state.learn(attempt)
        if not isinstance(error, Exception):
            return False
        self._failures.append(f"{provider} ({type(error).__name__}, {verdict.outcome})")
        is_asked_wrongly = verdict.outcome == "neutral" and not attempt.is_given_up
        shortfall = find_shortfall(error, attempt.error_type) if is_asked_wrongly else None
        if verdict.outcome not in OTHERS_MAY_DO and shortfall is None:
            if self._attempts > 1:
                error.add_note(self._describe("its error is not one that another provider can mend"))
            return False
        if shortfall is not None:
            self._drop_no_better(provider, shortfall)
        self._last_error = error
        return True

    def _get_snapshot(self) -> Snapshot:
        snapshot = self._state.get_snapshot()
        return snapshot if snapshot.providers else assume_closed(self._names)

    def _allows_panic(self) -> bool:
        """Say whether open providers may be tried: only by a request that no other one could serve, and not by all."""
        state = self._state
        if self._may_panic is None:
            self._may_panic = not self._attempts and state.panic_throttle.try_panic(state.now(), state.rng)
            if self._may_panic:
                state.panics.increment()
        return self._may_panic and self._attempts < PANIC_MAX_CANDIDATES

    def _pay_retry(self) -> bool:
        """Take one retry from the budget, once however many candidates refuse their leases."""
        if not self._is_retry_paid:
            self._is_retry_paid = self._state.budget.try_retry(self._state.now())
            if not self._is_retry_paid:
                self._state.retries_denied.increment()
        return self._is_retry_paid

    def _wait_or_give_up(self, plan: Plan) -> Wait:
        nearest, limits = plan.retry_after_seconds, self._limits
        if nearest is None or self._has_waited or nearest > limits.max_wait_seconds:
            self._give_up("no other provider may be called", plan)
        if limits.deadline is not None and self._state.now() + nearest >= limits.deadline:
            self._give_up("no other provider may be called before the deadline", plan)
        self._has_waited = True
        self._refused = frozenset()
        # workers that wait for the same deadline must not all come at once
        jitter = self._state.rng.uniform(0, WAIT_JITTER_SECONDS)
        return Wait(min(nearest + jitter, limits.max_wait_seconds))

    def _drop(self, provider: str) -> None:
        """Let the rest of the request do without a provider."""
        self._request = replace(self._request, denied=self._request.denied | {provider})

    def _drop_no_better(self, provider: str, shortfall: Shortfall) -> None:
        """Drop those that are known to have no more room than a provider that had too little."""
        views = self._get_snapshot().by_name
        room = views[provider].find_offer(self._request.model) if provider in views else None
        if shortfall != "context_exceeded" or room is None or room.context_tokens is None:
            return
        for view in views.values():
            offer = view.find_offer(self._request.model)
            if offer and offer.context_tokens is not None and offer.context_tokens <= room.context_tokens:
                self._drop(view.name)

    def _give_up(self, why: str, plan: Plan | None = None) -> NoReturn:
        error, self._last_error = self._last_error, None
        if error is None:
            retry_after = plan.retry_after_seconds if plan else None
            raise NoProviderAvailable(retry_after, self._collect_reasons(plan))
        error.add_note(self._describe(why))
        try:
            raise error
        finally:
            # or the error and this frame would keep each other alive
            del error

    def _collect_reasons(self, plan: Plan | None) -> dict[str, str]:
        if plan is None:
            return {}
        return {**plan.reasons, **{candidate.provider: "open" for candidate in plan.candidates}, **self._forbidden}

    def _describe(self, why: str) -> str:
        return f"fuseboard: tried {', '.join(self._failures)}; {why}"


def make_request_id() -> str:
    """Make what all attempts of one request have in common."""
    return str(uuid4())
