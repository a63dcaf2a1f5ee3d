"""Values that mean one thing in another form than the event's contract has: brought into it, not refused. Pure."""

import math
from collections.abc import Callable, Iterable
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final
from uuid import UUID

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

COST_SCALE: Final = Decimal(1).scaleb(-18)
TEXT_MAX_LENGTH: Final = 256
LEFT_OUT: Final = "tags_left_out"
NUMBER_MAX_CHARACTERS: Final = 1024
# beyond it a number written without exponent would be too long to be told from others
EXPONENT_MAX: Final = 64
# the branches of the union; only the second one's errors are shown
AS_GIVEN: Final = "as given"
MENDED: Final = "mended"
ROUNDING: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


class Mending:
    """Annotate a field with what is tried on a value that its type refuses; costs nothing where it does not."""

    def __init__(self, mend: Callable[[Any], Any]) -> None:
        self._mend = mend

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 - as pydantic has it
        """Try the type as it is, and then on the mended value."""
        inner = handler(source)
        mended = core_schema.no_info_before_validator_function(self._mend, inner)
        return core_schema.union_schema([(inner, AS_GIVEN), (mended, MENDED)], mode="left_to_right")


def locate_error(place: Iterable[int | str]) -> str | None:
    """Write where an error is as names and a dot between; None for one that was tried again on a mended value."""
    parts = list(place)
    return None if AS_GIVEN in parts else ".".join(str(part) for part in parts if part != MENDED)


def round_cost(value: Any) -> Any:  # noqa: ANN401 - whatever was given
    """Round to 18 decimals, half to even; what is no number stays as it is."""
    if isinstance(value, str) and len(value) > NUMBER_MAX_CHARACTERS:
        return value
    try:
        number = Decimal(str(value)) if isinstance(value, str | float) else value
        return number.quantize(COST_SCALE, context=ROUNDING) if isinstance(number, Decimal) else value
    except InvalidOperation:
        return value


def write_text(value: Any) -> Any:  # noqa: ANN401 - whatever was given
    """Write a scalar as text: true and false, a number without exponent or needless zeros, dates by ISO 8601.

    What is no scalar stays as it is.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | UUID):
        return str(value)
    if isinstance(value, float | Decimal):
        return _write_number(Decimal(str(value)))
    return value.isoformat() if isinstance(value, date) else value


def mend_tags(tags: Any, max_items: int) -> Any:  # noqa: ANN401 - whatever was given
    """Write values as text and cut them; leave out unknown ones, and the last ones where there are too many.

    A tag `tags_left_out` then says so.
    """
    if not isinstance(tags, dict):
        return tags
    mended = {key: _cut_text(write_text(value)) for key, value in tags.items() if not _is_unknown(value)}
    if len(mended) > max_items:
        kept = list(mended.items())[: max_items - 1]
        return {**dict(kept), LEFT_OUT: "true"}
    return mended


def mend_metadata(metadata: Any) -> Any:  # noqa: ANN401 - whatever was given
    """Write what is neither text, number, truth value nor null as text; what is too long, maybe a prompt, stays so."""
    if not isinstance(metadata, dict):
        return metadata
    return {key: None if _is_unknown(value) else _mend_value(value) for key, value in metadata.items()}


def _is_unknown(value: object) -> bool:
    """Tell null and NaN, which stands for it in data frames."""
    return value is None or (isinstance(value, float | Decimal) and math.isnan(value))


def _cut_text(value: Any) -> Any:  # noqa: ANN401 - whatever was given
    """Cut a text to what a tag holds; an ellipsis at its end says so."""
    if isinstance(value, str) and len(value) > TEXT_MAX_LENGTH:
        return value[: TEXT_MAX_LENGTH - 1] + "…"
    return value


def _mend_value(value: Any) -> Any:  # noqa: ANN401 - whatever was given
    is_number = isinstance(value, bool | float) or (isinstance(value, int) and -(2**63) <= value < 2**63)
    return value if is_number and not isinstance(value, Enum) else write_text(value)


def _write_number(number: Decimal) -> Any:  # noqa: ANN401 - text, or what is refused
    if not number.is_finite():
        return number
    if abs(number.adjusted()) > EXPONENT_MAX:
        return str(number)
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
