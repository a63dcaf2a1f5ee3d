"""What a caller wants of a provider."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal, get_args

Strategy = Literal["priority", "weighted", "lowest_cost", "lowest_latency", "auto"]
PanicRoute = Literal["route", "fail"]
STRATEGIES: Final = frozenset(get_args(Strategy))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One logical request; None is not known, and what is not known excludes no provider.

    model: as the providers' lists of models name it. input_tokens includes cached_input_tokens. output_tokens: the
    caller's estimate. max_output_tokens: the caller's limit. needs: capabilities the provider must claim. providers:
    only these. denied: none of these. max_cost_usd: of the estimate. sticky_key: requests with the same key prefer the
    same provider. explore: how often lowest_latency tries the second. spread: whether auto divides requests among the
    nearly best. panic: whether an open provider is tried when all are out. Raises ValueError for an unknown strategy.
    """

    strategy: Strategy = "priority"
    model: str | None = None
    input_tokens: int | None = None
    cached_input_tokens: int = 0
    output_tokens: int | None = None
    max_output_tokens: int | None = None
    needs: frozenset[str] = frozenset()
    providers: frozenset[str] | None = None
    denied: frozenset[str] = frozenset()
    max_cost_usd: Decimal | None = None
    sticky_key: str | None = None
    explore: float = 0.02
    spread: bool = False
    panic: PanicRoute = "route"

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy is {self.strategy!r}: use one of {', '.join(sorted(STRATEGIES))}")

    def restrict(self, names: Iterable[str]) -> "Request":
        """Make the request that goes to no provider but these, of those it allowed."""
        allowed = frozenset(names)
        return replace(self, providers=allowed if self.providers is None else allowed & self.providers)

    @property
    def output_tokens_max(self) -> int:
        """The most output tokens to make room for."""
        return max(self.output_tokens or 0, self.max_output_tokens or 0)
