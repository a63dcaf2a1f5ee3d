"""Where processes begin and end: a forked child starts with nothing, an exit leaves nothing behind."""

import atexit
import os
import time
from typing import Final, NoReturn, Protocol
from weakref import WeakValueDictionary

AT_EXIT_SECONDS: Final = 5.0
OS_EXIT_SECONDS: Final = 2.0


class Settling(Protocol):
    """What is told of forks and exits."""

    def reset(self) -> None:
        """Start anew: this is a forked child."""

    def settle(self, timeout_seconds: float) -> bool:
        """Bring what is in memory to safety: this process ends."""


# weak: what is told must not be kept alive by that
_told: Final[WeakValueDictionary[int, Settling]] = WeakValueDictionary()
_exit_at_once: Final = os._exit


def tell_of_forks_and_exits(settling: Settling) -> None:
    """Reset it in every forked child, settle it before the interpreter ends."""
    _told[id(settling)] = settling


def guard_os_exit() -> None:
    """Settle before `os._exit` as well: forked children end that way, and atexit is not run then.

    Done by the first event of a process, for good. RQ, multiprocessing and billiard all look `os._exit` up when they
    call it. See docs/decisions/0002-forked-children-flush-at-os-exit.md.
    """
    if os._exit is _exit_at_once:
        os._exit = _settle_and_exit


def _settle_and_exit(status: int) -> NoReturn:
    try:
        _settle_all(OS_EXIT_SECONDS)
    finally:
        _exit_at_once(status)


def _settle_all(timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    for settling in _list_told():
        settling.settle(max(deadline - time.monotonic(), 0.0))


def _reset_all() -> None:
    for settling in _list_told():
        settling.reset()


def _list_told() -> list[Settling]:
    # `valuerefs` copies in one step: another thread may be making a producer
    return [settling for reference in _told.valuerefs() if (settling := reference()) is not None]


atexit.register(_settle_all, AT_EXIT_SECONDS)
os.register_at_fork(after_in_child=_reset_all)
