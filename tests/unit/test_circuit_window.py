import json

import pytest

from circuits import make_call
from fuseboard_consumer.circuit import fold_event, fold_events
from fuseboard_consumer.circuit_state import Circuit
from fuseboard_consumer.circuit_window import EMPTY_WINDOW, EXACT_MAX_CALLS, Window, dump_window, load_window
from fuseboard_schema.circuit_settings import CircuitSettings


def test_a_window_at_time_nought_survives_its_storage() -> None:
    _, window, _ = fold_event(Circuit("claude"), EMPTY_WINDOW, make_call(0.0, "failure"), CircuitSettings(), 0.0)

    assert load_window(json.loads(json.dumps(dump_window(window)))) == window
    assert window.newest_at == 0.0


def fold_traffic(per_second: int, seconds: int, settings: CircuitSettings) -> tuple[Circuit, Window]:
    """Fold steady traffic of eight workers, one call in ten a failure, a second to a batch."""
    circuit, window = Circuit("claude", epoch_started_at=0.0), EMPTY_WINDOW
    for second in range(seconds):
        events = [
            make_call(
                second + number / per_second,
                "failure" if number % 10 == 0 else "success",
                event_id=f"{second:08d}-{number:023d}",
                worker_id=f"worker-{number % 8}",
            )
            for number in range(per_second)
        ]
        circuit, window, _ = fold_events(circuit, window, events, settings, second + 1.0)
    return circuit, window


def test_a_busy_window_is_counted_by_the_second_and_stays_small() -> None:
    settings = CircuitSettings()

    circuit, window = fold_traffic(per_second=500, seconds=90, settings=settings)

    assert circuit.state == "closed"
    assert [cell[:3] for cell in window.cells] == [(float(second), 500, 50) for second in range(30, 90)]
    assert len(json.dumps(dump_window(window))) < 4_000


def test_a_window_of_a_few_hundred_calls_is_exact() -> None:
    settings = CircuitSettings()

    _, window = fold_traffic(per_second=EXACT_MAX_CALLS // 60, seconds=60, settings=settings)

    assert len(window.cells) == EXACT_MAX_CALLS
    assert len(json.dumps(dump_window(window))) < 12_000


def test_a_busy_circuit_opens_by_its_rate_and_says_with_how_many_calls() -> None:
    settings = CircuitSettings(min_reporters=2, consecutive_failures=100, jitter_ratio=0)
    circuit, window = fold_traffic(per_second=100, seconds=60, settings=settings)
    # a success after each three failures keeps the row short: 6,000 calls with 600 failures become half and half
    calls = [
        make_call(59.995, "failure" if number % 4 else "success", event_id=f"{number:05d}", worker_id=f"{number % 8}")
        for number in range(12_000)
    ]

    (transition,) = fold_events(circuit, window, calls, settings, 61.0).transitions

    assert transition.reason == "failure_rate"
    assert transition.bad / transition.calls == pytest.approx(0.5, abs=0.001)
    assert transition.calls > 6_000
