"""Lua scripts: one file each, run atomically by Redis."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files

from redis import Redis
from redis.exceptions import NoScriptError

Argument = str | int | float


@cache
def load_lua(package: str, name: str) -> str:
    """Read `lua/<name>.lua` of a package."""
    return (files(package) / "lua" / f"{name}.lua").read_text("utf-8")


def run_lua(redis: Redis, script: str, keys: Sequence[str], arguments: Sequence[Argument]) -> object:
    """Run a script by its digest, or whole where Redis does not know it: at first, after a restart or SCRIPT FLUSH.

    Raises redis.exceptions.RedisError. Unlike redis-py's own Script it needs no right to SCRIPT LOAD.
    """
    try:
        return redis.evalsha(_digest(script), len(keys), *keys, *arguments)
    except NoScriptError:
        return redis.eval(script, len(keys), *keys, *arguments)


@cache
def _digest(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
