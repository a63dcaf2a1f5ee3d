"""Traffic of a file through real producers, the stream and real consumers, and what a trace does not have."""

import json
from pathlib import Path
from typing import Final

from redis import Redis

from commands import run_command
from consumers import consumers, is_drained
from events import make_event
from fuseboard_cli.traffic import DEFAULT_MIX
from fuseboard_schema.settings import Settings
from producer_tools import read_events
from queries import Database
from sent_figures import Event
from waiting import wait_until

# nobody has said what mistral costs
MIX: Final = f"{DEFAULT_MIX},mistral:1"
WRONG_STATUS: Final = "exploded"
# no float holds what a request costs at these rates
ODD_PRICE: Final = b"""
    INSERT INTO llm_prices (provider, model_pattern, input_usd_per_token, output_usd_per_token, source)
    VALUES ('claude', 'claude-haiku-4-5', 0.000001000000000000000007, 0.000005000000000000000011, 'test')"""


def insert_odd_price(connection: Database) -> None:
    """Give one model of the traffic a price of many digits."""
    connection.execute(ODD_PRICE)


def write_rarities(folder: Path) -> Path:
    """Write events with costs that the caller knew, caches and unknown counts, and one that is refused."""
    events = [
        make_event(cost_usd="0.000000000000000123"),
        make_event(cost_usd="0.0625", status="error", error_type="ServerError", completion_tokens=None),
        make_event(cache_read_tokens=10, cache_write_tokens=20, cache_write_1h_tokens=30, reasoning_tokens=40),
        make_event(provider="openai", model="gpt-4o", completion_tokens=None),
        make_event(provider="ollama", model="llama3.1:8b", prompt_tokens=None, duration_seconds=None),
        make_event(status=WRONG_STATUS),
    ]
    file = folder / "rarities.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    return file


def send(file: Path, settings: Settings, redis: Redis, folder: Path) -> list[Event]:
    """Replay a file until it is stored; returns the events as they stood in the stream."""
    run_command(settings, "replay", str(file), "--mix", MIX, "--workers", "2")
    sent = read_events(redis, settings.namespace)
    with consumers(2, folder, settings.database_url or "", settings.redis_url or "", settings.namespace):
        wait_until(lambda: is_drained(redis, settings.namespace), timeout_seconds=180)
    return sent
