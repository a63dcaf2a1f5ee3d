"""Times as people write them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

from fuseboard_cli.command_error import CommandError

DURATION: Final = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")


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


def parse_duration(text: str) -> timedelta:
    """Parse the value of an option such as 90s, 30m or 1h30m; not nothing."""
    found = DURATION.fullmatch(text)
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0)
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not duration:
        raise typer.BadParameter(f"{text!r} is not a duration such as 30m, 1h30m or 2d")
    return duration
