"""Whether this process lives, and whether it can do its work: the only answers without a token."""

from typing import Final

import psycopg
from fastapi import APIRouter
from psycopg_pool import PoolTimeout, TooManyRequests
from pydantic import BaseModel
from redis.exceptions import RedisError

from fuseboard_api.exact_json import ExactJson
from fuseboard_api.problems import RETRY_AFTER_SECONDS, Problem, declare_problems
from fuseboard_api.reads import Held
from fuseboard_schema.migrate import list_pending_migrations

UNAVAILABLE: Final = (psycopg.Error, PoolTimeout, TooManyRequests)
router = APIRouter(tags=["liveness"])


class Liveness(BaseModel):
    """Nothing that could help a stranger."""

    status: str


@router.get("/healthz", response_model=Liveness)
def say_alive() -> ExactJson:
    """Say that this process lives."""
    return ExactJson({"status": "ok"})


@router.get("/readyz", response_model=Liveness, responses=declare_problems(503))
def say_ready(held: Held) -> ExactJson:
    """Say whether PostgreSQL, migrated to this version, and Redis can be used."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    try:
        with held.pool.connection() as connection:
            if list_pending_migrations(connection):
                raise Problem(503, "the database is not migrated to this version", headers)
        held.redis.ping()
    except UNAVAILABLE as error:
        raise Problem(503, "PostgreSQL cannot be used", headers) from error
    except (RedisError, OSError) as error:
        raise Problem(503, "Redis cannot be used", headers) from error
    return ExactJson({"status": "ok"})
