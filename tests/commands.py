"""Commands run inside the test's process, on the test's own database and namespace."""

import json
from collections.abc import Callable
from typing import Any

from redis import Redis
from typer.testing import CliRunner, Result

from consumers import drain_all
from events import add_entry
from fuseboard_cli.application import app
from fuseboard_schema.settings import Settings

RunCommand = Callable[..., Result]


def run_command(settings: Settings, *arguments: str, code: int = 0) -> Result:
    """Run a command, which must end with this exit code and without an exception."""
    environment = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "FUSEBOARD_NAMESPACE": settings.namespace,
    }
    result = CliRunner().invoke(app, list(arguments), env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def run_json(settings: Settings, *arguments: str, code: int = 0) -> Any:  # noqa: ANN401 - any JSON document
    """Run a command with --json; nothing but the document may be on standard output."""
    return json.loads(run_command(settings, *arguments, "--json", code=code).stdout)


def store_events(redis: Redis, settings: Settings, events: list[dict[str, Any]] | str) -> None:
    """Bring events through the stream into the database."""
    add_entry(redis, settings.namespace, events)
    drain_all(redis, settings)
