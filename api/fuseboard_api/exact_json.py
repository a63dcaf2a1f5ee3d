"""JSON in which money keeps every digit and is still a number."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from starlette.responses import Response


class ExactJson(Response):
    """An answer whose decimals are written digit by digit, as no float could hold them."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - any JSON value
        """Encode the whole answer."""
        return encode_json(content).encode()


def encode_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Encode what rows hold: also decimals, times, ids and dataclasses. Raises TypeError for anything else."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    match value:
        case Mapping():
            return f"{{{','.join(f'{json.dumps(str(key))}:{encode_json(item)}' for key, item in value.items())}}}"
        case list() | tuple():
            return f"[{','.join(map(encode_json, value))}]"
        case Decimal():
            return format_number(value)
        case datetime() | date():
            return json.dumps(value.isoformat())
        case UUID():
            return json.dumps(str(value))
        case _:
            return json.dumps(value, allow_nan=False)


def format_number(amount: Decimal) -> str:
    """Format every digit in plain notation, without zeros that say nothing."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
