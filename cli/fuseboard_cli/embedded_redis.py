"""The embedded Redis-compatible server: its data directory and its settings."""

import signal
from pathlib import Path
from urllib.parse import quote

from fuseboard_cli.embedded_binaries import find_redis
from fuseboard_cli.embedded_identity import bind_command
from fuseboard_cli.embedded_server import ServerPlan


def plan_redis(root: Path, sockets: Path) -> ServerPlan:
    """Make the data directory where it is missing and say how to run Valkey on it.

    Raises EmbeddedError when neither Valkey nor Redis is here.
    """
    data, socket = root / "valkey", sockets / "valkey.sock"
    data.mkdir(mode=0o700, exist_ok=True)
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        # the stream is the queue: what was acknowledged must outlive the process. With "everysec" Redis may answer
        # up to two seconds before it writes, so that even a killed process loses entries
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return ServerPlan(
        name="valkey",
        command=[*bind_command(signal.SIGTERM), str(find_redis()), *options],
        socket=socket,
        greeting=b"PING\r\n",
        answer=b"+PONG",
        stop_signal=signal.SIGTERM,
    )


def make_redis_url(plan: ServerPlan) -> str:
    """Make the URL of database 0."""
    return f"unix://{quote(str(plan.socket))}?db=0"
