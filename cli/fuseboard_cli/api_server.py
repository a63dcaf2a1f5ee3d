"""The server of the HTTP API; apart, because importing it takes a second that no other command is to wait for."""

import signal
import socket
import sys
from types import FrameType
from typing import Final

import uvicorn

from fuseboard_api.application import create_app
from fuseboard_cli.command_error import CommandError
from fuseboard_schema.settings import Settings
from fuseboard_schema.stopping import arm_exit_backstop

STOP_SECONDS: Final = 3


class Server(uvicorn.Server):
    """Ends in time, also when PostgreSQL or Redis hangs."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        arm_exit_backstop()
        super().handle_exit(sig, frame)


def serve(settings: Settings, host: str, port: int, listener: socket.socket | None = None) -> None:
    """Serve at `listener`, or else at host and port; who looks on at the end is cut off after STOP_SECONDS.

    Raises CommandError where it cannot listen.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # the server raises the signal again once it has ended
        signal.signal(number, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        create_app(settings),
        host=host,
        port=port,
        # this program's own form, and no addresses of callers in it
        log_config=None,
        access_log=False,
        server_header=False,
        # which bounds headers; what else is installed does not
        http="h11",
        ws="none",
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = Server(config)
    try:
        server.run(None if listener is None else [listener])
    except SystemExit as end:
        if end.code and server.lifespan.should_exit:
            raise CommandError("the API could not start: the line before says why") from end
        if end.code:
            raise CommandError(
                f"cannot listen at {host}:{port}: is something else there already? --host and --port name another place"
            ) from end
        raise
