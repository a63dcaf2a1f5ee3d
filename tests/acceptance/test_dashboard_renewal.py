"""The board while it renews itself: what it keeps, when it rests, and whom it asks."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import Browser, expect
from redis import Redis

from api_tools import ApiClient
from browser import Board
from consumers import drain_all
from events import add_entry, make_event
from fuseboard_schema.settings import Settings

pytest_plugins = "board_fixtures"


def test_renewed_figures_take_away_neither_focus_nor_place(
    browser: Browser, api: ApiClient, token: str, settings: Settings, redis_client: Redis
) -> None:
    now = datetime.now(UTC)
    hours = [make_event(occurred_at=now - timedelta(hours=hour)) for hour in range(40)]
    add_entry(redis_client, settings.namespace, hours)
    drain_all(redis_client, settings)
    board = Board(browser, api.origin)
    board.log_in(token)
    table = board.page.get_by_role("group", name="Trends as a table")
    board.page.get_by_text("The same as a table").focus()
    board.page.keyboard.press("Enter")
    table.evaluate("table => { table.scrollTop = 120; table.isOld = true }")

    add_entry(redis_client, settings.namespace, [make_event() for _ in range(7)])
    drain_all(redis_client, settings)
    expect(board.page.locator("#trends figure")).to_contain_text("47 in all", timeout=30_000)

    assert table.evaluate("table => [table.isOld, table.scrollTop]") == [None, 120]
    expect(board.page.get_by_text("The same as a table")).to_be_focused()
    board.page.close()


def test_a_hidden_page_asks_for_nothing(browser: Browser, api: ApiClient, token: str) -> None:
    board = Board(browser, api.origin)
    page = board.page
    page.clock.install()
    board.log_in(token)
    hide = """isHidden => {
        Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with page.expect_response("**/api/llm/unpriced"):
        page.clock.run_for(60_000)

    page.evaluate(hide, True)
    page.wait_for_load_state("networkidle")
    board.asked.clear()
    page.clock.run_for(600_000)

    assert page.evaluate("document.hidden")
    assert board.asked == set()
    with page.expect_request("**/api/llm/events"), page.expect_request("**/api/llm/health"):
        page.evaluate(hide, False)
    page.close()


def test_the_page_asks_nobody_but_its_own_server(browser: Browser, api: ApiClient, token: str) -> None:
    board = Board(browser, api.origin)
    board.log_in(token)
    board.page.locator("#failures p").wait_for()
    board.page.close()

    assert f"{api.origin}/static/main.js" in board.asked
    assert {url for url in board.asked if not url.startswith(api.origin + "/")} == set()
    assert board.complaints == []
