"""The socket of the dashboard, which listens before anybody is told where: no other user can be there instead."""

import os
import socket
from typing import Final

from fuseboard_cli.command_error import CommandError

HOST: Final = "127.0.0.1"
PORT: Final = 8420


def open_listener(port: int | None) -> socket.socket:
    """Listen at this port, or without one at PORT or else where the system chooses.

    Whoever serves gets the socket itself, also after a crash, so the port is never free in between: a port that is
    found and freed could be taken by another user of this machine, who would then be shown the login link. Raises
    CommandError when the port that was asked for cannot be had.
    """
    try:
        return socket.create_server((HOST, PORT if port is None else port))
    except OSError as error:
        if port is None:
            return socket.create_server((HOST, 0))
        # the error's own text says the address once more
        why = os.strerror(error.errno) if error.errno else str(error)
        raise CommandError(
            f"--port {port} cannot be had ({why}): name another one, or leave --port out to get a free one"
        ) from error


def take_listener(descriptor: int) -> socket.socket:
    """Take over a socket that listens already; raises CommandError where there is none."""
    try:
        listener = socket.socket(fileno=descriptor)
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise CommandError(f"--fd {descriptor} is no socket ({error.strerror})") from error
    if not is_listening:
        listener.detach()
        raise CommandError(f"--fd {descriptor} is a socket that does not listen")
    # what this process starts is not to have it
    listener.set_inheritable(False)
    return listener
