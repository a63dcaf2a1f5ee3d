"""A window's counts while a batch is folded into it. What they hold, and how exactly, circuit_window says."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from typing import Final

from fuseboard_consumer.circuit_state import Circuit, CircuitEvent
from fuseboard_consumer.circuit_window import EXACT_MAX_CALLS, Cell, Moment, Reporter, Window
from fuseboard_schema.circuit_settings import CircuitSettings

NEVER: Final[Moment] = (float("-inf"), "")


class Counts:
    """A window's counts while events are folded into it."""

    def __init__(self, window: Window, settings: CircuitSettings) -> None:
        self._settings = settings
        self._window_s = settings.window_s
        self.newest_at = NEVER[0] if window.newest_at is None else window.newest_at
        self._times = [cell[0] for cell in window.cells]
        self._cells = {at: list(counts) for at, *counts in window.cells}
        self.calls = sum(calls for _, calls, _, _ in window.cells)
        self.bad = sum(bad for _, _, bad, _ in window.cells)
        self.slow = sum(slow for *_, slow in window.cells)
        self._has_exact_cells = any(at % 1 for at in self._times)
        self._last_success = window.last_success or NEVER
        self._last_not_fatal = window.last_not_fatal or NEVER
        self._failures_since = list(window.failures_since)
        self._fatals_since = list(window.fatals_since)
        self._callers = _index(window.callers)
        self._failed_callers = _index(window.failed_callers)
        self._slow_callers = _index(window.slow_callers)
        self.good_probes = window.good_probes
        # with settings that were changed since
        self._expire()

    def count(self, event: CircuitEvent, at: float) -> None:
        """Count one call of a closed circuit; `at` is when it counts as finished."""
        if at > self.newest_at:
            self.newest_at = at
            if self._times and self._times[0] <= at - self._window_s:
                self._expire()
        moment = (at, event.event_id)
        is_bad = event.outcome != "success"
        if at > self.newest_at - self._window_s:
            self._count_in_cell(at, is_bad=is_bad, is_slow=event.is_slow)
            _note(self._callers, event.worker_id, moment)
        if event.is_slow:
            _note(self._slow_callers, event.worker_id, moment)
        if is_bad:
            _note(self._failed_callers, event.worker_id, moment)
            self._note_failure(moment, is_fatal=event.outcome == "fatal")
        elif moment > self._last_success:
            self._last_success = moment
            self._last_not_fatal = max(self._last_not_fatal, moment)

    def count_successes(self, events: Sequence[CircuitEvent], start: int, circuit: Circuit, oldest: float) -> int:
        """Count plain successes from `start` on as `count` would, but many at once; return where it stopped.

        It stops before an event that is anything else, of another epoch or no newer than `oldest`, and after one with
        which a rate could be broken. No other rule can be broken by a success: it lengthens no row, and lowers a quorum
        only by being the newest call, which ends every row. Only rows that are too long already, for settings that were
        changed, have to be judged after a late success too.
        """
        settings, window_s = self._settings, self._window_s
        epoch, epoch_started_at = circuit.epoch, circuit.epoch_started_at
        has_long_row = (
            self.count_failures_in_a_row() >= settings.consecutive_failures
            or self.count_fatals_in_a_row() >= settings.fatal_threshold
        )
        last_of: dict[str, CircuitEvent] = {}
        second, cell = NEVER[0], [0, 0, 0]
        stop, may_break = start, True
        while stop < len(events):
            event = events[stop]
            at, _, outcome, worker, is_slow, event_epoch, admission, _, started_at, _ = event
            if outcome != "success" or is_slow or admission == "panic" or at <= oldest:
                break
            if (event_epoch != epoch) if event_epoch else (started_at < epoch_started_at):
                break
            if at > self.newest_at:
                self.newest_at = at
                if self._times and self._times[0] <= at - window_s:
                    self._expire()
                    may_break = True
            elif has_long_row:
                break
            if at // 1 == second and self.calls >= EXACT_MAX_CALLS:
                cell[0] += 1
                self.calls += 1
                may_break = may_break or self.calls == settings.min_calls
            elif at > self.newest_at - window_s:
                self._count_in_cell(at, is_bad=False, is_slow=False)
                known = None if self._has_exact_cells else self._cells.get(at // 1)
                second, cell = (NEVER[0], cell) if known is None else (at // 1, known)
                may_break = True
            last_of[worker] = event
            stop += 1
            if may_break and (self.bad or self.slow) and self._may_break_a_rate():
                break
            # from here on each success in the same second only lowers the rates
            may_break = False
        self._note_successes(last_of)
        return stop

    def count_callers(self) -> int:
        """Count the workers that called in the window, up to min_reporters."""
        return self._count_since(self._callers, self.newest_at - self._window_s)

    def count_failed_callers(self) -> int:
        """Count the workers with a failure in the window, up to min_reporters."""
        return self._count_since(self._failed_callers, self.newest_at - self._window_s)

    def count_slow_callers(self) -> int:
        """Count the workers with a slow call in the window, up to min_reporters."""
        return self._count_since(self._slow_callers, self.newest_at - self._window_s)

    def count_failures_in_a_row(self) -> int:
        """Count the failures since the last success, young enough, up to consecutive_failures."""
        return self._count_row(self._failures_since, self._last_success)

    def count_callers_of_row(self) -> int:
        """Count the workers with a failure in that row, up to min_reporters.

        Those whose failures have left the window need not be known: a row that reaches beyond the window holds all of
        the window's callers, which are a quorum.
        """
        oldest = self.newest_at - self._settings.consecutive_max_age_s
        row = [last for last in self._failed_callers.values() if last > self._last_success and last[0] > oldest]
        return min(len(row), self._settings.min_reporters)

    def count_fatals_in_a_row(self) -> int:
        """Count the fatal failures since the last other call, young enough, up to fatal_threshold."""
        return self._count_row(self._fatals_since, self._last_not_fatal)

    def freeze(self) -> Window:
        """Make the window as a value, in the one form that these calls have."""
        if self.newest_at == NEVER[0]:
            return Window(good_probes=self.good_probes)
        rates = self.newest_at - self._window_s
        rows = self.newest_at - self._settings.consecutive_max_age_s
        return Window(
            self.newest_at,
            tuple([self._make_cell(at) for at in self._times]),
            None if self._last_success[0] <= rows else self._last_success,
            None if self._last_not_fatal[0] <= rows else self._last_not_fatal,
            _since(self._failures_since, self._last_success, rows),
            _since(self._fatals_since, self._last_not_fatal, rows),
            self._freeze_callers(self._callers, rates),
            self._freeze_callers(self._failed_callers, rates),
            self._freeze_callers(self._slow_callers, rates),
            self.good_probes,
        )

    def _make_cell(self, at: float) -> Cell:
        calls, bad, slow = self._cells[at]
        return at, calls, bad, slow

    def _may_break_a_rate(self) -> bool:
        settings, calls = self._settings, self.calls
        return calls >= settings.min_calls and (
            self.bad / calls >= settings.failure_rate or self.slow / calls >= settings.slow_rate
        )

    def _note_successes(self, last_of: dict[str, CircuitEvent]) -> None:
        for worker, event in last_of.items():
            moment = (event.finished_at, event.event_id)
            _note(self._callers, worker, moment)
            self._last_success = max(self._last_success, moment)
        self._last_not_fatal = max(self._last_not_fatal, self._last_success)

    def _count_in_cell(self, at: float, *, is_bad: bool, is_slow: bool) -> None:
        if self.calls >= EXACT_MAX_CALLS:
            if self._has_exact_cells:
                self._coarsen()
            at //= 1
            if at <= self.newest_at - self._window_s:
                return
        cell = self._cells.get(at)
        if cell is None:
            cell = self._cells[at] = [0, 0, 0]
            insort(self._times, at)
            self._has_exact_cells = self._has_exact_cells or at % 1 != 0
        cell[0] += 1
        self.calls += 1
        if is_bad:
            cell[1] += 1
            self.bad += 1
        if is_slow:
            cell[2] += 1
            self.slow += 1

    def _coarsen(self) -> None:
        merged: dict[float, list[int]] = {}
        for at in self._times:
            known = merged.get(at // 1, (0, 0, 0))
            merged[at // 1] = [a + b for a, b in zip(known, self._cells[at], strict=True)]
        self._cells, self._times, self._has_exact_cells = merged, list(merged), False
        self._expire()

    def _expire(self) -> None:
        """Forget the cells that the window has left behind."""
        expired = bisect_right(self._times, self.newest_at - self._window_s)
        for at in self._times[:expired]:
            calls, bad, slow = self._cells.pop(at)
            self.calls -= calls
            self.bad -= bad
            self.slow -= slow
        del self._times[:expired]

    def _note_failure(self, moment: Moment, *, is_fatal: bool) -> None:
        insort(self._failures_since, moment)
        del self._failures_since[: -self._settings.consecutive_failures]
        if is_fatal:
            insort(self._fatals_since, moment)
            del self._fatals_since[: -self._settings.fatal_threshold]
        else:
            self._last_not_fatal = max(self._last_not_fatal, moment)

    def _count_row(self, moments: list[Moment], after: Moment) -> int:
        if not moments:
            return 0
        return len(_since(moments, after, self.newest_at - self._settings.consecutive_max_age_s))

    def _count_since(self, callers: dict[str, Moment], edge: float) -> int:
        most, count = self._settings.min_reporters, 0
        for at, _ in callers.values():
            count += at > edge
            if count == most:
                break
        return count

    def _freeze_callers(self, callers: dict[str, Moment], edge: float) -> tuple[Reporter, ...]:
        newest = sorted((last, worker) for worker, last in callers.items() if last[0] > edge)
        return tuple((worker, *last) for last, worker in newest[-self._settings.min_reporters :])


def _index(callers: Iterable[Reporter]) -> dict[str, Moment]:
    return {worker: (at, event_id) for worker, at, event_id in callers}


def _note(callers: dict[str, Moment], worker: str, moment: Moment) -> None:
    if moment > callers.get(worker, NEVER):
        callers[worker] = moment


def _since(moments: list[Moment], after: Moment, edge: float) -> tuple[Moment, ...]:
    return tuple(moment for moment in moments if moment > after and moment[0] > edge)
