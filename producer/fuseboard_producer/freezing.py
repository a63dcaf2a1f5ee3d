"""Making a caller's arguments small and final: the buffer stays bounded, and nobody alters an event later."""

import operator
import reprlib
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from types import NoneType
from typing import Any, Final
from uuid import UUID

from fuseboard_schema.event import METADATA_MAX_ITEMS, TAGS_MAX_ITEMS

SCALARS: Final = (int, float, bool, NoneType, Decimal, datetime, UUID)
PLAIN: Final = frozenset(SCALARS)
CONTAINERS: Final = (list, tuple, set, frozenset, deque, bytes, bytearray, dict)
# all above what an event can hold, so that what is cut is refused as too long and not silently shortened
TEXT_MAX_CHARACTERS: Final = 1024
FIELDS_MAX_ITEMS: Final = 64
MAP_MAX_ITEMS: Final = max(TAGS_MAX_ITEMS, METADATA_MAX_ITEMS) + 1


@dataclass(frozen=True, slots=True)
class Foreign:
    """What stands for an object that no event can hold: its text, of a type that no field accepts."""

    text: str

    def __str__(self) -> str:
        return self.text


def freeze_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Replace in place what is not a plain value of bounded size; microseconds for an event as it should be."""
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            if len(value) > TEXT_MAX_CHARACTERS:
                fields[name] = value[:TEXT_MAX_CHARACTERS]
        elif kind not in PLAIN:
            fields[name] = _freeze_object(value)
    if len(fields) > FIELDS_MAX_ITEMS:
        return dict(islice(fields.items(), FIELDS_MAX_ITEMS))
    return fields


def _freeze_object(value: Any) -> Any:  # noqa: ANN401 - whatever a caller passes
    try:
        return _freeze_map(dict(value)) if isinstance(value, dict) else _freeze_value(value)
    except Exception:  # noqa: BLE001 - foreign code, which must not stop the caller
        return Foreign(f"<unprintable {type(value).__name__}>"[:TEXT_MAX_CHARACTERS])


def _freeze_map(copy: dict[Any, Any]) -> dict[str, Any]:
    for key, item in copy.items():
        if type(key) is not str or type(item) is not str or len(key) + len(item) > TEXT_MAX_CHARACTERS:
            break
    else:
        if len(copy) <= MAP_MAX_ITEMS:
            return copy
    items = islice(copy.items(), MAP_MAX_ITEMS)
    return {str(_freeze_value(key)): _freeze_value(item) for key, item in items}


def _freeze_value(value: Any) -> Any:  # noqa: ANN401 - whatever a caller passes
    if isinstance(value, str):
        # an enumeration's member is its text
        return str.__str__(value)[:TEXT_MAX_CHARACTERS]
    if isinstance(value, Enum):
        return _freeze_value(value.value)
    return value if isinstance(value, SCALARS) else _freeze_foreign(value)


def _freeze_foreign(value: Any) -> Any:  # noqa: ANN401 - whatever a caller passes
    # all durations of an event are in seconds
    if isinstance(value, timedelta):
        return value.total_seconds()
    # numpy's scalars, its truth values among them
    if hasattr(value, "dtype") and getattr(value, "shape", None) == ():
        return _freeze_value(value.item())
    # other libraries' numbers
    if hasattr(value, "__index__"):
        return operator.index(value)
    if hasattr(value, "__float__"):
        return float(value)
    text = reprlib.repr(value) if isinstance(value, CONTAINERS) else str(value)
    return Foreign(text[:TEXT_MAX_CHARACTERS])
