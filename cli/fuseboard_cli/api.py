"""`fuseboard api`: the HTTP API and the dashboard."""

from typing import Annotated, Final

import typer

from fuseboard_cli.logs import setup_logging
from fuseboard_cli.processes import follow_parent
from fuseboard_cli.servers import use_servers

HOST: Final = "127.0.0.1"
PORT: Final = 8420

Port = Annotated[int, typer.Option(min=1, max=65_535, help="Where the HTTP API listens.")]


def api(
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 is every one of this machine.")] = HOST,
    port: Port = PORT,
) -> None:
    """Serve the HTTP API and the dashboard until Ctrl-C or SIGTERM."""
    follow_parent()
    with use_servers() as settings:
        setup_logging(settings.log_level)
        # takes a second, which no other command is to wait for
        from fuseboard_cli.api_server import serve  # noqa: PLC0415 - see above

        serve(settings, host, port)
