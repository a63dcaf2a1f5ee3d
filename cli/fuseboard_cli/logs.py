"""Logging of the long-running commands."""

import logging
from datetime import UTC, datetime
from typing import Final

from fuseboard_cli.secrets import mask_secrets

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
# libraries that tell their every step; they set the levels of their loggers themselves
CHATTY: Final = ("apscheduler.", "rq.")


class LineFormatter(logging.Formatter):
    """One line per record, a traceback included, with the time in UTC."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """Format the time in UTC, to the millisecond."""
        del datefmt
        return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, without any password; what would begin a new line is shown as such."""
        return mask_secrets(super().format(record)).replace("\r", "\\r").replace("\n", "\\n")


def setup_logging(level: str) -> None:
    """Log from `level` on to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(FORMAT))
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or not record.name.startswith(CHATTY))
    logging.basicConfig(level=level, handlers=[handler], force=True)
