"""What a trace does not say: provider, model, duration and status. Pure, and the same for the same seed."""

import math
from datetime import timedelta
from random import Random
from typing import Final, NamedTuple

from fuseboard_cli.trace import Arrival, Event
from fuseboard_schema.event import RequestStatus

ASSIGNED_FIELDS: Final = ("provider", "model", "status", "duration_seconds")
DEFAULT_MIX: Final = "ollama:55,localai:15,claude:20,openai:10"
TIMEOUT_SECONDS: Final = 60.0
CANCELLED_SHARE: Final = 0.004
# spread of durations around what the tokens say, as the sigma of a log-normal distribution
DURATION_SPREAD: Final = 0.25
FAILED: Final = frozenset({"error", "timeout", "rate_limited"})


class Profile(NamedTuple):
    """How a provider behaves: its models, its speeds in tokens per second, the shares of its failures."""

    models: tuple[str, ...]
    first_token_seconds: float
    prompt_speed: float
    completion_speed: float
    error_share: float
    timeout_share: float
    rate_limited_share: float
    error_type: str
    # None where no HTTP answer came back at all
    error_http_status: int | None


LLAMAS: Final = ("llama3.1:8b", "qwen2.5:14b")
CLAUDES: Final = ("claude-sonnet-4-5", "claude-haiku-4-5")
PROFILES: Final = {
    "ollama": Profile(LLAMAS, 0.12, 2400, 48, 0.008, 0.010, 0.0, "ConnectionError", None),
    "localai": Profile(("mistral-7b-instruct",), 0.20, 1500, 32, 0.015, 0.015, 0.0, "ConnectionError", None),
    "claude": Profile(CLAUDES, 0.60, 9000, 78, 0.005, 0.002, 0.015, "overloaded_error", 529),
    "openai": Profile(("gpt-4o",), 0.50, 9000, 95, 0.004, 0.003, 0.010, "server_error", 500),
}
OTHER_PROFILE: Final = Profile(("default",), 0.50, 5000, 60, 0.005, 0.005, 0.005, "server_error", 500)


class Mix(NamedTuple):
    """Providers and how much of the traffic each gets."""

    providers: tuple[str, ...]
    weights: tuple[float, ...]

    def choose(self, rng: Random, without: str | None = None) -> str:
        """Choose a provider by weight; another than `without` where there is another."""
        weights = [0.0 if name == without else weight for name, weight in zip(*self, strict=True)]
        return rng.choices(self.providers, weights if any(weights) else self.weights)[0]


def parse_mix(text: str) -> Mix:
    """Parse `ollama:60,claude:30`; raises ValueError saying what is wrong."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().rpartition(":")
        try:
            share = float(weight)
        except ValueError:
            share = -1.0
        if not name or name in shares or not 0 < share < math.inf:
            raise ValueError(f"{part.strip()!r}: write each provider once with its share, as in {DEFAULT_MIX}")
        shares[name] = share
    return Mix(tuple(shares), tuple(shares.values()))


def plan_attempts(arrival: Arrival, request_id: str, mix: Mix, rng: Random) -> list[Event]:
    """Plan what one request of the trace does: one attempt, and after a failure a second one elsewhere."""
    provider = mix.choose(rng)
    first = plan_attempt(arrival, provider, choose_status(provider, rng), rng)
    first["request_id"] = request_id
    if first["status"] not in FAILED:
        return [first]
    other = mix.choose(rng, without=provider)
    arrived_again = arrival._replace(arrived_at=first["occurred_at"])
    second = plan_attempt(arrived_again, other, choose_status(other, rng), rng)
    second |= {"request_id": request_id, "attempt": 2}
    if other != provider:
        second |= {"is_fallback": True, "original_provider": provider, "requested_model": first["model"]}
    return [first, second]


def choose_status(provider: str, rng: Random) -> RequestStatus:
    """Choose how an attempt ends by the shares of the provider's profile."""
    profile = find_profile(provider)
    shares: dict[RequestStatus, float] = {
        "error": profile.error_share,
        "timeout": profile.timeout_share,
        "rate_limited": profile.rate_limited_share,
        "cancelled": CANCELLED_SHARE,
    }
    draw = rng.random()
    for status, share in shares.items():
        draw -= share
        if draw < 0:
            return status
    return "success"


def plan_attempt(arrival: Arrival, provider: str, status: RequestStatus, rng: Random) -> Event:
    """Make the event of one attempt, as a worker would report it at its end."""
    profile = find_profile(provider)
    model = rng.choice(profile.models)
    spread = rng.lognormvariate(0.0, DURATION_SPREAD)
    wait_seconds = (profile.first_token_seconds + arrival.prompt_tokens / profile.prompt_speed) * spread
    # the part of the answer that was generated before the end
    share = {"success": 1.0, "cancelled": rng.random()}.get(status, 0.0)
    completion_tokens = int(arrival.completion_tokens * share)
    seconds = wait_seconds + completion_tokens / profile.completion_speed * spread
    if status == "timeout":
        seconds = TIMEOUT_SECONDS
    return {
        "provider": provider,
        "model": model,
        "status": status,
        "duration_seconds": round(seconds, 6),
        "occurred_at": arrival.arrived_at + timedelta(seconds=seconds),
        **_report_usage(arrival.prompt_tokens, completion_tokens, status),
        **_report_outcome(profile, status, round(wait_seconds, 6), rng),
    }


def _report_usage(prompt_tokens: int, completion_tokens: int, status: RequestStatus) -> Event:
    if status == "timeout":
        # how much had been generated by then, nobody knows
        return {"prompt_tokens": prompt_tokens, "usage_source": "partial"}
    if status in FAILED:
        # a provider that refuses works on no token and bills none
        return {"prompt_tokens": 0, "completion_tokens": 0}
    usage: Event = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return usage if status == "success" else usage | {"usage_source": "partial"}


def _report_outcome(profile: Profile, status: RequestStatus, wait_seconds: float, rng: Random) -> Event:
    match status:
        case "success":
            return {"time_to_first_token_seconds": wait_seconds}
        case "timeout":
            return {"error_type": "TimeoutError"}
        case "rate_limited":
            retry_after = float(rng.randint(1, 20))
            return {"error_type": "rate_limit_error", "http_status": 429, "retry_after_seconds": retry_after}
        case "error":
            return {"error_type": profile.error_type, "http_status": profile.error_http_status}
        case "cancelled":
            return {}


def find_profile(provider: str) -> Profile:
    """Find how a provider behaves; one that is not known behaves like the others."""
    return PROFILES.get(provider, OTHER_PROFILE)
