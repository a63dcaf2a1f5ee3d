"""Runs a file of cost vectors (format cost-vectors/1) through the code that prices real events.

    python tests/vectors/run_costs.py FILE

One line per case, then the counts. Exit code 0: every case that was run is right; 1: one is not; 2: FILE is unreadable.
Cases about stored events run on the embedded PostgreSQL, or on FUSEBOARD_TEST_DATABASE_URL.
"""

import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from stored_cases import NOON, Databases, measure_stored_case
from vector_files import Case, read_cases

from fuseboard_cli.embedded import EmbeddedError
from fuseboard_consumer.rows import charge_event
from fuseboard_schema.event import RequestEvent
from fuseboard_schema.price_store import parse_windows
from fuseboard_schema.pricing import Price, PriceBook
from fuseboard_schema.usage import normalize_usage

EVENT_ID: Final = "019ab134-5a10-7c3e-9a4b-0d2f6c8e1b57"
BASELINE: Final = ("baseline", "baseline")
# what the vectors call the event's fields
FIELD_NAMES: Final = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
RATES: Final = {
    "input": "input_usd_per_token",
    "output": "output_usd_per_token",
    "cache_read": "cache_read_usd_per_token",
    "cache_write": "cache_write_usd_per_token",
    "cache_write_1h": "cache_write_1h_usd_per_token",
    "web_search_per_call": "web_search_usd_per_call",
}
SHOWN_BY: Final = {
    "late_event": "tests/integration/test_fold.py",
    "conflicting_duplicate": "tests/integration/test_drain.py",
}


class Check(NamedTuple):
    """One figure of a case."""

    name: str
    expected: object
    got: object

    @property
    def is_right(self) -> bool:
        """Compare as exact numbers where both are numbers, and None with nothing but None."""
        pair = [_parse_number(value) for value in (self.expected, self.got)]
        return pair[0] == pair[1] if None not in pair else self.expected == self.got


def run_cost(case: Case, _: Databases) -> list[Check]:
    """Price one request by the case's own rows."""
    rows = [_make_price(number, case, row) for number, row in enumerate(case["price_rows"], 1)]
    event = _make_event(
        case.get("usage") or {},
        occurred_at=_parse_time(case.get("at")) or datetime.now(UTC),
        provider=case["provider"],
        model=case["model"],
        service_tier=case.get("service_tier") or "standard",
    )
    cost = charge_event(event, PriceBook(rows, BASELINE)).cost_usd
    return [Check("cost_usd", case["expected_cost_usd"], cost)]


def run_normalization(case: Case, _: Databases) -> list[Check]:
    """Bring a provider's usage to the one convention."""
    usage = normalize_usage(case["provider_usage"])
    seconds = usage.duration_seconds
    parts = [usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens]
    figures: dict[str, object] = {
        **usage._asdict(),
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "fresh_tokens": _subtract(usage.prompt_tokens, *parts),
        "cache_write_5m_tokens": usage.cache_write_tokens,
        "visible_output_tokens": _subtract(usage.completion_tokens, usage.reasoning_tokens),
        "duration_ms": None if seconds is None else round(seconds * 1000),
    }
    return _compare(case["expected"], figures)


def run_invalid_input(case: Case, databases: Databases) -> list[Check]:
    """Say what becomes of usage that cannot be right, or not be known."""
    wanted = _read_outcomes(case["expected"])
    got = _submit(case["usage"] or {}, databases)
    return [Check("outcome", got if got in wanted else " or ".join(sorted(wanted)) or case["expected"], got)]


def run_savings(case: Case, _: Databases) -> list[Check]:
    """Charge a request, or each attempt of one, and compare with the baseline."""
    baseline, rates = case["baseline_model"], case["baseline_rates"]
    rows = [_make_price(1, {"provider": "baseline", "model": baseline}, {"rates": rates})] if rates else []
    book = PriceBook(rows, ("baseline", baseline))
    charges = []
    for attempt in case.get("attempts") or [case]:
        served = attempt.get("served", attempt.get("status", "success") == "success")
        event = _make_event(attempt.get("usage") or case["usage"], status="success" if served else "error")
        cost = attempt["actual_cost"]
        reported = event.model_copy(update={"cost_usd": None if cost is None else Decimal(str(cost))})
        charges.append(charge_event(reported, book))
    baselines = [charge.baseline_cost_usd for charge in charges]
    figures = {
        "expected_cost": _sum([charge.cost_usd for charge in charges]),
        "expected_baseline_cost": _sum([cost for cost in baselines if cost is not None]),
        "expected_savings": _sum([charge.savings_usd for charge in charges]),
    }
    return _compare({name: value for name, value in case.items() if name in figures}, figures)


def run_aggregation(case: Case, databases: Databases) -> list[Check]:
    """Store the case's events and read what people read."""
    with databases.open() as stored:
        figures = measure_stored_case(case, stored)
    expected = case.get("expected", {})
    named = {"sum": case["expected_sum"]} if "expected_sum" in case else {}
    # an expectation in words is what the invariants say
    named |= expected if isinstance(expected, dict) else {}
    return [*_compare(named, figures), Check("broken invariants", [], figures["broken"])]


class Section(NamedTuple):
    """How the cases of a section are run, and the expectations that this looks at."""

    run: Callable[[Case, Databases], list[Check]]
    expectations: frozenset[str]


SECTIONS: Final = {
    "cost_vectors": Section(run_cost, frozenset({"expected_cost_usd"})),
    "normalization_vectors": Section(run_normalization, frozenset({"expected"})),
    "invalid_input_vectors": Section(run_invalid_input, frozenset({"expected"})),
    "savings_vectors": Section(run_savings, frozenset({"expected_cost", "expected_baseline_cost", "expected_savings"})),
    "aggregation_vectors": Section(run_aggregation, frozenset({"expected", "expected_sum"})),
}


