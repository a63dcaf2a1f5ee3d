"""Times as people write them."""

from datetime import UTC, datetime

import typer

from fuseboard_cli.command_error import CommandError


def parse_time(text: object, place: str) -> datetime:
    """Parse an ISO 8601 time to UTC; without a zone it is UTC. Raises CommandError that begins with `place`."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
        if at is not None:
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise CommandError(f"{place}: {text!r} is not a time such as 2026-01-31 18:15:46.68")


def parse_instant(text: str) -> datetime:
    """Parse the value of an option."""
    try:
        return parse_time(text, "time")
    except CommandError as error:
        raise typer.BadParameter(str(error)) from error
