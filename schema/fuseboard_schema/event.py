"""The event: what a worker says about one LLM call, decoded and bounded once."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Final, Literal, TypedDict
from uuid import UUID

from pydantic import AfterValidator, AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, ValidationInfo

from fuseboard_schema.mending import TEXT_MAX_LENGTH, Mending, mend_metadata, mend_tags, round_cost, write_text
from fuseboard_schema.pricing import EXACT, ZERO

EVENT_VERSION: Final = 1
EARLIEST_OCCURRED_AT: Final = datetime(2020, 1, 1, tzinfo=UTC)
TAGS_MAX_ITEMS: Final = 16
TAG_KEY_MAX_LENGTH: Final = 64
METADATA_MAX_ITEMS: Final = 32

RequestStatus = Literal["success", "error", "timeout", "rate_limited", "cancelled"]
UsageSource = Literal["provider", "estimated", "partial"]
Admission = Literal["normal", "probe", "panic"]


def _check_inside_prompt(tokens: int | None, info: ValidationInfo) -> int | None:
    """Refuse cache tokens that exceed the prompt tokens they are part of."""
    prompt = info.data.get("prompt_tokens")
    if tokens is not None and prompt is not None:
        others = (info.data.get("cache_read_tokens"), info.data.get("cache_write_tokens"))
        if tokens + sum(count or 0 for count in others) > prompt:
            raise ValueError(
                f"cache tokens exceed prompt_tokens ({prompt}): prompt_tokens must include cache reads and writes"
            )
    return tokens


def _check_inside_completion(tokens: int | None, info: ValidationInfo) -> int | None:
    """Refuse reasoning tokens that exceed the completion tokens they are part of."""
    completion = info.data.get("completion_tokens")
    if tokens is not None and completion is not None and tokens > completion:
        raise ValueError(f"exceeds completion_tokens ({completion}): completion_tokens must include reasoning tokens")
    return tokens


def _strip_zeros(cost: Decimal) -> Decimal:
    """Drop trailing zeros, which every sum that the cost is part of would carry along, and the sign of zero."""
    return EXACT.normalize(cost) if cost else ZERO


# PostgreSQL's text holds every character but NUL
NO_NUL: Final = r"^[^\x00]*$"
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=NO_NUL)]
Text = Annotated[str, Field(min_length=1, max_length=256, pattern=NO_NUL)]
ShortText = Annotated[str, Field(max_length=TEXT_MAX_LENGTH, pattern=NO_NUL)]
# numbers and UUIDs are written as text
Identifier = Annotated[Text, Mending(write_text)]
Tokens = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
CacheTokens = Annotated[Tokens | None, AfterValidator(_check_inside_prompt)]
Cost = Annotated[
    Decimal,
    Field(ge=0, lt=1_000_000_000, decimal_places=18, allow_inf_nan=False),
    AfterValidator(_strip_zeros),
    Mending(round_cost),
]
Seconds = Annotated[float | None, Field(ge=0, le=31_536_000, allow_inf_nan=False)]
TagKey = Annotated[str, Field(min_length=1, max_length=TAG_KEY_MAX_LENGTH, pattern=NO_NUL)]
MetadataValue = (
    ShortText
    | Annotated[int, Field(ge=-(2**63), lt=2**63)]
    | Annotated[float, Field(allow_inf_nan=False)]
    | bool
    | None
)
Tags = Annotated[
    dict[TagKey, ShortText],
    Field(max_length=TAGS_MAX_ITEMS),
    Mending(lambda tags: mend_tags(tags, TAGS_MAX_ITEMS)),
]
Metadata = Annotated[dict[TagKey, MetadataValue], Field(max_length=METADATA_MAX_ITEMS), Mending(mend_metadata)]


class RequestEvent(BaseModel):
    """One attempt at one provider.

    Token counts follow the OpenTelemetry GenAI convention: prompt_tokens includes cache reads and writes,
    completion_tokens includes reasoning. A count that is not known is None, never 0. Money is Decimal USD,
    times are aware, durations are seconds. Unknown fields are refused; the names that version 0 used
    (provider_name, model_name, timestamp) and OpenTelemetry's (input_tokens, output_tokens) are accepted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[0, 1] = EVENT_VERSION
    """Of this contract; a consumer accepts the one before as well."""
    event_id: UUID
    """UUIDv7 made by the producer, one per attempt: what makes sending an event twice harmless."""
    request_id: Identifier | None = None
    """The same for all attempts of one logical request."""
    attempt: Annotated[int, Field(ge=1, le=1000)] = 1
    """Which attempt of the request this is, from 1."""
    occurred_at: Annotated[
        AwareDatetime, Field(ge=EARLIEST_OCCURRED_AT, validation_alias=AliasChoices("occurred_at", "timestamp"))
    ]
    """End of the call, with its offset from UTC; from 2020 on and no more than a day ahead."""
    provider: Annotated[Name, Field(validation_alias=AliasChoices("provider", "provider_name"))]
    """Who was called, e.g. claude; one not known yet is registered."""
    model: Annotated[Text, Field(validation_alias=AliasChoices("model", "model_name"))]
    """The model that answered, as billed."""
    requested_model: Text | None = None
    """The model that was asked for, where another one answered."""
    status: RequestStatus
    """How the call ended."""
    error_type: Text | None = None
    """Class of the error, e.g. the exception's name; no message."""
    http_status: Annotated[int, Field(ge=100, le=599)] | None = None
    """The provider's HTTP status."""
    retry_after_seconds: Seconds = None
    """What the provider's Retry-After asked for, in seconds."""
    prompt_tokens: Tokens | None = Field(None, validation_alias=AliasChoices("prompt_tokens", "input_tokens"))
    """Input tokens including cache reads and cache writes; left out when not known, never 0 for that."""
    completion_tokens: Tokens | None = Field(None, validation_alias=AliasChoices("completion_tokens", "output_tokens"))
    """Output tokens including reasoning; left out when not known, never 0 for that."""
    cache_read_tokens: CacheTokens = None
    """The part of prompt_tokens that was read from the provider's cache."""
    cache_write_tokens: CacheTokens = None
    """The part of prompt_tokens that was written to the provider's cache for the usual few minutes."""
    cache_write_1h_tokens: CacheTokens = None
    """The part of prompt_tokens that was written to the provider's cache for an hour; not in cache_write_tokens."""
    reasoning_tokens: Annotated[Tokens | None, AfterValidator(_check_inside_completion)] = None
    """The part of completion_tokens that was reasoning."""
    total_tokens: Tokens | None = None
    """The provider's own total, to be compared with the parts; nothing is priced by it."""
    web_searches: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Searches that the provider made and charges by call."""
    usage_source: UsageSource = "provider"
    """Who counted the tokens: the provider, an estimate, or the part of a broken stream that arrived."""
    service_tier: Name = "standard"
    """The tier that was billed, e.g. batch; default and auto mean standard."""
    duration_seconds: Seconds = None
    """From the call to its end, in seconds."""
    time_to_first_token_seconds: Seconds = None
    """From the call to the first token, in seconds."""
    is_fallback: bool = False
    """Whether another provider should have served the request."""
    original_provider: Name | None = None
    """The provider that should have served a fallback."""
    cost_usd: Cost | None = None
    """The real charge in USD, only where the caller knows it; best as a string. It is then the cost. Rounded to 18
    decimals, half to even."""
    worker_id: Identifier | None = None
    """Which worker made the call."""
    circuit_epoch: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = None
    """Epoch of the circuit that the worker saw when it chose the provider."""
    admission: Admission | None = None
    """How the circuit let the call through."""
    lease_id: Name | None = None
    """The lease of a probe."""
    tags: Tags | None = None
    """What costs are grouped by: team, feature, tenant. Values are text: numbers, truth values and the like are written
    as such (42, 0.5, true), null is left out, 257 characters or more are cut; of more than 16 tags 15 are kept, beside
    tags_left_out."""
    metadata: Metadata | None = None
    """Anything else, flat and small; no prompts, completions or keys."""


class RequestFields(TypedDict, total=False):
    """The optional keywords of `Producer.record`, as a type checker and an editor see them."""

    event_id: UUID | str
    request_id: str | int | UUID | None
    attempt: int
    occurred_at: datetime
    requested_model: str | None
    error_type: str | None
    http_status: int | None
    retry_after_seconds: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    reasoning_tokens: int | None
    total_tokens: int | None
    web_searches: int | None
    usage_source: UsageSource
    service_tier: str
    duration_seconds: float | None
    time_to_first_token_seconds: float | None
    is_fallback: bool
    original_provider: str | None
    cost_usd: Decimal | str | float | None
    worker_id: str | int | UUID | None
    circuit_epoch: int | None
    admission: Admission | None
    lease_id: str | None
    tags: Mapping[str, str | float | bool | Decimal | UUID | Enum | None] | None
    metadata: Mapping[str, str | float | bool | Decimal | UUID | Enum | None] | None
