"""GET /api/llm/events: changes of circuits and health as server-sent events."""

import time
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import StreamingResponse

from fuseboard_api.authentication import require
from fuseboard_api.event_feed import EventFeed, FeedEvent, Viewer
from fuseboard_api.problems import RETRY_AFTER_SECONDS, Problem
from fuseboard_api.reads import Held

# a stream ends, and the browser opens another one, so that a token that was revoked is noticed
STREAM_LASTS_SECONDS: Final = 600.0
KEEP_ALIVE_SECONDS: Final = 15.0
EVENT_STREAM: Final = "text/event-stream"
ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events `circuits` and `health`, first as they are, then at each change.",
        "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
    }
}

router = APIRouter(prefix="/api/llm", tags=["reads"], dependencies=[Depends(require("read"))])


@router.get("/events", response_class=StreamingResponse, responses=ANSWER)
async def follow(held: Held) -> StreamingResponse:
    """Follow circuits and health live; the stream ends after ten minutes, to be opened again."""
    viewer = Viewer()
    if not held.feed.join(viewer):
        raise Problem(503, "too many look on already", {"Retry-After": str(RETRY_AFTER_SECONDS)})
    # no proxy may keep events back
    return StreamingResponse(stream(held.feed, viewer), media_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"})


async def stream(feed: EventFeed, viewer: Viewer) -> AsyncIterator[str]:
    """Give the text of the stream."""
    ends_at = time.monotonic() + STREAM_LASTS_SECONDS
    try:
        yield "retry: 2000\n\n"
        while time.monotonic() < ends_at:
            event = await viewer.wait(KEEP_ALIVE_SECONDS)
            yield ": nothing new\n\n" if event is None else format_event(event)
    finally:
        feed.leave(viewer)


def format_event(event: FeedEvent) -> str:
    """Format one event; its JSON is one line."""
    return f"event: {event.name}\ndata: {event.data}\n\n"
