"""The application: what is served, and what protects all of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from fastapi import Depends, FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from fuseboard_api import controls, events, exports, liveness, login, reads, record, requests, tags
from fuseboard_api.authentication import require
from fuseboard_api.dashboard import add_dashboard
from fuseboard_api.document import complete_document
from fuseboard_api.metrics import CONTENT_TYPE, render_metrics
from fuseboard_api.parameters import refuse_unknown_parameters
from fuseboard_api.problems import add_problem_handlers, declare_problems
from fuseboard_api.protection import BodyLimit, SecurityHeaders
from fuseboard_api.reads import Held
from fuseboard_api.resources import open_resources
from fuseboard_schema.settings import Settings

DESCRIPTION: Final = """\
Cost, savings, health and circuits of a fleet of LLM workers. Every answer but /healthz and /readyz needs a token of \
`fuseboard tokens create`. Errors are problem details (RFC 9457), also 404 for another path and 405 for another \
method. Money is exact: JSON numbers with every digit."""
STATIC: Final = Path(__file__).parent / "static"
PROTECTED: Final[dict[str, Any]] = {"responses": declare_problems(400, 401, 403, 408, 413, 422, 429, 500, 503)}


def create_app(settings: Settings) -> FastAPI:
    """Make the application; servers are connected to while it runs, and may be away."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with open_resources(settings) as resources:
            app.state.resources = resources
            yield

    app = FastAPI(
        title="Fuseboard",
        version=version("fuseboard"),
        description=DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        # their pages take scripts from elsewhere
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # to where the caller's own Host header says
        redirect_slashes=False,
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    add_problem_handlers(app)
    for router in (
        reads.router,
        requests.router,
        tags.router,
        exports.router,
        events.router,
        record.router,
        controls.router,
        login.router,
    ):
        app.include_router(router, **PROTECTED, dependencies=[Depends(refuse_unknown_parameters)])
    app.include_router(liveness.router)
    add_documents(app)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    add_dashboard(app)
    return app


def add_documents(app: FastAPI) -> None:
    """Serve what machines read: metrics, and what the API is."""
    needs_read = [Depends(require("read")), Depends(refuse_unknown_parameters)]
    metrics = {200: {"description": "The metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}}

    @cache
    def build_document() -> dict[str, Any]:
        return complete_document(app.openapi())

    @app.get(
        "/metrics",
        tags=["machines"],
        dependencies=needs_read,
        response_class=Response,
        responses=PROTECTED["responses"] | metrics,
    )
    def show_prometheus_metrics(held: Held) -> Response:
        """Show everything in the text form of Prometheus."""
        with held.pool.connection() as connection:
            return Response(render_metrics(connection, held.redis, held.settings), media_type=CONTENT_TYPE)

    @app.get("/openapi.json", tags=["machines"], dependencies=needs_read, **PROTECTED)
    def show_openapi() -> dict[str, Any]:
        """Show this document."""
        return build_document()
