from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from fuseboard_producer.admission import GuardReading
from fuseboard_producer.request import Request
from fuseboard_producer.selection import Candidate, Plan, select
from fuseboard_producer.snapshot import Offer, ProviderView, Snapshot, assume_closed
from selection_tools import (
    LARGE,
    NOW,
    SMALL,
    UNPRICED,
    make_rng,
    make_view,
    name_candidates,
    open_view,
    order,
    plan,
)


@pytest.mark.parametrize(
    ("wishes", "expected", "reasons"),
    [
        ({"needs": frozenset({"vision"})}, ["large"], {"small": "no_capability", "unpriced": "no_capability"}),
        ({"input_tokens": 7500, "output_tokens": 500}, ["large", "small", "unpriced"], {}),
        ({"input_tokens": 7500, "output_tokens": 501}, ["large", "unpriced"], {"small": "context_exceeded"}),
        (
            {"input_tokens": 7500, "output_tokens": 100, "max_output_tokens": 501},
            ["large", "unpriced"],
            {"small": "context_exceeded"},
        ),
        ({"max_output_tokens": 8001}, ["large", "unpriced"], {"small": "context_exceeded"}),
        ({"providers": frozenset({"small"})}, ["small"], {"large": "not_allowed", "unpriced": "not_allowed"}),
        ({"denied": frozenset({"small"})}, ["large", "unpriced"], {"small": "denied"}),
        (
            {"input_tokens": 1000, "output_tokens": 500, "max_cost_usd": Decimal("0.002")},
            ["small"],
            {"large": "cost_exceeded", "unpriced": "unpriced"},
        ),
    ],
)
def test_a_request_goes_only_where_it_can(wishes: dict[str, Any], expected: list[str], reasons: dict[str, str]) -> None:
    found = plan(LARGE, SMALL, UNPRICED, **wishes)

    assert (name_candidates(found), found.reasons, found.is_panic) == (expected, reasons, False)


def test_a_model_is_asked_for_by_the_name_that_the_provider_has_for_it() -> None:
    local = make_view("local", offers={"large": Offer("llama-70b", context_tokens=4096), "small": Offer()})
    anything = make_view("relay")

    assert plan(local, anything, model="large").candidates == (
        Candidate("local", epoch=1, model="llama-70b"),
        Candidate("relay", epoch=1, model="large"),
    )
    assert plan(local, model="small").candidates[0].model == "small"
    assert plan(local, model="huge").reasons == {"local": "no_model"}
    assert plan(local, model="large", input_tokens=5000).reasons == {"local": "context_exceeded"}


def test_circuits_keep_providers_out_and_say_why_and_until_when() -> None:
    found = plan(
        make_view("ok"),
        open_view("open", NOW + 50),
        make_view("throttled", throttle_until=NOW + 20),
        make_view("forced", override="forced_open"),
        make_view("off", enabled=False),
        make_view("disabled", override="disabled", state="open", open_until=NOW + 9, epoch=3),
    )

    assert found.candidates == (Candidate("disabled", epoch=3), Candidate("ok", epoch=1))
    assert found.reasons == {
        "open": "open", "throttled": "throttled", "forced": "forced_open", "off": "not_enabled",
    }  # fmt: skip
    assert found.retry_after_seconds == 20.0


def test_a_half_open_provider_keeps_its_rank_and_needs_a_lease() -> None:
    found = plan(open_view("a", NOW), make_view("b"))

    assert found.candidates == (Candidate("a", "probe", "shared", 2), Candidate("b", epoch=1))


def test_a_refused_probe_leaves_the_others_and_then_the_panic_route() -> None:
    views = open_view("a", NOW - 1), open_view("b", NOW - 1), make_view("c", throttle_until=NOW + 3)

    assert plan(*views, refused="a").candidates == (Candidate("b", "probe", "shared", 2),)
    found = plan(*views, refused="a b")
    assert found.is_panic
    assert found.candidates == (Candidate("a", "panic", epoch=2), Candidate("b", "panic", epoch=2))
    assert found.reasons == {"c": "throttled"}
    assert plan(*views, refused="a b", panic="fail").reasons == {
        "a": "probe_refused", "b": "probe_refused", "c": "throttled",
    }  # fmt: skip


def test_panic_tries_the_two_open_providers_that_are_nearest_to_their_deadlines() -> None:
    views = [open_view("a", NOW + 30), open_view("b", NOW + 10), open_view("c", NOW + 20)]

    found = plan(*views, make_view("d", throttle_until=NOW + 5), make_view("e", override="forced_open"))

    assert found.candidates == (Candidate("b", "panic", epoch=2), Candidate("c", "panic", epoch=2))
    assert found.reasons == {"a": "open", "d": "throttled", "e": "forced_open"}
    assert found.retry_after_seconds == 5.0


def test_panic_tries_no_open_provider_that_is_throttled_or_unfit() -> None:
    found = plan(
        open_view("a", NOW + 30, throttle_until=NOW + 1),
        open_view("b", NOW + 10, offer=Offer(context_tokens=10)),
        input_tokens=11,
    )

    assert (found.is_panic, found.candidates) == (False, ())
    # a throttle that ends earlier than the circuit does not make it available
    assert found.retry_after_seconds == 30.0


def test_no_deadline_is_named_where_none_will_pass() -> None:
    assert plan(make_view("a", override="forced_open")).retry_after_seconds is None
    assert plan() == Plan("priority", (), is_panic=False, reasons={}, retry_after_seconds=None)


