"""Streams through a router: failed over until their first item, recorded at their end, whatever end that is."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fuseboard_producer import Attempt
from router_tools import APIError, Rig, make_rig
from selection_tools import make_view


class Completion(BaseModel):
    """As openai's answers: iterates over its fields."""

    text: str = "hello"


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    return make_rig(monkeypatch, tmp_path, make_view("a", priority=1), make_view("b", priority=2))


def stream(attempt: Attempt) -> Iterator[str]:
    yield "one"
    yield "two"
    attempt.set_usage(prompt_tokens=7, completion_tokens=2)


def stream_nothing(_: Attempt) -> Iterator[str]:
    yield from ()


def fail_at_once(attempt: Attempt) -> Iterator[str]:
    if attempt.provider:
        raise APIError(503)
    yield "never"


def fail_later(_: Attempt) -> Iterator[str]:
    yield "one"
    raise APIError(503)


async def stream_async(attempt: Attempt) -> AsyncIterator[str]:
    for item in stream(attempt):
        await asyncio.sleep(0)
        yield item


async def return_stream_async(attempt: Attempt) -> AsyncIterator[str]:
    return stream_async(attempt)


async def fail_at_once_async(attempt: Attempt) -> AsyncIterator[str]:
    for item in fail_at_once(attempt):
        yield item


def test_a_stream_fails_over_until_its_first_item_and_is_recorded_at_its_end(rig: Rig) -> None:
    answer = rig.router.call(None, {"a": fail_at_once, "b": stream})

    assert [event["provider"] for event in rig.events] == ["a"]
    assert list(answer) == ["one", "two"]
    failed, served = rig.events
    assert (failed["status"], failed["http_status"]) == ("error", 503)
    assert (served["provider"], served.get("status"), served["is_fallback"]) == ("b", None, True)
    assert (served["prompt_tokens"], served["completion_tokens"]) == (7, 2)
    assert served["duration_seconds"] >= served["time_to_first_token_seconds"] > 0
    assert list(answer) == []
    assert len(rig.events) == 2


@pytest.mark.parametrize("function", [stream_async, return_stream_async])
async def test_an_asynchronous_stream_does_the_same(rig: Rig, function: Any) -> None:  # noqa: ANN401 - either form
    answer: Any = await rig.router.acall(None, {"a": fail_at_once_async, "b": function})

    assert [item async for item in answer] == ["one", "two"]
    assert [(event["provider"], event.get("status")) for event in rig.events] == [("a", "error"), ("b", None)]
    assert rig.events[1]["completion_tokens"] == 2


def test_an_error_in_mid_stream_reaches_the_caller_and_fails_over_no_more(rig: Rig) -> None:
    answer = rig.router.call(None, {"a": fail_later, "b": stream})

    assert next(answer) == "one"
    with pytest.raises(APIError):
        next(answer)
    (event,) = rig.events
    assert (event["provider"], event["status"], event["http_status"]) == ("a", "error", 503)


def test_a_stream_that_is_not_read_to_its_end_is_cancelled(rig: Rig) -> None:
    closed = rig.router.call(None, {"a": stream})
    next(closed)
    closed.close()  # type: ignore[attr-defined] # as of a generator
    with rig.router.call(None, {"a": stream}) as left:  # type: ignore[attr-defined] # as of a client's stream
        next(left)
    forgotten = rig.router.call(None, {"a": stream})
    next(forgotten)
    del forgotten
    gc.collect()

    assert [event["status"] for event in rig.events] == ["cancelled"] * 3


async def test_an_asynchronous_stream_that_is_left_is_cancelled(rig: Rig) -> None:
    closed: Any = await rig.router.acall(None, {"a": stream_async})
    await anext(closed)
    await closed.aclose()
    async with await rig.router.acall(None, {"a": stream_async}) as left:
        await anext(left)

    assert [event["status"] for event in rig.events] == ["cancelled"] * 2


def test_an_empty_stream_is_an_answer(rig: Rig) -> None:
    assert list(rig.router.call(None, {"a": stream_nothing, "b": stream})) == []

    (event,) = rig.events
    assert event.get("status") is None
    assert "time_to_first_token_seconds" not in event


@pytest.mark.parametrize(
    "answer", [["a"], ("a",), {"a": 1}, "text", b"bytes", None, Completion(), range(2), BytesIO(b"RIFF\nspeech")]
)
def test_whatever_is_no_stream_is_given_as_it_is(rig: Rig, answer: object) -> None:
    assert rig.router.call(None, {"a": lambda _: answer}) is answer
    assert len(rig.events) == 1
