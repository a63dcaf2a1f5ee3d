"""Exact cost: which price row applies to a request, and what the request costs. Pure: values in, values out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

# wide enough for any bounded count times any rate; should it not be, Inexact raises instead of rounding
EXACT: Final = Context(prec=100, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
ZERO: Final = Decimal(0)
STANDARD_TIER: Final = "standard"
# names of models come from outside: without a bound an invented stream of them would fill the memory
GROUPS_MAX: Final = 10_000
# what providers call their ordinary tier
STANDARD_TIER_NAMES: Final = frozenset({"default", "auto"})


class Usage(NamedTuple):
    """Tokens of one request; prompt includes cache, completion includes reasoning; None is not known."""

    prompt_tokens: int | None
    completion_tokens: int | None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    web_searches: int | None = None


class Window(NamedTuple):
    """Hours of UTC in which a price applies: ISO weekdays and [start, end) pairs; an end of 00:00 is midnight."""

    weekdays: frozenset[int]
    hours: tuple[tuple[time, time], ...]

    def contains(self, at: datetime) -> bool:
        """Say whether an aware time lies in the window."""
        utc = at.astimezone(UTC)
        clock = utc.time()
        inside = any(start <= clock and (end == time.min or clock < end) for start, end in self.hours)
        return inside and utc.isoweekday() in self.weekdays


@dataclass(frozen=True, slots=True)
class Price:
    """One row of llm_prices: USD per token; valid_from and valid_to None are without bound."""

    price_id: int
    provider: str
    model_pattern: str
    service_tier: str = "standard"
    above_input_tokens: int | None = None
    above_is_inclusive: bool = False
    windows_utc: tuple[Window, ...] = ()
    input_usd_per_token: Decimal | None = None
    output_usd_per_token: Decimal | None = None
    cache_read_usd_per_token: Decimal | None = None
    cache_write_usd_per_token: Decimal | None = None
    cache_write_1h_usd_per_token: Decimal | None = None
    web_search_usd_per_call: Decimal | None = None
    multiplier: Decimal = Decimal(1)
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    @property
    def is_unconditional(self) -> bool:
        """Say whether the row applies at any time and to any number of tokens."""
        bounds = (self.above_input_tokens, self.valid_from, self.valid_to)
        return not self.windows_utc and all(bound is None for bound in bounds)

    def is_valid_at(self, at: datetime) -> bool:
        """Say whether an aware time lies in [valid_from, valid_to)."""
        return (self.valid_from is None or self.valid_from <= at) and (self.valid_to is None or at < self.valid_to)

    def is_crossed_by(self, prompt_tokens: int) -> bool:
        """Say whether a request of this many input tokens passes the row's threshold."""
        if self.above_input_tokens is None:
            return True
        limit = self.above_input_tokens
        return prompt_tokens >= limit if self.above_is_inclusive else prompt_tokens > limit


class Charge(NamedTuple):
    """What one request cost, what the baseline would have cost, what was saved, and the price rows that say so."""

    cost_usd: Decimal | None
    price_id: int | None
    baseline_cost_usd: Decimal | None
    baseline_price_id: int | None
    savings_usd: Decimal | None


def compute_cost(usage: Usage, price: Price) -> Decimal | None:
    """Compute the exact cost in USD of a request's usage at one price row.

    cost = multiplier * sum(tokens * rate) + web searches * rate, by the conventions of cost-vectors/1: the row prices
    every token, a missing cache rate is the input rate. None where a rate, or a count that a rate other than 0
    applies to, is not known. Raises ValueError where the cache tokens exceed the prompt tokens.
    """
    prompt, completion, read, write, write_1h, searches = usage
    input_rate, output_rate = price.input_usd_per_token, price.output_usd_per_token
    if input_rate is None or output_rate is None:
        return None
    if prompt is None or completion is None:
        filled = _fill_uncharged_counts(usage, price)
        return None if filled is None else compute_cost(filled, price)
    cost = EXACT.multiply(completion, output_rate)
    if read or write or write_1h:
        cached = ((read or 0, price.cache_read_usd_per_token), (write or 0, price.cache_write_usd_per_token),
                  (write_1h or 0, price.cache_write_1h_usd_per_token))  # fmt: skip
        prompt -= sum(tokens for tokens, _ in cached)
        if prompt < 0:
            raise ValueError("cache tokens exceed prompt_tokens, which must include them")
        for tokens, rate in cached:
            cost = EXACT.fma(tokens, input_rate if rate is None else rate, cost)
    cost = EXACT.fma(prompt, input_rate, cost)
    if price.multiplier != 1:
        cost = EXACT.multiply(cost, price.multiplier)
    if searches:
        return (
            None if price.web_search_usd_per_call is None else EXACT.fma(searches, price.web_search_usd_per_call, cost)
        )
    return cost


