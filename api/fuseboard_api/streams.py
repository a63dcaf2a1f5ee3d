"""Answers that are streamed, and what they hold meanwhile."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Final

from anyio import CancelScope, fail_after
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

log = logging.getLogger(__name__)
SEND_SECONDS: Final = 30.0


class Stream(StreamingResponse):
    """An answer in pieces that calls `close` at its end: also at once where the caller has gone, or takes nothing."""

    def __init__(
        self,
        content: Iterator[bytes] | AsyncIterator[str],
        *,
        close: Callable[[], None],
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._close = close

    async def stream_response(self, send: Send) -> None:
        """Send all of it; a piece that nobody takes for SEND_SECONDS is the last."""

        async def send_in_time(message: Message) -> None:
            with fail_after(SEND_SECONDS):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            log.warning("stream_cut: nobody took it for %g seconds", SEND_SECONDS)
        finally:
            # the garbage collector would do it as well, some day
            with CancelScope(shield=True):
                await run_in_threadpool(self._close)
