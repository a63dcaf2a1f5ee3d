"""From inserted events to a provider's circuit: which are folded, what each means, what is to be published."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from circuits import make_calls
from events import make_event
from fuseboard_consumer.circuit import fold_events
from fuseboard_consumer.circuit_changes import CircuitChanges, merge_changes
from fuseboard_consumer.circuit_event import make_circuit_event
from fuseboard_consumer.circuit_fold import group_inserted
from fuseboard_consumer.circuit_state import Circuit, CircuitEvent
from fuseboard_consumer.circuit_window import EMPTY_WINDOW
from fuseboard_consumer.decode import Accepted
from fuseboard_consumer.health import MinuteUsage
from fuseboard_schema.circuit_settings import CircuitSettings
from fuseboard_schema.event import RequestEvent

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def accept(*events: dict[str, Any]) -> Accepted:
    decoded = [RequestEvent.model_validate(event) for event in events]
    return Accepted(decoded, [event.occurred_at.timestamp() for event in decoded], [("0-1", 0)] * len(decoded))


def make_minute(provider: str, inserted: list[RequestEvent], *, all_new: bool = False) -> MinuteUsage:
    ids = None if all_new else [event.event_id for event in inserted]
    times = None if all_new else [event.occurred_at for event in inserted]
    count = len(inserted)
    return MinuteUsage(provider, AT, count, count, 0, Decimal(0), 0, None, None, None, None, ids, times)


def test_new_events_are_grouped_by_provider_in_their_order() -> None:
    accepted = accept(*(make_event(provider=provider, occurred_at=AT) for provider in ("a", "b", "a")))
    first, second, third = accepted.events

    grouped = group_inserted(accepted, [make_minute("a", [first, third], all_new=True), make_minute("b", [second])])

    at = AT.timestamp()
    assert grouped == {"a": [(first, at), (third, at)], "b": [(second, at)]}


def test_of_duplicates_only_what_was_inserted_is_taken_and_each_once() -> None:
    known, new = make_event(occurred_at=AT), make_event(occurred_at=AT)
    yesterday = new | {"occurred_at": (AT - timedelta(days=1)).isoformat()}
    changed = new | {"status": "error"}
    accepted = accept(known, new, changed, yesterday, new)

    grouped = group_inserted(accepted, [make_minute("claude", [accepted.events[1], accepted.events[3]])])

    assert [event for event, _ in grouped["claude"]] == [accepted.events[1], accepted.events[3]]


@pytest.mark.parametrize("slow_ms", [None, 2000.0])
def test_a_success_means_the_same_whether_slowness_is_looked_at_or_not(slow_ms: float | None) -> None:
    event_id = UUID(int=7)
    event = make_event(
        event_id=str(event_id), occurred_at=AT, duration_seconds=1.5, worker_id="w", circuit_epoch=3,
        admission="probe", lease_id="l", retry_after_seconds=9,
    )  # fmt: skip
    bare = make_event(event_id=str(event_id), occurred_at=AT, duration_seconds=None, circuit_epoch=0)
    config, at = CircuitSettings(slow_ms=slow_ms), AT.timestamp()

    made = [make_circuit_event(RequestEvent.model_validate(values), at, config) for values in (event, bare)]

    assert made == [
        CircuitEvent(at, event_id.hex, "success", "w", False, 3, "probe", None, at - 1.5, "l"),
        CircuitEvent(at, event_id.hex, "success", "", False, None, "normal", None, at, None),
    ]


def test_a_rate_is_looked_at_again_when_a_second_of_successes_leaves_the_window_amid_a_run() -> None:
    config = CircuitSettings(window_s=10.5, min_calls=2, consecutive_failures=50)
    circuit = Circuit("claude")
    before = [*make_calls([100.0, 100.1, 100.2, 100.3]), *make_calls([110.0, 110.01, 110.02], "failure")]
    # the fourth from the end is the first without those of second 100
    run = make_calls([110.25, 110.75, 110.8, 110.9, 110.95])
    with patch("fuseboard_consumer.circuit_counts.EXACT_MAX_CALLS", 4):
        _, window, transitions = fold_events(circuit, EMPTY_WINDOW, before, config, 111.0)
        folded = fold_events(circuit, window, run, config, 111.0)

    assert transitions == ()
    assert [(made.reason, made.cause_event_id) for made in folded.transitions] == [("failure_rate", run[1].event_id)]


def test_changes_of_several_commits_add_up() -> None:
    merged = merge_changes([
        CircuitChanges(frozenset("a"), (("a", 1, "x"),)),
        CircuitChanges(),
        CircuitChanges(frozenset("ab"), (("b", 2, "y"),)),
    ])  # fmt: skip

    assert merged == CircuitChanges(frozenset("ab"), (("a", 1, "x"), ("b", 2, "y")))
