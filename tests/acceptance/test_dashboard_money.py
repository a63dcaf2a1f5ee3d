"""The money on the fuse board, and what it says to do where some of it is not known."""

import re
import shlex
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from playwright.sync_api import expect
from redis import Redis

from browser import Board
from calls import make_calls, make_failures
from commands import run_command, store_events
from events import make_event
from fuseboard_schema.settings import Settings
from waiting import wait_until

pytest_plugins = "board_fixtures"

# per million tokens, in and out, as README states them
RATES = {"ollama": (0, 0), "claude": (3, 15), "openai": (5, 15)}


def sum_cost(events: list[dict[str, Any]], *, as_claude: bool = False) -> Decimal:
    total = Decimal(0)
    for event in events:
        rate_in, rate_out = RATES["claude" if as_claude else event["provider"]]
        total += Decimal(event["prompt_tokens"] * rate_in + event["completion_tokens"] * rate_out) / 1_000_000
    return total


def sum_cost_today(events: list[dict[str, Any]], at: datetime) -> Decimal:
    """Sum what calls of one moment cost today, which may have become yesterday."""
    return sum_cost(events) if at.date() == datetime.now(UTC).date() else Decimal(0)


def read_commands(board: Board, title: str) -> list[list[str]]:
    """Read what a card says to type, as a shell would take it; without the first word, the program."""
    card = board.page.locator("#to-do .panel").filter(has_text=title)
    lines = card.locator("pre code").inner_text().splitlines()
    return [shlex.split(line.removeprefix("fuseboard ")) for line in lines]


def read_figure(board: Board, name: str) -> Decimal:
    return Decimal((board.page.locator(f"#{name}").get_attribute("title") or "-1").removesuffix(" USD"))


def test_the_money_on_the_board_is_the_sum_of_the_calls(
    board: Board, token: str, settings: Settings, redis_client: Redis
) -> None:
    at = datetime.now(UTC)
    calls = make_calls(at)
    store_events(redis_client, settings, calls)

    board.log_in(token)

    wait_until(lambda: read_figure(board, "cost-today") == sum_cost_today(calls, at))
    wait_until(lambda: read_figure(board, "cost-period") == sum_cost(calls))
    assert read_figure(board, "cost-claude") == sum_cost(calls, as_claude=True)
    assert read_figure(board, "savings-period") == sum_cost(calls, as_claude=True) - sum_cost(calls)
    expect(board.page.locator("#cost-period")).to_have_text(f"${sum_cost(calls):.4f}")
    rows = board.page.locator("#cost-table tbody tr")
    expect(rows).to_have_count(3)
    claude = [call for call in calls if call["provider"] == "claude"]
    expect(rows.filter(has_text="Claude")).to_contain_text(f"${sum_cost(claude):.4f}")


def test_new_calls_reach_the_figures_without_reloading(
    board: Board, token: str, settings: Settings, redis_client: Redis
) -> None:
    board.log_in(token)
    wait_until(lambda: read_figure(board, "cost-today") == 0)
    at = datetime.now(UTC)
    calls = make_calls(at)

    store_events(redis_client, settings, calls)

    wait_until(lambda: read_figure(board, "cost-today") == sum_cost_today(calls, at))
    wait_until(lambda: read_figure(board, "cost-period") == sum_cost(calls))


def test_what_needs_somebody_is_shown_with_what_to_do(
    board: Board, token: str, settings: Settings, redis_client: Redis
) -> None:
    unpriced = make_event(provider="mistral", model="mistral-large")
    store_events(redis_client, settings, [unpriced, {"provider": "claude"}, *make_failures(1, is_fallback=True)])

    board.log_in(token)

    to_do = board.page.locator("#to-do")
    expect(to_do).to_contain_text("1 request without a price")
    expect(to_do).to_contain_text("mistral-large")
    expect(to_do).to_contain_text("1 event rejected")
    expect(to_do).to_contain_text('{"provider": "claude"}')
    for command in ("fuseboard prices reprice", "fuseboard rejected replay --all"):
        expect(to_do).to_contain_text(command)
    expect(board.page.locator("#cost-table")).to_contain_text("unknown + 1 unpriced")
    expect(board.page.locator("#failures")).to_contain_text("ConnectError")
    expect(board.page.locator("#flows tbody tr")).to_have_count(1)


def test_what_the_board_says_to_type_clears_what_it_is_said_for(
    board: Board, token: str, settings: Settings, redis_client: Redis
) -> None:
    at = datetime.now(UTC) - timedelta(days=2)
    names = [("mistral", "large"), ('it\'s "new"', "org/a model"), ("-dash", "$HOME `id`")]
    store_events(
        redis_client, settings, [make_event(provider=one, model=model, occurred_at=at) for one, model in names]
    )
    store_events(redis_client, settings, [{"provider": "claude"}, make_event(provider="claude") | {"surplus": 1}])
    board.log_in(token)
    to_do = board.page.locator("#to-do")

    commands = read_commands(board, "3 requests without a price")
    assert "'USD' is not an amount" in run_command(settings, *commands[0], code=2).output
    for command in commands:
        run_command(settings, *[word.replace("USD", "2") for word in command])

    expect(to_do.get_by_text("without a price")).to_have_count(0)
    wait_until(lambda: read_figure(board, "cost-period") > 0)
    expect(board.page.locator("#cost-gaps")).to_be_hidden()
    board.page.get_by_text("2 events rejected").wait_for()
    replay, edit, dismiss = read_commands(board, "2 events rejected")
    run_command(settings, *edit, "--unset", "surplus")
    run_command(settings, *replay)
    board.page.get_by_text("1 event rejected").wait_for()
    *_, dismiss = read_commands(board, "1 event rejected")
    run_command(settings, *dismiss)
    expect(to_do).to_be_hidden()


def test_cost_and_saved_add_up_to_the_same_on_claude(
    board: Board, token: str, settings: Settings, redis_client: Redis
) -> None:
    priced, unpriced = make_calls(datetime.now(UTC)), make_event(provider="mistral", prompt_tokens=1_000_000)
    store_events(redis_client, settings, [unpriced])
    board.log_in(token)
    for name in ("cost-today", "savings-today", "cost-period", "cost-claude", "savings-period"):
        expect(board.page.locator(f"#{name}")).to_have_text("unknown")

    store_events(redis_client, settings, priced)

    wait_until(lambda: read_figure(board, "cost-period") == sum_cost(priced))
    assert read_figure(board, "cost-claude") == sum_cost(priced, as_claude=True)
    assert read_figure(board, "cost-period") + read_figure(board, "savings-period") == read_figure(board, "cost-claude")
    expect(board.page.locator("#cost-gaps")).to_have_text(re.compile(r"without a price \(1\)\..*would have cost \$3\."))
