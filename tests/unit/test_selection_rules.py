"""Whatever the request, the providers and the random numbers: what holds for every plan."""

from dataclasses import replace
from decimal import Decimal
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from fuseboard_producer.admission import GuardReading
from fuseboard_producer.request import Request, Strategy
from fuseboard_producer.selection import select
from fuseboard_producer.snapshot import Health, Offer, ProviderView, Snapshot, sort_views
from selection_tools import NOW, make_rates, make_rng, name_candidates

CIRCUIT_REASONS = {"forced_open", "throttled", "open", "probe_refused"}
deadlines = st.none() | st.floats(NOW - 100, NOW + 100)
offers = st.builds(
    Offer,
    st.none(),
    st.none() | st.builds(make_rates, *[st.sampled_from(["0", "0.5", "1", "3"])] * 2),
    st.none() | st.integers(1, 2000),
    st.frozensets(st.sampled_from(["tools", "vision"])),
)
healths = st.builds(Health, st.integers(0, 100), st.integers(0, 100), st.none() | st.floats(0, 60))
views = st.builds(
    ProviderView,
    name=st.sampled_from("abcdefgh"),
    enabled=st.booleans(),
    priority=st.integers(0, 2),
    weight=st.none() | st.floats(0, 10),
    state=st.sampled_from(["closed", "open"]),
    epoch=st.none() | st.integers(1, 9),
    open_until=deadlines,
    throttle_until=deadlines,
    override=st.sampled_from([None, None, "forced_open", "disabled"]),
    offer=offers,
    health=healths,
    closed_at=st.none() | st.floats(NOW - 30, NOW),
)
snapshots = st.lists(views, max_size=8, unique_by=lambda view: view.name).map(
    lambda found: Snapshot(sort_views(found), NOW)
)
requests = st.builds(
    Request,
    strategy=st.sampled_from(get_args(Strategy)),
    input_tokens=st.none() | st.integers(0, 2000),
    output_tokens=st.none() | st.integers(0, 500),
    needs=st.frozensets(st.just("tools")),
    providers=st.none() | st.frozensets(st.sampled_from("abcdefghij")),
    denied=st.frozensets(st.sampled_from("abc"), max_size=1),
    max_cost_usd=st.none() | st.just(Decimal("0.002")),
    sticky_key=st.none() | st.text(max_size=5),
    explore=st.sampled_from([0.0, 0.5, 1.0]),
    spread=st.booleans(),
    panic=st.sampled_from(["route", "fail"]),
)
guards = st.builds(
    GuardReading,
    st.frozensets(st.sampled_from("abcdefgh")),
    st.dictionaries(st.sampled_from("abcdefgh"), st.floats(NOW - 5, NOW + 5), max_size=2),
)


@given(requests, snapshots, guards, st.frozensets(st.sampled_from("abcdefgh")), st.integers(0, 9))
@settings(max_examples=300, deadline=None)
def test_every_plan_keeps_the_rules(
    request: Request, snapshot: Snapshot, guard: GuardReading, refused: frozenset[str], seed: int
) -> None:
    found = select(request, snapshot, NOW, make_rng(seed), guard=guard, refused=refused)

    names = name_candidates(found)
    known = snapshot.by_name.keys() | (request.providers or frozenset())
    assert len(set(names)) == len(names)
    assert set(names) | found.reasons.keys() == known
    assert not set(names) & found.reasons.keys()
    for candidate in found.candidates:
        view = snapshot.by_name.get(candidate.provider, ProviderView(name=candidate.provider))
        assert view.enabled
        assert view.override != "forced_open"
        assert (view.throttle_until or 0) <= NOW
        assert guard.throttles.get(view.name, 0) <= NOW
        assert view.name not in request.denied
        assert request.providers is None or view.name in request.providers
        is_waiting = view.state == "open" and view.override is None and (view.open_until or 0) > NOW
        is_half_open = view.state == "open" and view.override is None and not is_waiting
        assert found.is_panic == (candidate.admission == "panic")
        if not found.is_panic:
            assert not is_waiting
            assert (candidate.admission, candidate.lease) == (("probe", "shared") if is_half_open else ("normal", None))
            assert not (is_half_open and view.name in refused)
    eligible = {name for name, reason in found.reasons.items() if reason in CIRCUIT_REASONS} | set(names)
    assert found.preferred in eligible if eligible else found.preferred is None
    if found.is_panic:
        assert request.panic == "route"
        assert len(names) <= 2


@given(requests, snapshots, guards, st.integers(0, 9))
@settings(deadline=None)
def test_the_same_random_numbers_give_the_same_plan(
    request: Request, snapshot: Snapshot, guard: GuardReading, seed: int
) -> None:
    plans = [select(request, snapshot, NOW, make_rng(seed), guard=guard) for _ in range(2)]
    shuffled = Snapshot(sort_views(reversed(snapshot.providers)), NOW)

    assert plans[0] == plans[1] == select(request, shuffled, NOW, make_rng(seed), guard=guard)


@given(
    st.sampled_from(["priority", "weighted"]),
    st.text(max_size=10),
    st.lists(views, min_size=2, max_size=8, unique_by=lambda view: view.name),
    st.data(),
)
@settings(deadline=None)
def test_when_a_provider_leaves_the_others_keep_their_order_for_every_key(
    strategy: Strategy, key: str, found: list[ProviderView], data: st.DataObject
) -> None:
    plain = [ProviderView(name=view.name, priority=view.priority, weight=view.weight) for view in found]
    leaving = data.draw(st.sampled_from(plain))
    request = Request(strategy=strategy, sticky_key=key)

    before = select(request, Snapshot(sort_views(plain), NOW), NOW, make_rng(1))
    out = [replace(view, override="forced_open") if view is leaving else view for view in plain]
    after = select(request, Snapshot(sort_views(out), NOW), NOW, make_rng(2))

    assert name_candidates(after) == [name for name in name_candidates(before) if name != leaving.name]