def test_suspects_go_behind_the_others_and_keep_their_order() -> None:
    guard = GuardReading(frozenset("ac"))

    assert order(*map(make_view, "abcd"), guard=guard) == ["b", "d", "a", "c"]
    assert order(make_view("a"), guard=guard) == ["a"]


def test_a_throttle_seen_here_keeps_a_provider_out_at_once() -> None:
    found = plan(make_view("a"), make_view("b"), guard=GuardReading(throttles={"a": NOW + 4}))

    assert (name_candidates(found), found.reasons, found.retry_after_seconds) == (["b"], {"a": "throttled"}, 4.0)


@pytest.mark.parametrize(("elapsed_seconds", "share"), [(0.0, 0.1), (1.0, 0.1), (10.0, 0.5), (20.0, 1.0), (99.0, 1.0)])
def test_a_circuit_that_has_just_closed_goes_first_more_and_more_often(elapsed_seconds: float, share: float) -> None:
    views = [make_view("a", closed_at=NOW - elapsed_seconds), make_view("b"), make_view("c")]

    orders = Counter(tuple(order(*views, seed=seed)) for seed in range(2000))

    assert orders.keys() <= {("a", "b", "c"), ("b", "a", "c")}
    assert orders["a", "b", "c"] / 2000 == pytest.approx(share, abs=0.04)


def test_the_ramp_gives_way_neither_to_suspects_nor_to_nobody() -> None:
    ramping = make_view("a", closed_at=NOW)

    assert {tuple(order(ramping, seed=seed)) for seed in range(50)} == {("a",)}
    guard = GuardReading(frozenset("b"))
    assert {tuple(order(ramping, make_view("b"), guard=guard, seed=seed)) for seed in range(50)} == {("a", "b")}


def test_two_ramps_give_way_to_the_third() -> None:
    views = [make_view("a", closed_at=NOW), make_view("b", closed_at=NOW), make_view("c")]

    orders = Counter(tuple(order(*views, seed=seed)) for seed in range(2000))

    assert orders["c", "a", "b"] / 2000 == pytest.approx(0.81, abs=0.04)


def test_at_start_up_the_first_named_is_tried_first_without_an_epoch() -> None:
    found = select(Request(), assume_closed(["ollama", "claude"]), NOW, make_rng())

    assert found.candidates == (Candidate("ollama"), Candidate("claude"))


def test_an_old_snapshot_probes_locally_and_a_stale_one_obeys_operators_only() -> None:
    views = (
        open_view("a", NOW),
        open_view("b", NOW + 500),
        make_view("c", override="forced_open"),
        make_view("d", enabled=False),
    )
    snapshot = Snapshot(views, NOW)

    aging = select(Request(), snapshot, NOW + 30, make_rng())
    stale = select(Request(), snapshot, NOW + 61, make_rng())

    assert aging.candidates == (Candidate("a", "probe", "local", 2),)
    assert stale.candidates == (Candidate("a"), Candidate("b"))
    assert stale.reasons == {"c": "forced_open", "d": "not_enabled"}


def test_a_provider_that_only_the_caller_knows_comes_after_those_preferred() -> None:
    found = plan(make_view("a"), make_view("b"), providers=frozenset({"a", "new"}))

    assert found.candidates == (Candidate("a", epoch=1), Candidate("new"))
    assert found.reasons == {"b": "not_allowed"}


def test_an_unknown_strategy_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="strategy is 'cheapest': use one of auto, lowest_cost"):
        Request(strategy="cheapest")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "preferred"),
    [
        (make_view("a"), "a"),
        (open_view("a", NOW + 50), "a"),
        (open_view("a", NOW - 1), "a"),
        (make_view("a", throttle_until=NOW + 20), "a"),
        (make_view("a", override="forced_open"), "a"),
        (make_view("a", closed_at=NOW), "a"),
        (make_view("a", enabled=False), "b"),
        (make_view("a", offers={"other": Offer()}), "b"),
    ],
    ids=["closed", "open", "half-open", "throttled", "forced open", "ramp", "not enabled", "without the model"],
)
def test_the_preferred_provider_is_the_first_that_would_serve_if_its_circuit_were_closed(
    first: ProviderView, preferred: str
) -> None:
    others = (make_view("b", priority=1), open_view("c", NOW + 9, priority=2))

    assert plan(first, *others, model="m").preferred == preferred
    assert plan(first, *others, model="m", refused="a").preferred == preferred
    assert plan(first, *others, model="m", guard=GuardReading(frozenset("a"))).preferred == preferred


def test_in_a_panic_the_preferred_provider_may_not_be_among_the_candidates() -> None:
    found = plan(open_view("a", NOW + 50), open_view("b", NOW + 5), open_view("c", NOW + 9))

    assert (name_candidates(found), found.preferred) == (["b", "c"], "a")


def test_nobody_is_preferred_where_nobody_can_serve() -> None:
    assert plan(make_view("a", enabled=False)).preferred is None


def test_where_chance_decides_who_is_kept_out_is_preferred_as_often_as_it_would_go_first() -> None:
    views = [make_view("a", weight=3.0), make_view("b", weight=1.0), open_view("c", NOW + 9, weight=4.0)]

    found = [plan(*views, strategy="weighted", seed=seed) for seed in range(4000)]

    counts = Counter(one.preferred for one in found)
    assert counts["c"] / 4000 == pytest.approx(0.5, abs=0.03)
    assert counts["a"] / 4000 == pytest.approx(0.375, abs=0.03)
    # an admitted one that is preferred is the one that goes first, or a call would be taken for a fallback
    assert all(one.candidates[0].provider == one.preferred for one in found if one.preferred != "c")
