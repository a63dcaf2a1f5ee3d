"""Closed sets of words in answers, as docs/tables.md has them."""

from typing import Literal

from fuseboard_consumer.circuit_state import Reason

ProviderStatus = Literal["disabled", "open", "forced_open", "throttled", "half_open", "degraded", "healthy", "no_data"]
RegisteredBy = Literal["seed", "operator", "event"]
OverallStatus = Literal["ok", "degraded", "down", "no_data"]
# half_open comes by the clock, and nobody decides it
HistoryReason = Reason | Literal["open_until_passed"]
