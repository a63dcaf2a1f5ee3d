from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from fuseboard_schema.event import RequestEvent
from fuseboard_schema.usage import RequestUsage, normalize_usage

counts = st.none() | st.integers(0, 10**12)

SHAPES = [
    pytest.param(
        {
            "input_tokens": 5,
            "cache_read_input_tokens": 128_955,
            "cache_creation_input_tokens": 1_253,
            "cache_creation": {"ephemeral_5m_input_tokens": 253, "ephemeral_1h_input_tokens": 1_000},
            "output_tokens": 700,
            "output_tokens_details": {"thinking_tokens": 600},
            "server_tool_use": {"web_search_requests": 3},
            "service_tier": "batch",
        },
        RequestUsage(130_213, 700, 128_955, 253, 1_000, 600, web_searches=3, service_tier="batch"),
        id="anthropic messages",
    ),
    pytest.param(
        {
            "input_tokens": 9,
            "output_tokens": 2,
            "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6},
        },
        RequestUsage(19, 2, None, 4, 6),
        id="anthropic, writes by age alone",
    ),
    pytest.param({"output_tokens": 15}, RequestUsage(None, 15), id="anthropic message_delta"),
    pytest.param(
        {
            "prompt_tokens": 9_657,
            "completion_tokens": 78,
            "total_tokens": 9_735,
            "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 9_654, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 37, "audio_tokens": 0},
        },
        RequestUsage(9_657, 78, 2, 9_654, None, 37, 9_735),
        id="openai chat",
    ),
    pytest.param(
        {"prompt_tokens": 8, "total_tokens": 8},
        RequestUsage(8, None, total_tokens=8),
        id="openai embeddings",
    ),
    pytest.param(
        {
            "input_tokens": 9_658,
            "input_tokens_details": {"cache_write_tokens": 9_000, "cached_tokens": 600},
            "output_tokens": 42,
            "output_tokens_details": {"reasoning_tokens": 25},
            "total_tokens": 9_700,
        },
        RequestUsage(9_658, 42, 600, 9_000, None, 25, 9_700),
        id="openai responses",
    ),
    pytest.param(
        {
            "prompt_tokens": 10_120,
            "completion_tokens": 1_499,
            "total_tokens": 14_428,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 2_809},
        },
        RequestUsage(10_120, 4_308, 128, None, None, 2_809, 14_428),
        id="xai, reasoning beside completion",
    ),
    pytest.param(
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        RequestUsage(100, 5, 64),
        id="deepseek",
    ),
    pytest.param(
        {
            "prompt_tokens": 50,
            "completion_tokens": 5,
            "prompt_tokens_details": {
                "cached_tokens": 10,
                "cache_creation_tokens": 30,
                "cache_creation_token_details": {"ephemeral_1h_input_tokens": 20},
            },
        },
        RequestUsage(50, 5, 10, 10, 20),
        id="litellm before anthropic",
    ),
    pytest.param(
        {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 40,
            "toolUsePromptTokenCount": 7,
            "candidatesTokenCount": 20,
            "thoughtsTokenCount": 300,
            "totalTokenCount": 427,
        },
        RequestUsage(107, 320, 40, None, None, 300, 427),
        id="gemini",
    ),
    pytest.param(
        {"prompt_token_count": 100, "candidates_token_count": 20, "thoughts_token_count": None},
        RequestUsage(100, 20),
        id="gemini, python names",
    ),
    pytest.param(
        {
            "inputTokens": 5,
            "outputTokens": 50,
            "totalTokens": 55,
            "cacheReadInputTokens": 1_000,
            "cacheWriteInputTokens": 300,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 200}, {"ttl": "5m", "inputTokens": 100}],
        },
        RequestUsage(1_305, 50, 1_000, 100, 200),
        id="bedrock converse",
    ),
    pytest.param(
        {"model": "gemma3", "prompt_eval_count": 26, "eval_count": 259, "total_duration": 4_935_886_791},
        RequestUsage(26, 259, duration_seconds=4.935886791),
        id="ollama",
    ),
    pytest.param({"eval_count": 18}, RequestUsage(None, 18), id="ollama, prompt from its cache"),
]


