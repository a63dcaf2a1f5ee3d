"""Repricing: what raw requests cost by the prices of now, with the correction of their daily usage (G3)."""

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from fuseboard_aggregator.locks import REPRICE_LOCK, hold_lock, hold_snapshot
from fuseboard_aggregator.reprice_store import (
    RepriceFilter,
    StoredRequest,
    TimeRange,
    append_usage_corrections,
    select_requests_to_reprice,
    update_request_charges,
)
from fuseboard_aggregator.store import Database, Progress, bound_partition, list_partitions, select_day_settings
from fuseboard_schema.price_store import select_prices
from fuseboard_schema.pricing import EXACT, STANDARD_TIER_NAMES, ZERO, Charge, PriceBook, Usage

log = logging.getLogger(__name__)

CHUNK_MAX_REQUESTS: Final = 2000


class RepriceBusyError(Exception):
    """Another reprice is running."""


@dataclass
class RepricedUsage:
    """Requests looked at and changed, with their sums before and after; money in USD, where known."""

    examined: int = 0
    changed: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0
    cost_usd_before: Decimal = ZERO
    cost_usd_after: Decimal = ZERO
    savings_usd_before: Decimal = ZERO
    savings_usd_after: Decimal = ZERO
    # of each service tier that has none: a row prices the requests of its own tier alone
    first_unpriced_at: dict[str, datetime] = field(default_factory=dict)

    def count(self, before: Charge, after: Charge, request: StoredRequest) -> None:
        """Count one request."""
        if after.cost_usd is None and after.price_id is None:
            tier = "standard" if request.service_tier in STANDARD_TIER_NAMES else request.service_tier
            first = self.first_unpriced_at.get(tier, request.occurred_at)
            self.first_unpriced_at[tier] = min(request.occurred_at, first)
        self.examined += 1
        self.changed += before != after
        self.unpriced_before += before.cost_usd is None and before.price_id is None
        self.unpriced_after += after.cost_usd is None and after.price_id is None
        self.cost_usd_before = EXACT.add(self.cost_usd_before, before.cost_usd or ZERO)
        self.cost_usd_after = EXACT.add(self.cost_usd_after, after.cost_usd or ZERO)
        self.savings_usd_before = EXACT.add(self.savings_usd_before, before.savings_usd or ZERO)
        self.savings_usd_after = EXACT.add(self.savings_usd_after, after.savings_usd or ZERO)


@dataclass
class Repricing(RepricedUsage):
    """All requests of a reprice together, and by provider and model.

    Requests before raw_retained_from are gone, but for those that arrived late, and keep the cost that they had.
    """

    models: defaultdict[tuple[str, str], RepricedUsage] = field(default_factory=lambda: defaultdict(RepricedUsage))
    raw_retained_from: datetime | None = None
    is_dry_run: bool = True


def reprice_requests(
    connection: Database,
    *,
    baseline: tuple[str, str],
    only_unpriced: bool = True,
    first: datetime | None = None,
    last: datetime | None = None,
    provider: str | None = None,
    model: str | None = None,
    dry_run: bool = True,
    progress: Progress | None = None,
) -> Repricing:
    """Compute again what raw requests of [first, last), aware times, cost and saved; write it unless `dry_run`.

    `only_unpriced` looks at those without a known cost alone. `baseline` is a provider and model. Requests are changed
    in chunks, each one transaction that also appends the correction to the usage deltas: a reprice that is killed has
    done some chunks whole, and running it again does the rest. Health totals do not change. Raises ValueError for a
    naive time, RepriceBusyError while another reprice is running. The connection must be outside of any transaction.
    """
    _check_aware(first, "first")
    _check_aware(last, "last")
    wanted = RepriceFilter(only_unpriced, provider, model)
    with hold_lock(connection, REPRICE_LOCK) as held:
        if not held:
            raise RepriceBusyError("another reprice is running: wait until it has ended")
        book = PriceBook(select_prices(connection), baseline)
        result = Repricing(raw_retained_from=select_day_settings(connection).raw_retained_from, is_dry_run=dry_run)
        ranges = _list_ranges(connection, first, last)
        for number, within in enumerate(ranges, 1):
            _reprice_range(connection, within, wanted, book, result)
            if progress:
                progress(number, len(ranges))
    log.info("requests_repriced examined=%d changed=%d dry_run=%s", result.examined, result.changed, dry_run)
    return result


def _list_ranges(connection: Database, first: datetime | None, last: datetime | None) -> list[TimeRange]:
    """Cut each partition to [first, last)."""
    bounds = [TimeRange(**bound_partition(day)) for day in list_partitions(connection)]
    cut = [TimeRange(max(since, first or since), min(until, last or until)) for since, until in bounds]
    return [bound for bound in cut if bound.since < bound.until]


def _reprice_range(
    connection: Database, within: TimeRange, wanted: RepriceFilter, book: PriceBook, result: Repricing
) -> None:
    last: StoredRequest | None = None
    while True:
        # should anybody else change one of the requests meanwhile, the chunk fails and nothing of it happens
        with hold_snapshot(connection, keep_tag_keys=not result.is_dry_run):
            requests = select_requests_to_reprice(
                connection, within, wanted, last.event_id if last else None, CHUNK_MAX_REQUESTS
            )
            charges = [_charge_request(book, request) for request in requests]
            if not result.is_dry_run:
                _write_charges(connection, within, requests, charges)
        for request, charge in zip(requests, charges, strict=True):
            for usage in (result, result.models[request.provider, request.model]):
                usage.count(request.charge, charge, request)
        if len(requests) < CHUNK_MAX_REQUESTS:
            return
        last = requests[-1]


def _write_charges(
    connection: Database, within: TimeRange, requests: list[StoredRequest], charges: list[Charge]
) -> None:
    pairs = zip(requests, charges, strict=True)
    changed = [(request, charge) for request, charge in pairs if request.charge != charge]
    if not changed:
        return
    changed_requests = [request for request, _ in changed]
    append_usage_corrections(connection, within, changed_requests, sign=-1)
    update_request_charges(connection, within, changed_requests, [charge for _, charge in changed])
    append_usage_corrections(connection, within, changed_requests, sign=1)


def _charge_request(book: PriceBook, request: StoredRequest) -> Charge:
    usage = Usage(
        request.prompt_tokens,
        request.completion_tokens,
        request.cache_read_tokens,
        request.cache_write_tokens,
        request.cache_write_1h_tokens,
        request.web_searches,
    )
    return book.charge(
        request.provider,
        request.model,
        request.service_tier,
        request.occurred_at,
        usage,
        served=request.status == "success",
        reported_cost_usd=request.reported_cost_usd,
    )


def _check_aware(at: datetime | None, name: str) -> None:
    if at is not None and at.tzinfo is None:
        raise ValueError(f"{name}: {at} has no time zone; use an aware datetime, such as one of UTC")
