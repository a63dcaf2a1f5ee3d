"""What a provider offers, as the command line checks and changes it."""

import json
import math
from typing import Annotated, Any, Final, NamedTuple

import typer
from psycopg import Connection
from psycopg.rows import TupleRow, scalar_row
from psycopg.types.json import Jsonb
from pydantic import Field, TypeAdapter, ValidationError

from fuseboard_consumer.projection_rows import ModelPart
from fuseboard_schema.sql import load_sql
from fuseboard_schema.validation import describe_validation_error

CLEARABLE: Final = ("weight", "context-tokens", "capabilities", "models")
MODELS: Final = TypeAdapter(dict[Annotated[str, Field(min_length=1, max_length=256)], ModelPart])


class Offer(NamedTuple):
    """What is to be changed of a provider's row: None leaves as it is, what is cleared becomes not known."""

    name: str
    weight: float | None = None
    context_tokens: int | None = None
    capabilities: list[str] | None = None
    models: dict[str, Any] | None = None
    cleared: tuple[str, ...] = ()


def check_models(models: object) -> str:
    """Say what is wrong with llm_providers.models, key by key; empty when nothing is."""
    try:
        MODELS.validate_python(models)
    except ValidationError as error:
        return describe_validation_error(error, "all")
    return ""


def parse_models(text: str) -> dict[str, Any]:
    """Parse the value of an option."""
    try:
        models: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"is not JSON: {error}") from error
    if wrong := check_models(models):
        raise typer.BadParameter(wrong)
    return models


def parse_weight(text: str) -> float:
    """Parse the value of an option."""
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise typer.BadParameter(f"{text!r} is not a number such as 2 or 0.5")
    return weight


def check_capabilities(names: list[str] | None) -> list[str] | None:
    """Check the option's values; none at all is None."""
    if any(not name.strip() or "\x00" in name for name in names or []):
        raise typer.BadParameter("must not be empty")
    return names or None


def check_cleared(names: list[str] | None) -> list[str]:
    """Check the option's values."""
    for name in names or []:
        if name not in CLEARABLE:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(CLEARABLE)}")
    return names or []


def update_provider_offer(connection: Connection[TupleRow], offer: Offer) -> bool:
    """Change what is not None and forget what is cleared; False when there is no such provider."""
    models = None if offer.models is None else Jsonb(offer.models)
    parameters = offer._asdict() | {"models": models, "cleared": list(offer.cleared)}
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(load_sql(__package__, "update_provider_offer"), parameters).fetchone() is not None
