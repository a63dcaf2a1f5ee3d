"""The judge: compares the database with the journals by SQL and arithmetic of its own, and asks Fuseboard nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from chaos.journal import Entry, JournalContent
from chaos.observer import Observer

# USD per million tokens, prompt and completion, as the migrations seed them
RATES: Final = {"claude": (3, 15), "openai": (5, 15), "ollama": (0, 0)}
# what each of these finds is wrong
QUERIES: Final = {
    name: (Path(__file__).parent / "sql" / f"{name}.sql").read_text()
    for name in (
        "compare_days",
        "compare_hours",
        "compare_tags",
        "compare_fallbacks",
        "compare_health",
        "find_version_gaps",
        "find_rejected",
    )
}
STORED: Final = "SELECT event_id::text, provider, model, prompt_tokens, completion_tokens, cost_usd FROM llm_requests"


@dataclass
class Verdict:
    """What is wrong. Events are entries of the journals; `excused` were lost within what a killed producer may lose."""

    stored: int = 0
    lost: list[Entry] = field(default_factory=list)
    excused: list[Entry] = field(default_factory=list)
    said_dropped: int = 0
    doubled: list[Entry] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, doubled or different."""
        return not (self.lost or self.doubled or self.differences)


def compute_cost(entry: Entry) -> Decimal | None:
    """Compute what an event costs, by the prices of this file; None: not known."""
    if entry.reported_cost_usd is not None:
        return Decimal(entry.reported_cost_usd)
    rates = RATES[entry.provider]
    if rates == (0, 0):
        # what nothing is charged for costs nothing, also where it was not counted
        return Decimal(0)
    if entry.prompt_tokens is None or entry.completion_tokens is None:
        return None
    return Decimal(entry.prompt_tokens * rates[0] + entry.completion_tokens * rates[1]) / 1_000_000


def list_differences(observer: Observer, names: Iterable[str] = QUERIES) -> list[str]:
    """Compare what is counted with the raw rows, whatever is under way; the first differences of each kind."""
    found = []
    for name in names:
        rows = observer.ask(QUERIES[name])
        # a server that is away now is asked again at the end
        found += [f"{name}: {row}" for row in (rows or [])[:5]]
    return found


def judge(
    observer: Observer, journals: dict[str, JournalContent], may_lose: dict[str, list[tuple[float, float]]]
) -> Verdict:
    """Compare everything, once nothing is under way. `may_lose` are spans of time of each producer, by its name."""
    verdict = Verdict(said_dropped=sum(content.dropped for content in journals.values()))
    expected = {event_id: entry for content in journals.values() for event_id, entry in content.entries.items()}
    rows = observer.ask(STORED)
    if rows is None:
        verdict.differences.append("PostgreSQL does not answer")
        return verdict
    verdict.stored = len(rows)
    seen: set[str] = set()
    for event_id, *stored in rows:
        entry = expected.get(event_id)
        if entry is None:
            verdict.differences.append(f"stored and in no journal: {event_id}")
        elif event_id in seen:
            verdict.doubled.append(entry)
        else:
            check_row(verdict, entry, stored)
        seen.add(event_id)
    for name, content in journals.items():
        for entry in content.entries.values():
            if entry.event_id not in seen:
                is_excused = any(begin <= entry.at <= end for begin, end in may_lose.get(name, []))
                (verdict.excused if is_excused else verdict.lost).append(entry)
    verdict.differences += list_differences(observer)
    return verdict


def check_row(verdict: Verdict, entry: Entry, stored: list[object]) -> None:
    """Compare a row with its entry, to the last digit."""
    expected = [entry.provider, entry.model, entry.prompt_tokens, entry.completion_tokens, compute_cost(entry)]
    if stored != expected:
        verdict.differences.append(f"{entry.event_id}: stored {stored}, journalled {expected}")
