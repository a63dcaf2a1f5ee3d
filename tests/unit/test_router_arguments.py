"""What a router and its pieces are told, and what they make of it."""

import pickle
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fuseboard_producer import NoProviderAvailable, Producer, Router
from fuseboard_producer.shortfall import find_shortfall
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.outcome import classify_call
from router_tools import NOWHERE, APIError, answer
from waiting import wait_until


@pytest.fixture
def producer(tmp_path: Path) -> Producer:
    return Producer(NOWHERE, spool_dir=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"providers": ["a", "a"]}, "providers"),
        ({"providers": "claude"}, "providers"),
        ({"providers": [""]}, "providers"),
        ({"poll_seconds": 0}, "poll_seconds"),
        ({"poll_seconds": 11}, "poll_seconds"),
        ({"poll_seconds": float("nan")}, "poll_seconds"),
        ({"use_pubsub": "perhaps"}, "use_pubsub"),
        ({"first_snapshot_wait_seconds": -1}, "first_snapshot_wait_seconds"),
        ({"producer": "redis://127.0.0.1"}, "producer"),
    ],
)
def test_a_wrong_argument_is_named(producer: Producer, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Router(**{"producer": producer} | arguments)


def test_a_request_is_served_without_redis(producer: Producer) -> None:
    before = threading.active_count()

    with Router(producer, providers=["ollama", "claude"]) as router:
        assert router.choose().provider == "ollama"
        assert router.call(None, {"claude": answer, "ollama": answer}) == "ollama"
        assert router.may_call("claude")
        assert not router.wait_until_ready(0.01)
        assert router.counters.snapshot_age_seconds is None
    router.close()

    assert router.choose().provider == "ollama"
    producer.close()
    # the watchdog ends on its own, at its next look
    wait_until(lambda: threading.active_count() == before)


def test_a_request_without_an_attempt_is_refused(producer: Producer) -> None:
    with pytest.raises(ValueError, match="max_attempts is 0"):
        Router(producer).call(None, {"a": answer}, max_attempts=0)


def test_nobody_to_ask_survives_a_journey_between_processes_and_is_no_providers_fault() -> None:
    error = pickle.loads(pickle.dumps(NoProviderAvailable(7.5, {"claude": "open"})))  # noqa: S301

    assert (error.retry_after_seconds, error.reasons) == (7.5, {"claude": "open"})
    verdict = classify_call("error", type(error).__name__, None, None, 0.1, settings=CircuitSettings())
    assert verdict.outcome == "neutral"


class ContextWindowExceededError(Exception):
    pass


class HostileError(Exception):
    @property
    def code(self) -> str:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError


def make_error(**fields: object) -> Exception:
    error = APIError(400)
    for name, value in fields.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize(
    ("error", "error_type", "expected"),
    [
        (ValueError("x"), "context_length_exceeded", "context_exceeded"),
        (ContextWindowExceededError(), None, "context_exceeded"),
        (make_error(code="context_length_exceeded"), "BadRequestError", "context_exceeded"),
        (make_error(body={"error": {"code": "model_not_found"}}), "NotFoundError", "no_model"),
        (make_error(body={"code": "model_not_found"}), "NotFoundError", "no_model"),
        (APIError(400, "prompt is too long: 210000 tokens > 200000 maximum"), "APIError", "context_exceeded"),
        (APIError(400, "This model's maximum context length is 8192 tokens"), "APIError", "context_exceeded"),
        (APIError(404, 'model "llama3" not found, try pulling it first'), "APIError", "no_model"),
        (APIError(404, "The model `x` does not exist"), "APIError", "no_model"),
        (APIError(404, "{'type': 'not_found_error', 'message': 'model: claude-x'}"), "APIError", "no_model"),
        (APIError(404, "the file was not found"), "APIError", None),
        (APIError(400, "messages: roles must alternate"), "APIError", None),
        (make_error(code=5, body="text"), SimpleNamespace(), None),
        (HostileError(), None, None),
    ],
)
def test_errors_that_tell_what_a_provider_lacks_are_known(
    error: Exception, error_type: object, expected: str | None
) -> None:
    assert find_shortfall(error, error_type) == expected
