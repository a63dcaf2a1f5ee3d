"""The scripts that run in Redis, at a time that a test chooses."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final
from unittest.mock import patch

from fuseboard_consumer import publisher, sweep
from fuseboard_producer import circuit_scripts
from fuseboard_schema.lua import load_lua

CLOCK: Final = "redis.call('TIME')"


@contextmanager
def stopped_clock(now: float) -> Iterator[None]:
    """Have every script take `now`, in seconds, for the time of Redis while the block runs; the rest of it is real."""
    seconds, microseconds = divmod(round(now * 1_000_000), 1_000_000)

    def load_stopped(package: str, name: str) -> str:
        script = load_lua(package, name)
        if script.count("TIME") != 1 or CLOCK not in script:
            raise ValueError(f"{name}.lua does not read the clock exactly once")
        return script.replace(CLOCK, f"{{'{seconds}', '{microseconds}'}}")

    with ExitStack() as stack:
        for module in (circuit_scripts, publisher, sweep):
            stack.enter_context(patch.object(module, "load_lua", load_stopped))
        yield