def _fill_uncharged_counts(usage: Usage, price: Price) -> Usage | None:
    """A count that is not known matters only where it is charged: not on a local provider, not on an embedding."""
    input_rates = (price.input_usd_per_token, price.cache_read_usd_per_token,
                   price.cache_write_usd_per_token, price.cache_write_1h_usd_per_token)  # fmt: skip
    if usage.completion_tokens is None:
        usage = usage._replace(completion_tokens=None if price.output_usd_per_token else 0)
    if usage.prompt_tokens is None and not any(input_rates):
        cached = (usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens)
        usage = usage._replace(prompt_tokens=sum(count or 0 for count in cached))
    return None if usage.prompt_tokens is None or usage.completion_tokens is None else usage


def choose_price(prices: Iterable[Price], at: datetime, prompt_tokens: int | None) -> Price | None:
    """Choose among the rows of one model and tier: valid at the event's time, then window, then highest threshold."""
    crossed = [price for price in prices if price.is_valid_at(at) and price.is_crossed_by(prompt_tokens or 0)]
    in_window = [price for price in crossed if any(window.contains(at) for window in price.windows_utc)]
    candidates = in_window or [price for price in crossed if not price.windows_utc]
    # of two rows that overlap by mistake the later one counts
    return max(
        candidates,
        key=lambda price: (-1 if price.above_input_tokens is None else price.above_input_tokens, price.price_id),
        default=None,
    )


class PriceBook:
    """The price rows in force, indexed for the many lookups of a batch."""

    def __init__(self, prices: Iterable[Price], baseline: tuple[str, str]) -> None:
        self._prices = tuple(prices)
        self._baseline = (*baseline, STANDARD_TIER)
        self._groups: dict[tuple[str, str, str], list[list[Price]]] = {}
        # models whose price depends on nothing but their name and tier, which are most: no choice to make
        self._fixed: dict[tuple[str, str, str], Price] = {}

    def find_price(
        self, provider: str, model: str, service_tier: str, at: datetime, prompt_tokens: int | None
    ) -> Price | None:
        """Find the row that prices a request, the most specific model pattern first; None where there is none."""
        key = (provider, model, service_tier)
        fixed = self._fixed.get(key)
        if fixed is not None:
            return fixed
        groups = self._groups.get(key)
        if groups is None:
            if len(self._groups) >= GROUPS_MAX:
                self._groups.clear()
                self._fixed.clear()
            groups = self._groups[key] = self._group_by_pattern(*key)
            if groups and len(groups[0]) == 1 and groups[0][0].is_unconditional:
                self._fixed[key] = groups[0][0]
        choices = (choose_price(group, at, prompt_tokens) for group in groups)
        return next((price for price in choices if price is not None), None)

    def charge(
        self, provider: str, model: str, service_tier: str, at: datetime, usage: Usage, *,
        served: bool, reported_cost_usd: Decimal | None = None,
    ) -> Charge:  # fmt: skip
        """Compute what one request cost and saved.

        A reported cost is taken as it is, with no price row. The baseline is the standard tier of the baseline model
        with the same usage, and only a served request has one: the attempt that failed over has its cost alone.
        """
        price = baseline = None
        cost, baseline_cost = reported_cost_usd, None
        if cost is None:
            price = self._fixed.get((provider, model, service_tier)) or self.find_price(
                provider, model, service_tier, at, usage.prompt_tokens
            )
            cost = None if price is None else compute_cost(usage, price)
        if served:
            baseline = self._fixed.get(self._baseline) or self.find_price(*self._baseline, at, usage.prompt_tokens)
            if baseline is not None:
                # most often the baseline is the very row that priced the request
                baseline_cost = cost if baseline is price else compute_cost(usage, baseline)
        return Charge(
            cost,
            None if price is None else price.price_id,
            baseline_cost,
            None if baseline is None else baseline.price_id,
            compute_savings(cost, baseline_cost, served=served),
        )

    def _group_by_pattern(self, provider: str, model: str, service_tier: str) -> list[list[Price]]:
        tier = "standard" if service_tier in STANDARD_TIER_NAMES else service_tier
        groups: dict[str, list[Price]] = {}
        for price in self._prices:
            if price.provider == provider and price.service_tier == tier and match_model(price.model_pattern, model):
                groups.setdefault(price.model_pattern, []).append(price)
        return [groups[pattern] for pattern in sorted(groups, key=_rank_pattern)]


def _rank_pattern(pattern: str) -> tuple[bool, int]:
    """A name goes before a pattern, and of patterns the one with the most literal characters."""
    return "*" in pattern, -len(pattern.replace("*", ""))


def compute_savings(
    cost_usd: Decimal | None, baseline_cost_usd: Decimal | None, *, served: bool = True
) -> Decimal | None:
    """Compute baseline - cost, which may be negative; unknown stays None; a failed attempt saves minus its cost."""
    if cost_usd is None:
        return None
    if not served:
        return EXACT.minus(cost_usd)
    return None if baseline_cost_usd is None else EXACT.subtract(baseline_cost_usd, cost_usd)


def match_model(pattern: str, model: str) -> bool:
    """Say whether a model name matches a pattern in which * stands for any text and nothing else is special."""
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    return fnmatchcase(model, literal)
