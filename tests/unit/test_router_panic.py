"""When nobody is well: the panic route, waiting for a deadline, and saying no."""

from pathlib import Path

import pytest

from fuseboard_producer import NoProviderAvailable, Request
from fuseboard_producer.circuit_scripts import Grant
from router_tools import APIError, Mode, Rig, answer, fail_with, make_rig
from selection_tools import NOW, make_view, open_view

OLLAMA = open_view("ollama", NOW - 1, priority=1)
CLAUDE = make_view("claude", priority=2, epoch=6)
PROBE = Grant("probe", "half_open", 3, None)
BUSY = Grant(None, "probes_busy", 2, None)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    return make_rig(monkeypatch, tmp_path, OLLAMA, CLAUDE)


def test_when_all_are_out_the_two_that_are_next_are_tried_in_panic(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    views = [open_view(name, NOW + seconds) for name, seconds in (("a", 30), ("b", 10), ("c", 20))]
    rig = make_rig(monkeypatch, tmp_path, *views)

    with pytest.raises(APIError):
        rig.call(mode, dict.fromkeys("abc", fail_with(APIError())))

    assert rig.providers == ["b", "c"]
    assert [event["admission"] for event in rig.events] == ["panic", "panic"]
    assert [event["original_provider"] for event in rig.events] == ["a", "a"]
    assert rig.router.counters.panics == 1


def test_a_refused_probe_may_be_tried_in_panic_when_nobody_else_is_there(mode: Mode, rig: Rig) -> None:
    rig.grants = [BUSY]

    assert rig.call(mode, {"ollama": answer}) == "ollama"

    assert rig.events[0]["admission"] == "panic"


def test_open_providers_are_not_tried_after_one_that_was_admitted(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rig = make_rig(monkeypatch, tmp_path, open_view("ollama", NOW + 9), CLAUDE)
    error = APIError()

    with pytest.raises(APIError) as caught:
        rig.call(mode, {"ollama": answer, "claude": fail_with(error)})

    assert caught.value is error
    assert rig.providers == ["claude"]


def test_panic_that_never_helps_is_throttled_and_panic_can_be_forbidden(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rig = make_rig(monkeypatch, tmp_path, open_view("ollama", NOW + 60))
    functions = {"ollama": fail_with(APIError())}

    raised = []
    for _ in range(60):
        with pytest.raises((APIError, NoProviderAvailable)) as caught:
            rig.call(mode, functions)
        raised.append(caught.type)

    assert raised[0] is APIError
    assert 1 <= raised.count(APIError) < 20
    assert raised.count(APIError) == len(rig.events) == rig.router.counters.panics
    with pytest.raises(NoProviderAvailable) as refused:
        rig.call(mode, functions, Request(panic="fail"))
    assert (refused.value.reasons, refused.value.retry_after_seconds) == ({"ollama": "open"}, 60.0)


@pytest.mark.parametrize("reason", ["throttled", "open"])
def test_a_request_may_wait_for_the_nearest_deadline(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reason: str
) -> None:
    waiting = make_view("a", throttle_until=NOW + 2) if reason == "throttled" else open_view("a", NOW + 2)
    rig = make_rig(monkeypatch, tmp_path, waiting, make_view("b", throttle_until=NOW + 50))
    rig.grants = [PROBE]
    functions, request = {"a": answer, "b": answer}, Request(panic="fail")

    with pytest.raises(NoProviderAvailable) as caught:
        rig.call(mode, functions, request, max_wait_seconds=1.9)
    assert (caught.value.retry_after_seconds, rig.sleeps) == (2.0, [])
    with pytest.raises(NoProviderAvailable):
        rig.call(mode, functions, request, max_wait_seconds=3, deadline_seconds=2)
    assert rig.call(mode, functions, request, max_wait_seconds=3) == "a"

    (slept,) = rig.sleeps
    assert 2 <= slept <= 2.1


def test_a_request_waits_once(mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rig = make_rig(monkeypatch, tmp_path, open_view("a", NOW + 2))
    rig.grants = [Grant(None, "throttled", 2, 1.0)]

    with pytest.raises(NoProviderAvailable) as caught:
        rig.call(mode, {"a": answer}, Request(panic="fail"), max_wait_seconds=3)

    assert caught.value.reasons == {"a": "throttled"}
    assert len(rig.sleeps) == 1


def test_a_wait_is_never_longer_than_allowed(rig: Rig) -> None:
    rig.show(make_view("a", throttle_until=NOW + 2))

    assert rig.call("sync", {"a": answer}, max_wait_seconds=2) == "a"

    assert rig.sleeps == [2]


def test_nobody_to_ask_is_told_in_one_line(mode: Mode, rig: Rig) -> None:
    rig.show(make_view("b", throttle_until=NOW + 7.04), make_view("a", enabled=False))

    with pytest.raises(NoProviderAvailable) as caught:
        rig.call(mode, {"a": answer, "b": answer})
    assert str(caught.value) == "no provider may be called now (a: not_enabled, b: throttled); retry after 7.0 s"

    rig.show()
    with pytest.raises(NoProviderAvailable) as unknown:
        rig.router.choose()
    assert str(unknown.value).startswith("no provider is known")


def test_after_the_wait_a_refused_probe_is_asked_for_again(mode: Mode, rig: Rig) -> None:
    rig.show(OLLAMA, make_view("claude", throttle_until=NOW + 2, priority=2))
    rig.grants = [BUSY, PROBE]

    both = {"ollama": answer, "claude": answer}
    assert rig.call(mode, both, Request(panic="fail"), max_wait_seconds=3) == "ollama"

    assert rig.asked == ["ollama", "ollama"]


def test_panic_that_helps_is_not_throttled(mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rig = make_rig(monkeypatch, tmp_path, open_view("ollama", NOW + 60))

    assert [rig.call(mode, {"ollama": answer}) for _ in range(40)] == ["ollama"] * 40


def test_a_choice_in_panic_counts_as_one(rig: Rig) -> None:
    rig.show(open_view("ollama", NOW + 60))

    assert rig.router.choose().admission == "panic"

    assert rig.router.counters.panics == 1
