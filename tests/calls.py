"""Calls that the dashboard's tests store, good and bad."""

from datetime import datetime
from typing import Any, Final

from events import make_event

MODELS: Final = {"ollama": "llama3.1:8b", "claude": "claude-sonnet-4-5", "openai": "gpt-4o"}


def make_failures(count: int, **fields: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any field
    """Make failures of Ollama that two workers saw in its first epoch."""
    failed = {"provider": "ollama", "status": "error", "error_type": "ConnectError", "circuit_epoch": 1, **fields}
    return [make_event(worker_id=f"w{number % 2}", **failed) for number in range(count)]


def make_calls(at: datetime) -> list[dict[str, Any]]:
    """Make 20 calls of each provider that has a price, at one moment."""
    return [
        make_event(
            provider=provider,
            model=model,
            occurred_at=at,
            prompt_tokens=1000 + 37 * number,
            completion_tokens=11 * number + 1,
        )
        for provider, model in MODELS.items()
        for number in range(20)
    ]
