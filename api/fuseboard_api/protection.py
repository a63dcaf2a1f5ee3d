"""What protects every answer and bounds every request, as plain ASGI around the application."""

from contextlib import nullcontext
from typing import Final

from anyio import current_time, fail_after
from fastapi import HTTPException
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_MAX_BYTES: Final = 1_000_000
BODY_SECONDS: Final = 30.0
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityHeaders:
    """Adds the headers to every answer; figures are never kept by a cache on the way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class BodyLimit:
    """Refuses a body of more than BODY_MAX_BYTES, declared or not, and one that is not all there after BODY_SECONDS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received_bytes = 0
        is_complete = False
        ends_at = current_time() + BODY_SECONDS

        async def receive_bounded() -> Message:
            nonlocal received_bytes, is_complete
            try:
                # after the body, what comes is that the caller has gone
                with nullcontext() if is_complete else fail_after(ends_at - current_time()):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, f"the body took more than {BODY_SECONDS:g} seconds") from error
            if message["type"] == "http.request":
                is_complete = not message.get("more_body", False)
                received_bytes += len(message.get("body", b""))
                if received_bytes > BODY_MAX_BYTES:
                    raise HTTPException(413, f"the body has more than {BODY_MAX_BYTES} bytes")
            return message

        await self._app(scope, receive_bounded, send)
