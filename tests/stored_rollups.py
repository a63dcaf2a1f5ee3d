"""What hours, fallbacks and tags must be, computed from each raw request in another way than the database does."""

from collections import defaultdict
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from stored_usage import FAILED, Database, Row, fetch_rows, sum_exactly

SUMS = ("prompt_tokens", "completion_tokens", "cost_usd", "baseline_cost_usd", "savings_usd")


def compute_hours(connection: Database) -> dict[tuple[Any, ...], Row]:
    """Sum the raw requests by UTC hour and provider."""
    grouped: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for request in fetch_rows(connection, "SELECT * FROM llm_requests"):
        hour = request["occurred_at"].replace(minute=0, second=0, microsecond=0)
        grouped[hour, request["provider"]].append(request)
    return {key: _sum_hour(requests) for key, requests in grouped.items()}


def make_sums(row: Row) -> Row:
    """Make the sums of a row that is shown those of a row that is stored: nothing that is known is 0."""
    return {name: 0 if value is None else value for name, value in row.items()}


def fetch_hours(connection: Database, relation: str = "llm_usage_hourly_current") -> dict[tuple[Any, ...], Row]:
    """Read hourly rows that say anything."""
    rows = fetch_rows(connection, f"SELECT * FROM {relation}")  # noqa: S608 - our own names
    keyed = {(row.pop("hour_start"), row.pop("provider")): make_sums(row) for row in rows}
    return {key: row for key, row in keyed.items() if any(row.values())}


def compute_fallbacks(connection: Database, time_zone: str = "UTC") -> dict[tuple[Any, ...], tuple[int, int]]:
    """Count the raw fallbacks, and how many of them were served, by day of a zone and providers."""
    zone = ZoneInfo(time_zone)
    counted: defaultdict[tuple[Any, ...], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for request in fetch_rows(connection, "SELECT * FROM llm_requests"):
        if request["is_fallback"]:
            key = (request["occurred_at"].astimezone(zone).date(), request["original_provider"], request["provider"])
            requests, successes = counted[key]
            counted[key] = (requests + 1, successes + (request["status"] == "success"))
    return dict(counted)


def fetch_fallbacks(
    connection: Database, relation: str = "llm_fallbacks_current"
) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Read the days of fallbacks that say anything."""
    rows = fetch_rows(connection, f"SELECT * FROM {relation}")  # noqa: S608 - our own names
    keyed = {
        (row["day"], row["original_provider"], row["provider"]): (row["requests"], row["successes"]) for row in rows
    }
    return {key: counts for key, counts in keyed.items() if any(counts)}


def compute_tags(connection: Database, time_zone: str = "UTC") -> dict[tuple[Any, ...], Row]:
    """Sum the raw requests by day of a zone, tag that is kept, and its value."""
    zone = ZoneInfo(time_zone)
    kept = {row["tag_key"] for row in fetch_rows(connection, "SELECT tag_key FROM llm_tag_keys")}
    grouped: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for request in fetch_rows(connection, "SELECT * FROM llm_requests"):
        for key, value in (request["tags"] or {}).items():
            if key in kept:
                grouped[request["occurred_at"].astimezone(zone).date(), key, value].append(request)
    return {key: _sum_tag(requests) for key, requests in grouped.items()}


def fetch_tags(connection: Database, relation: str = "llm_tag_costs_current") -> dict[tuple[Any, ...], Row]:
    """Read the days of tags that say anything."""
    rows = fetch_rows(connection, f"SELECT * FROM {relation}")  # noqa: S608 - our own names
    keyed = {(row.pop("day"), row.pop("tag_key"), row.pop("tag_value")): make_sums(row) for row in rows}
    return {key: row for key, row in keyed.items() if any(row.values())}


def _sum_tag(requests: list[Row]) -> Row:
    return _sum_alike(requests) | {
        "unmetered_requests": sum(row["cost_usd"] is None and row["price_id"] is not None for row in requests),
    }


def _sum_hour(requests: list[Row]) -> Row:
    durations = [row["duration_seconds"] for row in requests if row["status"] == "success"]
    known = [duration for duration in durations if duration is not None]
    return _sum_alike(requests) | {
        "failures": sum(row["status"] in FAILED for row in requests),
        "rate_limited": sum(row["status"] == "rate_limited" for row in requests),
        "cancelled": sum(row["status"] == "cancelled" for row in requests),
        "fallbacks": sum(row["is_fallback"] for row in requests),
        "duration_seconds_sum": sum_exactly(known),
        "duration_seconds_count": len(known),
    }


def _sum_alike(requests: list[Row]) -> Row:
    """Sum the measures that hours and tags have in common."""
    return {
        "requests": len(requests),
        "successes": sum(row["status"] == "success" for row in requests),
        "unpriced_requests": sum(row["cost_usd"] is None and row["price_id"] is None for row in requests),
        **{name: sum_exactly(Decimal(row[name] or 0) for row in requests) for name in SUMS},
    }