def _make_price(price_id: int, case: Case, row: Case) -> Price:
    rates = {
        RATES[name]: Decimal(str(rate)) for name, rate in row["rates"].items() if name in RATES and rate is not None
    }
    return Price(
        price_id,
        case["provider"],
        case["model"],
        service_tier=row.get("service_tier") or "standard",
        above_input_tokens=row.get("above_input_tokens"),
        above_is_inclusive=row.get("above_is_inclusive") or False,
        windows_utc=parse_windows(row.get("windows_utc")),
        multiplier=Decimal(str(row.get("multiplier") or case.get("multiplier") or 1)),
        valid_from=_parse_time(row.get("effective_from")),
        valid_to=_parse_time(row.get("effective_to")),
        **rates,
    )


def _make_event(usage: Case, **fields: object) -> RequestEvent:
    """Make the event of a usage; what the event has no field for raises, unless it says nothing."""
    named = {FIELD_NAMES.get(name, name): value for name, value in usage.items()}
    milliseconds = named.pop("duration_ms", None)
    if milliseconds is not None:
        named["duration_seconds"] = milliseconds / 1000
    told = {name: value for name, value in named.items() if name in RequestEvent.model_fields or value}
    event = {"event_id": EVENT_ID, "occurred_at": NOON, "provider": "p", "model": "m", "status": "success"}
    return RequestEvent.model_validate({**event, **fields, **told})


def _read_outcomes(expected: object) -> set[str]:
    """Read the words before a colon or a bracket: reject, flag, accept, null."""
    words = set(re.findall(r"[a-z]+", re.split(r"[:(]", str(expected).lower())[0]))
    outcomes = {
        "rejected": words & {"reject", "rejected", "refuse"},
        "flagged": words & {"flag", "flagged"},
        "accepted without cost": words & {"none", "null", "unknown", "unpriced", "unmetered"},
    }
    named = {outcome for outcome, found in outcomes.items() if found}
    return named or ({"accepted"} if words & {"accept", "accepted", "ok"} else set())


def _submit(usage: Case, databases: Databases) -> str:
    try:
        event = _make_event(usage)
    except ValidationError:
        return "rejected"
    if _is_flagged(event, databases):
        return "flagged"
    row = {"rates": {"input": "0.000003", "output": "0.000015"}}
    book = PriceBook([_make_price(1, {"provider": event.provider, "model": "*"}, row)], BASELINE)
    return "accepted" if charge_event(event, book).cost_usd is not None else "accepted without cost"


def _is_flagged(event: RequestEvent, databases: Databases) -> bool:
    if event.total_tokens is None:
        return False
    with databases.open() as stored:
        stored.send([event.model_dump(mode="json", exclude_unset=True)])
        kept = stored.read(b"SELECT count(*) FROM llm_requests WHERE prompt_tokens + completion_tokens IS NOT NULL")
        return (*kept, *stored.read(b"SELECT coalesce(sum(requests), 0) FROM llm_usage_mismatches")) == (1, 1)


def _compare(expected: Case, figures: dict[str, Any]) -> list[Check]:
    """Compare the figures that are expected, one level down too."""
    checks = []
    for name, value in expected.items():
        if isinstance(value, dict):
            checks += _compare(value, figures.get(name) or {})
        else:
            checks.append(Check(name, value, figures.get(name, "a figure this runner does not know")))
    return checks


def _parse_number(value: object) -> Decimal | None:
    is_number = isinstance(value, int | float | Decimal | str) and not isinstance(value, bool)
    try:
        return Decimal(str(value)) if is_number else None
    except ArithmeticError:
        return None


def _parse_time(text: str | None) -> datetime | None:
    """Parse a time; one without offset is in UTC."""
    time = None if text is None else datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time


def _subtract(whole: int | None, *parts: int | None) -> int | None:
    return None if whole is None else whole - sum(part or 0 for part in parts)


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    """Add amounts that are all known; none at all is not known either."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(amounts) else None


def run_case(section: str, case: Case, databases: Databases) -> str:
    """Run one case and return its line."""
    name = case.get("id", "without id")
    try:
        run, looked_at = SECTIONS[section]
        expectations = {key for key in case if key.startswith("expected")}
        unknown = [Check(key, case[key], "nothing that this runner looks at") for key in expectations - looked_at]
        wrong = [check for check in run(case, databases) + unknown if not check.is_right]
        if not expectations:
            raise ValueError("nothing is expected")  # noqa: TRY301 - told like every other case that cannot be run
    except EmbeddedError as error:
        return f"note {name}: not run, no PostgreSQL here ({error}); shown by {SHOWN_BY.get(name, 'tests/integration')}"
    except Exception as error:  # noqa: BLE001 - a case that cannot be run is a wrong case, and the others go on
        return f"FAIL {name} could not be run: {type(error).__name__}: {error}".replace("\n", " ")
    told = "; ".join(f"expected {check.name} {check.expected} got {check.got}" for check in wrong)
    return f"FAIL {name} {told}" if wrong else f"ok {name}"


def main(arguments: list[str]) -> int:
    """Run the file named; print a line per case and the counts."""
    try:
        (path,) = arguments
        cases = read_cases(path, SECTIONS)
    except (OSError, ValueError, RecursionError) as error:
        print(f"usage: run_costs.py FILE of cost-vectors/1: {error}", file=sys.stderr)
        return 2
    counts = {"ok": 0, "FAIL": 0, "note": 0}
    with ExitStack() as stack:
        databases = Databases(stack)
        for section, case in cases:
            line = run_case(section, case, databases)
            counts[line.split()[0]] += 1
            print(line, flush=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['note']} not run")
    return 1 if counts["FAIL"] or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
