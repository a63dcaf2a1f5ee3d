"""What operators change: whether a provider is used, and its circuit. Workers are told at once."""

import logging
from typing import Annotated, Final

import psycopg
from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from redis.exceptions import RedisError

from fuseboard_api import answers
from fuseboard_api.authentication import Identity, require
from fuseboard_api.bodies import ORDER_MAX_BYTES, describe_body, read_body
from fuseboard_api.exact_json import ExactJson
from fuseboard_api.order_store import CircuitOrder, OrderName, give_order, update_provider
from fuseboard_api.parameters import NO_NUL, ProviderPath
from fuseboard_api.problems import Problem, declare_problems
from fuseboard_api.reads import Held, require_provider
from fuseboard_api.resources import Database, Resources
from fuseboard_consumer.publisher import publish_circuits

log = logging.getLogger(__name__)
REASON_MAX_LENGTH: Final = 500

router = APIRouter(prefix="/api/llm", tags=["controls"], responses=declare_problems(404, 415))
Admin = Annotated[Identity, Depends(require("admin"))]
Reason = Annotated[
    str,
    Field(
        min_length=1, max_length=REASON_MAX_LENGTH, pattern=NO_NUL,
        description="Why, for whoever asks later.", examples=["its status page says so"],
    ),
]  # fmt: skip


class Enabled(BaseModel):
    """Whether workers may choose the provider."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}]})

    enabled: Annotated[bool, Field(strict=True)]


class Order(BaseModel):
    """Why it is ordered."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "it is well again"}]})

    reason: Reason


class Override(Order):
    """Why it is ordered, and until when it holds; without `until`, until it is cleared."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "its status page says so", "until": "2026-11-24T18:00:00Z"}]}
    )

    until: AwareDatetime | None = None


EnabledBody = Annotated[Enabled, Depends(read_body(Enabled, ORDER_MAX_BYTES))]
OrderBody = Annotated[Order, Depends(read_body(Order, ORDER_MAX_BYTES))]
OverrideBody = Annotated[Override, Depends(read_body(Override, ORDER_MAX_BYTES))]


@router.post(
    "/providers/{provider:path}/enable", response_model=answers.ProviderEnabled, openapi_extra=describe_body(Enabled)
)
def enable_provider(held: Held, identity: Admin, provider: ProviderPath, body: EnabledBody) -> ExactJson:
    """Let workers choose a provider, or keep them from it."""
    with held.pool.connection() as connection:
        if not update_provider(connection, provider, enabled=body.enabled):
            raise Problem(404, "there is no such provider")
        log.info("provider_changed provider=%r enabled=%s actor=%r", provider, body.enabled, identity.actor)
        is_published = publish(held, connection, provider)
    return ExactJson(answers.ProviderEnabled(provider, body.enabled, is_published))


@router.post(
    "/circuits/{provider:path}/force-open", response_model=answers.OrderDone, openapi_extra=describe_body(Override)
)
def force_circuit_open(held: Held, identity: Admin, provider: ProviderPath, body: OverrideBody) -> ExactJson:
    """Let no call through to a provider."""
    return order(held, identity, "force_circuit_open", provider, body)


@router.post(
    "/circuits/{provider:path}/disable", response_model=answers.OrderDone, openapi_extra=describe_body(Override)
)
def disable_circuit(held: Held, identity: Admin, provider: ProviderPath, body: OverrideBody) -> ExactJson:
    """Disable the circuit, not the provider: admit every call and never open."""
    return order(held, identity, "disable_circuit", provider, body)


@router.post("/circuits/{provider:path}/clear", response_model=answers.OrderDone, openapi_extra=describe_body(Order))
def clear_circuit_override(held: Held, identity: Admin, provider: ProviderPath, body: OrderBody) -> ExactJson:
    """Go back to what the circuit was before it was forced open or disabled."""
    return order(held, identity, "clear_circuit_override", provider, body)


@router.post("/circuits/{provider:path}/reset", response_model=answers.OrderDone, openapi_extra=describe_body(Order))
def reset_circuit(held: Held, identity: Admin, provider: ProviderPath, body: OrderBody) -> ExactJson:
    """Close the circuit as if it were new; a throttle stays."""
    return order(held, identity, "reset_circuit", provider, body)


@router.post(
    "/circuits/{provider:path}/reset-throttle", response_model=answers.OrderDone, openapi_extra=describe_body(Order)
)
def reset_circuit_throttle(held: Held, identity: Admin, provider: ProviderPath, body: OrderBody) -> ExactJson:
    """Forget that the provider asked to be left alone."""
    return order(held, identity, "reset_circuit_throttle", provider, body)


def order(held: Resources, identity: Identity, name: OrderName, provider: str, body: Order) -> ExactJson:
    """Give an order and tell workers; what the database says is wrong with it is a Problem 422."""
    until = body.until if isinstance(body, Override) else None
    given = CircuitOrder(provider, identity.actor, body.reason, until)
    with held.pool.connection() as connection:
        require_provider(connection, provider)
        try:
            done = give_order(connection, name, given)
        except psycopg.errors.InvalidParameterValue as error:
            raise Problem(422, error.diag.message_primary or "the order is not possible") from error
        log.info("circuit_ordered provider=%r order=%s actor=%r", provider, name, identity.actor)
        is_published = publish(held, connection, provider)
    return ExactJson(answers.OrderDone(**done._asdict(), is_published=is_published))


def publish(held: Resources, connection: Database, provider: str) -> bool:
    """Tell workers; False where Redis is away: the change stands, and a consumer tells them as soon as it can."""
    try:
        publish_circuits(connection, held.redis, held.settings.namespace, [provider])
    except (RedisError, OSError) as error:
        log.warning("circuit_unpublished provider=%r error=%r", provider, str(error))
        return False
    return True
