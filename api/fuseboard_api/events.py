"""GET /api/llm/events: changes of circuits and health as server-sent events."""

import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final

import psycopg
from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from fuseboard_api.authentication import Bearer, Session, identify, require
from fuseboard_api.event_feed import FeedEvent, Viewer
from fuseboard_api.problems import BUSY, RETRY_AFTER_SECONDS, Problem
from fuseboard_api.reads import Held
from fuseboard_api.streams import Stream

# a stream ends, and the browser opens another one: none is forgotten
STREAM_LASTS_SECONDS: Final = 600.0
# whether the token or session still holds; the viewer hears something as often, so that nothing on the way gives up
CHECK_SECONDS: Final = 15.0
EVENT_STREAM: Final = "text/event-stream"
ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events `circuits` and `health`, first as they are, then at each change.",
        "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
    }
}

router = APIRouter(prefix="/api/llm", tags=["reads"], dependencies=[Depends(require("read"))])


@router.get("/events", response_class=StreamingResponse, responses=ANSWER)
async def follow(request: Request, held: Held, bearer: Bearer = None, session: Session = None) -> StreamingResponse:
    """Follow circuits and health live; the stream ends after ten minutes, to be opened again, or with the token."""
    viewer = Viewer()
    if not held.feed.join(viewer):
        raise Problem(503, "too many look on already", {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return Stream(
        stream(viewer, partial(may_still, request, held, bearer, session)),
        close=partial(held.feed.leave, viewer),
        media_type=EVENT_STREAM,
        # no proxy may keep events back
        headers={"X-Accel-Buffering": "no"},
    )


async def stream(viewer: Viewer, may_look_on: Callable[[], bool]) -> AsyncIterator[str]:
    """Give the text of the stream, for STREAM_LASTS_SECONDS and while the viewer may look on."""
    ends_at = time.monotonic() + STREAM_LASTS_SECONDS
    check_at = time.monotonic() + CHECK_SECONDS
    yield "retry: 2000\n\n"
    while (now := time.monotonic()) < ends_at:
        if now >= check_at:
            if not await run_in_threadpool(may_look_on):
                return
            check_at = now + CHECK_SECONDS
        event = await viewer.wait(CHECK_SECONDS)
        yield ": nothing new\n\n" if event is None else format_event(event)


def may_still(request: Request, held: Held, bearer: Bearer, session: Session) -> bool:
    """Say whether who was let in would be again; not where that cannot be found out."""
    try:
        identify(request, held, bearer, session)
    except (Problem, psycopg.Error, *BUSY):
        return False
    return True


def format_event(event: FeedEvent) -> str:
    """Format one event; its JSON is one line."""
    return f"event: {event.name}\ndata: {event.data}\n\n"
