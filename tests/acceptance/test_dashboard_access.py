"""The fuse board for everybody: without a mouse, with a screen reader, on a phone, in the dark, offline."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from redis import Redis

from api_tools import ApiClient, make_api_token, open_client
from browser import Board, run_browser
from consumers import drain_all, make_settings, shorten_waits
from events import add_entry, make_event
from fuseboard_api import event_feed
from fuseboard_schema.settings import Settings
from queries import Database

WINDOWS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_browser() as running:
        yield running


@pytest.fixture
def settings(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    shorten_waits(monkeypatch.setattr)
    # the feed ends with a look of its own
    monkeypatch.setattr(event_feed, "TICK_SECONDS", 0.2)
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path / "spool"))


@pytest.fixture
def api(settings: Settings) -> Iterator[ApiClient]:
    with open_client(settings) as client:
        yield client


@pytest.fixture
def token(connection: Database) -> str:
    return make_api_token(connection, "admin")


@pytest.fixture
def full_installation(connection: Database, settings: Settings, redis_client: Redis) -> None:
    """Leave something in every part of the page, and every state on a breaker."""
    failed = {"status": "error", "error_type": "ConnectError", "is_fallback": True, "original_provider": "claude"}
    events = [make_event(provider=name) for name in ("ollama", "claude", "mistral")]
    failures = [make_event(provider="openai", **failed) for _ in range(3)]
    add_entry(redis_client, settings.namespace, [*events, *failures, {"x": 1}])
    drain_all(redis_client, settings)
    connection.execute("UPDATE llm_providers SET enabled = true")
    connection.execute("UPDATE llm_providers SET enabled = false WHERE name = 'localai'")
    connection.execute("SELECT llm_force_circuit_open('openai', 'anna', 'their status page says so')")
    connection.execute("SELECT llm_disable_circuit('mistral', 'anna', 'trying it out')")
    connection.execute(
        "UPDATE llm_provider_health SET state = 'open', open_until = now() + CASE provider WHEN 'claude'"
        " THEN interval '1 hour' ELSE interval '-1 minute' END WHERE provider IN ('claude', 'ollama')"
    )


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.usefixtures("full_installation")
def test_axe_finds_no_fault(browser: Browser, api: ApiClient, token: str, window: str) -> None:
    board = Board(browser, api.origin, **WINDOWS[window])
    found = board.find_faults()
    board.log_in(token)
    for place in ("#cost-table tbody", "#trends figure", "#flows tbody", "#failures tbody", "#to-do tbody"):
        board.page.locator(place).first.wait_for()
    found += board.find_faults()
    board.order("openai", "clear").wait_for()
    found += board.find_faults()
    board.page.close()

    assert found == []


@pytest.mark.usefixtures("full_installation")
def test_a_phone_scrolls_the_page_in_one_direction_only(browser: Browser, api: ApiClient, token: str) -> None:
    board = Board(browser, api.origin, **WINDOWS["phone"])
    board.log_in(token)
    board.page.locator("#failures tbody").wait_for()

    widths = board.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    board.page.close()

    assert widths == [375, 375]


def test_orders_can_be_given_without_a_mouse(browser: Browser, api: ApiClient, token: str) -> None:
    board = Board(browser, api.origin)
    board.log_in(token)
    button = board.card("ollama").get_by_role("button", name="Force open")
    button.focus()
    dialog = board.page.get_by_role("dialog")

    board.page.keyboard.press("Enter")
    expect(dialog.get_by_label("Reason")).to_be_focused()
    for _ in range(6):
        board.page.keyboard.press("Tab")
        # after the dialog's last button come the browser's own, for which the body stands
        assert board.page.evaluate("document.activeElement.closest('#board') === null")
    board.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    board.page.keyboard.press("Enter")
    board.page.keyboard.type("no mouse at hand")
    board.page.keyboard.press("Enter")
    board.wait_for_look("ollama", "forced_open")
    board.page.close()


def test_with_no_data_the_board_says_so_everywhere(browser: Browser, api: ApiClient, token: str) -> None:
    board = Board(browser, api.origin)
    board.log_in(token)
    page = board.page

    expect(page.locator("#overall")).to_have_text("No data yet")
    expect(page.locator("#cost-today")).to_have_text("$0.00")
    expect(page.locator("#savings-share")).to_have_text("No requests yet")
    expect(page.locator("#trends")).to_have_text("No requests in this time.")
    expect(page.locator("#flows")).to_have_text("No call fell back to another provider.")
    expect(page.locator("#failures")).to_contain_text("No failure")
    expect(page.locator("#to-do")).to_be_hidden()
    expect(page.locator("#first-steps")).to_contain_text("No call was recorded yet")
    page.close()


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


def test_the_page_has_no_script_or_style_in_itself() -> None:
    page = (Path(__file__).parents[2] / "api/fuseboard_api/static/index.html").read_text()

    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert page.count("<script") == page.count('<script type="module" src="/static/')
