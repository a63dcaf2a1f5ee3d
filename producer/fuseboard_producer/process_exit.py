"""Where processes begin and end: a forked child starts with nothing, an exit leaves nothing behind."""

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn, Protocol
from weakref import WeakValueDictionary

from fuseboard_producer.native import NativeThread

AT_EXIT_SECONDS: Final = 5.0
OS_EXIT_SECONDS: Final = 2.0
TERMINATION_SECONDS: Final = 1.0


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
    guard_termination()


def guard_termination() -> None:
    """Settle before a child of multiprocessing is ended by SIGTERM: so ends each worker of `with Pool() as pool`.

    Only where nobody else has a say in SIGTERM, and no other process: whoever ends those gives them a handler.
    See docs/decisions/0023-children-of-multiprocessing-settle-at-sigterm.md.
    """
    if _is_child_of_multiprocessing() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # in another thread than the main one
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, _settle_and_die)


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


def _settle_and_die(signal_number: int, _frame: object) -> None:
    # a second one ends the process at once
    signal.signal(signal_number, signal.SIG_DFL)
    # in a thread of its own: the code that is interrupted may hold a lock, for ever by now
    settling = NativeThread(lambda: _settle_all(TERMINATION_SECONDS), "fuseboard-end")
    with suppress(RuntimeError):
        settling.start()
        settling.join(TERMINATION_SECONDS * 2)
    os.kill(os.getpid(), signal_number)


def _is_child_of_multiprocessing() -> bool:
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return False
    # one that was spawned imports its main module, and makes producers there, before it has a parent
    return process.parent_process() is not None or hasattr(process.current_process(), "_inheriting")


def _await_multiprocessing() -> None:
    """Have `guard_termination` called once multiprocessing has made this fork one of its children."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(guard_termination, _call)


def _call(function: Callable[[], None]) -> None:
    function()


def _settle_all(timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    for settling in _list_told():
        settling.settle(max(deadline - time.monotonic(), 0.0))


def _reset_all() -> None:
    if _told:
        _await_multiprocessing()
    for settling in _list_told():
        settling.reset()


def _list_told() -> list[Settling]:
    # `valuerefs` copies in one step: another thread may be making a producer
    return [settling for reference in _told.valuerefs() if (settling := reference()) is not None]


atexit.register(_settle_all, AT_EXIT_SECONDS)
os.register_at_fork(after_in_child=_reset_all)
