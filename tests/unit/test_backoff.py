"""How long a crashed child waits for its next start."""

from fuseboard_cli.processes import Child, note_exit


def test_the_pause_doubles_up_to_a_bound_while_a_child_keeps_crashing() -> None:
    child = Child("consumer", [])
    pauses = []
    for _ in range(7):
        note_exit(child, 1, now=1.0)
        pauses.append(child.backoff_seconds)

    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert child.start_due_at == 16.0


def test_the_pause_is_short_again_after_a_minute_of_life() -> None:
    child = Child("consumer", [], backoff_seconds=15.0, started_at=100.0)
    note_exit(child, 1, now=160.0)

    assert child.backoff_seconds == 0.5
