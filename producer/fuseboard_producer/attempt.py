"""One attempt of a routed request: what the caller's function for a provider is given."""

import math
from typing import Any, Final

from fuseboard_producer.call import TimedCall
from fuseboard_producer.exceptions import HTTP_STATUSES
from fuseboard_producer.selection import Candidate
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.event import Admission
from fuseboard_schema.outcome import Verdict, classify_call

MODEL_UNKNOWN: Final = "unknown"


class Attempt(TimedCall):
    """One call to one provider, timed and recorded by the router when the function ends.

    provider, model: whom to call, and the model under the provider's own name for it (None where the request named
    none). attempt: from 1, within the request. admission, epoch, lease_id: how the circuit let the call through.
    """

    def __init__(self, candidate: Candidate, attempt: int, fields: dict[str, Any]) -> None:
        super().__init__({**fields, "provider": candidate.provider, "attempt": attempt, **candidate.event_fields})
        if candidate.model is not None:
            self._fields["model"] = candidate.model
        self._candidate = candidate
        self.attempt = attempt

    @property
    def provider(self) -> str:
        """Who is to be called."""
        return self._candidate.provider

    @property
    def model(self) -> str | None:
        """The model to ask for, under the provider's own name."""
        return self._candidate.model

    @property
    def admission(self) -> Admission:
        """How the circuit let the call through."""
        return self._candidate.admission

    @property
    def epoch(self) -> int | None:
        """Epoch of the circuit by which the provider was chosen; None where no circuit state was known."""
        return self._candidate.epoch

    @property
    def lease_id(self) -> str | None:
        """The lease of a probe that Redis granted."""
        return self._candidate.lease_id

    @property
    def candidate(self) -> Candidate:
        """What was chosen."""
        return self._candidate

    @property
    def error_type(self) -> object:
        """What the error was called, once the call has ended, or whatever the caller's function has set."""
        return self._fields.get("error_type")

    @property
    def is_given_up(self) -> bool:
        """Whether the caller ended the call itself, by a limit of its own or by cancelling."""
        return self._fields.get("status") == "cancelled"

    def end(self, error: BaseException | None) -> dict[str, Any]:
        """Say how the function ended; returns the fields of the event."""
        fields = self._end(error)
        if not fields.get("model"):
            fields["model"] = MODEL_UNKNOWN
        return fields

    def classify(self, settings: CircuitSettings) -> Verdict:
        """Classify how the call ended, once it has, by the provider's settings."""
        fields = self._fields
        error_type, http_status = fields.get("error_type"), fields.get("http_status")
        return classify_call(
            fields.get("status", "success"),
            error_type if isinstance(error_type, str) else None,
            http_status if isinstance(http_status, int) and http_status in HTTP_STATUSES else None,
            _read_seconds(fields.get("retry_after_seconds")),
            _read_seconds(fields.get("duration_seconds")),
            settings=settings,
        )


def _read_seconds(value: object) -> float | None:
    """Read what a caller may have set to anything; what is no number of seconds is not known."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and value >= 0 else None
