import pytest

from fuseboard_schema.circuit_projection import (
    Admitted,
    Lease,
    Projected,
    decide_admission,
    merge_projection,
)

OPEN = Projected(7, "open", 4, open_until=100.0)
LIVE = [Lease(4, "a", 150.0), Lease(4, "b", 150.0)]


@pytest.mark.parametrize(
    ("circuit", "leases", "now", "heartbeat_at", "expected"),
    [
        (None, [], 90.0, None, Admitted("normal", "no_state")),
        (OPEN._replace(override="forced_open"), [], 200.0, None, Admitted(None, "forced_open", 4)),
        (OPEN._replace(override="disabled", throttle_until=999.0), [], 90.0, None, Admitted("normal", "disabled", 4)),
        (OPEN._replace(throttle_until=130.0), [], 120.0, None, Admitted(None, "throttled", 4, 10.0)),
        (Projected(1), [], 120.0, None, Admitted("normal", "closed", 1)),
        (Projected(1, throttle_until=130.0), [], 130.0, None, Admitted("normal", "closed", 1)),
        (OPEN, [], 90.0, None, Admitted(None, "open", 4, 10.0)),
        # dead consumers do not shorten what is open, but half-open would never end
        (OPEN, [], 90.0, 10.0, Admitted(None, "open", 4, 10.0)),
        (OPEN, [], 110.5, 100.0, Admitted("normal", "pipeline_dead", 4)),
        (OPEN, [], 110.0, 100.0, Admitted("probe", "half_open", 4)),
        (OPEN, LIVE, 100.0, None, Admitted(None, "probes_busy", 4)),
        (OPEN, LIVE[:1], 100.0, None, Admitted("probe", "half_open", 4)),
        # expired, and of another epoch
        (OPEN, [*LIVE[:1], Lease(4, "c", 100.0), Lease(3, "d", 900.0)], 100.0, None, Admitted("probe", "half_open", 4)),
    ],
)
def test_admission_follows_the_table(
    circuit: Projected | None, leases: list[Lease], now: float, heartbeat_at: float | None, expected: Admitted
) -> None:
    assert decide_admission(circuit, leases, now, max_probes=2, heartbeat_at=heartbeat_at) == expected


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
    assert merge_projection(stored, Projected(8), throttle_was_reset=True) == Projected(8)
