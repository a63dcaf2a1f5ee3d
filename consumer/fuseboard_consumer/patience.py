"""How long a consumer lets a statement take: seconds, but longer for a database that is slow. Pure."""

from typing import Final

FIRST_SECONDS: Final = 5.0
MAX_SECONDS: Final = 60.0
# of a batch that took this long, none of the next ones is stopped
MARGIN: Final = 3.0


class Patience:
    """Begins short, so that a server that hangs is left soon; a batch that is slow gets done all the same."""

    def __init__(self) -> None:
        self.seconds = FIRST_SECONDS

    def note_timeout(self) -> None:
        """Allow twice as long: a batch that was stopped may be one that needs it."""
        self.seconds = min(self.seconds * 2, MAX_SECONDS)

    def note_done(self, took_seconds: float) -> None:
        """Go by how long a batch took."""
        self.seconds = min(max(FIRST_SECONDS, took_seconds * MARGIN), MAX_SECONDS)
