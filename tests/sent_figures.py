"""What the figures must be, computed from nothing but the events as they were sent and the rates of the price table."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, localcontext
from typing import Any, NamedTuple, Self

from psycopg import Connection
from psycopg.rows import TupleRow

Event = dict[str, Any]
Figures = dict[str, Any]
# USD per token, in and out, by provider and pattern, of which only names and * are known here
Rates = dict[tuple[str, str], tuple[Decimal, Decimal]]
LOCAL = ("ollama", "localai")
FAILED = ("error", "timeout", "rate_limited")
TOKENS = (
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)
# a sum that does not fit is an error and is not rounded
EXACT = Context(prec=100, traps=[Inexact])


class Charge(NamedTuple):
    """What one event cost, would have cost at Claude and saved; None is not known."""

    has_price: bool
    cost: Decimal | None
    baseline: Decimal | None
    savings: Decimal | None


class Sent(NamedTuple):
    """The events that were sent, those that had to be refused, and the rates of the others."""

    events: list[Event]
    refused: list[Event]
    rates: Rates

    def select_last(self, days: int, today: date) -> Self:
        """Select the events of the last days of UTC, today among them."""
        first_day = today - timedelta(days=days - 1)
        return self._replace(events=[event for event in self.events if read_time(event).date() >= first_day])

    def sum_providers(self) -> dict[Hashable, Figures]:
        """Sum up by provider."""
        return self._sum_groups(lambda event: event["provider"])

    def sum_days(self) -> dict[Hashable, Figures]:
        """Sum up by day and provider."""
        return self._sum_groups(lambda event: (read_time(event).date().isoformat(), event["provider"]))

    def sum_tags(self, tag_key: str) -> dict[Hashable, Figures]:
        """Sum up by the value of a tag, None for those without it."""
        return self._sum_groups(lambda event: (event.get("tags") or {}).get(tag_key))

    def sum_hours(self) -> dict[Hashable, Figures]:
        """Sum up by hour and provider; hours know no number of unmetered requests."""
        hours = self._sum_groups(
            lambda event: (
                read_time(event).replace(minute=0, second=0, microsecond=0).isoformat(),
                event["provider"],
            )
        )
        for figures in hours.values():
            if figures["unpriced_requests"] < figures["requests"]:
                figures |= {name: figures[name] or Decimal(0) for name in ("cost_usd", "savings_usd")}
        return hours

    def sum_all(self) -> Figures:
        """Sum up everything, under the names of llm_cost_summary."""
        total = sum_events(self.events, self.rates)
        local = sum(event["provider"] in LOCAL for event in self.events)
        saved, hypothetical = total["savings_usd"], total["hypothetical_claude_cost_usd"]
        return {
            "total_cost_usd": total["cost_usd"],
            "total_requests": total["requests"],
            "local_requests": local,
            "remote_requests": total["requests"] - local,
            "estimated_savings_usd": saved,
            "hypothetical_claude_cost_usd": hypothetical,
            "savings_percentage": divide(100 * saved, hypothetical - total["uncompared_usd"], "0.01"),
            **{name: total[name] for name in ("unpriced_requests", "unmetered_requests", "baseline_unknown_requests")},
            "uncompared_usd": total["uncompared_usd"],
        }

    def list_flows(self) -> list[tuple[str, str, int]]:
        """List who fell back to whom, the most first."""
        pairs = ((event["original_provider"], event["provider"]) for event in self.events if event.get("is_fallback"))
        return _rank(Counter(pairs))

    def list_unpriced(self) -> list[tuple[str, str, int]]:
        """List the models without a price, the most used first."""
        unpriced = (event for event in self.events if not charge(event, self.rates).has_price)
        return _rank(Counter((event["provider"], event["model"]) for event in unpriced))

    def _sum_groups(self, name_group: Callable[[Event], Hashable]) -> dict[Hashable, Figures]:
        groups: defaultdict[Hashable, list[Event]] = defaultdict(list)
        for event in self.events:
            groups[name_group(event)].append(event)
        return {name: sum_events(group, self.rates) for name, group in groups.items()}


def _rank(counts: Counter[tuple[str, str]]) -> list[tuple[str, str, int]]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(*pair, count) for pair, count in ranked]


def fetch_rates(connection: Connection[TupleRow]) -> Rates:
    """Read the rates as they stand in the price table."""
    rows = connection.execute(
        b"SELECT provider, model_pattern, input_usd_per_token, output_usd_per_token FROM llm_prices"
    )
    return {(provider, pattern): (rate_in, rate_out) for provider, pattern, rate_in, rate_out in rows}


def read_time(event: Event) -> datetime:
    """Read when an event occurred."""
    return datetime.fromisoformat(event["occurred_at"]).astimezone(UTC)


def charge(event: Event, rates: Rates) -> Charge:
    """Charge one event: only a success has a baseline, and what is not one saves minus its cost."""
    own = rates.get((event["provider"], event["model"])) or rates.get((event["provider"], "*"))
    is_served = event["status"] == "success"
    cost = Decimal(event["cost_usd"]) if "cost_usd" in event else own and multiply(event, own)
    baseline = multiply(event, rates["claude", "*"]) if is_served else None
    savings = None
    if cost is not None and (baseline is not None or not is_served):
        savings = (baseline or 0) - cost
    return Charge("cost_usd" in event or own is not None, cost, baseline, savings)


def multiply(event: Event, rates: tuple[Decimal, Decimal]) -> Decimal | None:
    """Multiply tokens by rates; None where the number of tokens that cost something is not known."""
    counts = (event.get("prompt_tokens"), event.get("completion_tokens"))
    pairs = list(zip(counts, rates, strict=True))
    if any(count is None and rate for count, rate in pairs):
        return None
    return sum((rate * count for count, rate in pairs if count is not None), Decimal(0))


def sum_events(events: Sequence[Event], rates: Rates) -> Figures:
    """Sum events up, under the names of llm_costs_by_provider."""
    statuses = Counter(event["status"] for event in events)
    served = [event for event in events if event["status"] == "success"]
    seconds = [Decimal(str(event["duration_seconds"])) for event in served if "duration_seconds" in event]
    with localcontext(EXACT):
        charges = [charge(event, rates) for event in events]
        tokens = {name: sum(event.get(name) or 0 for event in events) for name in TOKENS}
        money: Figures = {
            "cost_usd": sum((each.cost or Decimal(0) for each in charges), Decimal(0)),
            "hypothetical_claude_cost_usd": sum((each.baseline or Decimal(0) for each in charges), Decimal(0)),
            "savings_usd": sum((each.savings or Decimal(0) for each in charges), Decimal(0)),
        }
        uncompared = [
            (each.baseline or Decimal(0)) - (each.cost or Decimal(0)) for each in charges if each.savings is None
        ]
        money["uncompared_usd"] = sum(uncompared, Decimal(0))
    if all(each.cost is None for each in charges):
        money |= {"cost_usd": None, "savings_usd": None}
    return {
        "requests": len(events),
        "successes": len(served),
        "failures": sum(statuses[status] for status in FAILED),
        "rate_limited": statuses["rate_limited"],
        "cancelled": statuses["cancelled"],
        "fallbacks": sum(event.get("is_fallback", False) for event in events),
        "success_rate": divide(Decimal(100 * len(served)), len(events), "0.01"),
        "avg_response_time_ms": divide(1000 * sum(seconds, Decimal(0)), len(seconds), "0.1"),
        **tokens,
        "total_tokens": tokens["prompt_tokens"] + tokens["completion_tokens"],
        **money,
        "unpriced_requests": sum(not each.has_price for each in charges),
        "unmetered_requests": sum(each.has_price and each.cost is None for each in charges),
        "baseline_unknown_requests": len(served) - sum(each.baseline is not None for each in charges),
    }


def divide(amount: Decimal, count: Decimal | int, step: str) -> Decimal | None:
    """Divide and round half away from zero; None where there is nothing to divide by."""
    return (amount / count).quantize(Decimal(step), ROUND_HALF_UP) if count else None
