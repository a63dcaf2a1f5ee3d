"""The fuse board for everybody: in and out, without a mouse, with a screen reader, on a phone, in the dark, offline."""

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect
from redis import Redis

from api_tools import ApiClient, bear, expect_problem, make_api_token, open_client
from browser import Board
from commands import run_command, store_events
from consumers import drain_all
from events import add_entry, make_event
from fuseboard_api.failures import FAILURES_MAX
from fuseboard_api.token_store import insert_login_code
from fuseboard_api.tokens import find_token_id, hash_secret, make_secret
from fuseboard_schema.settings import Settings
from queries import Database, fetch_value

pytest_plugins = "board_fixtures"

WINDOWS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True},
}


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


def test_a_token_opens_the_board_and_logging_out_closes_it(board: Board, token: str) -> None:
    board.log_in(token)

    expect(board.page.locator("#who")).to_have_text("anna, admin")
    assert board.page.evaluate("document.cookie + JSON.stringify(localStorage)") == "{}"
    board.page.get_by_role("button", name="Log out").click()
    expect(board.page.get_by_label("Token")).to_be_focused()
    board.page.reload()
    expect(board.page.locator("#login")).to_be_visible()
    expect(board.page.locator("#board")).to_be_hidden()


def test_a_wrong_token_is_refused_in_words(board: Board) -> None:
    board.page.get_by_label("Token").fill("fuseboard_0_wrong")
    board.page.get_by_label("Token").press("Enter")

    expect(board.page.get_by_role("alert")).to_contain_text("not known here")


def test_a_session_that_may_only_read_is_offered_no_orders(board: Board, connection: Database) -> None:
    board.log_in(make_api_token(connection, "read"))

    assert set(board.page.locator(".card button").all_text_contents()) == {"History"}


def test_a_revoked_token_ends_the_session_on_the_board(board: Board, token: str, connection: Database) -> None:
    board.log_in(token)

    connection.execute("UPDATE fuseboard_tokens SET revoked_at = now()")

    expect(board.page.locator("#login")).to_be_visible(timeout=30_000)
    expect(board.page.locator("#login-wrong")).to_contain_text("session is over")
    assert fetch_value(connection, "SELECT count(*) FROM fuseboard_tokens WHERE revoked_at IS NOT NULL") == 1


def test_the_board_says_that_the_server_is_away_and_keeps_what_it_showed(
    browser: Browser, settings: Settings, token: str
) -> None:
    with open_client(settings) as client:
        board = Board(browser, client.origin)
        board.log_in(token)

    expect(board.page.locator("#trouble")).to_contain_text("cannot be reached", timeout=30_000)
    expect(board.page.locator("#contact")).to_have_text("No contact")
    expect(board.card("ollama")).to_contain_text("Closed")
    board.page.close()


def test_one_part_that_cannot_be_had_is_said_once_and_is_no_lost_contact(board: Board, token: str) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=503, content_type="application/problem+json", body='{"detail": "busy: try again"}')

    board.page.route("**/api/llm/unpriced", refuse)
    board.page.clock.install()
    board.log_in(token)
    trouble = board.page.locator("#trouble")
    expect(trouble).to_contain_text("busy: try again")
    board.page.evaluate(
        "window.changes = 0; new MutationObserver(() => { changes += 1 }).observe("
        "document.querySelector('#trouble'), { childList: true, characterData: true, attributes: true, subtree: true })"
    )

    for path in ("unpriced", "costs", "unpriced"):
        with board.page.expect_response(f"**/api/llm/{path}*"):
            board.page.clock.run_for(10_000)

    assert board.page.evaluate("window.changes") == 0
    expect(board.page.locator("#contact")).to_have_text("Live")
    board.page.unroute("**/api/llm/unpriced")
    board.page.clock.run_for(60_000)
    expect(trouble).to_be_hidden()
    board.complaints.clear()


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


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_the_first_page_has_a_call_to_paste_and_no_provider_that_nobody_uses(
    browser: Browser, api: ApiClient, token: str, settings: Settings, redis_client: Redis, window: dict[str, Any]
) -> None:
    board = Board(browser, api.origin, **window)
    board.open(token)
    page, cards = board.page, board.page.locator(".card")
    expect(page.locator("#unused")).to_contain_text("4 registered, not in use yet: Ollama, LocalAI, Claude, OpenAI.")
    expect(cards).to_have_count(0)
    assert board.find_faults() == []

    environment = {
        "PATH": os.environ["PATH"],
        "REDIS_URL": str(settings.redis_url),
        "FUSEBOARD_NAMESPACE": settings.namespace,
        "FUSEBOARD_SPOOL_DIR": str(settings.spool_dir),
    }
    code = page.locator("#first-steps-code").inner_text()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    drain_all(redis_client, settings)

    expect(page.locator("#first-steps")).to_be_hidden()
    expect(cards).to_have_count(1)
    expect(page.locator("#unused")).to_contain_text("3 more registered")
    page.get_by_role("button", name="Show them").click()
    expect(cards).to_have_count(4)
    expect(page.locator("#unused")).to_be_hidden()
    page.close()


def test_a_disabled_provider_that_is_called_says_so(
    board: Board, api: ApiClient, token: str, settings: Settings, redis_client: Redis
) -> None:
    store_events(redis_client, settings, [make_event(provider="openai")])
    run_command(settings, "providers", "disable", "openai")
    board.log_in(token)
    expect(board.card("openai")).to_contain_text("Gets no calls until it is enabled.")

    store_events(redis_client, settings, [make_event(provider="openai"), make_event(provider="newcomer")])

    expect(board.card("openai")).to_contain_text(
        "Routers do not choose it, yet it is called: just now.", timeout=15_000
    )
    expect(board.card("newcomer")).to_contain_text("Nobody has enabled it, yet it is called: just now.")
    told = {row["name"]: row for row in api.get("/api/llm/providers", headers=bear(token)).json()["providers"]}
    called = {name for name, row in told.items() if row["is_called_though_disabled"]}
    assert called == {"openai", "newcomer"}


def test_the_login_link_opens_the_board_whatever_another_page_tried(
    browser: Browser, board: Board, api: ApiClient, token: str, connection: Database
) -> None:
    code = make_secret()
    insert_login_code(connection, hash_secret(code), find_token_id(token) or "", timedelta(minutes=10))
    stranger = browser.new_page()
    parts = [f'<{kind} src="{api.origin}/login?code={n}">' for n in range(FAILURES_MAX) for kind in ("img", "script")]
    stranger.set_content("".join(f"{part}</script>" for part in parts) + f'<iframe src="{api.origin}/login?code=x">')
    stranger.wait_for_load_state("networkidle")
    stranger.close()

    board.page.goto(f"{api.origin}/login?code={code}")

    expect(board.page.locator("#who")).to_have_text("anna, admin")
    assert board.page.url == f"{api.origin}/"
    # the same link again, in a browser and in a program
    board.page.context.clear_cookies()
    board.page.goto(f"{api.origin}/login?code={code}")
    expect(board.page.get_by_role("alert")).to_contain_text("This link was used already")
    assert board.find_faults() == []
    board.page.get_by_role("link", name="To the board").click()
    expect(board.page.get_by_label("Token")).to_be_visible()
    for accepted in ("*/*", "application/json, text/html"):
        expect_problem(api.get("/login", params={"code": code}, headers={"Accept": accepted}), 401)
    # what programs ask for is always theirs
    expect_problem(api.get("/api/llm/costs", headers={"Accept": "text/html"}), 401)
