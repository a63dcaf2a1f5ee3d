"""The page of the fuse board. It holds no figure: its scripts ask for those, with the rights of who has logged in."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.responses import FileResponse

PAGE: Final = Path(__file__).parent / "static" / "index.html"


def add_dashboard(app: FastAPI) -> None:
    """Serve the page at `/`, to anybody: the form to log in is part of it."""

    @app.get("/", include_in_schema=False, response_class=FileResponse)
    def show_page() -> FileResponse:
        """Show the page."""
        return FileResponse(PAGE, media_type="text/html; charset=utf-8")
