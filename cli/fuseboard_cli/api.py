"""`fuseboard api`: the HTTP API and the dashboard."""

from typing import Annotated

import typer

from fuseboard_cli.listener import HOST, PORT, take_listener
from fuseboard_cli.logs import setup_logging
from fuseboard_cli.processes import follow_parent
from fuseboard_cli.servers import use_servers


def api(
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 is every one of this machine.")] = HOST,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen at.")] = PORT,
    fd: Annotated[int | None, typer.Option(hidden=True, help="A socket that listens already, instead.")] = None,
) -> None:
    """Serve the HTTP API and the dashboard until Ctrl-C or SIGTERM."""
    follow_parent()
    with use_servers() as settings:
        setup_logging(settings.log_level)
        # takes a second, which no other command is to wait for
        from fuseboard_cli.api_server import serve  # noqa: PLC0415 - see above

        serve(settings, host, port, None if fd is None else take_listener(fd))
