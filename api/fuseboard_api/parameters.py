"""Parameters that several endpoints take, and their bounds."""

from typing import Annotated, Final

from fastapi import Path, Query

DAYS_MAX: Final = 365
DAYS_DEFAULT: Final = 30
HOURS_MAX: Final = 24 * 14
HOURS_DEFAULT: Final = 48
NAME_MAX_LENGTH: Final = 128
# PostgreSQL's text holds every character but NUL
NO_NUL: Final = r"^[^\x00]*$"

Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="The last days, today among them.")]
Hours = Annotated[int, Query(ge=1, le=HOURS_MAX, description="The last hours, this one among them.")]
ProviderPath = Annotated[
    str,
    Path(
        min_length=1, max_length=NAME_MAX_LENGTH, pattern=NO_NUL,
        description="The provider's name, which is its id.",
    ),
]  # fmt: skip
ProviderQuery = Annotated[
    str | None,
    Query(
        min_length=1, max_length=NAME_MAX_LENGTH, pattern=NO_NUL,
        description="The provider's name, which is its id; all where left out.",
    ),
]  # fmt: skip
