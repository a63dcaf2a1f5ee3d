"""A problem as a page, for people who opened a link: the form of RFC 9457 is for programs."""

from html import escape
from typing import Final

from fastapi import Request
from starlette.responses import HTMLResponse, Response

PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}: Fuseboard</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/theme.css">
<link rel="stylesheet" href="/static/board.css">
</head>
<body>
<main class="login">
  <div class="panel">
    <h1><img src="/static/icon.svg" alt="" width="32" height="32">Fuseboard</h1>
    <p role="alert">{detail}.</p>
    <p><a href="/">To the board</a></p>
  </div>
</main>
</body>
</html>
"""


def wants_page(request: Request) -> bool:
    """Say whether a browser opens this as a page; what programs ask for stays theirs, whatever they accept beside."""
    accepted = request.headers.get("Accept", "")
    return (
        request.method == "GET"
        and not request.url.path.startswith("/api/")
        and "text/html" in accepted
        and "json" not in accepted
    )


def make_page(status: int, title: str, detail: str, headers: dict[str, str]) -> Response:
    """Make the page; `detail` is text."""
    said = escape(detail[:1].upper() + detail[1:].rstrip("."))
    return HTMLResponse(PAGE.format(title=escape(title), detail=said), status, headers)
