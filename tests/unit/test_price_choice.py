from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard_schema.pricing import Price, PriceBook, Window, choose_price, match_model
from prices import make_price

AT = datetime(2026, 11, 18, 4, 30, tzinfo=UTC)  # a Wednesday
DAY = timedelta(days=1)
SONNET = ("claude", "claude-sonnet-4-5")


def choose(rows: Sequence[Price], at: datetime = AT, prompt_tokens: int | None = 0) -> int | None:
    price = choose_price(rows, at, prompt_tokens)
    return None if price is None else price.price_id


@pytest.mark.parametrize(
    ("at", "expected"),
    [(AT - timedelta(microseconds=1), 1), (AT, 2), (AT + DAY - timedelta(microseconds=1), 2), (AT + DAY, None)],
)
def test_validity_is_half_open(at: datetime, expected: int | None) -> None:
    rows = [make_price(1, valid_to=AT), make_price(2, valid_from=AT, valid_to=AT + DAY)]

    assert choose(rows, at) == expected
    assert choose(list(reversed(rows)), at) == expected


def test_validity_compares_instants_and_not_wall_clocks() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    rows = [make_price(1, valid_to=AT), make_price(2, valid_from=AT.astimezone(east))]

    assert choose(rows, (AT - timedelta(seconds=1)).astimezone(east)) == 1
    assert choose(rows, AT.astimezone(east)) == 2


@pytest.mark.parametrize(
    ("inclusive", "prompt_tokens", "expected"),
    [(False, 200_000, 1), (False, 200_001, 2), (True, 199_999, 1), (True, 200_000, 2), (False, None, 1)],
)
def test_a_threshold_is_strict_unless_it_is_inclusive(inclusive: bool, prompt_tokens: int, expected: int) -> None:
    rows = [make_price(1), make_price(2, above_input_tokens=200_000, above_is_inclusive=inclusive)]

    assert choose(rows, prompt_tokens=prompt_tokens) == expected


@given(st.permutations([None, 0, 64_000, 128_000]), st.integers(0, 300_000))
def test_the_highest_threshold_passed_prices_the_request(thresholds: list[int | None], prompt_tokens: int) -> None:
    rows = [make_price(above or 0, above_input_tokens=above) for above in thresholds]

    assert choose(rows, prompt_tokens=prompt_tokens) == max(above for above in (0, 64_000, 128_000)
                                                           if above < prompt_tokens or above == 0)  # fmt: skip


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 11, 18, 3, 59, 59, tzinfo=UTC), 1),
        (datetime(2026, 11, 18, 4, 0, tzinfo=UTC), 2),
        (datetime(2026, 11, 18, 5, 59, 59, 999999, tzinfo=UTC), 2),
        (datetime(2026, 11, 18, 6, 0, tzinfo=UTC), 1),
        (datetime(2026, 11, 18, 23, 59, 59, 999999, tzinfo=UTC), 2),
        (datetime(2026, 11, 21, 12, 0, tzinfo=UTC), 2),
        # Saturday in UTC, Sunday or Friday elsewhere: UTC decides
        (datetime(2026, 11, 23, 8, 0, tzinfo=timezone(timedelta(hours=14))), 2),
        (datetime(2026, 11, 17, 20, 30, tzinfo=timezone(timedelta(hours=-8))), 2),
    ],
)
def test_a_window_is_half_open_in_utc_and_ends_at_midnight_by_name(at: datetime, expected: int) -> None:
    weekdays = Window(frozenset({1, 2, 3, 4, 5}), ((time(4), time(6)), (time(10), time(0))))
    weekend = Window(frozenset({6, 7}), ((time(0), time(0)),))
    rows = [make_price(1), make_price(2, windows_utc=(weekdays, weekend))]

    assert choose(rows, at) == expected


def test_a_row_in_its_window_goes_before_a_higher_threshold_without_one() -> None:
    always = (Window(frozenset(range(1, 8)), ((time(0), time(0)),)),)
    rows = [
        make_price(1),
        make_price(2, above_input_tokens=200_000),
        make_price(3, windows_utc=always),
    ]

    assert choose(rows, prompt_tokens=300_000) == 3
    assert choose([*rows, make_price(4, windows_utc=always, above_input_tokens=200_000)], prompt_tokens=300_000) == 4


def test_a_row_that_is_not_valid_yet_wins_by_no_window_and_no_threshold() -> None:
    always = (Window(frozenset(range(1, 8)), ((time(0), time(0)),)),)
    rows = [make_price(1), make_price(2, windows_utc=always, above_input_tokens=1, valid_from=AT + DAY)]

    assert choose(rows, prompt_tokens=10) == 1


def test_of_two_rows_that_overlap_by_mistake_the_later_counts() -> None:
    assert choose([make_price(7), make_price(5)]) == 7


def find(rows: Sequence[Price], model: str = "m", tier: str = "standard", provider: str = "claude") -> int | None:
    book = PriceBook(rows, SONNET)
    found = [book.find_price(provider, model, tier, AT, 10) for _ in range(2)]
    assert found[0] == found[1]
    return None if found[0] is None else found[0].price_id


def test_the_tier_comes_first_and_no_other_tier_stands_in() -> None:
    rows = [make_price(1), make_price(2, service_tier="batch", valid_to=AT)]

    assert find(rows) == 1
    assert find(rows, tier="batch") is None
    assert find(rows, tier="priority") is None


@pytest.mark.parametrize("name", ["default", "auto", "standard"])
def test_what_providers_call_their_ordinary_tier_is_standard(name: str) -> None:
    assert find([make_price(1), make_price(2, service_tier="flex")], tier=name) == 1


def test_another_provider_has_other_prices() -> None:
    assert find([make_price(1)], provider="openai") is None


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gpt-5.4", 3), ("gpt-5.4-mini", 4), ("gpt-5.4-nano", 2), ("gpt-4o", 1), ("o3", None)],
)
def test_the_most_specific_pattern_goes_first(model: str, expected: int | None) -> None:
    rows = [
        make_price(1, model_pattern="gpt-*"),
        make_price(2, model_pattern="gpt-5.4*"),
        make_price(3, model_pattern="gpt-5.4"),
        make_price(4, model_pattern="gpt-5.4-mini*"),
    ]

    assert find(rows, model) == expected
    assert find(list(reversed(rows)), model) == expected


def test_the_pattern_with_the_most_literal_characters_wins_however_many_stars_another_has() -> None:
    assert find([make_price(1, model_pattern="a*b*c*"), make_price(2, model_pattern="abcd*")], "abcdc") == 2


def test_a_name_whose_own_rows_have_ended_falls_back_to_the_pattern() -> None:
    assert find([make_price(1), make_price(2, model_pattern="m", valid_to=AT)]) == 1


@pytest.mark.parametrize(
    ("pattern", "model", "expected"),
    [
        ("*", "anything at all", True),
        ("gpt-*", "gpt-", True),
        ("gpt-*", "GPT-5", False),
        ("[a]?", "[a]?", True),
        ("[a]?", "ab", False),
        ("a*c", "a\nc", True),
        ("m", "m2", False),
    ],
)
def test_only_the_star_is_special_in_a_pattern(pattern: str, model: str, expected: bool) -> None:
    assert match_model(pattern, model) is expected


def test_a_stream_of_invented_model_names_does_not_grow_the_book() -> None:
    book = PriceBook([make_price(1)], SONNET)

    for number in range(30_000):
        assert book.find_price("claude", f"model-{number}", "standard", AT, 1) is not None

    assert len(book._groups) <= 10_000
    assert len(book._fixed) <= 10_000
