"""POST /api/llm/record: events from those who have no producer of their own, by the same way (G4, G5)."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from fuseboard_api.authentication import Identity, identify_recorder, require
from fuseboard_api.bodies import read_raw_json
from fuseboard_api.exact_json import ExactJson
from fuseboard_api.problems import RETRY_AFTER_SECONDS, Problem, declare_problems
from fuseboard_api.protection import BODY_MAX_BYTES
from fuseboard_api.reads import Held
from fuseboard_api.record_schema import EVENTS_MAX, RECORD_BODY, Recorded
from fuseboard_consumer.decode import MAX_AHEAD, describe_error
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.identifiers import make_event_id

DETAIL_MAX_LENGTH: Final = 500
SETTLE_SECONDS: Final = 5.0
# more than there are: each that is unknown would be an error to describe
FIELDS_MAX: Final = 100
EVENT: Final = TypeAdapter(RequestEvent)

router = APIRouter(prefix="/api/llm", tags=["record"])
Writer = Annotated[Identity, Depends(require("write", by=identify_recorder))]


async def read_events(request: Request, writer: Writer) -> list[Any]:
    """Read what a writer wants recorded; raises Problem 413, 415, and 422 for what is no list that is taken."""
    del writer  # admitted, before anything is read
    raw = await read_raw_json(request, BODY_MAX_BYTES)
    return await run_in_threadpool(parse_events, raw)


def parse_events(raw: bytes) -> list[Any]:
    """Parse a body into its events; raises Problem 422 for one that is not JSON, and for too many."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Problem(422, f"body: not JSON: {str(error)[:DETAIL_MAX_LENGTH]}") from error
    items = body if isinstance(body, list) else [body]
    if not 0 < len(items) <= EVENTS_MAX:
        raise Problem(422, f"give one event, or a list of 1 to {EVENTS_MAX}")
    return items


@router.post(
    "/record",
    status_code=202,
    response_model=Recorded,
    openapi_extra=RECORD_BODY,
    responses=declare_problems(415),
)
def record(held: Held, writer: Writer, items: Annotated[list[Any], Depends(read_events)]) -> Response:
    """Record one event or a list of them; the answer comes when the queue, or else the disk, has those that are good.

    Give each event its event_id, so that sending it again after a lost answer counts nothing twice.
    """
    now = datetime.now(UTC)
    event_ids: list[UUID] = []
    events: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        fields = complete_event(item, now, f"api:{writer.name}")
        try:
            event_ids.append(check_event(fields, now))
            # also one whose id came before: which of the two stays, and whether they differ, the consumer says
            events.append(fields)
        except ValueError as error:
            rejected.append({"index": index, "detail": str(error)[:DETAIL_MAX_LENGTH]})
    if not events:
        raise Problem(422, "no event is good", rejected=rejected)
    if not hand_over(held, events):
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        raise Problem(
            503, "neither Redis nor the spool takes all events: send them again", headers, event_ids=event_ids
        )
    return ExactJson({"event_ids": event_ids, "rejected": rejected}, 202)


def complete_event(item: Any, now: datetime, worker_id: str) -> Any:  # noqa: ANN401 - any JSON value
    """Give an event the id, time, status and worker that it leaves out."""
    if not isinstance(item, dict):
        return item
    # without it all callers would be this process, one reporter for the circuit's rules
    fields = {"status": "success", "worker_id": worker_id, **item}
    if "occurred_at" not in fields and "timestamp" not in fields:
        fields["occurred_at"] = now.isoformat()
    fields.setdefault("event_id", make_event_id(now))
    return fields


def check_event(fields: Any, now: datetime) -> UUID:  # noqa: ANN401 - any JSON value
    """Check an event by the rules of the consumer and return its id; raises ValueError that says what is wrong."""
    if not isinstance(fields, dict):
        raise ValueError("an event is a JSON object")  # noqa: TRY004 - the caller's, not the program's
    if len(fields) > FIELDS_MAX:
        raise ValueError(f"an event has at most {FIELDS_MAX} fields, and this one has {len(fields)}")
    try:
        event = EVENT.validate_python(fields)
    except ValidationError as error:
        raise ValueError(describe_error(error)) from error
    if event.occurred_at > now + MAX_AHEAD:
        raise ValueError(f"occurred_at: {event.occurred_at.isoformat()} is more than a day ahead")
    return event.event_id


def hand_over(held: Held, events: Iterable[dict[str, Any]]) -> bool:
    """Record events and wait until Redis or the spool has them; False where some found no place."""
    producer = held.producer
    dropped = producer.counters.dropped
    for fields in events:
        producer.record(**fields)
    # others' events that were dropped meanwhile count as well: those who ask again lose nothing by it
    return producer.flush(SETTLE_SECONDS) and producer.counters.dropped == dropped
