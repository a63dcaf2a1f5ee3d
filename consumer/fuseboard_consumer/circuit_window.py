"""What a circuit remembers of the calls of its epoch: a value of bounded size, stored as JSON. Pure.

The rates need how many calls of each kind lie in the window. While it holds up to EXACT_MAX_CALLS every time is a cell
of its own; beyond, calls are counted by the second, and a second leaves the window when its start does. So coarsening
changes one thing: failure_rate and slow_rate are taken over the calls of the last window_s seconds without those, if
any, that share the window's first second with its edge; min_calls counts the same calls. Folding one event after the
other gives the same coarse window whatever the batches are, but another order of the same events may coarsen
differently at that edge: P2 and P3 hold then for the window as coarsened.

The other rules are exact at any size, because they need only the newest of something, which does not depend on order:
of failures, consecutive_failures; of fatal ones, fatal_threshold; and the min_reporters workers that called, failed
or were slow last, because more of them change no quorum. A change of settings reaches back only to what was kept.
"""

from typing import Any, Final, NamedTuple

EXACT_MAX_CALLS: Final = 300

# when it was (seconds since 1970) and its id: the order of events
Moment = tuple[float, str]
# when it was, and how many calls, failures and slow calls there were
Cell = tuple[float, int, int, int]
# a worker and when it last called
Reporter = tuple[str, float, str]


class Window(NamedTuple):
    """The window as stored; sequences are sorted by time."""

    newest_at: float | None = None
    cells: tuple[Cell, ...] = ()
    last_success: Moment | None = None
    last_not_fatal: Moment | None = None
    failures_since: tuple[Moment, ...] = ()
    fatals_since: tuple[Moment, ...] = ()
    callers: tuple[Reporter, ...] = ()
    failed_callers: tuple[Reporter, ...] = ()
    slow_callers: tuple[Reporter, ...] = ()
    good_probes: int = 0


EMPTY_WINDOW: Final = Window()


def dump_window(window: Window) -> dict[str, Any]:
    """Lay a window out for JSON, without what is empty."""
    return {name: value for name, value in window._asdict().items() if value != getattr(EMPTY_WINDOW, name)}


def load_window(stored: dict[str, Any]) -> Window:
    """Read what dump_window laid out; raises TypeError for a part that a window does not have."""
    return Window(**{name: _freeze(value) for name, value in stored.items()})


def _freeze(value: Any) -> Any:  # noqa: ANN401 - any part of a window
    return tuple(_freeze(item) for item in value) if isinstance(value, list | tuple) else value
