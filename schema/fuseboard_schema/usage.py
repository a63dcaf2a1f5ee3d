"""Usage as providers report it, brought to one convention: input includes cache, output includes reasoning. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Raw = Mapping[str, Any]


class RequestUsage(NamedTuple):
    """Usage under the names of the event's fields; None is not known, which is never 0."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    web_searches: int | None = None
    service_tier: str | None = None
    duration_seconds: float | None = None

    def as_fields(self) -> dict[str, Any]:
        """Give what is known as keywords for `Producer.record` or `Call.set_fields`."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def normalize_usage(usage: object) -> RequestUsage:
    """Bring the usage of a provider's response to RequestUsage.

    Takes the usage, or the whole response, as a mapping or as an SDK's object: of Anthropic (Messages), OpenAI (Chat
    Completions, Responses, Embeddings) and the servers that speak OpenAI's form, Gemini, Amazon Bedrock (Converse) or
    Ollama. Raises ValueError for any other shape, naming its keys, and for a count that is none, naming the key.
    """
    raw = _read_mapping(usage, "usage")
    for key in _USAGE_KEYS:
        if raw.get(key) is not None:
            raw = _read_part(raw, key)
    if raw.get("input_tokens_details") is not None:
        return _read_openai(raw, "input", "output")
    for keys, read in _SHAPES:
        if not keys.isdisjoint(raw):
            return read(raw)
    raise ValueError(f"usage of an unknown shape, with the keys {sorted(map(str, raw))}: pass the counts by name")


def _read_anthropic(raw: Raw) -> RequestUsage:
    """Anthropic counts cache reads and writes beside input_tokens, and one-hour writes inside all writes."""
    read = _read_count(raw, "cache_read_input_tokens")
    written = _read_count(raw, "cache_creation_input_tokens")
    by_age = _read_part(raw, "cache_creation")
    written_1h = _read_count(by_age, "ephemeral_1h_input_tokens")
    if written is None:
        written = _add(_read_count(by_age, "ephemeral_5m_input_tokens"), written_1h)
    details = _read_part(raw, "output_tokens_details")
    tier = raw.get("service_tier")
    return RequestUsage(
        prompt_tokens=_add_known(_read_count(raw, "input_tokens"), read, written),
        completion_tokens=_read_count(raw, "output_tokens"),
        cache_read_tokens=read,
        cache_write_tokens=_subtract(written, written_1h, "cache_creation_input_tokens"),
        cache_write_1h_tokens=written_1h,
        reasoning_tokens=_read_first_count(details, "thinking_tokens", "reasoning_tokens"),
        total_tokens=_read_count(raw, "total_tokens"),
        web_searches=_read_count(_read_part(raw, "server_tool_use"), "web_search_requests"),
        service_tier=None if tier is None else str(tier),
    )


def _read_openai_chat(raw: Raw) -> RequestUsage:
    return _read_openai(raw, "prompt", "completion")


def _read_openai(raw: Raw, prompt_name: str, completion_name: str) -> RequestUsage:
    """OpenAI counts cached tokens inside its input and reasoning inside its output; xAI puts reasoning beside it."""
    prompt = _read_count(raw, f"{prompt_name}_tokens")
    completion = _read_count(raw, f"{completion_name}_tokens")
    total = _read_count(raw, "total_tokens")
    prompt_details = _read_part(raw, f"{prompt_name}_tokens_details")
    reasoning = _read_count(_read_part(raw, f"{completion_name}_tokens_details"), "reasoning_tokens")
    # only the total tells the two apart
    if prompt is not None and completion is not None and reasoning and total == prompt + completion + reasoning:
        completion += reasoning
    cached = _read_count(prompt_details, "cached_tokens")
    # LiteLLM's names for what Anthropic's cache wrote
    written = _read_first_count(prompt_details, "cache_write_tokens", "cache_creation_tokens")
    written_1h = _read_count(_read_part(prompt_details, "cache_creation_token_details"), "ephemeral_1h_input_tokens")
    return RequestUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cache_read_tokens=_read_count(raw, "prompt_cache_hit_tokens") if cached is None else cached,
        cache_write_tokens=_subtract(written, written_1h, "cache_creation_tokens"),
        cache_write_1h_tokens=written_1h,
        reasoning_tokens=reasoning,
        total_tokens=total,
    )


def _read_gemini(raw: Raw) -> RequestUsage:
    """Gemini counts thoughts beside the candidates and tool prompts beside the prompt; a count of 0 may be left out."""
    thoughts = _read_first_count(raw, "thoughtsTokenCount", "thoughts_token_count")
    candidates = _read_first_count(
        raw, "candidatesTokenCount", "candidates_token_count", "responseTokenCount", "response_token_count"
    )
    tool_prompt = _read_first_count(raw, "toolUsePromptTokenCount", "tool_use_prompt_token_count")
    return RequestUsage(
        prompt_tokens=_add_known(_read_first_count(raw, "promptTokenCount", "prompt_token_count"), tool_prompt),
        completion_tokens=_add(candidates, thoughts),
        cache_read_tokens=_read_first_count(raw, "cachedContentTokenCount", "cached_content_token_count"),
        reasoning_tokens=thoughts,
        total_tokens=_read_first_count(raw, "totalTokenCount", "total_token_count"),
    )


def _read_bedrock(raw: Raw) -> RequestUsage:
    """Bedrock counts cache reads and writes beside inputTokens, and lists the writes by how long they live."""
    read = _read_count(raw, "cacheReadInputTokens")
    written = _read_count(raw, "cacheWriteInputTokens")
    details = [_read_mapping(detail, "cacheDetails") for detail in raw.get("cacheDetails") or ()]
    written_1h = _add(*(_read_count(detail, "inputTokens") for detail in details if detail.get("ttl") == "1h"))
    return RequestUsage(
        prompt_tokens=_add_known(_read_count(raw, "inputTokens"), read, written),
        completion_tokens=_read_count(raw, "outputTokens"),
        cache_read_tokens=read,
        cache_write_tokens=_subtract(written, written_1h, "cacheWriteInputTokens"),
        cache_write_1h_tokens=written_1h,
    )


def _read_ollama(raw: Raw) -> RequestUsage:
    """Ollama counts its durations in nanoseconds."""
    duration = _read_count(raw, "total_duration")
    return RequestUsage(
        prompt_tokens=_read_count(raw, "prompt_eval_count"),
        completion_tokens=_read_count(raw, "eval_count"),
        duration_seconds=None if duration is None else duration / 1_000_000_000,
    )


# where a whole response holds its usage
_USAGE_KEYS = ("usage", "usageMetadata", "usage_metadata")
_SHAPES = (
    (frozenset({"prompt_eval_count", "eval_count"}), _read_ollama),
    (frozenset({"inputTokens", "outputTokens"}), _read_bedrock),
    (frozenset({"promptTokenCount", "prompt_token_count", "totalTokenCount", "total_token_count"}), _read_gemini),
    (frozenset({"prompt_tokens", "completion_tokens"}), _read_openai_chat),
    (frozenset({"input_tokens", "output_tokens"}), _read_anthropic),
)


def _read_mapping(value: object, name: str) -> Raw:
    """View a mapping, a pydantic model or any object with attributes as a mapping."""
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None)
    view = dump() if callable(dump) else getattr(value, "__dict__", None)
    if not isinstance(view, Mapping):
        raise ValueError(f"{name}: a mapping or an SDK's usage object is needed, not {type(value).__name__}")  # noqa: TRY004 - one kind of error for whatever a provider may send
    return view


def _read_part(raw: Raw, key: str) -> Raw:
    part = raw.get(key)
    return {} if part is None else _read_mapping(part, key)


def _read_count(raw: Raw, key: str) -> int | None:
    value = raw.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{key}: {value!r} is no count")
    return value


def _read_first_count(raw: Raw, *keys: str) -> int | None:
    return next((count for count in (_read_count(raw, key) for key in keys) if count is not None), None)


def _add(*counts: int | None) -> int | None:
    """Add what is known; None where nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _add_known(count: int | None, *others: int | None) -> int | None:
    """Add to a count; None where the count itself is not known."""
    return None if count is None else _add(count, *others)


def _subtract(whole: int | None, part: int | None, name: str) -> int | None:
    if whole is None or part is None:
        return whole
    if part > whole:
        raise ValueError(f"{name}: {whole} is less than its one-hour part, {part}")
    return whole - part
