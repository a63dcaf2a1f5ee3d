"""What a caller is told when there is nobody to ask."""

from collections.abc import Mapping


class NoProviderAvailable(Exception):  # noqa: N818 - the name says it
    """No provider was tried, because none may be called now.

    retry_after_seconds: until the nearest deadline of one that only waits for it; None where none does.
    reasons: by provider, why not. It is about the choice and never about a provider: no event tells of it.
    """

    def __init__(self, retry_after_seconds: float | None, reasons: Mapping[str, str]) -> None:
        super().__init__(retry_after_seconds, dict(reasons))
        self.retry_after_seconds = retry_after_seconds
        self.reasons: Mapping[str, str] = dict(reasons)

    def __str__(self) -> str:
        if not self.reasons:
            return "no provider is known: name them in Router(providers=...) or in the request"
        found = ", ".join(f"{name}: {reason}" for name, reason in sorted(self.reasons.items()))
        after = "" if self.retry_after_seconds is None else f"; retry after {self.retry_after_seconds:.1f} s"
        return f"no provider may be called now ({found}){after}"
