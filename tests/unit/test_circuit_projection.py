import pytest

from fuseboard_schema.circuit_projection import (
    Grant,
    Lease,
    Projected,
    decide_admission,
    merge_hint,
    merge_projection,
)

OPEN = Projected(7, "open", 4, open_until=100.0)
LIVE = [Lease(4, "a", 150.0), Lease(4, "b", 150.0)]


@pytest.mark.parametrize(
    ("circuit", "leases", "now", "heartbeat_at", "expected"),
    [
        (None, [], 90.0, None, Grant("normal", "no_state")),
        (OPEN._replace(override="forced_open"), [], 200.0, None, Grant(None, "forced_open", 4)),
        (OPEN._replace(override="disabled", throttle_until=999.0), [], 90.0, None, Grant("normal", "disabled", 4)),
        (OPEN._replace(throttle_until=130.0), [], 120.0, None, Grant(None, "throttled", 4, 10.0)),
        (Projected(1), [], 120.0, None, Grant("normal", "closed", 1)),
        (Projected(1, throttle_until=130.0), [], 130.0, None, Grant("normal", "closed", 1)),
        (OPEN, [], 90.0, None, Grant(None, "open", 4, 10.0)),
        # dead consumers do not shorten what is open, but half-open would never end
        (OPEN, [], 90.0, 10.0, Grant(None, "open", 4, 10.0)),
        (OPEN, [], 110.5, 100.0, Grant("normal", "pipeline_dead", 4)),
        (OPEN, [], 110.0, 100.0, Grant("probe", "half_open", 4)),
        (OPEN, LIVE, 100.0, None, Grant(None, "probes_busy", 4)),
        (OPEN, LIVE[:1], 100.0, None, Grant("probe", "half_open", 4)),
        # expired, and of another epoch
        (OPEN, [*LIVE[:1], Lease(4, "c", 100.0), Lease(3, "d", 900.0)], 100.0, None, Grant("probe", "half_open", 4)),
    ],
)
def test_admission_follows_the_table(
    circuit: Projected | None, leases: list[Lease], now: float, heartbeat_at: float | None, expected: Grant
) -> None:
    admitted = decide_admission(circuit, leases, now, lease_id="x", max_probes=2, heartbeat_at=heartbeat_at)

    assert admitted == expected


def test_a_lease_that_is_held_is_granted_again() -> None:
    assert decide_admission(OPEN, LIVE, 100.0, lease_id="b", max_probes=2) == Grant("probe", "half_open", 4)


@pytest.mark.parametrize(
    ("hint_until", "expected"),
    [
        (None, Grant("normal", "closed", 1)),
        (100.0, Grant("normal", "closed", 1)),
        (107.0, Grant(None, "throttled", 1, 7.0)),
        # further ahead than anybody can have been told
        (3701.0, Grant("normal", "closed", 1)),
    ],
)
def test_a_hint_holds_like_a_throttle(hint_until: float | None, expected: Grant) -> None:
    assert decide_admission(Projected(1), [], 100.0, lease_id="x", max_probes=2, hint_until=hint_until) == expected


@pytest.mark.parametrize(
    ("known", "retry_after_seconds", "expected"),
    [(None, 5, 105), (103, 5, 105), (107, 5, 107), (107, 99, 160), (None, 0, None), (90, -1, 90), (161, 5, 105)],
)
def test_of_two_hints_the_later_one_holds_up_to_the_cap(
    known: float | None, retry_after_seconds: float, expected: float | None
) -> None:
    assert merge_hint(known, retry_after_seconds, 100, cap_seconds=60) == expected


def test_a_publication_that_is_no_newer_changes_nothing() -> None:
    assert merge_projection(None, OPEN) == OPEN
    assert merge_projection(OPEN, OPEN) is None
    assert merge_projection(OPEN, Projected(6)) is None
    assert merge_projection(OPEN, Projected(8)) == Projected(8)


def test_the_later_deadline_of_a_throttle_stays_unless_it_was_reset() -> None:
    stored, published = Projected(7, throttle_until=90.0), Projected(8, throttle_until=80.0)

    assert merge_projection(stored, published) == Projected(8, throttle_until=90.0)
    assert merge_projection(stored, Projected(8)) == Projected(8, throttle_until=90.0)
    assert merge_projection(Projected(7), published) == published
    assert merge_projection(stored, Projected(8), throttle_reset_revision=8) == Projected(8)
