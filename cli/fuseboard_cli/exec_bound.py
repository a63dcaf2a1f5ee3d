"""Run a program that dies with its parent: `python exec_bound.py [--as-nobody] PARENT_PID SIGNAL PROGRAM ARG...`.

It runs by its path with `python -I -S`, before any package can be imported, so it needs the standard library only.
"""

import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
CLONE_NEWUSER: Final = 0x10000000


def bind_to_parent(parent_pid: int, signal_number: int) -> None:
    """Ask Linux to send this process `signal_number` when the thread that started it ends; elsewhere do nothing."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:
        # the parent ended before the request, so no signal will come
        os.kill(os.getpid(), signal_number)


def become_nobody() -> None:
    """Enter a user namespace in which root is `nobody` and root's files are nobody's; nothing on disk changes.

    Raises OSError where the system forbids user namespaces.
    """
    nobody = pwd.getpwnam("nobody")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are forbidden here")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{nobody.pw_uid} 0 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{nobody.pw_gid} 0 1", encoding="ascii")


def main(arguments: list[str]) -> None:
    """Replace this process by the program."""
    if arguments[0] == "--as-nobody":
        become_nobody()
        arguments = arguments[1:]
    parent_pid, signal_number, *command = arguments
    # SIG_IGN outlives exec, and a server must hear its stop signal
    signal.signal(int(signal_number), signal.SIG_DFL)
    bind_to_parent(int(parent_pid), int(signal_number))
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