@pytest.mark.parametrize(("raw", "expected"), SHAPES)
def test_a_documented_shape_becomes_one_convention(raw: dict[str, Any], expected: RequestUsage) -> None:
    assert normalize_usage(raw) == expected


@pytest.mark.parametrize(("raw", "expected"), SHAPES)
@pytest.mark.parametrize("key", ["usage", "usageMetadata", "usage_metadata"])
def test_a_whole_response_is_taken_too(raw: dict[str, Any], expected: RequestUsage, key: str) -> None:
    assert normalize_usage({"id": "x", key: raw, "choices": []}) == expected


def test_an_sdk_model_and_an_object_with_attributes_are_read_like_a_mapping() -> None:
    class Details(BaseModel):
        cached_tokens: int | None = None

    class Model(BaseModel):
        prompt_tokens: int
        completion_tokens: int
        prompt_tokens_details: Details | None = None

    @dataclass
    class Plain:
        input_tokens: int
        output_tokens: int
        input_tokens_details: Details

    expected = RequestUsage(10, 2, 4)

    dumped = normalize_usage(
        Model(prompt_tokens=10, completion_tokens=2, prompt_tokens_details=Details(cached_tokens=4))
    )
    plain = normalize_usage(Plain(input_tokens=10, output_tokens=2, input_tokens_details=Details(cached_tokens=4)))

    assert (dumped, plain) == (expected, expected)


def test_an_unknown_shape_is_refused_with_its_keys() -> None:
    with pytest.raises(ValueError, match=r"keys \['tokens_in', 'tokens_out'\]"):
        normalize_usage({"tokens_in": 1, "tokens_out": 2})


@pytest.mark.parametrize("usage", [None, 7, "text", [1], object()])
def test_what_is_no_usage_at_all_is_refused(usage: object) -> None:
    with pytest.raises(ValueError, match="usage"):
        normalize_usage(usage)


@pytest.mark.parametrize("wrong", [-1, 1.5, "12", True, [1]])
def test_a_count_that_is_none_is_refused_by_its_key(wrong: object) -> None:
    with pytest.raises(ValueError, match="completion_tokens"):
        normalize_usage({"prompt_tokens": 1, "completion_tokens": wrong})


def test_one_hour_writes_beyond_all_writes_are_refused() -> None:
    with pytest.raises(ValueError, match="cache_creation_input_tokens"):
        normalize_usage(
            {"input_tokens": 1, "cache_creation_input_tokens": 2, "cache_creation": {"ephemeral_1h_input_tokens": 3}}
        )


@given(counts, counts, counts, counts)
def test_unknown_stays_unknown_and_nothing_becomes_zero(
    fresh: int | None, read: int | None, written: int | None, output: int | None
) -> None:
    usage = normalize_usage(
        {
            "input_tokens": fresh,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "output_tokens": output,
        }
    )

    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.completion_tokens) == (read, written, output)
    assert usage.prompt_tokens == (None if fresh is None else fresh + (read or 0) + (written or 0))


def test_only_what_is_known_becomes_a_field() -> None:
    assert normalize_usage({"prompt_tokens": 8, "completion_tokens": 0}).as_fields() == {
        "prompt_tokens": 8,
        "completion_tokens": 0,
    }


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_what_is_normalized_is_an_acceptable_event(fresh: int, read: int, written: int, output: int) -> None:
    usage = normalize_usage(
        {"inputTokens": fresh, "cacheReadInputTokens": read, "cacheWriteInputTokens": written, "outputTokens": output}
    )
    event = RequestEvent.model_validate(
        {
            "event_id": "0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a",
            "occurred_at": "2026-11-23T12:00:00Z",
            "provider": "bedrock",
            "model": "m",
            "status": "success",
            **usage.as_fields(),
        }
    )

    assert event.prompt_tokens == fresh + read + written
